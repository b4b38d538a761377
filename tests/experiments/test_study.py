"""The frame of every experiment: what is done is kept, in the right order, and held against its references."""

from __future__ import annotations

import json
import math

import pytest
from toy_study import Toy, toy_study

from aninfonce._runs import read_results
from aninfonce.experiments import EXPERIMENTS, Job, Reference, run_study


def calls(out):
    return sorted((out / "jobs" / "calls.log").read_text().splitlines())


def test_every_method_runs_with_every_seed_and_is_summed_up(tmp_path):
    seen = []
    result = run_study(toy_study(), tmp_path, workers=2, on_done=lambda job, *_: seen.append(job))
    assert set(seen) == {Job(m, s) for m in ("double", "triple") for s in (1, 2)}
    written = read_results(tmp_path)
    assert written["metrics"] == {
        "double/value": 3.0,
        "double/cpu_seconds": 0.5,
        "triple/value": 4.5,
        "triple/cpu_seconds": 0.5,
    }
    assert written["per_seed"]["triple/value"] == [3.0, 6.0]
    assert written["published"] == {"double/value": 3.0}
    assert [(row["ours"], row["met"]) for row in written["references"]] == [(3.0, True), (4.5, False), (None, None)]
    assert written["details"]["double"] == [{"seed": s, "device": "cpu"} for s in (1, 2)]
    assert written["facts"] == {"unit": "apples"}
    assert written["cpu_seconds"] == 2.0
    assert written["complete"]
    assert result.complete


def test_what_is_done_is_not_done_again(tmp_path):
    first = run_study(toy_study(), tmp_path, workers=1)
    before = calls(tmp_path)
    again = run_study(toy_study(), tmp_path, workers=1)
    assert calls(tmp_path) == before
    assert again.outcomes == first.outcomes
    assert again.seconds == pytest.approx(first.seconds), "wall clock counts what was computed, not what was read"
    run_study(toy_study(seeds=(1, 2, 3)), tmp_path, workers=1)
    assert set(calls(tmp_path)) - set(before) == {"2.0 3", "3.0 3"}
    assert read_results(tmp_path)["seconds"] > first.seconds


def test_preparation_comes_before_everything_else(tmp_path):
    study = toy_study(
        tasks={"user": Toy(2.0, needs="model"), "other": Toy(3.0, needs="model")},
        prepare={"maker": Toy(1.0, makes="model")},
        references=(),
    )
    run_study(study, tmp_path, workers=2)
    written = read_results(tmp_path)
    assert written["metrics"]["user/value"] == 3.0
    assert written["per_seed"]["maker/value"] == [0.0], "once, with seed 0"


def test_what_runs_once_runs_with_the_first_seed(tmp_path):
    run_study(toy_study(tasks={"double": Toy(2.0)}, once={"costly": Toy(5.0)}, references=()), tmp_path, workers=1)
    written = read_results(tmp_path)
    assert written["per_seed"]["costly/value"] == [5.0]
    assert written["per_seed"]["double/value"] == [2.0, 4.0]
    assert written["complete"]
    assert "costly" in written["config"]["methods"]


def test_a_failing_task_leaves_what_was_done_and_its_error(tmp_path):
    study = toy_study(tasks={"double": Toy(2.0), "broken": Toy(3.0, fails=True)}, seeds=(1,))
    with pytest.raises(ValueError, match="this toy is broken"):
        run_study(study, tmp_path, workers=1)
    written = read_results(tmp_path)
    assert not written["complete"]
    assert written["metrics"]["double/value"] == 2.0
    with pytest.raises(ValueError, match="this toy is broken"):
        run_study(study, tmp_path, workers=1)
    assert calls(tmp_path) == ["2.0 1"]


def test_a_number_that_is_not_finite_survives_the_file(tmp_path):
    study = toy_study(tasks={"nan": Toy(-1.0)}, references=(Reference("nan/value", 0.0),))
    run_study(study, tmp_path, workers=1)
    again = run_study(study, tmp_path, workers=1)
    assert all(math.isnan(outcome.metrics["value"]) for outcome in again.outcomes.values())
    assert read_results(tmp_path)["references"][0]["met"] is False, "NaN meets nothing"


@pytest.mark.parametrize("content", ["", "[]", '{"metrics": {}}', "\x00"])
def test_a_damaged_outcome_is_named_and_made_again(tmp_path, content):
    whole = run_study(toy_study(), tmp_path, workers=1)
    broken = tmp_path / "jobs" / "double-seed-1.json"
    before = broken.read_bytes()
    broken.write_text(content)
    warned = []
    again = run_study(toy_study(), tmp_path, workers=1, on_warning=warned.append)
    assert len(warned) == 1
    assert "double-seed-1.json" in warned[0]
    assert again.outcomes == whole.outcomes
    assert broken.read_bytes() == before


def test_there_must_be_a_worker(tmp_path):
    with pytest.raises(ValueError, match="workers must be at least 1"):
        run_study(toy_study(), tmp_path, workers=0)


@pytest.mark.parametrize(
    ("relation", "met", "missed"),
    [("=", (0.9, 1.1), (0.89, 1.11)), (">=", (0.9, 5), (0.89,)), ("<=", (1.1, -5), (1.2,))],
)
def test_references_have_a_side_and_a_tolerance(relation, met, missed):
    reference = Reference("a/b", 1.0, 0.1 + 1e-12, relation=relation)
    assert all(reference.met(value) for value in met)
    assert not any(reference.met(value) for value in (*missed, math.nan))


def test_references_are_checked():
    for wrong in ({"relation": "=="}, {"source": "paper"}, {"tolerance": -1.0}, {"tolerance": math.nan}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            Reference("a/b", 1.0, **wrong)


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_experiment_is_well_formed(name):
    """Names, costs and references of every experiment, in both sizes; nothing is run."""
    experiment = EXPERIMENTS[name]
    assert experiment.name == name
    assert experiment.core_seconds[0] > experiment.core_seconds[1] > 0
    assert 0 < len(experiment.shows) <= 140
    for config in (experiment(), experiment().quick()):
        study = config.study()
        assert study.jobs()
        assert len({job.file for job in study.jobs()}) == len(study.jobs())
        for method in study.methods:
            assert set(method) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-."), method
        json.dumps(study.facts)
    assert len(experiment().quick().study().jobs()) <= len(experiment().study().jobs())
    full = experiment().study()
    for reference in full.references:
        assert reference.name.rpartition("/")[0].partition("/")[0] in full.methods, reference
    with pytest.raises(ValueError, match="seeds must be at least 1"):
        experiment(seeds=0)
