"""The objectives that every controlled experiment holds against each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from aninfonce.experiments.recipe import Recipe

__all__ = ["contenders"]


def contenders(recipe: Recipe, temperatures: Sequence[float]) -> dict[str, Recipe]:
    """AnInfoNCE as the theorem has it, as users call it, and InfoNCE at every temperature and with a trainable one.

    A comparison at fixed temperatures alone would credit the anisotropy with what a trained temperature gains, so that
    every experiment which has one of the fixed ones has "infonce-trainable", too.

    Arguments:
        recipe: how "aninfonce" is trained: negatives from the marginal (the other anchors), one direction.
        temperatures: InfoNCE's fixed ones.

    Returns:
        Name -> recipe. All but "aninfonce" have the losses' default: the other samples' positives are the negatives,
        and both views are anchors (as in CLIP). The loss of the paper's public code is another one, see
        `negatives_kind`; at which temperature its figures for InfoNCE were made is not published.
    """
    usual = replace(recipe, negatives_from="positives", symmetric=True)
    # InfoNCE's collapse takes capacity: a narrow encoder cannot fill the embedding with functions of content alone.
    isotropic = replace(usual, objective="infonce", width=max(96, recipe.width), rate_concentration=0.1)
    return {
        "aninfonce": recipe,
        "aninfonce-other-positives": usual,
        **{f"infonce-tau-{t:g}": replace(isotropic, temperature=t) for t in temperatures},
        "infonce-trainable": isotropic,
    }
