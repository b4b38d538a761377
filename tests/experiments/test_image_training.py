"""The paper's real-image settings, dry: generated pictures in the real file formats, through the command line."""

import dataclasses
import json
import math
from concurrent.futures import Future, ProcessPoolExecutor
from pathlib import Path

import pytest
import torch
from image_archives import write_cifar10, write_imagenet

from aninfonce.cli import run
from aninfonce.data import load_images
from aninfonce.experiments import EXPERIMENTS, Place
from aninfonce.experiments.cifar10 import Cifar10
from aninfonce.experiments.image_training import TrainingTask
from aninfonce.experiments.imagenet import ImageNet
from aninfonce.models import make_backbone
from aninfonce.training import TrainConfig
from aninfonce.training.loop import CHECKPOINTS
from aninfonce.training.store import CheckpointStore

LAYERS, METHODS = ("backbone", "projector"), ("infonce", "infonce-trainable", "aninfonce")


class InThisProcess(ProcessPoolExecutor):
    """A pool of processes that is none, so that what a test patches holds for the runs."""

    def __init__(self, *_, **__):
        pass

    def submit(self, function, *arguments):
        future = Future()
        future.set_result(function(*arguments))
        return future

    def shutdown(self, **_):
        pass


@pytest.fixture
def in_this_process(monkeypatch):
    monkeypatch.setattr("aninfonce.experiments.study.ProcessPoolExecutor", InThisProcess)


def check_the_contract(out, name, parameters):
    results = json.loads((out / "results.json").read_text())
    assert results["name"] == name
    assert results["complete"]
    for method in METHODS:
        for layer in LAYERS:
            for measure in ("class_accuracy", "augmentation_accuracy"):
                assert 0 <= results["metrics"][f"{method}/{layer}/{measure}"] <= 1
            for parameter in parameters:
                assert f"{method}/{layer}/r2/{parameter}" in results["metrics"]
        assert math.isfinite(results["metrics"][f"{method}/loss"])
        assert results["metrics"][f"{method}/cpu_seconds"] > 0
    published = EXPERIMENTS[name].published
    for method, (classes, augmentations) in published.items():
        assert results["published"][f"{method}/backbone/class_accuracy"] == pytest.approx(classes / 100)
        assert results["published"][f"{method}/backbone/augmentation_accuracy"] == pytest.approx(augmentations / 100)
    for suffix in ("png", "svg"):
        assert (out / f"{name}.{suffix}").stat().st_size > 5000
    return results


def test_a_dry_run_of_cifar10(tmp_path, monkeypatch, capsys, in_this_process):
    write_cifar10(tmp_path / "data", monkeypatch)
    out = tmp_path / "out"
    command = ["reproduce", "cifar10", "--quick", "--data-root", str(tmp_path / "data"), "--out", str(out)]
    assert run(command) == 0
    printed = capsys.readouterr().out
    assert "90.9 % in the paper" in printed
    assert str(out / "cifar10.png") in printed
    results = check_the_contract(out, "cifar10", ("crop_x", "brightness", "hue"))
    assert "infonce/backbone/r2/blur" not in results["metrics"], "SimCLR's CIFAR-10 augmentations have no blur"
    settings = results["config"]["methods"]["aninfonce"]["config"]
    assert (settings["backbone"], settings["optimizer"], settings["objective"]) == ("resnet18", "lars", "aninfonce")


def test_a_dry_run_of_imagenet(tmp_path, capsys, in_this_process):
    cut = write_imagenet(tmp_path / "data")
    out = tmp_path / "out"
    assert run(["reproduce", "imagenet", "--quick", "--data-root", str(tmp_path / "data"), "--out", str(out)]) == 0
    assert "68.2 % in the paper" in capsys.readouterr().out
    results = check_the_contract(out, "imagenet", ("crop_x", "brightness", "blur"))
    assert results["config"]["methods"]["infonce"]["config"]["backbone"] == "resnet50"
    for method in METHODS:
        (details,) = results["details"][method]
        assert set(details["skipped"]) <= {str(cut)}


@pytest.mark.parametrize("name", ["cifar10", "imagenet"])
def test_missing_data_is_one_clear_line(tmp_path, capsys, name, in_this_process):
    command = ["reproduce", name, "--quick", "--data-root", str(tmp_path), "--out", str(tmp_path / "out")]
    assert run(command) == 2
    assert f"error: {name} is not in {tmp_path}" in capsys.readouterr().err


