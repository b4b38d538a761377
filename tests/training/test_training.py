"""Training on the digits: it learns, its settings are checked, its readouts are held out."""

import dataclasses
import json

import pytest
import torch
from tiny_run import TINY, same

from aninfonce.data import Augmentation, load_images
from aninfonce.objectives import AnInfoNCE, InfoNCE
from aninfonce.training import TrainConfig, encode, fit, readouts, train
from aninfonce.training.batches import Batch, views_of_pieces
from aninfonce.training.checkpoint import load_weights, save_weights
from aninfonce.training.loop import make_task
from aninfonce.training.optimizers import learning_rate_factor, make_optimizer
from aninfonce.training.run import splits


@pytest.fixture(scope="module")
def digits():
    return load_images("digits")


@pytest.mark.parametrize("objective", ["infonce", "aninfonce"])
def test_the_loss_falls_and_the_concentration_moves(tmp_path, digits, objective):
    config = dataclasses.replace(TINY, objective=objective, epochs=10)
    task, history = fit(config, digits.train.images[:512], tmp_path)
    assert [record.epoch for record in history] == list(range(1, 11))
    assert history[-1].loss < history[0].loss - 0.2
    assert not task.training
    if objective == "aninfonce":
        assert len(history[-1].concentration) == 8
        assert max(history[-1].concentration) / min(history[-1].concentration) > 1.5
    else:
        assert history[-1].concentration == pytest.approx([1 / (2 * config.temperature)])


def test_a_seed_gives_the_same_weights_and_leaves_the_global_generator_alone(tmp_path, digits):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    first, _ = fit(TINY, digits.train.images[:128], tmp_path / "a")
    assert torch.equal(before, torch.random.get_rng_state())
    torch.manual_seed(6)
    second, _ = fit(TINY, digits.train.images[:128], tmp_path / "b")
    assert same(first, second)
    other = make_task(dataclasses.replace(TINY, seed=1), digits.train.images[:128])
    assert not same(make_task(TINY, digits.train.images[:128]), other)


def test_weights_round_trip_and_refuse_another_network(tmp_path, digits):
    task = make_task(TINY, digits.train.images)
    save_weights(tmp_path / "w.safetensors", task)
    other = make_task(dataclasses.replace(TINY, seed=1), digits.train.images)
    load_weights(tmp_path / "w.safetensors", other)
    assert same(task, other)
    with pytest.raises(ValueError, match="belongs to another network"):
        load_weights(
            tmp_path / "w.safetensors", make_task(dataclasses.replace(TINY, backbone="small:8"), digits.train.images)
        )
    (tmp_path / "x.safetensors").write_bytes(b"nonsense")
    with pytest.raises(ValueError, match="not a readable safetensors file"):
        load_weights(tmp_path / "x.safetensors", task)
    with pytest.raises(ValueError, match="no weights at"):
        load_weights(tmp_path / "y.safetensors", task)


def test_every_parameter_has_one_learning_rate_and_the_right_decay(digits):
    config = dataclasses.replace(TINY, objective="aninfonce")
    task = make_task(config, digits.train.images)
    optimizer = make_optimizer(task, config)
    grouped = [id(p) for group in optimizer.param_groups for p in group["params"]]
    assert sorted(grouped) == sorted(id(p) for p in task.parameters())
    by_id = {id(p): group for group in optimizer.param_groups for p in group["params"]}
    for name, parameter in task.named_parameters():
        group = by_id[id(parameter)]
        assert (group["weight_decay"] > 0) == (parameter.ndim > 1), name
        assert group["peak"] == (config.concentration_rate if name.startswith("objective") else config.rate), name


def test_the_learning_rate_rises_and_falls():
    factors = [learning_rate_factor(step, 100) for step in range(100)]
    assert factors[0] == pytest.approx(0.1)
    assert max(factors) == pytest.approx(1.0)
    assert factors.index(max(factors)) in (9, 10)
    assert factors[-1] < 0.001
    assert factors[10:] == sorted(factors[10:], reverse=True)


def test_views_are_of_the_same_images_and_differ(digits):
    augment = Augmentation("crop-flip", channels=1, image_size=16)

    def views_of(images, pieces=1):
        batch = Batch(torch.arange(4), images, torch.arange(4), torch.arange(4))
        return views_of_pieces(batch, augment, torch.Generator().manual_seed(0), pieces)

    views = views_of(digits.train.images[:4])(0)
    assert views.shape == (8, 1, 16, 16)
    assert not torch.equal(views[:4], views[4:])
    constant = torch.arange(4, dtype=torch.uint8)[:, None, None, None].expand(4, 1, 16, 16) * 50
    means = views_of(constant)(0).mean((1, 2, 3)) * 255
    torch.testing.assert_close(means, torch.tensor([0.0, 50, 100, 150] * 2))
    pieces = views_of(digits.train.images[:4], pieces=2)
    torch.testing.assert_close(torch.cat([pieces(0)[:2], pieces(1)[:2], pieces(0)[2:], pieces(1)[2:]]), views)


