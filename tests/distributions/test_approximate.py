from __future__ import annotations

import math

import pytest
import torch
from spherical_laws import bimodal, unit

from aninfonce.distributions import AnisotropicSpherical, ApproximateAnisotropicSpherical


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_it_is_what_its_docstring_says():
    """Against a naive loop over single proposals, in law: the same recipe, written twice."""
    z, concentration, tolerance = unit(4), torch.tensor([1.0, 3.0, 9.0, 2.0], dtype=torch.float64), 0.2
    got = ApproximateAnisotropicSpherical(z, concentration, tolerance).sample((40_000,), generator=seeded())
    x = z + torch.randn(400_000, 4, generator=seeded(1), dtype=torch.float64) / torch.sqrt(2 * concentration)
    norm = x.norm(dim=1, keepdim=True)
    x = (x / norm)[((norm - 1).abs() <= tolerance)[:, 0]]
    for power in (1, 2):
        a, b = got**power, x**power
        error = torch.sqrt(a.var(0) / len(a) + b.var(0) / len(b))
        assert ((a.mean(0) - b.mean(0)).abs() < 4.5 * error).all()


def test_it_is_near_the_exact_law_and_tends_to_it():
    z, concentration = unit(3), torch.tensor([1.0, 10.0, 100.0], dtype=torch.float64)
    exact = AnisotropicSpherical(z, concentration).variance

    def bias(tolerance: float) -> float:
        u = ApproximateAnisotropicSpherical(z, concentration, tolerance).sample((200_000,), generator=seeded())
        return float((u.var(0) / exact - 1).abs().max())

    assert bias(0.3) > 0.1
    assert bias(0.1) > 0.02
    assert bias(0.02) < 0.02


@pytest.mark.parametrize(
    ("concentration", "low", "high"), [((2.5, 2.5, 12.5), 0.0, 0.02), ((1.0, 10.0, 100.0), 0.2, 0.4)]
)
def test_its_bias_is_what_its_docstring_says(concentration, low, high):
    z = unit(3, 8)
    exact = AnisotropicSpherical(z, torch.tensor(concentration, dtype=torch.float64))
    u = ApproximateAnisotropicSpherical(z, exact.concentration).sample((100_000,), generator=seeded())
    assert low < float((u.var(0) / exact.variance - 1).max()) < high + 4.5 * math.sqrt(2 / len(u))


@pytest.mark.parametrize("own", [False, True])
def test_shapes_dtype_and_seed(own):
    concentration = torch.rand(4, 3, generator=seeded()) + 1 if own else torch.tensor([1.0, 2.0, 3.0])
    law = ApproximateAnisotropicSpherical(unit(3, 4).float(), concentration)
    u = law.expand((2, 4)).sample((5,), generator=seeded())
    assert u.shape == (5, 2, 4, 3)
    assert u.dtype == torch.float32
    assert torch.equal(u, law.expand((2, 4)).sample((5,), generator=seeded()))
    torch.testing.assert_close(u.norm(dim=-1), torch.ones(5, 2, 4))


def test_there_is_no_density():
    with pytest.raises(NotImplementedError):
        ApproximateAnisotropicSpherical(unit(3), torch.ones(3)).log_prob(unit(3))


def test_hopeless_cases_end_in_an_error():
    law = ApproximateAnisotropicSpherical(unit(50, 10), bimodal(50, 0.1, 0.2))
    with pytest.raises(RuntimeError, match=r"0 of \d+ proposals kept \(acceptance 0.0e\+00\).*AnisotropicSpherical"):
        law.sample(generator=seeded())


def test_one_hopeless_row_among_many_ends_in_an_error():
    concentration = torch.full((100, 30), 500.0)
    concentration[7] = 0.1
    law = ApproximateAnisotropicSpherical(unit(30, 100).float(), concentration)
    with pytest.raises(RuntimeError, match=r"99 of .* 1 samples missing"):
        law.sample(generator=seeded())


@pytest.mark.parametrize("tolerance", [0.0, -0.1, 1.0, float("nan")])
def test_tolerance_must_be_a_fraction(tolerance):
    with pytest.raises(ValueError, match="tolerance must lie in"):
        ApproximateAnisotropicSpherical(unit(3), torch.ones(3), tolerance)
