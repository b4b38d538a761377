"""Alignment and uniformity against the metrics of the same name, the limit of InfoNCE, and what is refused."""

import math

import pytest
import torch
from torch.nn import functional as F

from aninfonce import metrics
from aninfonce.distributions import HypersphericalUniform, VonMisesFisher
from aninfonce.objectives import InfoNCE
from aninfonce.objectives.alignment_uniformity import AlignmentUniformity, mean_alignment, mean_uniformity

F64 = torch.float64


def make_views(batch=12, dim=4, noise=0.3, seed=0, dtype=F64):
    rng = torch.Generator().manual_seed(seed)
    u = torch.randn(batch, dim, generator=rng, dtype=dtype)
    return u, u + noise * torch.randn(batch, dim, generator=rng, dtype=dtype)


@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize(("alpha", "t", "weight"), [(2.0, 2.0, 1.0), (1.0, 0.5, 3.0), (3.0, 5.0, 0.0)])
def test_values_are_those_of_the_metrics(normalize, alpha, t, weight):
    u, v = make_views(batch=40)
    uniformity = sum(metrics.uniformity(x, t, normalize=normalize) for x in (u, v)) / 2
    expected = metrics.alignment(u, v, alpha, normalize=normalize) + weight * uniformity
    loss = AlignmentUniformity(alpha, t, weight, normalize=normalize)
    assert loss(u, v).item() == pytest.approx(expected, rel=1e-12)


def test_values_equal_the_loop():
    u, v = (F.normalize(x) for x in make_views())
    pairs = [(i, j) for i in range(12) for j in range(12) if i != j]
    potential = [sum(math.exp(-2 * float((x[i] - x[j]).square().sum())) for i, j in pairs) / len(pairs) for x in (u, v)]
    expected = float((u - v).square().sum(1).mean()) + sum(math.log(p) for p in potential) / 2
    assert AlignmentUniformity()(u, v).item() == pytest.approx(expected, rel=1e-12)


def pairs_on_the_sphere(n, seed=0):
    rng = torch.Generator().manual_seed(seed)
    u = HypersphericalUniform(3, dtype=F64).sample((n,), generator=rng)
    return u, VonMisesFisher(u, torch.tensor(8.0, dtype=F64)).sample(generator=rng)


@pytest.mark.parametrize("temperature", [0.25, 1.0])
def test_the_limit_of_infonce(temperature):
    """InfoNCE - log M → t E|u-v|² + E_i log E_j e^{-t|u_i-u_j|²}; the log outside both means changes nothing here."""
    t = 1 / (2 * temperature)
    infonce = InfoNCE(temperature, negatives_from="anchors", symmetric=False).double()
    gaps = []
    for n in (50, 400, 3000):
        u, v = pairs_on_the_sphere(n)
        limit = t * mean_alignment(u, v, 2.0) + mean_uniformity(u, t)
        gaps.append(abs(infonce(u, v).item() - math.log(n - 1) - limit.item()))
    assert gaps[0] > 5 * gaps[2]
    assert gaps[2] < 0.005


def test_an_upper_bound_of_the_limit():
    """Off uniformity Jensen's inequality is strict: a cap of the sphere, and a few points opposite."""
    u, v = pairs_on_the_sphere(2000)
    cap = u[:, 0] > 0.3
    u, v = u[cap], v[cap]
    u[:40], v[:40] = -u[:40], -v[:40]
    others = torch.exp(-2 * torch.cdist(u, u) ** 2).fill_diagonal_(0).sum(1)
    limit = 2 * mean_alignment(u, v, 2.0) + (others / (len(u) - 1)).log().mean()
    bound = 2 * mean_alignment(u, v, 2.0) + mean_uniformity(u, 2.0)
    loss = InfoNCE(0.25, negatives_from="anchors", symmetric=False).double()(u, v) - math.log(len(u) - 1)
    assert loss.item() == pytest.approx(limit.item(), abs=(1 / others).mean().item())
    assert bound > limit + 0.05


