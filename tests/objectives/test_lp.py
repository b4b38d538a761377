"""LpInfoNCE against an independent float64 loop, the laws it obeys, the theorem behind it, and what it refuses."""

import math

import pytest
import torch
from loss_reference import KINDS, loop_loss, make_views

from aninfonce.distributions import GeneralizedNormal, TruncatedGeneralizedNormal, UniformBox
from aninfonce.objectives import AnInfoNCE
from aninfonce.objectives._lp_similarity import pairwise_lp_similarity
from aninfonce.objectives.lp import LpInfoNCE, lp_contrast, lp_contrast_explicit

EXPONENTS = [1.0, 1.5, 2.0, 3.0]
F64 = torch.float64


@pytest.mark.parametrize("negatives_from", KINDS)
@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("exponent", EXPONENTS)
def test_values_equal_the_loop(negatives_from, symmetric, exponent):
    u, v = make_views()
    options = {"negatives_from": negatives_from, "symmetric": symmetric}
    each = LpInfoNCE(exponent, dim=4, init=[2.5, 0.5, 1.0, 0.1], **options).double()
    expected = loop_loss(u.numpy(), v.numpy(), each.concentration.numpy(), exponent=exponent, **options)
    assert each(u, v).item() == pytest.approx(expected, rel=1e-12)
    shared = LpInfoNCE(exponent, init=0.7, **options).double()
    expected = loop_loss(u.numpy(), v.numpy(), shared.concentration.item(), exponent=exponent, **options)
    assert shared(u, v).item() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("shape", [(7, 4), (12, 7, 4)])
@pytest.mark.parametrize("exponent", EXPONENTS)
def test_explicit_negatives_equal_the_loop(shape, exponent):
    u, v = make_views()
    w = torch.randn(*shape, generator=torch.Generator().manual_seed(3), dtype=F64)
    loss = LpInfoNCE(exponent, dim=4, init=[4.0, 3.0, 2.0, 1.0]).double()
    expected = loop_loss(u.numpy(), v.numpy(), loss.concentration.numpy(), "", False, w.numpy(), exponent)
    assert loss(u, v, negatives=w).item() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("negatives_from", KINDS)
