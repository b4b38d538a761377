"""Fashion-MNIST's benchmark: it goes on run by run, tunes all methods alike, and docs/measured.md has its table."""

import importlib
import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from aninfonce.training import TrainConfig

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def bench():
    return importlib.import_module("fashion_mnist")


@pytest.fixture(scope="module")
def table():
    return importlib.import_module("fashion_mnist_table")


@pytest.fixture(scope="module")
def plan(bench):
    base = TrainConfig(
        data="digits", backbone="small:4", projector_dim=8, limit=128, test_images=60, readout_images=100, device="cpu"
    )
    return bench.Plan(base, epochs=1, tuning_epochs=1, seeds=1, temperatures=(0.2, 0.5))


@pytest.fixture(scope="module")
def finished(bench, plan, tmp_path_factory):
    folder = tmp_path_factory.mktemp("fashion")
    return folder, bench.execute(plan, folder, 0)


def no_training(*_, **__):
    raise AssertionError("a finished run was done again")


def test_all_three_methods_are_in_the_summary(finished, table):
    _, summary = finished
    assert summary["complete"]
    for method in ("infonce", "infonce-trainable", "aninfonce"):
        assert len(summary["per_seed"][f"{method}/projector/augmentation_r2"]) == 1
    assert set(summary["temperatures"]) == {"infonce", "infonce-trainable", "aninfonce"}
    started = summary["temperatures"]["infonce-trainable"]
    assert summary["per_seed"]["infonce-trainable/temperature"] != [pytest.approx(started, rel=1e-4)]
    assert summary["per_seed"]["infonce/temperature"] == [pytest.approx(summary["temperatures"]["infonce"])]
    text = table.document(summary)
    assert len(re.findall(r"^\| (InfoNCE, fixed τ|InfoNCE, trainable τ|AnInfoNCE) \|", text, flags=re.MULTILINE)) == 3


def test_finished_runs_are_not_done_again_and_a_missing_one_is(bench, plan, finished, monkeypatch, tmp_path):
    folder, summary = finished
    again = tmp_path / "again"
    shutil.copytree(folder, again)
    with monkeypatch.context() as patch:
        patch.setattr(bench, "train", no_training)
        assert bench.execute(plan, again, 0) == summary
    (again / "infonce-trainable-seed-0" / "results.json").unlink()  # as if it had been killed
    trained = []
    monkeypatch.setattr(bench, "train", lambda config, out, **_: trained.append(out.name) or no_training())
    with pytest.raises(AssertionError):
        bench.execute(plan, again, 0)
    assert trained == ["infonce-trainable-seed-0"]
    kept = json.loads((again / "summary.json").read_text())
    assert not kept["complete"]
    assert "infonce/projector/augmentation_r2" in kept["per_seed"], "what is finished is summed up"


def test_a_run_with_other_settings_is_refused(bench, plan, finished):
    folder, _ = finished
    longer = replace(plan, epochs=2)
    with pytest.raises(ValueError, match=r"infonce-seed-0 holds a run with other settings \(epochs\)"):
        bench.execute(longer, folder, 0)


def test_all_methods_are_tuned_alike(bench):
    plan = bench.Plan(TrainConfig(data="digits"))
    tuning = plan.tuning()
    assert len(tuning) == 9
    for t in plan.temperatures:
        fixed, trainable, ours = (tuning[f"tuning-{method}-tau-{t:g}"] for method in bench.METHODS)
        assert trainable == replace(fixed, trainable_temperature=True)
        assert (fixed.temperature, fixed.validation, fixed.trainable_temperature) == (t, 0.1, False)
        assert (ours.objective, ours.concentration) == ("aninfonce", 1 / (2 * t)), "the same loss at the start"
    final = plan.tuned({"infonce": 0.2, "infonce-trainable": 0.5, "aninfonce": 0.1})
    assert len(final) == 9
    assert all(config.validation == 0 for config in final.values()), "the test images are scored"
    assert final["infonce-trainable-seed-2"].temperature == 0.5
    assert final["infonce-trainable-seed-2"].trainable_temperature
    assert final["aninfonce-seed-1"].concentration == 5.0
    assert {config.method for config in final.values()} == {"infonce-tau-0.2", "infonce-trainable", "aninfonce"}
    scores = {name: {"metrics": {bench.CRITERION: 0.5}} for name in tuning}
    best = {"tuning-infonce-tau-0.1": 0.6, "tuning-infonce-trainable-tau-0.5": 0.7, "tuning-aninfonce-tau-0.2": 0.8}
    scores |= {name: {"metrics": {bench.CRITERION: score}} for name, score in best.items()}
    assert plan.choose(scores) == {"infonce": 0.1, "infonce-trainable": 0.5, "aninfonce": 0.2}


def test_the_table_says_how_much_the_trained_temperature_makes_up(table):
    kept = {"infonce": [0.1, 0.1], "infonce-trainable": [0.2, 0.24], "aninfonce": [0.26, 0.26]}
    per_seed = {f"{method}/{m}": values for method, values in kept.items() for m in table.COLUMNS}
    extra = {"cpu_seconds": [500.0], "train_images": [10_000.0], "test_images": [10_000.0]}
    per_seed |= {f"{method}/{name}": values for method in kept for name, values in extra.items()}
    per_seed["infonce-trainable/temperature"] = [0.04, 0.0415]
    temperatures = {"infonce": 0.2, "infonce-trainable": 0.1, "aninfonce": 0.5}
    results = {"epochs": 40, "per_seed": per_seed, "temperatures": temperatures}
    text = " ".join(table.document(results).split())
    assert "| InfoNCE, trainable τ | 22.0 ± 2.8 | .220 ± .028 |" in text
    assert "makes up 75 % of the difference" in text
    assert ".2 fixed, .1 as the trainable one's start (it ends at .040, .042), .5 as AnInfoNCE's" in text
    none = {**results, "per_seed": {**per_seed, f"aninfonce/{table.KEPT}": [0.1]}}
    assert "makes up" not in table.document(none), "no difference, no share of it"


def test_the_page_has_the_table_of_the_summary(table, tmp_path):
    page = (ROOT / "docs" / "measured.md").read_text()
    copy = tmp_path / "measured.md"
    copy.write_text(page)
    table.main(["--page", str(copy)])
    assert copy.read_text() == page, "run benchmarks/fashion_mnist_table.py"
    copy.write_text("no marks")
    with pytest.raises(SystemExit, match="lacks the marks"):
        table.main(["--page", str(copy)])