def test_the_uniform_distribution_is_the_minimum():
    u, _ = pairs_on_the_sphere(2000)
    spread = mean_uniformity(u, 2.0).item()
    assert spread == pytest.approx(math.log((1 - math.exp(-8)) / 8), abs=0.02)  # E e^{-4(1 - cos)}, cos uniform
    squeezed = F.normalize(u * torch.tensor([1.0, 1.0, 0.5], dtype=F64))
    assert mean_uniformity(squeezed, 2.0).item() > spread + 0.05
    assert mean_uniformity(u[:1].repeat(5, 1), 2.0).item() == pytest.approx(0, abs=1e-12)


def test_it_knows_no_axes():
    u, v = make_views(batch=30)
    rotation, _ = torch.linalg.qr(torch.randn(4, 4, generator=torch.Generator().manual_seed(1), dtype=F64))
    loss = AlignmentUniformity()
    assert loss(u @ rotation, v @ rotation).item() == pytest.approx(loss(u, v).item(), rel=1e-9)
    assert loss(v, u).item() == pytest.approx(loss(u, v).item(), rel=1e-12)


@pytest.mark.parametrize("alpha", [1.0, 1.5, 2.0])
@pytest.mark.parametrize("normalize", [True, False])
def test_gradients(alpha, normalize):
    u, v = (x.requires_grad_() for x in make_views(batch=5, dim=3))
    loss = AlignmentUniformity(alpha, normalize=normalize)
    assert torch.autograd.gradcheck(loss, (u, v))
    same = u.detach()[:1].repeat(5, 1).requires_grad_()
    (gradient,) = torch.autograd.grad(loss(same, same.detach()), same)
    assert gradient.isfinite().all()


def test_training_spreads_the_embeddings_and_keeps_the_pairs():
    u, _ = make_views(batch=64, dim=3, dtype=torch.float32)
    offset = 0.1 * torch.randn(64, 3, generator=torch.Generator().manual_seed(1))
    u = (0.2 * u + torch.tensor([1.0, 0.0, 0.0])).requires_grad_()
    loss = AlignmentUniformity()
    optimizer = torch.optim.Adam([u], lr=0.05)
    for _ in range(200):
        optimizer.zero_grad()
        loss(u, u + offset).backward()
        optimizer.step()
    assert metrics.uniformity(u.detach()) < math.log((1 - math.exp(-8)) / 8) + 0.05
    assert metrics.alignment(u.detach(), u.detach() + offset) < 0.1


def test_half_precision_is_computed_in_float32():
    u, v = make_views(batch=50, dtype=torch.float32)
    loss = AlignmentUniformity()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert loss(u, v).dtype == torch.float32
    torch.testing.assert_close(loss(u.bfloat16(), v.bfloat16()), loss(u.bfloat16().float(), v.bfloat16().float()))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: AlignmentUniformity(0.5), "alignment_exponent must be at least 1 and finite, got 0.5"),
        (lambda: AlignmentUniformity(uniformity_scale=0.0), "uniformity_scale must be positive and finite"),
        (lambda: AlignmentUniformity(uniformity_weight=-1.0), "uniformity_weight must be at least 0 and finite"),
        (lambda: AlignmentUniformity(uniformity_weight=math.inf), "uniformity_weight"),
    ],
)
def test_bad_settings_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(
    ("u", "v", "error", "message"),
    [
        (torch.ones(3, 4), torch.ones(3, 5), ValueError, r"same shape, got \(3, 4\) and \(3, 5\)"),
        (torch.ones(1, 4), torch.ones(1, 4), ValueError, "at least 2 samples .* drop_last=True"),
        (torch.ones(3, 4), torch.full((3, 4), math.nan), ValueError, "v must be finite, got 12"),
        (torch.ones(3, 4), torch.ones(3, 4).double(), TypeError, "one dtype"),
    ],
)
def test_bad_embeddings_are_refused(u, v, error, message):
    with pytest.raises(error, match=message):
        AlignmentUniformity()(u, v)
