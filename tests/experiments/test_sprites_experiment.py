"""The experiment on images with known factors: its laws, its runs, its figures."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest

from aninfonce._runs import read_results
from aninfonce._tensors import unpack_images
from aninfonce.data.generators import FACTORS
from aninfonce.experiments import run_study
from aninfonce.experiments.image_recovery import PicturesTask, sprite_pairs
from aninfonce.experiments.sprites import POSE, Sprites
from aninfonce.experiments.task import Place
from aninfonce.report.study import study_figures

ALL = Sprites(factors=FACTORS)
TINY = Sprites(
    first_seed=1000, laws=("pose-varies",), temperatures=(1.0,), trainable=False, steps=3, batch_size=16, size=8
)


def test_what_varies_is_a_choice_of_the_law():
    laws = ("pose-varies", "colour-varies")
    pose, colour = (dict(zip(FACTORS, ALL.concentration(law), strict=True)) for law in laws)
    for name in FACTORS:
        assert pose[name] == (2.5 if name in POSE else 12.5)
        assert {pose[name], colour[name]} == {2.5, 12.5}


def test_the_spectrum_is_geometric_and_mixes_pose_and_colour():
    spectrum = ALL.concentration("spectrum")
    ordered = sorted(spectrum)
    assert (ordered[0], ordered[-1]) == pytest.approx((2.5, 12.5))
    ratios = [b / a for a, b in itertools.pairwise(ordered)]
    assert ratios == pytest.approx([5 ** (1 / 9)] * 9)
    names = sorted(FACTORS, key=lambda name: spectrum[FACTORS.index(name)])
    assert all((a in POSE) != (b in POSE) for a, b in itertools.pairwise(names))


@pytest.mark.parametrize("settings", [Sprites(), Sprites().quick(), ALL, TINY])
def test_studies_are_well_formed(settings):
    study = settings.study()
    facts = study.facts
    assert set(facts["methods"]) == set(study.tasks)
    for method, point in facts["methods"].items():
        assert method == f"{point['series']}-{point['law']}"
        task = study.tasks[method]
        assert list(task.mixing.concentration) == facts["laws"][point["law"]]
        groups = task.groups
        assert sorted(groups["content"] + groups["style"]) == list(range(len(settings.factors)))
        value = task.mixing.concentration
        assert min(value[i] for i in groups["content"]) > max(value[i] for i in groups["style"])
    for reference in study.references:
        method, _, _ = reference.name.partition("/")
        assert method in (*study.tasks, *study.prepare)


def test_the_quick_one_is_a_part():
    assert set(Sprites().quick().study().tasks) < set(Sprites().study().tasks)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"content": 2.0}, "style < content"),
        ({"style": 0.0}, "style < content"),
        ({"laws": ()}, "laws"),
        ({"laws": ("pose",)}, "pose-varies"),
        ({"laws": ("spectrum", "spectrum")}, "none twice"),
        ({"factors": ("x", "y", "hue")}, "two of colour"),
        ({"spare": -1}, "spare must be at least 0"),
        ({"size": 20}, "multiple of 8"),
    ],
)
def test_bad_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        Sprites(**settings)


def test_every_factor_has_its_concentration():
    with pytest.raises(ValueError, match="expected 10 concentrations"):
        sprite_pairs(FACTORS, (12.5, 2.5), 16)


def test_pictures_show_the_law_and_the_generator_keeps_all_latents(tmp_path):
    still = (1000.0,) * 10
    task = PicturesTask(FACTORS, {"still": still, "free": (1.0,) * 10}, size=16)
    outcome = task.run(1000, Place("cpu", tmp_path))
    assert 0 < outcome.metrics["smallest_singular_value"] < outcome.metrics["median_singular_value"]
    distances = {}
    for law, pair in outcome.details["pictures"].items():
        anchor, positive = (unpack_images(p) for p in pair)
        assert [p["shape"] for p in pair] == [[8, 3, 16, 16]] * 2
        distances[law] = abs(anchor - positive).mean()
    assert distances["still"] < 0.3 * distances["free"]


def test_a_tiny_study_end_to_end_and_its_figures(tmp_path):
    run_study(TINY.study(), tmp_path, workers=1)
    results = read_results(tmp_path)
    assert results["complete"]
    for method in ("aninfonce-pose-varies", "infonce-tau-1-pose-varies"):
        for measure in (
            *(f"r2_{name}" for name in TINY.factors),
            "disentanglement",
            "kernel_r2_style",
            "mean_correlation",
        ):
            assert results["metrics"][f"{method}/{measure}"] <= 1
        factors = [results["metrics"][f"{method}/r2_{name}"] for name in TINY.factors]
        assert results["metrics"][f"{method}/r2"] == pytest.approx(sum(factors) / len(factors))
        (details,) = results["details"][method]
        assert len(details["concentration"]) == len(TINY.factors) + TINY.spare
        assert len(details["matched"]) == len(TINY.factors)
    assert (tmp_path / "results.json").stat().st_size < 200_000
    files = study_figures(results, tmp_path)
    assert {file.name for file in files} == {
        f"sprites{part}.{kind}" for part in ("", "-summary", "-pairs-pose-varies") for kind in ("png", "svg")
    }
    assert all(file.stat().st_size > 1000 for file in files)


def test_a_run_is_a_function_of_its_seed(tmp_path):
    task = replace(TINY, steps=1).study().tasks["aninfonce-pose-varies"]
    first, again = (task.run(1000, Place("cpu", tmp_path)) for _ in range(2))
    for outcome in (first, again):
        outcome.metrics.pop("cpu_seconds")
    assert first == again
