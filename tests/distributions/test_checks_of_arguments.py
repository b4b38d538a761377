"""Errors of the anisotropic distributions, and of what is no tensor at all (the suite's type checks come before)."""

from __future__ import annotations

import math

import pytest
import torch
from spherical_laws import unit

from aninfonce.distributions import AnisotropicSpherical, ApproximateAnisotropicSpherical
from aninfonce.distributions._sphere import check_concentration, check_dim, check_kappa, check_loc


@pytest.mark.parametrize("values", [False, True])
def test_not_a_tensor(values):
    with pytest.raises(TypeError, match=r"loc must be a torch.Tensor of shape \(..., dim\), got list"):
        check_loc([1.0, 0.0], values)
    with pytest.raises(TypeError, match=r"concentration must be a torch.Tensor of shape \(3,\) or .*, got float"):
        check_concentration(5.0, 3, values)
    with pytest.raises(TypeError, match=r"concentration must be a torch.Tensor of shape .*, got int"):
        check_kappa(1, values)


@pytest.mark.parametrize("dim", [3.0, "3", True, None])
def test_not_an_integer(dim):
    with pytest.raises(TypeError, match=f"dim must be an integer, got {type(dim).__name__}"):
        check_dim(dim)


def test_what_is_right_passes():
    check_dim(2)
    check_loc(torch.tensor([0.6, 0.8]), True)
    check_concentration(torch.tensor([-1.0, 0.0]), 2, True, signed=True)
    check_kappa(torch.tensor(0.0), True)


@pytest.mark.parametrize(
    ("loc", "concentration", "error", "message"),
    [
        (torch.tensor([1, 0]), torch.ones(2), TypeError, "loc must be a floating-point tensor, got dtype torch.int64"),
        (torch.tensor(1.0), torch.ones(2), ValueError, r"loc must have shape \(..., dim\)"),
        (torch.ones(1), torch.ones(1), ValueError, "dim >= 2"),
        (torch.tensor([1.0, math.nan]), torch.ones(2), ValueError, "loc must be finite"),
        (
            torch.tensor([1.0, 1.0]),
            torch.ones(2),
            ValueError,
            "loc must have unit norm .* got a vector of norm 1.41421",
        ),
        (torch.tensor([1.0, 0.0]), torch.tensor([1, 2]), TypeError, "concentration must be a floating-point"),
        (torch.tensor([1.0, 0.0]), torch.ones(1), ValueError, "concentration must be a number or have shape"),
        (torch.tensor([1.0, 0.0]), -5.0, ValueError, "strictly positive .*signed=True.* entry of -5"),
        (torch.tensor([1.0, 0.0]), math.nan, ValueError, "concentration must be finite"),
        (torch.tensor([1.0, 0.0]), torch.ones(3), ValueError, r"like loc, got \(3,\)"),
        (torch.tensor([1.0, 0.0]), torch.tensor([1.0, math.nan]), ValueError, "concentration must be finite"),
        (torch.tensor([1.0, 0.0]), torch.tensor([1.0, math.inf]), ValueError, "concentration must be finite"),
        (
            torch.tensor([1.0, 0.0]),
            torch.tensor([1.0, 0.0]),
            ValueError,
            "strictly positive .*signed=True.* entry of 0",
        ),
        (torch.eye(2).expand(3, 2, 2), torch.ones(4, 2), ValueError, "broadcast"),
    ],
)
@pytest.mark.parametrize("law", [AnisotropicSpherical, ApproximateAnisotropicSpherical])
def test_errors(law, loc, concentration, error, message):
    with pytest.raises(error, match=message):
        law(loc, concentration)


def test_values_off_the_sphere_are_an_error():
    law = AnisotropicSpherical(unit(3), torch.ones(3, dtype=torch.float64))
    for method in (law.log_prob, law.unnormalized_log_prob):
        with pytest.raises(ValueError, match="within the support"):
            method(torch.ones(3, dtype=torch.float64))
    lenient = AnisotropicSpherical(unit(3), torch.ones(3, dtype=torch.float64), validate_args=False)
    assert lenient.log_prob(torch.ones(3, dtype=torch.float64)).isfinite()


def test_values_are_not_checked_when_told_so():
    AnisotropicSpherical(torch.ones(3), -torch.ones(3), validate_args=False)
    with pytest.raises(TypeError, match="loc must be a floating-point tensor"):
        AnisotropicSpherical(torch.tensor([1, 0]), torch.ones(2), validate_args=False)


def test_values_are_checked_after_a_compilation():
    """torch.compile switches the default of torch's own distributions off for the whole process."""
    torch.compile(torch.square, backend="eager")(torch.ones(2))
    torch.distributions.Normal(0.0, -1.0)
    with pytest.raises(ValueError, match="unit norm"):
        AnisotropicSpherical(torch.ones(3), torch.ones(3))
