"""InfoNCE and AnInfoNCE against an independent float64 loop, the laws they obey, and what they refuse."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from loss_reference import KINDS, loop_loss, make_views, unit
from torch.nn import functional as F

from aninfonce.objectives import AnInfoNCE, InfoNCE


@pytest.mark.parametrize("negatives_from", KINDS)
@pytest.mark.parametrize("symmetric", [True, False])
def test_values_equal_the_loop(negatives_from, symmetric):
    u, v = make_views()
    concentration = torch.tensor([12.5, 0.5, 3.0, 1.0], dtype=torch.float64)
    loss = AnInfoNCE(4, init=concentration, negatives_from=negatives_from, symmetric=symmetric).double()
    learned = loss.concentration.detach().numpy()
    expected = loop_loss(unit(u), unit(v), learned, negatives_from, symmetric)
    assert loss(u, v).item() == pytest.approx(expected, rel=1e-12)
    isotropic = InfoNCE(temperature=0.4, negatives_from=negatives_from, symmetric=symmetric).double()
    expected = loop_loss(
        unit(u), unit(v), np.full(4, 1 / (2 * isotropic.temperature.item())), negatives_from, symmetric
    )
    assert isotropic(u, v).item() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("shape", [(7, 4), (12, 7, 4)])
def test_explicit_negatives_equal_the_loop(shape):
    u, v = make_views()
    w = torch.randn(*shape, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    loss = AnInfoNCE(4, init=[4.0, 3.0, 2.0, 1.0]).double()
    expected = loop_loss(unit(u), unit(v), loss.concentration.detach().numpy(), "", False, explicit=unit(w))
    assert loss(u, v, negatives=w).item() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("batch", [5, 700, 1500])
def test_the_dense_form_of_the_docstring_is_the_fast_loss(batch):
    """Value and all gradients; the batches take each way the fast loss has: in one piece and in blocks."""
    u, v = (F.normalize(x, dim=-1).requires_grad_() for x in make_views(batch=batch, dim=3))
    loss = AnInfoNCE(dim=3, init=torch.tensor([12.5, 2.5, 0.7], dtype=torch.float64), symmetric=False).double()
    similarities = -((u[:, None] - v[None]).square() * loss.concentration).sum(-1)
    dense = F.cross_entropy(similarities, torch.arange(len(u)))
    both = AnInfoNCE(dim=3, init=[12.5, 2.5, 0.7]).double()(u, v)
    torch.testing.assert_close(loss(u, v), dense)
    torch.testing.assert_close(both, (dense + F.cross_entropy(similarities.T, torch.arange(len(u)))) / 2)
    leaves = (u, v, loss.raw_concentration)
    expected = torch.autograd.grad(dense, leaves, retain_graph=True)
    # The fast loss projects onto the sphere: its gradients are the dense one's along the sphere.
    on_sphere = [g - (g * x).sum(-1, keepdim=True) * x for g, x in zip(expected[:2], (u, v), strict=True)]
    for got, wanted in zip(torch.autograd.grad(loss(u, v), leaves), [*on_sphere, expected[2]], strict=True):
        torch.testing.assert_close(got, wanted)


def test_infonce_is_two_way_cross_entropy():
    """On the sphere -|u-v|²/(2τ) and u·v/τ differ by a constant: the textbook form."""
    u, v = make_views(batch=30, dim=8)
    logits = F.normalize(u) @ F.normalize(v).T / 0.2
    own = torch.arange(30)
    expected = (F.cross_entropy(logits, own) + F.cross_entropy(logits.T, own)) / 2
    assert InfoNCE(0.2).double()(u, v).item() == pytest.approx(expected.item(), rel=1e-6)


@pytest.mark.parametrize("negatives_from", KINDS)
@pytest.mark.parametrize("scale", [1e-6, 1e-3, 1.0, 1e3, 1e6])
def test_nothing_overflows(negatives_from, scale):
    loss = AnInfoNCE(4, init=scale, negatives_from=negatives_from)
    u, v = make_views(dtype=torch.float32)
    for a, b in [(u, v), (u, u), (u[:1].repeat(12, 1), u[:1].repeat(12, 1)), (u[:2], v[:2])]:
        a = a.clone().requires_grad_()
        value = loss(a, b)
        (gradient,) = torch.autograd.grad(value, a, retain_graph=True)
        (rate,) = torch.autograd.grad(value, loss.raw_concentration)
        assert value.isfinite()
        assert gradient.isfinite().all()
        assert rate.isfinite().all()


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 1000),
    batch=st.integers(2, 20),
    dim=st.integers(1, 6),
    negatives_from=st.sampled_from(KINDS),
    temperature=st.floats(0.05, 5),
)
def test_laws(seed, batch, dim, negatives_from, temperature):
    u, v = make_views(batch, dim, seed=seed)
    isotropic = InfoNCE(temperature, negatives_from=negatives_from).double()
    value = isotropic(u, v).item()
    tight = {"rel": 1e-9, "abs": 1e-12}
    # the special case of the paper: Λ̂ = I/(2τ)
    assert AnInfoNCE(dim, init=1 / (2 * temperature), negatives_from=negatives_from).double()(
        u, v
    ).item() == pytest.approx(value, rel=1e-5, abs=1e-9)
    # the order of the batch, and which view is called the first, do not matter
    order = torch.randperm(batch, generator=torch.Generator().manual_seed(seed))
    assert isotropic(u[order], v[order]).item() == pytest.approx(value, **tight)
    assert isotropic(v, u).item() == pytest.approx(value, **tight)
    # InfoNCE knows no axes
    rotation, _ = torch.linalg.qr(torch.randn(dim, dim, generator=torch.Generator().manual_seed(seed)).double())
    assert isotropic(u @ rotation, v @ rotation).item() == pytest.approx(value, **tight)


def test_aninfonce_knows_axes():
    u, v = make_views(batch=40)
    loss = AnInfoNCE(4, init=[10.0, 1.0, 1.0, 1.0]).double()
    swapped = [1, 0, 2, 3]
    assert abs(loss(u, v).item() - loss(u[:, swapped], v[:, swapped]).item()) > 1e-3


def test_parameters_are_the_modules_own():
    loss = AnInfoNCE(3, init=[1.0, 2.0, 3.0])
    torch.testing.assert_close(loss.concentration, torch.tensor([1.0, 2.0, 3.0]))
    copy = AnInfoNCE(3)
    copy.load_state_dict(loss.state_dict())
    torch.testing.assert_close(copy.concentration, loss.concentration)
    assert [*InfoNCE(0.3).parameters()] == []
    trainable = InfoNCE(0.3, learnable=True)
    u, v = make_views(dtype=torch.float32)
    trainable(u, v).backward()
    assert trainable.log_temperature.grad.abs() > 0
    fixed = InfoNCE(0.5)
    fixed.load_state_dict(InfoNCE(0.3).state_dict())
    assert fixed.temperature.item() == pytest.approx(0.3)


def test_training_lowers_the_loss_and_stays_positive():
    u, v = make_views(batch=64, dtype=torch.float32)
    v[:, 0] = torch.randn(64, generator=torch.Generator().manual_seed(9))  # dimension 0 says nothing about the pair
    loss = AnInfoNCE(4, init=5.0)
    optimizer = torch.optim.Adam(loss.parameters(), lr=0.1)
    before = loss(u, v).item()
    for _ in range(200):
        optimizer.zero_grad()
        loss(u, v).backward()
        optimizer.step()
    assert loss(u, v).item() < before
    assert (loss.concentration > 0).all()
    assert loss.concentration[0] < 0.2 * loss.concentration[1:].min()


def test_oracle_encoder_finds_the_concentration():
    """With the latents themselves as embeddings and the other anchors as negatives, the optimum is Λ̂ = Λ."""
    from aninfonce.distributions import AnisotropicSpherical, HypersphericalUniform

    rng = torch.Generator().manual_seed(0)
    true = torch.tensor([12.5, 6.0, 2.5])
    z = HypersphericalUniform(3).sample((60_000,), generator=rng)
    positive = AnisotropicSpherical(z, true).sample(generator=rng)
    loss = AnInfoNCE(3, init=5.0, normalize=False, negatives_from="anchors", symmetric=False)
    optimizer = torch.optim.Adam(loss.parameters(), lr=0.05)
    tail = []
    for step in range(240):
        start = 250 * step
        optimizer.param_groups[0]["lr"] = 0.05 if step < 120 else 0.01
        optimizer.zero_grad()
        loss(z[start : start + 250], positive[start : start + 250]).backward()
        optimizer.step()
        if step >= 140:
            tail.append(loss.concentration.detach())
    torch.testing.assert_close(torch.stack(tail).mean(0), true, rtol=0.05, atol=0)


def test_signed_concentration_may_be_negative():
    u, v = make_views()
    loss = AnInfoNCE(4, init=[2.0, 1.0, -1.0, 0.0], signed=True).double()
    expected = loop_loss(unit(u), unit(v), np.array([2.0, 1.0, -1.0, 0.0]), "positives", True)
    assert loss(u, v).item() == pytest.approx(expected, rel=1e-12)


def test_half_precision_is_computed_in_float32():
    u, v = make_views(batch=50, dtype=torch.float32)
    loss = InfoNCE(0.1)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert loss(u, v).dtype == torch.float32
        torch.testing.assert_close(loss(u, v), loss(u, v))
    assert loss(u.bfloat16(), v.bfloat16()).dtype == torch.float32
    torch.testing.assert_close(loss(u.bfloat16(), v.bfloat16()), loss(u.bfloat16().float(), v.bfloat16().float()))


@pytest.mark.parametrize(
    ("u", "v", "negatives", "error", "message"),
    [
        (torch.ones(3, 4), torch.ones(3, 5), None, ValueError, r"same shape, got \(3, 4\) and \(3, 5\)"),
        (torch.ones(1, 4), torch.ones(1, 4), None, ValueError, "at least 2 samples"),
        (torch.ones(0, 4), torch.ones(0, 4), None, ValueError, "at least 1 rows"),
        (torch.ones(3, 2, 4), torch.ones(3, 2, 4), None, ValueError, r"\(batch, dim\)"),
        (torch.full((3, 4), math.nan), torch.ones(3, 4), None, ValueError, "u must be finite, got 12"),
        (torch.ones(3, 4), torch.full((3, 4), math.inf), None, ValueError, "v must be finite"),
        (torch.ones(3, 4, dtype=torch.int64), torch.ones(3, 4), None, TypeError, "floating-point"),
        (torch.ones(3, 4), torch.ones(3, 4).double(), None, TypeError, "one dtype"),
        (torch.ones(3, 4), torch.ones(3, 4), torch.ones(5, 3), ValueError, r"\(n, 4\) or \(3, n, 4\)"),
        (torch.ones(3, 4), torch.ones(3, 4), torch.ones(2, 5, 4), ValueError, r"\(n, 4\) or \(3, n, 4\)"),
        (torch.ones(3, 4), torch.ones(3, 4), torch.ones(0, 4), ValueError, "n >= 1"),
        (torch.ones(3, 4), torch.ones(3, 4), torch.full((2, 4), math.nan), ValueError, "negatives must be finite"),
        (torch.ones(3, 5), torch.ones(3, 5), None, ValueError, "must have 4 dimensions"),
    ],
)
def test_bad_embeddings_are_refused(u, v, negatives, error, message):
    with pytest.raises(error, match=message):
        AnInfoNCE(4)(u, v, negatives=negatives)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: AnInfoNCE(0), "dim must be at least 1"),
        (lambda: AnInfoNCE(3, init=[1.0, 2.0]), r"shape \(3,\), got shape \(2,\)"),
        (lambda: AnInfoNCE(2, init=[1.0, -2.0]), "must be positive"),
        (lambda: AnInfoNCE(2, init=math.nan), "must be finite"),
        (lambda: AnInfoNCE(2, negatives_from="anchor"), "did you mean 'anchors'"),
        (lambda: InfoNCE(0.0), "temperature must be positive"),
        (lambda: InfoNCE(math.inf), "temperature must be positive"),
    ],
)
def test_bad_settings_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
