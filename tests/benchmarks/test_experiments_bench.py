"""docs/results.md is what the stored results say, and one experiment can be measured anew without the others."""

import importlib
import json
from pathlib import Path

import pytest

from aninfonce.experiments.negatives_number import NegativesNumber

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def module():
    return importlib.import_module("experiments")


@pytest.fixture
def place(module, tmp_path, monkeypatch):
    """A copy of the stored results that may be written to."""
    stored = json.loads((ROOT / "benchmarks" / "results" / "experiments.json").read_text())
    for folder in ("benchmarks/results", "docs", "runs/negatives-number"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "benchmarks" / "results" / "experiments.json").write_text(json.dumps(stored))
    monkeypatch.setattr(module, "HERE", tmp_path / "benchmarks")
    return tmp_path, {results["name"]: results for results in stored}


def test_the_docs_are_made_from_the_stored_results(module):
    stored = json.loads((ROOT / "benchmarks" / "results" / "experiments.json").read_text())
    anew = [module.held_anew(results) for results in stored]
    assert [r["references"] for r in anew] == [r["references"] for r in stored], "run benchmarks/experiments.py"
    assert (ROOT / "docs" / "results.md").read_text() == module.document(stored)


def test_one_experiment_measured_anew_leaves_the_others_as_they_are(module, place):
    root, before = place
    new = {**before["negatives-number"], "cpu_seconds": 60.0, "facts": {"for": "figures only"}}
    (root / "runs" / "negatives-number" / "results.json").write_text(json.dumps(new))
    module.main(root / "runs")
    after = json.loads((root / "benchmarks" / "results" / "experiments.json").read_text())
    assert [results["name"] for results in after] == [*before]
    for results in after:
        old = before[results["name"]]
        if results["name"] == "negatives-number":
            assert results["cpu_seconds"] == 60.0
            assert "facts" not in results
        else:
            assert results["per_seed"] == old["per_seed"]
    assert "1.0 core-minutes" in (root / "docs" / "results.md").read_text()


def test_it_is_said_which_runs_an_experiment_has_had_only_since(module, place):
    _, stored = place
    results = stored["negatives-number"]
    assert module.since(results) == []
    per_seed = {k: v for k, v in results["per_seed"].items() if not k.startswith("aninfonce-negatives-4/")}
    older = {**results, "per_seed": per_seed}
    assert module.since(older) == ["aninfonce-negatives-4"]
    assert "Measured before the experiment had `aninfonce-negatives-4`." in module.document([older])
    assert len(results["references"]) == len(NegativesNumber().study().references)


def test_a_folder_without_results_is_refused(module, place):
    root, _ = place
    with pytest.raises(SystemExit, match="no results below"):
        module.main(root / "docs")
