from __future__ import annotations

import math
from itertools import islice

import pytest
import torch
from torch.nn import functional as F

from aninfonce.data.latent_pairs import LatentPairs
from aninfonce.experiments.hard_negatives import HardNegatives
from aninfonce.experiments.mined_negatives import (
    MinedTask,
    NaiveTopK,
    TiltedNegatives,
    TiltedTask,
    folded_directions,
)
from aninfonce.experiments.recipe import Mixing, Recipe
from aninfonce.experiments.reference import held_against
from aninfonce.experiments.task import Place, Task
from aninfonce.objectives import AnInfoNCE, TopK
from aninfonce.report.study import study_figures, study_rows

MIXING = Mixing((12.5, 12.5, 2.5, 2.5), depth=2)
GROUPS = {"content": [0, 1], "style": [2, 3]}
TINY = Recipe(steps=6, batch_size=32, width=8)


def sphere(n: int, dim: int, seed: int = 1000) -> torch.Tensor:
    return F.normalize(torch.randn(n, dim, generator=torch.Generator().manual_seed(seed)), dim=1)


@pytest.mark.parametrize("settings", [HardNegatives(), HardNegatives().quick()])
def test_the_study_names_its_own_runs(settings):
    study = settings.study()
    assert len(study.seeds) == settings.seeds
    assert all(isinstance(task, Task) for task in study.tasks.values())
    assert set(study.facts["points"]) == set(study.tasks)
    assert {reference.name.partition("/")[0] for reference in study.references} <= set(study.tasks)


def test_references_are_what_theory_promises():
    study = HardNegatives(tilts=(5.0,), from_the_start=(2.5,), betas=(1.0,)).study()
    promised = {reference.name: reference.value for reference in study.references}
    assert promised["tilted-5/concentration_content"] == 7.5
    assert promised["tilted-5/concentration_style"] == -2.5
    assert promised["corrected-5/concentration_style"] == 2.5
    assert promised["reweighted-1/concentration_content"] == 6.25
    assert promised["top-k-16/concentration_content"] == 12.5
    assert promised["tilted-2.5-from-the-start/r2_style"] == 0.5
    assert not any(name.startswith("naive") for name in promised)


def test_a_group_that_vanishes_from_the_loss_is_not_asked_to_be_recovered():
    names = {reference.name for reference in HardNegatives(tilts=(2.5,)).study().references}
    assert "tilted-2.5/r2_content" in names
    assert "tilted-2.5/r2_style" not in names


@pytest.mark.parametrize("setting", [{"dim": 5}, {"tilts": (0.0,)}, {"warm_up": 1000}, {"warm_up": 0}])
def test_settings_out_of_range_are_refused(setting):
    with pytest.raises(ValueError, match=next(iter(setting))):
        HardNegatives(**setting)


@pytest.mark.parametrize("setting", [{"tilt": (1.0,)}, {"tilt": (math.nan,) * 4}, {"negatives": 0}])
def test_a_tilt_that_does_not_fit_is_refused(setting):
    with pytest.raises(ValueError, match=r"tilt|negatives"):
        TiltedTask(MIXING, TINY, **{"tilt": (1.0,) * 4, "groups": GROUPS, **setting})


@pytest.mark.parametrize(("kind", "strength"), [("reweigthed", 1.0), ("reweighted", -1.0), ("top-k", 0)])
def test_a_rule_out_of_range_is_refused(kind, strength):
    with pytest.raises(ValueError, match=r"reweighted|beta|k must"):
        MinedTask(MIXING, TINY, GROUPS, kind, strength)


def test_tilted_negatives_gather_where_they_should_and_keep_their_density_when_reflected():
    pairs, tilt = LatentPairs(torch.tensor([2.0, 2.0, 2.0]), lambda z: z), torch.tensor([40.0, 5.0, 0.5])
    batches = TiltedNegatives(pairs, tilt, 8, corrected=True).batches(500, torch.Generator().manual_seed(0), reuse=2)
    for z, positive, negatives, log_q_positive, log_q in islice(batches, 16):  # eight as drawn, eight reflected
        assert z.shape == positive.shape == (500, 3)
        assert negatives.shape == (500, 8, 3)
        spread = ((negatives - z[:, None]) ** 2).mean((0, 1))
        assert spread[0] < 0.5 * spread[1] < 0.5 * spread[2]
        torch.testing.assert_close(log_q_positive, -((positive - z) ** 2 @ tilt))
        torch.testing.assert_close(log_q, -((negatives - z[:, None]) ** 2 @ tilt))


