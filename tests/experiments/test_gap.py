"""The experiments on the gap: well-formed studies, one small run of every kind, figures of what came out."""

from __future__ import annotations

import dataclasses
import math
import re

import pytest
import torch

from aninfonce.experiments import EXPERIMENTS, Place
from aninfonce.experiments.gap.checks import CHECKS, LEVEL, p_values, rejection_rates
from aninfonce.experiments.gap.marginal import GapMarginal
from aninfonce.experiments.gap.power import PowerTask, repetitions_of
from aninfonce.experiments.gap.run import Architecture, GapTask
from aninfonce.experiments.gap.world import World
from aninfonce.experiments.recipe import Recipe
from aninfonce.experiments.study import Job, Result
from aninfonce.report.study import study_figures

GAPS = [name for name in EXPERIMENTS if name.startswith("gap-")]
SMALL = World(concentration=(12.5, 12.5, 2.5, 2.5))
BRIEF = Recipe(steps=40, batch_size=128, width=16)


@pytest.mark.parametrize("name", [*GAPS, "assumption-checks"])
@pytest.mark.parametrize("small", [False, True])
def test_studies_are_well_formed(name, small):
    experiment = EXPERIMENTS[name]()
    study = (experiment.quick() if small else experiment).study()
    assert study.name == name
    assert all(re.fullmatch(r"[A-Za-z0-9.-]+", method) for method in study.tasks)
    assert all(reference.name.rpartition("/")[0] in study.tasks for reference in study.references)
    if name in GAPS:
        assert set(study.facts["points"]) == set(study.tasks)
        checked = [task for task in study.tasks.values() if task.samples]
        assert checked
        nothing_broken = [m for m in study.tasks if m == f"aninfonce-{experiment.setting}-{experiment.none:g}"]
        assert nothing_broken, "the degree at which the assumption holds must be among them"
    else:
        assert {method for method, _ in study.facts["violations"]} == set(study.tasks)


@pytest.mark.parametrize("name", [*GAPS, "assumption-checks"])
def test_quick_is_smaller(name):
    full, quick = EXPERIMENTS[name](), EXPERIMENTS[name]().quick()
    assert type(quick) is type(full)
    assert len(quick.study().jobs()) < len(full.study().jobs())


@pytest.mark.parametrize("name", GAPS)
def test_no_degrees_and_no_samples_are_refused(name):
    for setting, value in {"degrees": (), "samples": 0}.items():
        with pytest.raises(ValueError, match=setting):
            EXPERIMENTS[name](**{setting: value})


@pytest.mark.parametrize("degree", [-0.1, 1.0])
def test_the_coefficient_of_variation_is_below_one(degree):
    with pytest.raises(ValueError, match="degrees"):
        EXPERIMENTS["gap-conditional"](degrees=(0.0, degree))


@pytest.mark.parametrize("setting", [{"repetitions": 3}, {"sizes": ()}, {"sizes": (500, 100)}, {"sizes": (100, 100)}])
def test_settings_of_the_checks_out_of_range_are_refused(setting):
    with pytest.raises(ValueError, match=next(iter(setting))):
        EXPERIMENTS["assumption-checks"](**setting)


def test_runs_and_their_figures(tmp_path):
    """An experiment end to end, small: results, table's columns, both figures."""

    @dataclasses.dataclass(frozen=True, kw_only=True)
    class Small(GapMarginal):
        def recipe(self, **changes):
            return dataclasses.replace(BRIEF, **changes)

        def runs(self, degree):
            found = super().runs(degree)
            world = dataclasses.replace(SMALL, lean=degree)
            return {series: dataclasses.replace(task, world=world) for series, task in found.items()}

    study = Small(seeds=1, first_seed=1000, degrees=(0.0, 20.0), samples=1, rows=600).study()
    outcomes = {job: study.task(job).run(job.seed, Place("cpu", tmp_path)) for job in study.jobs()}
    for job, outcome in outcomes.items():
        assert outcome.metrics["cpu_seconds"] > 0
        assert outcome.metrics["r2"] <= 1
        assert ("rings_rayleigh" in outcome.metrics) == job.method.startswith("aninfonce")
        if job.method.startswith("infonce"):
            assert outcome.metrics["concentration_content"] == pytest.approx(outcome.metrics["concentration_style"])
    results = Result(study, outcomes).as_json()
    assert all(any(f"{job.method}/{name}" in results["metrics"] for job in outcomes) for name in study.columns)
    drawn = [file.name for file in study_figures(results, tmp_path)]
    stems = ("gap-marginal", "gap-marginal-checks")
    assert drawn == [f"{stem}.{kind}" for stem in stems for kind in ("png", "svg")]


def test_a_run_is_a_function_of_its_seed(tmp_path):
    task = GapTask(SMALL, dataclasses.replace(BRIEF, steps=5), samples=1, rows=600)
    first, again, other = (task.run(seed, Place("cpu", tmp_path)) for seed in (1000, 1000, 1001))
    for outcome in (first, again, other):
        outcome.metrics.pop("cpu_seconds")
    assert first == again
    assert first.metrics["r2"] != other.metrics["r2"]