def test_validation_and_limit_never_touch_the_test_images(digits):
    config = dataclasses.replace(TINY, validation=0.25, limit=300, seed=3)
    (images, labels), (held_out, held_out_labels) = splits(config, digits)
    assert len(images) == len(labels) == 300
    assert len(held_out) == len(held_out_labels) == round(0.25 * len(digits.train))

    def keys(batch):
        return {bytes(image.flatten().tolist()) for image in batch}

    assert not keys(images) & keys(held_out)
    assert keys(images) | keys(held_out) <= keys(digits.train.images)
    (_, _), (scored, _) = splits(dataclasses.replace(TINY, limit=None), digits)
    assert torch.equal(scored, digits.test.images)
    # one seed trains every objective on the same images
    assert torch.equal(splits(dataclasses.replace(config, objective="aninfonce"), digits)[0][0], images)
    with pytest.raises(ValueError, match="limit asks for 5000 training images, digits has 1438"):
        splits(dataclasses.replace(TINY, limit=5000), digits)


def test_readouts_are_held_out_and_see_what_the_features_hold(digits):
    """An encoder that passes the pixels on must reveal brightness; one that passes nothing on must not."""

    class Pixels(torch.nn.Module):
        def __init__(self, scale):
            super().__init__()
            self.weight = torch.nn.Parameter(torch.ones(1))
            self.scale = scale

        def forward(self, x):
            noise = torch.randn(len(x), 20, generator=torch.Generator().manual_seed(int(1e4 * x.sum()) % 9973))
            h = torch.cat([self.scale * x.flatten(1), noise], 1)
            return h, h

    augment = Augmentation("simclr", channels=1, image_size=16)
    train_split = (digits.train.images[:600], digits.train.labels[:600])
    test_split = (digits.test.images, digits.test.labels)
    seeing = readouts(Pixels(1.0), train_split, test_split, augment)
    blind = readouts(Pixels(0.0), train_split, test_split, augment)
    assert seeing["backbone/class_accuracy"] > 0.85
    assert seeing["backbone/r2/crop_scale"] > 0.2
    assert abs(blind["backbone/augmentation_r2"]) < 0.1
    assert 0.4 < blind["backbone/augmentation_accuracy"] < 0.6
    assert 0.4 < blind["backbone/accuracy/flip"] < 0.6
    numbers = [value for name, value in seeing.items() if name.startswith("backbone/r2/")]
    assert seeing["backbone/augmentation_r2"] == pytest.approx(sum(numbers) / len(numbers))
    assert len(numbers) == 7


def test_encoding_in_batches_equals_encoding_at_once_and_keeps_the_mode(digits):
    task = make_task(TINY, digits.train.images).train()
    images = digits.train.images[:30]
    once, pieces = encode(task.model, images), encode(task.model, images, batch_size=7)
    for layer in ("backbone", "projector"):
        torch.testing.assert_close(once[layer], pieces[layer])
    assert task.model.training
    torch.testing.assert_close(once["projector"].norm(dim=1), torch.ones(30))


def test_a_whole_run_writes_what_it_promises(tmp_path):
    result = train(dataclasses.replace(TINY, epochs=1), tmp_path)
    written = json.loads((tmp_path / "results.json").read_text())
    assert written["metrics"] == pytest.approx(result.metrics)
    assert {"name", "config", "seed", "versions", "seconds", "cpu_seconds", "metrics", "per_seed"} <= written.keys()
    for layer in ("backbone", "projector"):
        for measure in ("class_accuracy", "augmentation_r2", "augmentation_accuracy", "r2/crop_x", "accuracy/flip"):
            assert f"{layer}/{measure}" in written["metrics"]
    assert (tmp_path / "model.safetensors").is_file()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"objective": "anifonce"}, "did you mean 'aninfonce'"),
        ({"batch_size": 1}, "batch_size must be at least 2"),
        ({"epochs": 0}, "epochs must be at least 1"),
        ({"temperature": 0.0}, "temperature must be positive"),
        ({"validation": 1.0}, r"share in \[0, 1\)"),
        ({"limit": 10}, "limit must be at least the batch size"),
        ({"weight_decay": -1.0}, "weight_decay must not be negative"),
        ({"precision": "8"}, "unknown precision"),
    ],
)
def test_bad_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        TrainConfig(**settings)


def test_too_few_images_for_a_batch_are_refused(tmp_path, digits):
    with pytest.raises(ValueError, match="a batch of 64 needs as many training images, got 10"):
        fit(TINY, digits.train.images[:10], tmp_path)


@pytest.mark.parametrize(("trainable", "count"), [(True, 1), (False, 0)])
def test_the_objective_is_the_one_asked_for(digits, trainable, count):
    config = dataclasses.replace(TINY, objective="infonce", trainable_temperature=trainable, negatives_from="anchors")
    objective = make_task(config, digits.train.images).objective
    assert isinstance(objective, InfoNCE)
    assert len(list(objective.parameters())) == count
    assert objective.negatives_from == "anchors"
    ours = dataclasses.replace(config, objective="aninfonce", trainable_temperature=False, concentration=2.0)
    anisotropic = make_task(ours, digits.train.images)
    assert isinstance(anisotropic.objective, AnInfoNCE)
    torch.testing.assert_close(anisotropic.objective.concentration, torch.full((8,), 2.0))


def test_a_trainable_temperature_is_infonces():
    with pytest.raises(ValueError, match="trainable_temperature belongs to objective infonce"):
        dataclasses.replace(TINY, objective="aninfonce", trainable_temperature=True)
