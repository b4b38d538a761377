from __future__ import annotations

from itertools import islice

import numpy as np
import pytest
import torch

from aninfonce.experiments.ensembles import EnsembleModel, Ensembles, EnsembleTask, together
from aninfonce.experiments.recipe import Recipe
from aninfonce.experiments.reference import held_against
from aninfonce.experiments.task import Place, Task
from aninfonce.models.latent_encoder import LatentEncoder
from aninfonce.objectives import AnInfoNCEEnsemble, joint_level_sets
from aninfonce.report.study import study_figures, study_rows

FAMILIES = ((8.0, 8.0, 2.0, 2.0), (8.0, 2.0, 8.0, 2.0))
TINY = Recipe(steps=4, batch_size=32, width=8, initial_spread=2.0)


@pytest.mark.parametrize("settings", [Ensembles(), Ensembles().quick()])
def test_the_study_names_its_own_runs(settings):
    study = settings.study()
    assert len(study.seeds) == settings.seeds
    assert all(isinstance(task, Task) for task in study.tasks.values())
    assert {reference.name.partition("/")[0] for reference in study.references} <= set(study.tasks)


def test_the_families_leave_what_the_experiment_says_they_do():
    families = {case: torch.tensor(spectra) for case, spectra in Ensembles().study().facts["families"].items()}
    distinct, blocks = families["distinct"], families["blocks"]
    assert [len(block) for spectrum in distinct for block in joint_level_sets(spectrum)] == [3] * 6
    assert [len(block) for block in joint_level_sets(distinct)] == [1] * 9
    assert [len(block) for spectrum in blocks for block in joint_level_sets(spectrum)] == [4] * 4
    assert [len(block) for block in joint_level_sets(blocks)] == [2] * 4


@pytest.mark.parametrize("levels", [(1.0, 1.0, 2.0), (1.0, 0.0, 2.0)])
def test_levels_that_are_not_three_positive_numbers_are_refused(levels):
    with pytest.raises(ValueError, match="levels"):
        Ensembles(levels=levels)


@pytest.mark.parametrize(
    ("families", "use", "message"),
    [
        (FAMILIES, "frist", "first"),
        (FAMILIES[:1], "both", "two families"),
        ((FAMILIES[0], (1.0, 2.0)), "both", "two families"),
        ((FAMILIES[0], (1.0, 2.0, 0.0, 1.0)), "both", "positive"),
    ],
)
def test_families_that_do_not_fit_are_refused(families, use, message):
    with pytest.raises(ValueError, match=message):
        EnsembleTask(families, TINY, use)


def test_the_model_pairs_every_family_with_its_own_loss():
    rng = torch.Generator().manual_seed(0)
    views = [torch.randn(16, 4, generator=rng) for _ in range(4)]
    encoder = LatentEncoder(4, 8, torch.randn(50, 4, generator=rng), rng)
    options = {"normalize": False, "negatives_from": "anchors", "symmetric": False}
    objective = AnInfoNCEEnsemble(4, 2, [[8.0, 4.0, 2.0, 1.0], [1.0, 2.0, 4.0, 8.0]], **options)
    x, x_positive, y, y_positive = (encoder(view) for view in views)
    expected = (objective.members[0](x, x_positive) + objective.members[1](y, y_positive)) / 2
    torch.testing.assert_close(EnsembleModel(encoder, objective)(*views), expected)
    pooled = AnInfoNCEEnsemble(4, 1, 3.0, **options)
    expected = pooled.members[0](torch.cat([x, y]), torch.cat([x_positive, y_positive]))
    torch.testing.assert_close(EnsembleModel(encoder, pooled)(*views), expected)


def test_streams_advance_together():
    first, second = (iter([(torch.tensor(10 * k + i), torch.tensor(-10 * k - i)) for i in range(2)]) for k in (1, 2))
    found = [[int(view) for view in batch] for batch in islice(together([first, second]), 2)]
    assert found == [[10, -10, 20, -20], [11, -11, 21, -21]]


@pytest.mark.parametrize(("use", "members"), [("first", 1), ("second", 1), ("pooled", 1), ("both", 2)])
def test_a_run_is_a_function_of_its_seed(use, members, tmp_path):
    task = EnsembleTask(FAMILIES, TINY, use, depth=2)
    first, again = (task.run(1000, Place("cpu", tmp_path)) for _ in range(2))
    for outcome in (first, again):
        assert outcome.metrics.pop("cpu_seconds") > 0
    assert first == again
    assert np.shape(first.details["matched"]) == (members, 4)
    assert ("concentration_error" in first.metrics) == (use != "pooled")
    assert first.metrics["leakage_joint"] >= first.metrics["leakage_single"] - 0.02  # smaller blocks leave more outside


@pytest.mark.slow
def test_together_the_families_tell_apart_what_each_leaves_mixed(tmp_path):
    recipe = Recipe(width=32, batch_size=512, steps=800, initial_spread=2.2, rate_concentration=0.02)
    both, alone = (
        EnsembleTask(FAMILIES, recipe, use, depth=2).run(1000, Place("cpu", tmp_path)).metrics
        for use in ("both", "first")
    )
    assert both["leakage_joint"] < 0.1
    assert alone["leakage_single"] < 0.1
    assert both["mean_correlation"] > 0.95


def test_the_figure_and_the_table_show_every_method(tmp_path):
    study = Ensembles(seeds=1, steps=2).study()
    place = Place("cpu", tmp_path)
    outcomes = {method: task.run(0, place) for method, task in study.tasks.items()}
    results = {
        "name": study.name, "seeds": [0], "columns": list(study.columns), "facts": dict(study.facts),
        "config": {"methods": dict.fromkeys(outcomes)}, "published": {},
        "per_seed": {f"{m}/{k}": [v] for m, outcome in outcomes.items() for k, v in outcome.metrics.items()},
        "details": {m: [{"seed": 0, **outcome.details}] for m, outcome in outcomes.items()},
    }  # fmt: skip
    assert {path.suffix for path in study_figures(results, tmp_path)} == {".png", ".svg"}
    assert len(study_rows(results)) == len(study.tasks)
    measured = {name: values[0] for name, values in results["per_seed"].items()}
    assert all(row["met"] is not None for row in held_against(study.references, measured))