def test_reuse_reflects_the_negatives_with_their_anchor():
    pairs = LatentPairs(torch.tensor([2.0, 2.0, 2.0]), lambda z: z)
    batches = TiltedNegatives(pairs, torch.tensor([5.0] * 3), 4, False).batches(
        50, torch.Generator().manual_seed(0), reuse=2
    )
    first, second = (torch.cat([torch.cat([z[:, None], c], 1) for z, _, c in islice(batches, 8)]) for _ in range(2))
    # Every anchor with its negatives comes back, up to signs that they share.
    order = [x[:, 0].abs().sum(1).argsort() for x in (first, second)]
    first, second = first[order[0]], second[order[1]]
    torch.testing.assert_close(first.abs(), second.abs())
    products = [(x[:, :1] * x[:, 1:]) for x in (first, second)]
    torch.testing.assert_close(*products)


def test_the_naive_choice_keeps_every_anchor():
    u, v = sphere(40, 3), sphere(40, 3, 1001)
    options = {"negatives_from": "anchors", "symmetric": False}
    found = AnInfoNCE(3, 4.0, hard_negatives=NaiveTopK(3), **options)(u, v)
    s = -4.0 * torch.cdist(u, u).square().fill_diagonal_(torch.inf)
    p = -4.0 * (u - v).square().sum(1)
    expected = F.softplus(s.topk(3, 1).values.logsumexp(1) - p)
    assert found.item() == pytest.approx(expected.mean().item(), rel=1e-5)
    kept = AnInfoNCE(3, 4.0, hard_negatives=TopK(3), **options)(u, v)
    assert kept < found  # random positives are far off: the consistent choice leaves those anchors out


def test_a_fold_is_counted_whatever_its_direction():
    z = sphere(2000, 4)
    turn = torch.linalg.qr(torch.randn(4, 4, generator=torch.Generator().manual_seed(0))).Q
    folded = z @ turn
    assert folded_directions(z, folded) == 0
    folded[:, 0] = folded[:, 0].abs()
    assert folded_directions(z, folded) == 1
    dropped = F.normalize(sphere(2000, 4, 1001), dim=1)
    assert folded_directions(z, dropped) == 0  # nothing of z in it: lost, not folded


@pytest.mark.parametrize("corrected", [False, True])
def test_a_tilted_run_is_a_function_of_its_seed(corrected, tmp_path):
    task = TiltedTask(MIXING, TINY, (2.0,) * 4, GROUPS, 3, corrected, warm_up=2, warm_up_batch=16)
    first, again, other = (task.run(seed, Place("cpu", tmp_path)) for seed in (1000, 1000, 1001))
    for outcome in (first, again, other):
        assert outcome.metrics.pop("cpu_seconds") > 0
    assert first == again
    assert first.details != other.details
    mean = sum(first.details["matched"][:2]) / 2
    assert first.metrics["concentration_content"] == pytest.approx(mean)


@pytest.mark.slow
def test_the_correction_undoes_the_tilt(tmp_path):
    recipe = Recipe(width=32, batch_size=128, steps=500)
    found = [
        TiltedTask(MIXING, recipe, (5.0,) * 4, GROUPS, 16, corrected, warm_up=150).run(1000, Place("cpu", tmp_path))
        for corrected in (False, True)
    ]
    raw, corrected = (outcome.metrics for outcome in found)
    assert raw["concentration_style"] < 0 < corrected["concentration_style"]
    assert raw["concentration_content"] == pytest.approx(7.5, abs=2)
    assert corrected["concentration_content"] == pytest.approx(12.5, abs=2)


def test_the_figure_and_the_table_show_every_kind(tmp_path):
    settings = HardNegatives(
        seeds=1, dim=4, tilts=(2.5,), from_the_start=(2.5,), negatives=2, betas=(0.0, 1.0), kept=3, steps=2,
        tilted_steps=2, warm_up=1,
    )  # fmt: skip
    study = settings.study()
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
