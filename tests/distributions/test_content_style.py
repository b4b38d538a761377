from __future__ import annotations

import math

import pytest
import torch
from interval_laws import P_VALUE, kernel_cdf
from scipy import stats

from aninfonce.distributions import (
    ContentStyleConditional,
    GeneralizedNormal,
    TruncatedGeneralizedNormal,
    UniformBox,
)

F64 = torch.float64
STYLE = [3, 1]


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def latents(rows: int = 4000) -> torch.Tensor:
    return UniformBox(-torch.ones(4, dtype=F64), torch.ones(4, dtype=F64)).sample((rows,), generator=seeded(7))


def test_content_is_copied_and_style_follows_its_law():
    z = latents(1).expand(10_000, 4)
    law = TruncatedGeneralizedNormal(z[..., STYLE], torch.tensor([2.0, 9.0], dtype=F64), 1.0, -1.0, 1.0)
    u = ContentStyleConditional(z, STYLE, law).sample(generator=seeded())
    assert torch.equal(u[:, [0, 2]], z[:, [0, 2]])
    for k, concentration in zip(STYLE, [2.0, 9.0], strict=True):
        args = (z[0, k].item(), concentration, 1.0, -1.0, 1.0)
        assert stats.kstest(u[:, k].numpy(), lambda x, a=args: kernel_cdf(x, *a)).pvalue > P_VALUE


def test_a_random_subset_of_the_style_changes():
    z = latents()
    law = GeneralizedNormal(z[..., STYLE], 4.0, 2.0)
    probability = torch.tensor([0.2, 0.7], dtype=F64)
    u = ContentStyleConditional(z, STYLE, law, probability).sample((5,), generator=seeded())
    assert torch.equal(u[..., [0, 2]], z[:, [0, 2]].expand(5, -1, -1))
    changed = u[..., STYLE] != z[:, STYLE]
    subsets = (changed.long() @ torch.tensor([1, 2])).flatten().bincount(minlength=4)
    expected = torch.tensor([0.8 * 0.3, 0.2 * 0.3, 0.8 * 0.7, 0.2 * 0.7], dtype=F64) * 5 * len(z)
    assert stats.chisquare(subsets.numpy(), expected.numpy()).pvalue > P_VALUE
    moved = ((u - z)[..., STYLE])[changed] * math.sqrt(8)  # precision 2λ
    assert stats.kstest(moved.numpy(), "norm").pvalue > P_VALUE


def test_style_may_be_drawn_from_its_marginal():
    z = latents()
    law = UniformBox(-torch.ones(2, dtype=F64), torch.ones(2, dtype=F64))
    positive = ContentStyleConditional(z, STYLE, law)
    assert positive.batch_shape == (len(z),)
    u = positive.sample(generator=seeded())
    assert abs(torch.corrcoef(torch.stack([u[:, 1], z[:, 1]]))[0, 1].item()) < 0.06
    assert stats.kstest(u[:, 3].numpy(), stats.uniform(-1, 2).cdf).pvalue > P_VALUE


def test_log_prob_is_that_of_the_style_at_the_same_content():
    z = latents(6)
    law = GeneralizedNormal(z[..., STYLE], 4.0, 1.0)
    positive = ContentStyleConditional(z, STYLE, law)
    u = positive.sample((3,), generator=seeded())
    assert torch.equal(positive.log_prob(u), law.log_prob(u[..., STYLE]))
    u[..., 0] += 1e-9
    assert (positive.log_prob(u) == -math.inf).all()
    with pytest.raises(NotImplementedError, match="has an atom and hence no density"):
        ContentStyleConditional(z, STYLE, law, 0.5).log_prob(z)
    with pytest.raises(ValueError, match=r"value must have shape \(..., 4\)"):
        positive.log_prob(u[..., :3])


def test_shapes_expand_and_seed():
    z = latents(3).float()
    positive = ContentStyleConditional(z, STYLE, GeneralizedNormal(z[..., STYLE], torch.ones(2, 1, 2), 1.0), 0.5)
    assert positive.batch_shape == (2, 3)
    assert positive.event_shape == (4,)
    assert positive.content == [0, 2]
    u = positive.sample((5,), generator=seeded())
    assert u.shape == (5, 2, 3, 4)
    assert u.dtype == torch.float32
    assert torch.equal(u, positive.sample((5,), generator=seeded()))
    assert positive.expand((7, 2, 3)).sample().shape == (7, 2, 3, 4)


@pytest.mark.parametrize(
    ("style", "probability", "message"),
    [
        ([], 1.0, "style must be distinct indices from 0 to 3, not none and not all"),
        ([0, 1, 2, 3], 1.0, "not all"),
        ([1, 1], 1.0, "distinct"),
        ([1, 4], 1.0, "from 0 to 3"),
        ([-1, 1], 1.0, "from 0 to 3"),
        ([1], 1.0, r"style_law must have event shape \(1,\), got \(2,\)"),
        ([1, 2], 0.0, r"change_probability must lie in \(0, 1\], got 0"),
        ([1, 2], 1.5, r"change_probability must lie in \(0, 1\]"),
        ([1, 2], math.nan, r"change_probability must lie in \(0, 1\]"),
        ([1, 2], torch.ones(3), r"change_probability must be a number or have shape \(2,\), got \(3,\)"),
    ],
)
def test_errors(style, probability, message):
    with pytest.raises(ValueError, match=message):
        ContentStyleConditional(torch.zeros(4), style, GeneralizedNormal(torch.zeros(2), 1.0, 1.0), probability)


def test_errors_of_shapes():
    with pytest.raises(ValueError, match="broadcast"):
        ContentStyleConditional(torch.zeros(3, 4), STYLE, GeneralizedNormal(torch.zeros(5, 2), 1.0, 1.0))
    with pytest.raises(TypeError, match="loc must be a floating-point tensor"):
        ContentStyleConditional(torch.zeros(4, dtype=torch.int64), STYLE, GeneralizedNormal(torch.zeros(2), 1.0, 1.0))
