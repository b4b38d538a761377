"""Arguments that no law can be made of: refused in words, and where checks are off, NaN at once and no endless loop."""

from __future__ import annotations

import math

import pytest
import torch
from examples import seeded

from aninfonce.distributions import (
    AnisotropicSpherical,
    ApproximateAnisotropicSpherical,
    GeneralizedNormal,
    TruncatedGeneralizedNormal,
    UniformBox,
    VonMisesFisher,
)

F64 = torch.float64
Z = torch.tensor([0.6, 0.0, 0.8], dtype=F64)
SPHERICAL = (VonMisesFisher, AnisotropicSpherical, ApproximateAnisotropicSpherical)


@pytest.mark.parametrize("law", SPHERICAL)
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, 1e14, 1e300])
def test_a_concentration_that_cannot_be(law, bad):
    with pytest.raises(ValueError, match="concentration must be"):
        law(Z, bad)
    lenient = (
        law(torch.stack([Z, Z]), torch.tensor([[4.0], [bad]], dtype=F64).expand(2, 3).clone(), validate_args=False)
        if law is not VonMisesFisher
        else law(torch.stack([Z, Z]), torch.tensor([4.0, bad], dtype=F64), validate_args=False)
    )
    samples = lenient.sample((5,), generator=seeded())
    assert bool(samples[:, 0].isfinite().all()), "the other rows are drawn"
    assert bool(samples[:, 1].isnan().all())


@pytest.mark.parametrize("law", SPHERICAL)
@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_location_that_cannot_be(law, bad):
    loc = torch.stack([Z, torch.tensor([bad, 0.0, 1.0], dtype=F64)])
    with pytest.raises(ValueError, match="loc must be finite"):
        law(loc, 4.0)
    samples = law(loc, 4.0, validate_args=False).sample((5,), generator=seeded())
    assert bool(samples[:, 0].isfinite().all())
    assert bool(samples[:, 1].isnan().all())


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("place", [0, 1, 2, 3])
def test_a_box_or_a_power_that_cannot_be(bad, place):
    values = [torch.zeros(2, dtype=F64), 1.0, -1.0, 1.0]
    values[place] = torch.full((2,), bad, dtype=F64) if place == 0 else bad
    loc, concentration, low, high = values
    with pytest.raises(ValueError, match=r"finite|positive|less than"):
        TruncatedGeneralizedNormal(loc, concentration, 1.5, low, high)
    if place < 2:
        with pytest.raises(ValueError, match=r"finite|positive"):
            GeneralizedNormal(loc, concentration, 1.5)
    else:
        bounds = [torch.full((2,), bound, dtype=F64) for bound in (low, high)]
        with pytest.raises(ValueError, match=r"finite|less than"):
            UniformBox(*bounds)
    if math.isnan(bad):
        lenient = TruncatedGeneralizedNormal(loc, concentration, 1.5, low, high, validate_args=False)
        assert bool(lenient.sample((3,), generator=seeded()).isnan().any(-1).all())
        assert bool(
            lenient.log_prob(torch.full((2,), 0.5, dtype=F64)).isnan()
            | lenient.log_prob(torch.full((2,), 0.5, dtype=F64)).isinf()
        )


@pytest.mark.parametrize("exponent", [0.0, -1.0, math.nan, math.inf])
def test_an_exponent_that_cannot_be(exponent):
    for make in (
        lambda: GeneralizedNormal(Z, 1.0, exponent),
        lambda: TruncatedGeneralizedNormal(Z, 1.0, exponent, -1.0, 1.0),
    ):
        with pytest.raises(ValueError, match="exponent must be positive and finite"):
            make()


def test_a_number_broadcasts():
    rows = torch.stack([Z, -Z, Z])
    for number in (5, 5.0, torch.tensor(5.0), torch.tensor(5.0, dtype=F64)):
        law = VonMisesFisher(rows, number)
        assert (law.batch_shape, law.concentration.dtype) == ((3,), F64)
        assert torch.equal(law.concentration, torch.full((3,), 5.0, dtype=F64))
        anisotropic = AnisotropicSpherical(rows, number)
        assert torch.equal(anisotropic.concentration, torch.full((3, 3), 5.0, dtype=F64))
        same = AnisotropicSpherical(rows, torch.full((3,), 5.0, dtype=F64))
        assert torch.equal(anisotropic.sample(generator=seeded()), same.sample(generator=seeded()))
        approximate = ApproximateAnisotropicSpherical(rows, number)
        assert torch.equal(approximate.concentration, anisotropic.concentration)
    box = UniformBox(-torch.ones(2, 3), 1)
    assert torch.equal(box.high, torch.ones(2, 3))
    learned = torch.tensor(5.0, dtype=F64, requires_grad=True)
    AnisotropicSpherical(rows, learned).log_prob(rows).sum().backward()
    assert learned.grad.isfinite()


@pytest.mark.parametrize("wrong", ["5", None, True, [5.0]])
def test_what_is_no_number_is_refused(wrong):
    for law in SPHERICAL:
        with pytest.raises(TypeError):
            law(Z, wrong)
    with pytest.raises(TypeError):
        UniformBox(Z, wrong)


@pytest.mark.parametrize("law", SPHERICAL)
def test_a_batch_of_nothing(law):
    empty = law(torch.zeros(0, 3, dtype=F64), 4.0)
    assert empty.sample((5,), generator=seeded()).shape == (5, 0, 3)
    if law is not ApproximateAnisotropicSpherical:
        assert empty.log_prob(torch.zeros(0, 3, dtype=F64)).shape == (0,)
        assert empty.entropy().shape == (0,)
        assert empty.mean.shape == empty.variance.shape == empty.mode.shape == (0, 3)
