from __future__ import annotations

import dataclasses
import itertools
import math

import pytest
import torch

from aninfonce.experiments.recipe import make_objective, make_optimizers, schedule
from aninfonce.experiments.recovery import Mixing, Recipe, Recovery, RecoveryModel, recover
from aninfonce.models.latent_encoder import LatentEncoder
from aninfonce.objectives import AnInfoNCE, InfoNCE

MIXING = Mixing((12.5, 12.5, 2.5, 2.5))
GROUPS = {"content": [0, 1], "style": [2, 3]}
SHORT = Recipe(steps=120, batch_size=256, width=32, evaluations=4)


@pytest.fixture(scope="module")
def short_run() -> Recovery:
    return recover(MIXING, SHORT, 1000, GROUPS)


def test_a_short_run_already_beats_the_untrained_encoder(short_run):
    untrained = recover(MIXING, dataclasses.replace(SHORT, steps=1), 1000, GROUPS)
    for measure in ("r2", "r2_content", "r2_style"):
        gap = 1 - untrained.metrics[measure]
        assert 1 - short_run.metrics[measure] < 0.5 * gap, (measure, untrained.metrics, short_run.metrics)
    assert short_run.metrics["loss"] < untrained.metrics["loss"] - 0.1
    content, style = short_run.matched[:2], short_run.matched[2:]
    assert min(content) > 2 * max(style)


def test_every_number_is_reported(short_run):
    numbers = short_run.metrics
    expected = {"r2", "r2_content", "r2_style", "mean_correlation", "concentration_error", "loss", "hit_at_1"}
    assert set(numbers) == expected | {"cpu_seconds"}
    assert all(math.isfinite(value) for value in numbers.values())
    assert numbers["r2"] == pytest.approx((numbers["r2_content"] + numbers["r2_style"]) / 2)
    assert 0 < numbers["hit_at_1"] < 1
    assert 0 < numbers["cpu_seconds"] < 60
    assert sorted(short_run.matched) == sorted(short_run.concentration)
    errors = torch.tensor(short_run.matched) / torch.tensor(MIXING.concentration) - 1
    assert numbers["concentration_error"] == pytest.approx(float(errors.abs().median()), rel=1e-5)


def test_the_curve_ends_with_the_final_scores(short_run):
    curve = short_run.curve
    assert curve["step"] == [30, 60, 90, 120]
    for measure in ("r2", "r2_content", "r2_style"):
        assert len(curve[measure]) == 4
        assert curve[measure][-1] == short_run.metrics[measure]
        assert curve[measure][0] < curve[measure][-1]


def test_a_run_is_a_function_of_its_seed():
    recipe = dataclasses.replace(SHORT, steps=15)
    first, again, other = (recover(MIXING, recipe, seed) for seed in (1000, 1000, 1001))
    for run in (first, again, other):
        run.metrics.pop("cpu_seconds")
    assert first == again
    assert first.metrics["r2"] != other.metrics["r2"]


def test_measuring_along_the_way_does_not_change_the_training():
    runs = [recover(MIXING, dataclasses.replace(SHORT, steps=20, evaluations=n), 1000) for n in (1, 20)]
    assert [len(run.curve["step"]) for run in runs] == [1, 20]
    assert runs[0].concentration == runs[1].concentration


def test_progress_is_told_about_a_hundred_times():
    seen: list[tuple[int, float]] = []
    recover(MIXING, dataclasses.replace(SHORT, steps=250, batch_size=8), 1000, on_step=lambda *step: seen.append(step))
    assert 100 <= len(seen) <= 130
    assert seen[-1][0] == 250
    assert all(math.isfinite(loss) for _, loss in seen)


def test_infonce_reports_its_temperature_as_a_concentration():
    run = recover(MIXING, dataclasses.replace(SHORT, steps=5, objective="infonce", temperature=0.25), 1000)
    assert run.matched == run.concentration == pytest.approx([2.0] * 4)
    trained = recover(MIXING, dataclasses.replace(SHORT, steps=5, objective="infonce"), 1000)
    assert len(set(trained.concentration)) == 1
    assert trained.concentration[0] != pytest.approx(0.5, rel=1e-4)