def test_two_is_aninfonce(negatives_from):
    u, v = make_views(batch=60)
    w = torch.randn(9, 4, generator=torch.Generator().manual_seed(3), dtype=F64)
    init = [2.5, 0.5, 1.0, 0.1]
    lp = LpInfoNCE(2.0, dim=4, init=init, learnable=True, negatives_from=negatives_from).double()
    other = AnInfoNCE(4, init=init, normalize=False, negatives_from=negatives_from).double()
    for negatives in (None, w):
        results = []
        for loss in (lp, other):
            a = u.clone().requires_grad_()
            value = loss(a, v, negatives=negatives)
            results.append([value, *torch.autograd.grad(value, [a, loss.raw_concentration])])
        torch.testing.assert_close(results[0], results[1], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("negatives_from", KINDS)
@pytest.mark.parametrize("exponent", EXPONENTS)
def test_gradients_by_finite_differences(negatives_from, exponent):
    u, v = (x.requires_grad_() for x in make_views(batch=5, dim=3))
    concentration = torch.tensor([2.0, 1.0, 0.1], dtype=F64, requires_grad=True)
    w = torch.randn(4, 3, generator=torch.Generator().manual_seed(3), dtype=F64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda *x: lp_contrast(*x, exponent, negatives_from, True), (u, v, concentration))
    assert torch.autograd.gradcheck(lambda *x: lp_contrast_explicit(*x, exponent), (u, v, w, concentration))


@pytest.mark.parametrize("negatives_from", KINDS)
@pytest.mark.parametrize("exponent", [*EXPONENTS, 1.01, 6.0])
def test_gradients_are_finite_where_rows_or_coordinates_coincide(negatives_from, exponent):
    u, v = make_views(dtype=torch.float32)
    same = u[:1].repeat(12, 1)
    shared_coordinate = v.clone()
    shared_coordinate[:, 0] = u[:, 0]
    loss = LpInfoNCE(exponent, dim=4, learnable=True, negatives_from=negatives_from)
    for a, b in [(u, u), (same, same), (u, shared_coordinate), (u[:2], v[:2])]:
        a, b = a.clone().requires_grad_(), b.clone().requires_grad_()
        for negatives in (None, b[:1], b[:, None]):
            value = loss(a, b, negatives=negatives)
            assert value.isfinite()
            for gradient in torch.autograd.grad(value, [a, b, loss.raw_concentration]):
                assert gradient.isfinite().all()
    at_one_point = same.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(loss(at_one_point, same), at_one_point)
    assert (gradient == 0).all()  # a subgradient


@pytest.mark.parametrize("exponent", EXPONENTS)
@pytest.mark.parametrize("scale", [1e-12, 1e-6, 1e-3, 1.0, 1e3, 1e6])
def test_nothing_overflows(exponent, scale):
    loss = LpInfoNCE(exponent, learnable=True, negatives_from="both")
    u, v = make_views(dtype=torch.float32)
    u = (u * scale).requires_grad_()
    value = loss(u, v * scale)
    assert value.isfinite()
    for gradient in torch.autograd.grad(value, [u, loss.raw_concentration]):
        assert gradient.isfinite().all()


@pytest.mark.parametrize("exponent", EXPONENTS)
def test_a_common_shift_costs_no_digits(exponent):
    u, v = make_views(batch=50, dtype=torch.float32)
    loss = LpInfoNCE(exponent, dim=4, learnable=True)
    (near,) = torch.autograd.grad(loss(u, v), loss.raw_concentration)
    (far,) = torch.autograd.grad(loss(u + 64, v + 64), loss.raw_concentration)
    torch.testing.assert_close(far, near, rtol=1e-3, atol=1e-5)


# The theorem


def pairs_in_the_box(exponent, n=8000, concentration=4.0, seed=0):
    rng = torch.Generator().manual_seed(seed)
    z = UniformBox(-torch.ones(2), torch.ones(2)).sample((n,), generator=rng)
    law = TruncatedGeneralizedNormal(z, concentration, exponent, -1.0, 1.0)
    return z, law.sample(generator=rng)


def laplace_pairs_in_the_plane(n=8000, seed=0):
    rng = torch.Generator().manual_seed(seed)
    z = GeneralizedNormal(torch.zeros(n, 2), 0.5, 1.0).sample(generator=rng)
    return z, GeneralizedNormal(z, 4.0, 1.0).sample(generator=rng)


def rotation(degrees):
    angle = math.radians(degrees)
    return torch.tensor([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])


def mean_loss(loss, z, positive, batch=500):
    batches = zip(z.split(batch), positive.split(batch), strict=True)
    return sum(loss(a, b).item() for a, b in batches) / (len(z) / batch)


SIGNED_PERMUTATIONS = [[[0.0, 1.0], [1.0, 0.0]], [[-1.0, 0.0], [0.0, 1.0]], [[0.0, -1.0], [1.0, 0.0]]]


@pytest.mark.parametrize("pairs", [lambda: pairs_in_the_box(1.0), laplace_pairs_in_the_plane])
def test_laplace_knows_its_axes(pairs):
    """p = 1: of all rotations of the latents only the signed permutations keep the loss, every other one raises it."""
    z, positive = pairs()
    loss = LpInfoNCE(1.0, init=4.0, negatives_from="anchors", symmetric=False)
    best = mean_loss(loss, z, positive)
    for matrix in map(torch.tensor, SIGNED_PERMUTATIONS):
        assert mean_loss(loss, z @ matrix, positive @ matrix) == pytest.approx(best, abs=1e-5)
    raised = [mean_loss(loss, z @ rotation(a), positive @ rotation(a)) - best for a in (10, 25, 45, 65, 80)]
    assert min(raised) > 0.01
    assert max(raised) == raised[2]  # the farthest from an axis is the worst
    assert raised[2] > 0.05
    # nor does another λ make up for the rotation
    turned = rotation(45)
    for concentration in (2.0, 2.5, 3.0, 3.5, 5.0):
        other = LpInfoNCE(1.0, init=concentration, negatives_from="anchors", symmetric=False)
        assert mean_loss(other, z @ turned, positive @ turned) > best + 0.03


def test_steep_exponents_know_their_axes_too():
    z, positive = pairs_in_the_box(4.0, concentration=8.0)
    loss = LpInfoNCE(4.0, init=8.0, negatives_from="anchors", symmetric=False)
    best = mean_loss(loss, z, positive)
    assert mean_loss(loss, z @ rotation(45), positive @ rotation(45)) > best + 0.01
    swap = torch.tensor(SIGNED_PERMUTATIONS[0])
    assert mean_loss(loss, z @ swap, positive @ swap) == pytest.approx(best, abs=1e-5)


def test_a_square_knows_no_axes():
    """p = 2 with equal concentrations: every rotation keeps the loss; with unequal ones the axes are known again."""
    options = {"negatives_from": "anchors", "symmetric": False}
    for concentration, kept in [([4.0, 4.0], True), ([9.0, 2.0], False)]:
        z, positive = pairs_in_the_box(2.0, concentration=torch.tensor(concentration))
        loss = LpInfoNCE(2.0, dim=2, init=concentration, **options)
        best = mean_loss(loss, z, positive)
        for degrees in (20, 45, 80):
            raised = mean_loss(loss, z @ rotation(degrees), positive @ rotation(degrees)) - best
            assert abs(raised) < 1e-5 if kept else raised > 0.05


def test_permutations_carry_the_concentration_along():
    u, v = make_views(batch=30)
    order = [2, 0, 3, 1]
    concentration = torch.tensor([2.5, 0.5, 1.0, 0.1])
    value = LpInfoNCE(1.5, dim=4, init=concentration)(u, v).item()
    moved = LpInfoNCE(1.5, dim=4, init=concentration[order])(3 - u[:, order], 3 - v[:, order]).item()
    assert moved == pytest.approx(value, rel=1e-6)
    assert abs(LpInfoNCE(1.5, dim=4, init=concentration)(u[:, order], v[:, order]).item() - value) > 1e-3


@pytest.mark.parametrize("exponent", [1.0, 2.0, 3.0])
def test_oracle_encoder_finds_the_concentration(exponent):
    """With the latents as embeddings and the other anchors as negatives λ̂ = λ: the C(z) of the walls cancels."""
    rng = torch.Generator().manual_seed(0)
    true = torch.tensor([6.0, 2.0])
    z = UniformBox(-torch.ones(2), torch.ones(2)).sample((60_000,), generator=rng)
    positive = TruncatedGeneralizedNormal(z, true, exponent, -1.0, 1.0).sample(generator=rng)
    options = {"negatives_from": "anchors", "symmetric": False}
    loss = LpInfoNCE(exponent, dim=2, init=4.0, learnable=True, **options)
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
    torch.testing.assert_close(torch.stack(tail).mean(0), true, rtol=0.06, atol=0)


def test_the_loss_tends_to_its_entropy():
    """With many negatives: loss - log M → E[-log p(z⁺|z)] - log |box|, the conditional's own entropy."""
    z, positive = pairs_in_the_box(1.0, n=4000)
    loss = LpInfoNCE(1.0, init=4.0, negatives_from="anchors", symmetric=False)(z, positive).item() - math.log(3999)
    law = TruncatedGeneralizedNormal(z, 4.0, 1.0, -1.0, 1.0)
    assert loss == pytest.approx(-law.log_prob(positive).mean().item() - 2 * math.log(2), abs=0.01)


# The module


def test_parameters_are_the_modules_own():
    assert [*LpInfoNCE(1.0, init=0.3).parameters()] == []
    loss = LpInfoNCE(1.0, dim=3, init=[1.0, 2.0, 3.0], learnable=True)
    torch.testing.assert_close(loss.concentration, torch.tensor([1.0, 2.0, 3.0]))
    copy = LpInfoNCE(1.0, dim=3)
    copy.load_state_dict(loss.state_dict())
    torch.testing.assert_close(copy.concentration, loss.concentration.detach())
    shared = LpInfoNCE(1.0, init=0.3, learnable=True)
    assert shared.concentration.shape == ()
    u, v = make_views(dtype=torch.float32)
    shared(u, v).backward()
    each = LpInfoNCE(1.0, dim=4, init=0.3, learnable=True)
    each(u, v).backward()
    torch.testing.assert_close(shared.raw_concentration.grad, each.raw_concentration.grad.sum())
    assert "exponent=1, dim=None, learnable=True" in repr(shared)


def test_half_precision_is_computed_in_float32():
    u, v = make_views(batch=50, dtype=torch.float32)
    loss = LpInfoNCE(1.5)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert loss(u, v).dtype == torch.float32
    assert loss(u.bfloat16(), v.bfloat16()).dtype == torch.float32
    torch.testing.assert_close(loss(u.bfloat16(), v.bfloat16()), loss(u.bfloat16().float(), v.bfloat16().float()))


@pytest.mark.parametrize(
    ("u", "v", "negatives", "error", "message"),
    [
        (torch.ones(3, 4), torch.ones(3, 5), None, ValueError, r"same shape, got \(3, 4\) and \(3, 5\)"),
        (torch.ones(1, 4), torch.ones(1, 4), None, ValueError, "at least 2 samples"),
        (torch.ones(3, 2, 4), torch.ones(3, 2, 4), None, ValueError, r"\(batch, dim\)"),
        (torch.full((3, 4), math.nan), torch.ones(3, 4), None, ValueError, "u must be finite, got 12"),
        (torch.ones(3, 4), torch.ones(3, 4).double(), None, TypeError, "one dtype"),
        (torch.ones(3, 4), torch.ones(3, 4), torch.ones(5, 3), ValueError, r"\(n, 4\) or \(3, n, 4\)"),
        (torch.ones(3, 4), torch.ones(3, 4), torch.ones(2, 5, 4), ValueError, r"\(n, 4\) or \(3, n, 4\)"),
        (torch.ones(3, 4), torch.ones(3, 4), torch.ones(5, 4).double(), TypeError, "one dtype"),
        (torch.ones(3, 4), torch.ones(3, 4), torch.ones(5, 4).long(), TypeError, "floating-point"),
        (torch.ones(3, 4), torch.ones(3, 4), torch.full((2, 4), math.nan), ValueError, "negatives must be finite"),
        (torch.ones(3, 5), torch.ones(3, 5), None, ValueError, "must have 4 dimensions"),
    ],
)
def test_bad_embeddings_are_refused(u, v, negatives, error, message):
    with pytest.raises(error, match=message):
        LpInfoNCE(1.0, dim=4)(u, v, negatives=negatives)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: LpInfoNCE(0.9), "exponent must be at least 1 and finite, got 0.9"),
        (lambda: LpInfoNCE(math.inf), "exponent must be at least 1"),
        (lambda: LpInfoNCE(1.0, dim=0), "dim must be at least 1"),
        (lambda: LpInfoNCE(1.0, init=[1.0, 2.0]), r"init must be a number unless dim is given, got shape \(2,\)"),
        (lambda: LpInfoNCE(1.0, dim=3, init=[1.0, 2.0]), r"shape \(3,\), got shape \(2,\)"),
        (lambda: LpInfoNCE(1.0, init=0.0), "init must be positive"),
        (lambda: LpInfoNCE(1.0, init=math.nan), "init must be finite"),
        (lambda: LpInfoNCE(1.0, negatives_from="anchor"), "did you mean 'anchors'"),
    ],
)
def test_bad_settings_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_pairwise_agrees_with_rows():
    u, v = make_views()
    concentration = torch.tensor([2.5, 0.5, 1.0, 0.1], dtype=F64)
    expected = -(concentration * (u[:, None] - v).abs() ** 1.5).sum(-1)
    torch.testing.assert_close(pairwise_lp_similarity(u, v, concentration, 1.5), expected)