def test_a_projector_and_another_dimension(tmp_path):
    architecture = Architecture(embedding_dim=3, projector_layers=2, feature_dim=8)
    found = GapTask(SMALL, BRIEF, architecture, samples=0).run(1000, Place("cpu", tmp_path))
    assert len(found.details["concentration"]) == 3
    assert 0 < found.metrics["features_r2"] <= 1
    assert found.metrics["effective_rank"] <= 3 + 1e-9
    assert math.isfinite(found.metrics["concentration_error"])


def test_a_folded_mixing_loses_its_singular_value(tmp_path):
    task = GapTask(SMALL, dataclasses.replace(BRIEF, steps=2), samples=0)
    whole, hidden, folded = (
        dataclasses.replace(task, world=dataclasses.replace(SMALL, fold=slope))
        .run(1000, Place("cpu", tmp_path))
        .metrics["smallest_singular_value"]
        for slope in (1.0, 0.0, -1.0)
    )
    assert hidden == pytest.approx(0.0, abs=1e-6)
    assert whole > 1e-3
    assert folded > 1e-3, "locally, |z| is as injective as z"


@pytest.mark.parametrize(("setting", "value"), [("samples", -1)])
def test_settings_of_a_run_out_of_range_are_refused(setting, value):
    with pytest.raises(ValueError, match=setting):
        GapTask(SMALL, BRIEF, **{setting: value})
    with pytest.raises(ValueError, match="projector_layers"):
        Architecture(projector_layers=-1)


def pairs(world, n=800, seed=0):
    rng = torch.Generator().manual_seed(seed)
    return world.pairs(torch.nn.Identity(), dtype=torch.float64).latent_pairs(n, rng)


LAMBDA = torch.tensor(SMALL.concentration, dtype=torch.float64).numpy()


def test_nothing_rings_where_nothing_is_broken():
    found = p_values(*pairs(SMALL), LAMBDA, 0)
    assert set(found) == set(CHECKS)
    assert all(p > 0.001 for p in found.values())


@pytest.mark.parametrize(
    ("world", "check"),
    [
        (dataclasses.replace(SMALL, lean=1.0), "rayleigh"),
        (dataclasses.replace(SMALL, axes=1.6), "bingham"),
        (dataclasses.replace(SMALL, degrees_of_freedom=1), "information_matrix"),
        (dataclasses.replace(SMALL, drift=4.0), "stationarity"),
        (dataclasses.replace(SMALL, push=0.3), "symmetry"),
        (dataclasses.replace(SMALL, push=0.3), "conditional_shape"),
    ],
)
def test_the_check_meant_for_a_violation_rings(world, check):
    assert p_values(*pairs(world), LAMBDA, 0)[check] < LEVEL


def test_undetermined_pairs_are_not_counted():
    u, _ = pairs(SMALL)
    found = p_values(u, u, None, 0)
    undetermined = {"conditional_shape", "stationarity", "information_matrix", "cross_terms"}
    assert {check for check, p in found.items() if math.isnan(p)} == undetermined
    rates = rejection_rates([found, {"rayleigh": 0.01, "cross_terms": 0.01}, {"cross_terms": 0.5}])
    assert rates["cross_terms"] == 0.5
    assert math.isnan(rates["stationarity"])
    assert rejection_rates([]) == {}


def test_slow_checks_run_less_often():
    assert repetitions_of("marginal", 2000, 50, 500) == 100
    assert repetitions_of("shape", 500, 50, 500) == 50
    assert repetitions_of("shape", 2000, 50, 500) == 12
    assert repetitions_of("odds", 2000, 50, 500) == 8


def test_power_is_counted_with_its_interval(tmp_path):
    world = dataclasses.replace(SMALL, lean=1.0)
    found = PowerTask(world, sizes=(300,), repetitions=10, fit_rows=1000).run(1000, Place("cpu", tmp_path))
    assert found.details["repetitions"]["rayleigh_300"] == 20
    assert found.metrics["rayleigh_300"] > 0.9
    for name, (low, high) in found.details["intervals"].items():
        assert 0 <= low <= found.metrics[name] <= high <= 1


def test_a_turn_rings_the_cross_terms_and_keeps_lengths():
    task = PowerTask(SMALL, turn=45.0)
    u, v = task._draw(800, torch.Generator().manual_seed(0))
    torch.testing.assert_close(u.norm(dim=1), torch.ones(800, dtype=u.dtype))
    assert p_values(u, v, LAMBDA, 0, ["odds"])["cross_terms"] < 1e-6


def test_the_power_figure(tmp_path):
    experiment = EXPERIMENTS["assumption-checks"](sizes=(150,), repetitions=10, slight=False)
    task = PowerTask(SMALL, sizes=(150,), repetitions=2, fit_rows=1000)
    study = dataclasses.replace(experiment.study(), tasks={"none": task})
    results = Result(study, {Job("none", 0): task.run(1000, Place("cpu", tmp_path))}).as_json()
    files = study_figures(results, tmp_path)
    assert [file.name for file in files] == ["assumption-checks.png", "assumption-checks.svg"]
    assert all(file.stat().st_size > 1000 for file in files)