@pytest.mark.parametrize("group", [[], [4], [-1], [0, 7]])
def test_groups_out_of_range_are_refused(group):
    with pytest.raises(ValueError, match="'content'"):
        recover(MIXING, SHORT, 1000, {"content": group})


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("objective", "anifonce"),
        ("temperature", 0.0),
        ("steps", 0),
        ("batch_size", 1),
        ("reuse", 0),
        ("width", 0),
        ("evaluations", 0),
        ("initial_concentration", -1.0),
        ("initial_spread", 0.5),
        ("rate_matrices", 0.0),
        ("rate_rotation", math.nan),
        ("rate_concentration", math.inf),
        ("averaging", 1.0),
    ],
)
def test_settings_out_of_range_are_refused(setting, value):
    with pytest.raises(ValueError, match=setting):
        Recipe(**{setting: value})


def test_unknown_names_come_with_the_nearest_one():
    with pytest.raises(ValueError, match="aninfonce"):
        Recipe(objective="anifonce")
    with pytest.raises(ValueError, match="anchors"):
        recover(MIXING, dataclasses.replace(SHORT, negatives_from="anchor"), 1000)


@pytest.mark.parametrize("concentration", [(), (1.0,), (1.0, 0.0), (1.0, math.nan)])
def test_a_mixing_without_two_positive_concentrations_is_refused(concentration):
    with pytest.raises(ValueError, match=r"concentration|latents"):
        Mixing(concentration)


def test_objectives_follow_the_recipe():
    loss = make_objective(Recipe(initial_concentration=4.0, initial_spread=2.0), 5)
    assert isinstance(loss, AnInfoNCE)
    assert loss.concentration.tolist() == pytest.approx([8.0, 4 * 2**0.5, 4.0, 4 / 2**0.5, 2.0])
    fixed = make_objective(Recipe(objective="infonce", temperature=0.2), 5)
    assert isinstance(fixed, InfoNCE)
    assert not list(fixed.parameters())
    assert list(make_objective(Recipe(objective="infonce"), 5).parameters())


@pytest.mark.parametrize("objective", ["aninfonce", "infonce"])
def test_every_parameter_is_optimised_once(objective):
    recipe = Recipe(objective=objective)
    model = RecoveryModel(LatentEncoder(4, 8, torch.randn(50, 4)), make_objective(recipe, 4))
    optimized = [
        p for o in make_optimizers(model, recipe) for p in itertools.chain(*(g["params"] for g in o.param_groups))
    ]
    assert len(optimized) == len(set(optimized))
    assert set(optimized) == set(model.parameters())


@pytest.mark.parametrize("steps", [1, 10, 100, 1000])
def test_the_schedule_rises_stays_and_falls(steps):
    factors = [schedule(step, steps) for step in range(steps + 1)]
    assert all(0 < factor <= 1 for factor in factors)
    peak = factors.index(max(factors))
    assert factors[: peak + 1] == sorted(factors[: peak + 1])
    assert factors[peak:] == sorted(factors[peak:], reverse=True)
    if steps >= 100:
        assert max(factors) == 1
        assert factors[-1] == pytest.approx(0.02)


@pytest.mark.slow
def test_the_fast_recipe_recovers_content_and_style_of_a_fresh_mixing():
    mixing = Mixing((12.5,) * 5 + (2.5,) * 5)
    groups = {"content": list(range(5)), "style": list(range(5, 10))}
    fast = Recipe(steps=900, batch_size=512, width=48, rate_matrices=0.07, rate_biases=0.08)
    numbers = recover(mixing, fast, 2000, groups).metrics
    assert numbers["r2_content"] >= 0.99
    assert numbers["r2_style"] >= 0.99
    assert numbers["concentration_error"] <= 0.06
