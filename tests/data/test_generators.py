from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from aninfonce.data.generators import InvertibleMLP


def make(dim: int = 6, **settings) -> InvertibleMLP:
    return InvertibleMLP(dim, **{"candidates": 500, "generator": torch.Generator().manual_seed(0)} | settings)


@pytest.mark.parametrize("depth", [1, 2, 3, 5])
@pytest.mark.parametrize("slope", [0.05, 0.2, 1.0])
def test_inverse_undoes_the_generator(depth, slope):
    g = make(depth=depth, negative_slope=slope).double()
    z = torch.randn(200, 6, dtype=torch.float64)
    assert torch.allclose(g.inverse(g(z)), z, atol=1e-10)
    assert torch.allclose(g(g.inverse(z)), z, atol=1e-10)


def test_it_is_as_deep_as_asked_and_nonlinear_unless_the_slope_is_one():
    z = torch.randn(500, 6, dtype=torch.float64)

    def error_of_linearity(g: InvertibleMLP) -> float:
        x = g.double()(z)
        return float((x - z @ torch.linalg.lstsq(z, x).solution).square().mean() / x.square().mean())

    assert make(depth=4).weights.shape == (4, 6, 6)
    assert error_of_linearity(make(negative_slope=1.0)) < 1e-20
    assert error_of_linearity(make(depth=1)) < 1e-20
    assert error_of_linearity(make(depth=3)) > error_of_linearity(make(depth=2)) > 0.01


def test_weights_are_far_better_conditioned_than_random_ones():
    random = F.normalize(2 * torch.rand(1000, 10, 10) - 1, dim=1)
    chosen = make(10, candidates=2000).weights
    assert torch.allclose(chosen.norm(dim=1), torch.ones(3, 10), atol=1e-6)
    assert torch.linalg.cond(chosen).max() < torch.linalg.cond(random).quantile(0.01)


def test_the_best_candidates_are_kept_across_chunks():
    # The search goes through the candidates in chunks of 4096: the best of more is at least as good.
    few, many = make(candidates=4096).weights.double(), make(candidates=9000).weights.double()
    assert (torch.linalg.cond(many) <= torch.linalg.cond(few) * (1 + 1e-6)).all()
    assert (torch.linalg.cond(many).diff() >= -1e-5).all()  # the best one first


def test_it_is_a_function_of_its_generator():
    assert torch.equal(make().weights, make().weights)
    assert not torch.equal(make().weights, make(generator=torch.Generator().manual_seed(1)).weights)


@pytest.mark.parametrize(
    "settings", [{"dim": 1}, {"depth": 0}, {"candidates": 2}, {"negative_slope": 0.0}, {"negative_slope": 1.5}]
)
def test_settings_out_of_range_are_refused(settings):
    name = next(iter(settings))
    with pytest.raises(ValueError, match=name):
        make(**settings)
