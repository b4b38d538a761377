"""The objectives that every controlled experiment holds against each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from aninfonce.experiments.recipe import Recipe

__all__ = ["contenders"]


def contenders(recipe: Recipe, temperatures: Sequence[float]) -> dict[str, Recipe]:
    """AnInfoNCE as the theorem has it, as the public code has it, and InfoNCE at every temperature.

    Arguments:
        recipe: how "aninfonce" is trained: negatives from the marginal (the other anchors), one direction.
        temperatures: InfoNCE's fixed ones; it also runs with a trainable one.

    Returns:
        Name -> recipe. All but "aninfonce" take the public code's side: the other samples' positives are the negatives
        and both views are anchors, which is the setting of the published figures for InfoNCE.
    """
    public = replace(recipe, negatives_from="positives", symmetric=True)
    # InfoNCE's collapse takes capacity: a narrow encoder cannot fill the embedding with functions of content alone.
    isotropic = replace(public, objective="infonce", width=max(96, recipe.width), rate_concentration=0.1)
    return {
        "aninfonce": recipe,
        "aninfonce-other-positives": public,
        **{f"infonce-tau-{t:g}": replace(isotropic, temperature=t) for t in temperatures},
        "infonce-trainable": isotropic,
    }
