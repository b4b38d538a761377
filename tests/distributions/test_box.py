from __future__ import annotations

import math

import pytest
import torch
from interval_laws import P_VALUE
from scipy import stats

from aninfonce.distributions import UniformBox
from aninfonce.distributions._euclidean import check_vectors

F64 = torch.float64


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_coordinates_are_uniform_and_independent():
    low, high = torch.tensor([-1.0, 2.0, 0.0], dtype=F64), torch.tensor([1.0, 2.5, 100.0], dtype=F64)
    u = UniformBox(low, high).sample((20_000,), generator=seeded())
    unit = ((u - low) / (high - low)).numpy()
    for k in range(3):
        assert stats.kstest(unit[:, k], "uniform").pvalue > P_VALUE
    cells = (unit * 4).astype(int) @ [1, 4, 16]
    assert stats.chisquare([(cells == c).sum() for c in range(64)]).pvalue > P_VALUE


def test_log_prob_entropy_and_moments():
    low, high = torch.tensor([-1.0, 2.0], dtype=F64), torch.tensor([1.0, 2.5], dtype=F64)
    box = UniformBox(low, high)
    u = box.sample((50,), generator=seeded())
    torch.testing.assert_close(box.log_prob(u), torch.zeros(50, dtype=F64))  # the area is 1
    assert box.log_prob(torch.stack([low, high])).tolist() == [0.0, 0.0]  # walls included
    assert box.log_prob(high + 1e-9).item() == -math.inf
    assert UniformBox(low, low + 3).entropy().item() == pytest.approx(2 * math.log(3))
    many = box.sample((200_000,), generator=seeded())
    torch.testing.assert_close(many.mean(0), box.mean, rtol=0, atol=4e-3)
    torch.testing.assert_close(many.var(0), box.variance, rtol=0.01, atol=0)


def test_agrees_with_torch():
    low, high = torch.tensor([-1.0, 2.0]), torch.tensor([1.0, 2.5])
    other = torch.distributions.Independent(torch.distributions.Uniform(low, high), 1)
    box = UniformBox(low, high)
    u = box.sample((10,), generator=seeded())
    torch.testing.assert_close(box.log_prob(u), other.log_prob(u))
    torch.testing.assert_close(box.entropy(), other.entropy())
    torch.testing.assert_close(box.variance, other.variance)
    assert other.support.check(u).all()


def test_conventions():
    box = UniformBox(-torch.ones(4, dtype=F64), torch.ones(3, 4))
    assert box.batch_shape == (3,)
    assert box.event_shape == (4,)
    assert box.sample((5,)).shape == (5, 3, 4)
    assert box.sample().dtype == F64
    assert torch.equal(box.sample((5,), generator=seeded()), box.sample((5,), generator=seeded()))
    wide = box.expand((2, 3))
    assert wide.sample((6,)).shape == (6, 2, 3, 4)
    assert wide.log_prob(wide.sample((6,))).shape == (6, 2, 3)
    assert wide.entropy().shape == (2, 3)
    assert wide.mean.shape == wide.variance.shape == (2, 3, 4)
    assert wide.support.check(wide.sample((6,))).all()
    assert not wide.support.check(torch.full((4,), 1.5)).any()


def test_samples_are_differentiable_in_the_walls():
    low = torch.zeros(2, dtype=F64, requires_grad=True)
    u = UniformBox(low, torch.ones(2, dtype=F64)).rsample((1000,), generator=seeded())
    (gradient,) = torch.autograd.grad(u.sum(), low)
    torch.testing.assert_close(gradient, (1 - u).sum(0).detach())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_no_rounding_past_the_walls(dtype):
    low, high = torch.tensor([0.1, -1000.0], dtype=dtype), torch.tensor([0.1015625, 0.3], dtype=dtype)
    u = UniformBox(low, high).sample((10_000,), generator=seeded())
    assert u.dtype == dtype
    assert ((u >= low) & (u <= high)).all()


@pytest.mark.parametrize(
    ("low", "high", "error", "message"),
    [
        (torch.zeros(2), torch.tensor([1.0, 0.0]), ValueError, r"low must be less than high .* edge \[0, 0\]"),
        (torch.zeros(2), torch.ones(3), ValueError, "broadcast"),
        (torch.zeros(2), torch.tensor([1.0, math.inf]), ValueError, "high must be finite"),
        (torch.tensor(0.0), torch.ones(3), ValueError, r"low must have shape \(..., dim\)"),
        (torch.zeros(2, dtype=torch.int64), torch.ones(2), TypeError, "floating-point"),
    ],
)
def test_errors(low, high, error, message):
    with pytest.raises(error, match=message):
        UniformBox(low, high)


def test_values_of_another_dimension_are_an_error():
    with pytest.raises(ValueError, match=r"value must have shape \(..., 2\), got \(3,\)"):
        UniformBox(torch.zeros(2), torch.ones(2)).log_prob(torch.zeros(3))


def test_not_a_tensor():
    with pytest.raises(TypeError, match=r"low must be a torch.Tensor of shape \(..., dim\), got list"):
        check_vectors("low", [0.0], True)