def test_they_are_not_part_of_reproduce_all():
    assert not Cifar10.included
    assert not ImageNet.included


def test_the_settings_are_those_of_simclr():
    cifar10, imagenet = Cifar10().settings, ImageNet().settings
    for settings in (cifar10, imagenet):
        assert (settings.optimizer, settings.rate_rule, settings.weight_decay) == ("lars", "linear", 1e-6)
        assert settings.warmup_epochs == 10
        assert settings.projector_dim == 128
        assert settings.concentration == pytest.approx(1 / (2 * settings.temperature)), "both losses start alike"
        backbone = make_backbone(settings.backbone, channels=3, image_size=settings.image_size or 32)
        assert settings.projector_hidden == backbone.feature_dim
        assert settings.limit is settings.test_images is None
    assert (cifar10.epochs, cifar10.batch_size, cifar10.peak_rate) == (1000, 512, 2.0)
    assert (imagenet.batch_size, imagenet.peak_rate, imagenet.image_size) == (4096, pytest.approx(4.8), 224)


def test_small_images_get_the_stem_without_pooling_and_large_ones_the_other():
    small = make_backbone(Cifar10().settings.backbone, channels=3, image_size=32).network
    large = make_backbone(ImageNet().settings.backbone, channels=3, image_size=224).network
    assert (small.conv1.kernel_size, small.conv1.stride) == ((3, 3), (1, 1))
    assert isinstance(small.maxpool, torch.nn.Identity)
    assert (large.conv1.kernel_size, large.conv1.stride) == ((7, 7), (2, 2))
    assert isinstance(large.maxpool, torch.nn.MaxPool2d)


@pytest.mark.parametrize("experiment", [Cifar10, ImageNet])
def test_methods_differ_in_their_objective_only(experiment):
    study = experiment(data_root=Path("somewhere")).study()
    assert [*study.tasks] == [*METHODS]
    infonce, trainable, aninfonce = (study.tasks[method].config for method in METHODS)
    assert infonce == dataclasses.replace(aninfonce, objective="infonce")
    assert infonce == dataclasses.replace(trainable, trainable_temperature=False)
    assert len({config.method for config in (infonce, trainable, aninfonce)}) == 3, "each has a folder of its own"
    assert infonce.data_root == Path("somewhere")


SMALL = TrainConfig(
    backbone="small:4", projector_dim=8, projector_hidden=16, epochs=2, batch_size=64, limit=128, device="cuda"
)


def test_an_interrupted_training_continues_in_its_folder(tmp_path, monkeypatch):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    task = TrainingTask(SMALL)
    whole = task.run(3, Place("cpu", tmp_path / "a"))

    def broken(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("aninfonce.training.run.read_out", broken)
        with pytest.raises(KeyboardInterrupt):
            task.run(3, Place("cpu", tmp_path / "b"))
    (checkpoints,) = (tmp_path / "b").glob(f"*/{CHECKPOINTS}")
    assert len(CheckpointStore(checkpoints).latest().progress["history"]) == 2
    assert "seed-3" in checkpoints.parent.name
    with monkeypatch.context() as patched:  # what is trained is not trained again
        patched.setattr("aninfonce.training.loop._backward", broken)
        continued = task.run(3, Place("cpu", tmp_path / "b"))
    for name, value in whole.metrics.items():
        if name not in ("cpu_seconds", "images_per_second"):
            assert continued.metrics[name] == pytest.approx(value, nan_ok=True), name
    assert [record["epoch"] for record in whole.details["history"]] == [1, 2]


def test_a_seed_has_a_folder_and_numbers_of_its_own(tmp_path):
    losses = {TrainingTask(SMALL).run(seed, Place("cpu", tmp_path)).metrics["loss"] for seed in (0, 1)}
    assert len(losses) == 2
    assert len(list(tmp_path.iterdir())) == 2


def test_generated_archives_are_read_as_what_they_are(tmp_path, monkeypatch):
    write_cifar10(tmp_path / "c", monkeypatch, n=20)
    cifar10 = load_images("cifar10", tmp_path / "c")
    assert cifar10.train.images.shape == (100, 3, 32, 32)
    write_imagenet(tmp_path / "i", classes=3, train=4, val=2)
    imagenet = load_images("imagenet", tmp_path / "i")
    assert (len(imagenet.train), len(imagenet.test)) == (12, 6)
