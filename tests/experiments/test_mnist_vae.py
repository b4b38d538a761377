from __future__ import annotations

import json
import math
from dataclasses import asdict, replace

import pytest
import torch

from aninfonce._runs import read_results
from aninfonce._tensors import unpack_images
from aninfonce.data.generators import ImageDecoder
from aninfonce.experiments import Place, run_study
from aninfonce.experiments.decoding import OnSphere
from aninfonce.experiments.mnist_vae import MnistVAE
from aninfonce.experiments.vae_fitting import VAERecipe, fit_vae
from aninfonce.report import reference_table, study_figures, study_table

TINY = MnistVAE(
    seeds=1, first_seed=1000, data="digits", dim=4, widths=(16, 64), components=12, vae_steps=300, steps=60,
    spectrum_steps=10, temperatures=(1.0,),
)  # fmt: skip


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Place:
    return Place("cpu", tmp_path_factory.mktemp("jobs"))


@pytest.fixture(scope="module")
def decoder(place):
    return TINY.study().prepare["decoder"].run(1000, place)


def test_the_decoder_is_kept_with_what_it_was_trained_on(decoder, place):
    g = ImageDecoder.load(place.folder / "decoder.safetensors")
    assert (g.dim, g.shape) == (4, (1, 16, 16))
    assert b"1438 images of digits" in (place.folder / "decoder.safetensors").read_bytes()
    assert decoder.metrics["explained"] > 0.3, "it has learned something about digits"
    assert all(math.isfinite(value) for value in decoder.metrics.values())


def test_the_check_that_it_is_injective_is_part_of_the_result(decoder):
    numbers = decoder.metrics
    assert numbers["active_units"] == 1.0
    assert numbers["inverse_error"] < 1e-6
    order = ("smallest_singular_value", "singular_value_1_percent", "singular_value_median")
    assert 0 < numbers[order[0]] <= numbers[order[1]] <= numbers[order[2]]
    assert 0 < numbers["separation"] <= numbers["separation_sample"] <= numbers["separation_median"]
    assert decoder.details["singular_values"][0] == pytest.approx(numbers["smallest_singular_value"])
    assert decoder.details["nearest"][0] == pytest.approx(numbers["separation_sample"])


def test_pictures_are_images(decoder):
    assert unpack_images(decoder.details["originals"]).shape == (10, 1, 16, 16)
    assert unpack_images(decoder.details["reconstructions"]).std() > 0.05
    axes = unpack_images(decoder.details["axes"])
    assert axes.shape == (4, 9, 1, 16, 16)
    assert abs(axes[:, 0] - axes[:, -1]).mean() > 0.01, "the two ends of an axis differ"


def test_an_encoder_recovers_latents_behind_the_images(decoder, place):
    task = TINY.study().tasks["aninfonce"]
    found, untrained = task.run(1000, place), replace(task, recipe=replace(task.recipe, steps=1)).run(1000, place)
    assert 1 - found.metrics["r2"] < 0.7 * (1 - untrained.metrics["r2"])
    assert unpack_images(found.details["anchors"]).shape == unpack_images(found.details["positives"]).shape
    json.dumps(asdict(found))
    again = task.run(1000, place)
    assert {**again.metrics, "cpu_seconds": 0} == {**found.metrics, "cpu_seconds": 0}


def test_without_the_decoder_there_is_no_run(tmp_path):
    with pytest.raises(ValueError, match="no weights"):
        TINY.study().tasks["aninfonce"].run(1000, Place("cpu", tmp_path))


def test_the_sphere_is_decoded_at_its_radius():
    g = ImageDecoder(3, (1, 4, 4), (6, 12))
    z = torch.nn.functional.normalize(torch.randn(5, 3))
    turn = torch.linalg.qr(torch.randn(3, 3)).Q
    assert torch.allclose(OnSphere(g, 2.0)(z), g(2 * z))
    assert torch.allclose(OnSphere(g, 2.0, turn)(z), g(2 * torch.stack([turn @ row for row in z])), atol=1e-6)


def test_missing_data_are_named(tmp_path):
    study = MnistVAE(data_root=tmp_path).study()
    with pytest.raises(ValueError, match="mnist is not in"):
        study.prepare["decoder"].run(0, Place("cpu", tmp_path))


def test_a_large_beta_empties_latents():
    images = torch.rand(64, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    recipe = VAERecipe(dim=2, widths=(8, 16), encoder_width=16, steps=150, batch_size=32)

    @torch.no_grad()
    def measure(vae) -> float:
        return float(vae(images, torch.zeros(64, 2))[1].mean())

    def divergence(beta: float) -> float:
        return measure(fit_vae(images, replace(recipe, beta=beta), torch.Generator().manual_seed(1)))

    assert divergence(100.0) < 0.1 * divergence(0.01)


@pytest.mark.parametrize(
    ("setting", "value"),
    [("steps", 0), ("dim", 0), ("beta", 0.0), ("rate", math.nan), ("warm_up", 1.0), ("encoder_width", 0)],
)
def test_vae_settings_out_of_range_are_refused(setting, value):
    with pytest.raises(ValueError, match=setting):
        VAERecipe(**{setting: value})


@pytest.mark.parametrize(
    ("setting", "value"),
    [("data", "minst"), ("dim", 5), ("radius", 0.0), ("components", 9), ("spectrum_steps", -1), ("seeds", 0)],
)
def test_settings_out_of_range_are_refused(setting, value):
    with pytest.raises(ValueError, match=setting):
        MnistVAE(**{setting: value})


@pytest.mark.parametrize("experiment", [MnistVAE(), MnistVAE().quick(), TINY])
def test_the_study_is_well_formed(experiment):
    study = experiment.study()
    names = {*study.prepare, *study.tasks}
    assert {r.name.partition("/")[0] for r in study.references} <= names
    assert {task.file for task in study.tasks.values()} <= {task.file for task in study.prepare.values()}
    assert len(study.prepare) + len(study.tasks) == len(names)
    assert all(len(task.mixing.concentration) == experiment.dim for task in study.tasks.values())


def test_the_whole_study_ends_in_tables_and_figures(tmp_path):
    experiment = replace(TINY, vae_steps=20, steps=2, spectrum_steps=2)
    result = run_study(experiment.study(), tmp_path, workers=1)
    assert result.complete
    results = read_results(tmp_path)
    assert study_table(results).row_count == len(experiment.study().jobs())
    assert all(row["ours"] is not None for row in results["references"])
    assert reference_table(results).row_count == len(results["references"])
    pictures = study_figures(results, tmp_path)
    assert [path.stem for path in pictures] == ["mnist-vae", "mnist-vae", "mnist-vae-images", "mnist-vae-images"]
    assert all(path.stat().st_size > 5000 for path in pictures)


def test_a_latent_that_does_not_reach_the_decoder_is_lost(decoder, place):
    task = TINY.study().tasks["aninfonce-lost-latent"]
    found = replace(task, groups={"kept": [0, 1], "lost": [3]}).run(1000, place)
    assert found.metrics["r2_lost"] < 0.05
    assert found.metrics["r2_kept"] > 0.3
