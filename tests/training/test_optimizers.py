"""The optimisers and their schedule: LARS steps in proportion to the weights, resumed runs equal unbroken ones."""

import dataclasses
import math

import pytest
import torch

from aninfonce.data import load_images
from aninfonce.training import TrainConfig, fit
from aninfonce.training.loop import make_task
from aninfonce.training.optimizers import learning_rate_factor, make_optimizer

TINY = TrainConfig(
    objective="aninfonce",
    backbone="small:4",
    projector_dim=8,
    projector_hidden=16,
    epochs=2,
    batch_size=64,
    device="cpu",
    rate=0.5,
    momentum=0.9,
    weight_decay=1e-2,
)


@pytest.fixture(scope="module")
def images():
    return load_images("digits").train.images[:128]


def step(config, images, gradient_scale=1.0):
    """One step with random gradients; name -> (before, gradient, after)."""
    task = make_task(config, images)
    optimizer = make_optimizer(task, config)
    generator = torch.Generator().manual_seed(0)
    before = {name: p.detach().clone() for name, p in task.named_parameters()}
    for parameter in task.parameters():
        parameter.grad = gradient_scale * torch.randn(parameter.shape, generator=generator)
    optimizer.step()
    return {name: (before[name], p.grad, p.detach()) for name, p in task.named_parameters()}


@pytest.mark.parametrize("decay", [0.0, 1e-2])
def test_lars_steps_in_proportion_to_the_weights_whatever_the_gradients_size(images, decay):
    """You et al. 2017, eq. 6: λ = η |w| / (|g| + β |w|), and the step is rate × λ × (g + β w); η = 0.001."""
    config = dataclasses.replace(TINY, optimizer="lars", weight_decay=decay)
    for scale in (1e-2, 1e2):
        for name, (w, g, after) in step(config, images, scale).items():
            if w.ndim > 1:
                trust = 0.001 * w.norm() / (g.norm() + decay * w.norm())
                expected = w - config.rate * trust * (g + decay * w)
                torch.testing.assert_close(after, expected, msg=name)
                if decay == 0:
                    torch.testing.assert_close((after - w).norm(), 0.001 * config.rate * w.norm(), rtol=1e-3, atol=0)


@pytest.mark.parametrize("optimizer", ["lars", "sgd"])
def test_biases_norms_and_the_concentration_take_plain_steps(images, optimizer):
    config = dataclasses.replace(TINY, optimizer=optimizer, concentration_rate=0.03)
    moved = step(config, images)
    plain = [name for name, (w, _, _) in moved.items() if w.ndim <= 1]
    assert any(name.startswith("objective") for name in plain)
    assert len(plain) > 5
    for name in plain:
        w, g, after = moved[name]
        rate = config.concentration_rate if name.startswith("objective") else config.rate
        torch.testing.assert_close(after, w - rate * g)


def test_sgd_decays_weights(images):
    config = dataclasses.replace(TINY, optimizer="sgd")
    for name, (w, g, after) in step(config, images).items():
        if w.ndim > 1:
            torch.testing.assert_close(after, w - config.rate * (g + config.weight_decay * w), msg=name)


@pytest.mark.parametrize("optimizer", ["lars", "sgd"])
def test_momentum_adds_up(images, optimizer):
    """The same gradient twice moves a parameter without LARS by 1 + (1 + momentum) steps."""
    config = dataclasses.replace(TINY, optimizer=optimizer)
    task = make_task(config, images)
    made = make_optimizer(task, config)
    before = {name: p.detach().clone() for name, p in task.named_parameters() if p.ndim <= 1}
    for parameter in task.parameters():
        parameter.grad = torch.ones_like(parameter)
    made.step()
    made.step()
    for name, start in before.items():
        rate = config.concentration_rate if name.startswith("objective") else config.rate
        torch.testing.assert_close(task.get_parameter(name).detach(), start - rate * 2.9, msg=name)


@pytest.mark.parametrize(("optimizer", "momentum"), [("lars", 0.9), ("lars", 0.0), ("sgd", 0.9), ("sgd", 0.0)])
def test_training_falls_and_resumes_where_it_stood(tmp_path, images, optimizer, momentum):
    rate = 5.0 if optimizer == "lars" else 0.05
    config = dataclasses.replace(TINY, optimizer=optimizer, momentum=momentum, rate=rate, weight_decay=1e-6, epochs=20)
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    unbroken, history = fit(config, images, tmp_path / "a")

    def stop(record):
        if record.step == 5:  # inside an epoch
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(config, images, tmp_path / "b", on_step=stop)
    resumed, _ = fit(config, images, tmp_path / "b")
    for name, value in unbroken.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name
    assert history[-1].loss < history[0].loss


def test_the_rate_follows_the_batch_by_simclrs_rules():
    """ICML 2020: 4.8 = 0.3 × 4096 / 256 (section 2.2), and the same again as 0.075 × √4096 (appendix B.1)."""
    assert TrainConfig(rate=0.3, rate_rule="linear", batch_size=4096).peak_rate == pytest.approx(4.8)
    assert TrainConfig(rate=0.075, rate_rule="sqrt", batch_size=4096).peak_rate == pytest.approx(4.8)
    assert TrainConfig(rate=0.3, batch_size=4096).peak_rate == 0.3


@pytest.mark.parametrize("rule", ["constant", "linear", "sqrt"])
def test_the_peak_reaches_the_weights_and_not_the_concentration(images, rule):
    config = dataclasses.replace(TINY, optimizer="lars", rate_rule=rule)
    task = make_task(config, images)
    for group in make_optimizer(task, config).param_groups:
        of_objective = any(p is q for p in group["params"] for q in task.objective.parameters())
        assert group["peak"] == (config.concentration_rate if of_objective else config.peak_rate)


@pytest.mark.parametrize("warmup", [0.0, 0.01, 0.1, 1.0])
def test_the_warm_up_rises_to_the_peak_and_a_cosine_ends_at_zero(warmup):
    factors = [learning_rate_factor(i, 1000, warmup) for i in range(1000)]
    rising = round(1000 * warmup)
    assert max(factors) == pytest.approx(1.0)
    assert factors[:rising] == [(i + 1) / rising for i in range(rising)]
    assert factors[rising:] == sorted(factors[rising:], reverse=True)
    if warmup < 1:
        middle = rising + (1000 - rising) // 2
        assert factors[middle] == pytest.approx(0.5, abs=0.002)
        assert factors[-1] < 1e-4
    assert all(math.isfinite(f) and 0 < f <= 1 for f in factors)


def test_warm_up_is_told_in_epochs():
    assert TrainConfig(epochs=1000, warmup_epochs=10).warmup == pytest.approx(0.01)
    assert TrainConfig(epochs=50).warmup == 0.1
    assert TrainConfig(warmup_epochs=0).warmup == 0


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"optimizer": "lar"}, "did you mean 'lars'"),
        ({"rate_rule": "square"}, "unknown rate_rule"),
        ({"momentum": 1.0}, r"momentum must be in \[0, 1\)"),
        ({"epochs": 5, "warmup_epochs": 6}, "warmup_epochs must be between 0 and the 5 epochs"),
        ({"warmup_epochs": -1}, "warmup_epochs must be between 0"),
        ({"decode_workers": -1}, "decode_workers must be at least 0"),
        ({"class_images": 0}, "class_images must be at least 1"),
        ({"test_images": 0}, "test_images must be at least 1"),
    ],
)
def test_bad_settings_of_the_optimiser_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        TrainConfig(**settings)
