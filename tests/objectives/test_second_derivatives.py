"""Derivatives beyond the first: against the dense form in float64, by every route, with memory linear in the batch."""

import math

import pytest
import torch
from loss_reference import (
    KINDS,
    dense_logits,
    dense_rule_loss,
    derivatives,
    make_views,
    pairwise,
    relative_error,
    whole_power,
)
from torch import nn
from torch.autograd import forward_ad
from torch.nn import functional as F

from aninfonce.objectives import (
    AlignmentUniformity,
    AnInfoNCE,
    AnInfoNCEEnsemble,
    Debiased,
    InfoNCE,
    LpInfoNCE,
    Reweighted,
    Tilted,
    TopK,
)
from aninfonce.objectives._pairs import CPU_CHUNK

# torch's own forward-mode formulas are written in TorchScript.
pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated:FutureWarning")

F64 = torch.float64
INIT = [1.0, 0.5, 2.0]
RULES = [
    (None, (None, None)),
    (Reweighted(0.7), ("reweighted", 0.7)),
    (Debiased(0.1), ("debiased", 0.1)),
    (TopK(3), ("top", 3)),
]
TOLERANCE = 1e-9  # relative; 1e-6 is asked for


def draw(*shape, seed=1):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=F64)


def dense(u, v, concentration, rule, kind, symmetric, negatives=None, tilt=0.0):
    u, v = F.normalize(u), F.normalize(v)
    concentration = concentration - tilt
    if negatives is None:
        logits = dense_logits(u, v, concentration, kind, symmetric)
    else:
        w = F.normalize(negatives, dim=-1)
        w = w.expand(len(u), *w.shape[-2:])
        logits = [-(concentration * (u[:, None] - w).square()).sum(-1)]
    return dense_rule_loss(u, v, concentration, rule, logits)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("chunk", [None, 2])  # in one piece, and in blocks
@pytest.mark.parametrize("scale", [1.0, 40.0])  # plain sums, and sums relative to the largest term
def test_three_orders_equal_the_dense_form(kind, symmetric, chunk, scale):
    u, v = (x.requires_grad_() for x in make_views(7, 3))
    init = [scale * x for x in INIT]
    loss = AnInfoNCE(3, init, negatives_from=kind, symmetric=symmetric, chunk_size=chunk).double()
    inputs = (u, v, loss.raw_concentration)
    found = derivatives(loss(u, v), inputs)
    wanted = derivatives(dense(u, v, loss.concentration, (None, None), kind, symmetric), inputs)
    for one, other in zip(found, wanted, strict=True):
        assert relative_error(one, other) < TOLERANCE


@pytest.mark.parametrize(("rule", "written"), RULES)
@pytest.mark.parametrize("shape", [None, (5, 3), (7, 5, 3)])
@pytest.mark.parametrize("chunk", [None, 2])
def test_rules_and_explicit_negatives(rule, written, shape, chunk):
    u, v = (x.requires_grad_() for x in make_views(7, 3))
    w = None if shape is None else draw(*shape).requires_grad_()
    loss = AnInfoNCE(3, INIT, negatives_from="both", chunk_size=chunk, hard_negatives=rule).double()
    inputs = [x for x in (u, v, loss.raw_concentration, w) if x is not None]
    found = derivatives(loss(u, v, negatives=w), inputs)
    wanted = derivatives(dense(u, v, loss.concentration, written, "both", True, w), inputs)
    for one, other in zip(found, wanted, strict=True):
        assert relative_error(one, other) < TOLERANCE


@pytest.mark.parametrize("shape", [(5, 3), (7, 5, 3)])
def test_tilted_negatives_and_corrections(shape):
    u, v = (x.requires_grad_() for x in make_views(7, 3))
    w, tilt = draw(*shape).requires_grad_(), [2.0, -0.5, 0.25]
    loss = AnInfoNCE(3, INIT, signed=True, hard_negatives=Tilted(tilt)).double()
    inputs = (u, v, w, loss.signed_concentration)
    expected = dense(u, v, loss.concentration, (None, None), "", False, w, tilt=torch.tensor(tilt, dtype=F64))
    for one, other in zip(derivatives(loss(u, v, w), inputs), derivatives(expected, inputs), strict=True):
        assert relative_error(one, other) < TOLERANCE
    log_q = (draw(7, seed=2), draw(7, 5, seed=3))
    loss = AnInfoNCE(3, INIT).double()
    a, b, c = F.normalize(u), F.normalize(v), F.normalize(w, dim=-1).expand(7, 5, 3)
    logits = -(loss.concentration * (a[:, None] - c).square()).sum(-1) - log_q[1]
    positive = -(loss.concentration * (a - b).square()).sum(-1) - log_q[0]
    expected = F.softplus(logits.logsumexp(1) - positive).mean()
    inputs = (u, v, w, loss.raw_concentration)
    for one, other in zip(derivatives(loss(u, v, w, log_q), inputs), derivatives(expected, inputs), strict=True):
        assert relative_error(one, other) < TOLERANCE


@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize("chunk", [None, 3])
def test_a_trainable_temperature_off_and_on_the_sphere(normalize, chunk):
    u, v = (x.requires_grad_() for x in make_views(7, 3))
    loss = InfoNCE(0.7, learnable=True, normalize=normalize, chunk_size=chunk).double()
    a, b = (F.normalize(u), F.normalize(v)) if normalize else (u, v)
    concentration = (0.5 / loss.temperature).expand(3)
    expected = dense_rule_loss(a, b, concentration, (None, None), dense_logits(a, b, concentration, "positives", True))
    inputs = (u, v, loss.log_temperature)
    for one, other in zip(derivatives(loss(u, v), inputs), derivatives(expected, inputs), strict=True):
        assert relative_error(one, other) < TOLERANCE


def test_ensembles():
    pairs = [tuple(x.requires_grad_() for x in make_views(7, 3, seed=seed)) for seed in (0, 1)]
    loss = AnInfoNCEEnsemble(3, 2, init=[INIT, INIT[::-1]], weights=[1.0, 3.0]).double()
    values = [dense(*pair, loss.concentration[k], (None, None), "positives", True) for k, pair in enumerate(pairs)]
    inputs = [*pairs[0], *pairs[1], *loss.parameters()]
    found, wanted = derivatives(loss(pairs), inputs), derivatives(values[0] / 4 + 3 * values[1] / 4, inputs)
    for one, other in zip(found, wanted, strict=True):
        assert relative_error(one, other) < TOLERANCE


def dense_lp(u, v, concentration, p, kind, negatives):
    def pairs(a, c):
        return -(concentration * whole_power(a[:, None] - c, p)).sum(-1)

    def one_way(a, b):
        positive = -(concentration * whole_power(a - b, p)).sum(-1)
        if negatives is not None:
            w = negatives.expand(len(a), *negatives.shape[-2:])
            s = -(concentration * whole_power(a[:, None] - w, p)).sum(-1)
        else:
            own = torch.eye(len(a), dtype=torch.bool)
            sources = {"positives": [b], "anchors": [a], "both": [a, b]}[kind]
            s = torch.cat([pairs(a, c).masked_fill(own, -torch.inf) for c in sources], 1)
        return F.softplus(s.logsumexp(1) - positive).mean()

    return one_way(u, v) if negatives is not None else (one_way(u, v) + one_way(v, u)) / 2


@pytest.mark.parametrize("p", [1.0, 1.5, 2.0, 2.5, 3.0, 4.0])
@pytest.mark.parametrize(("kind", "shape"), [*((kind, None) for kind in KINDS), ("both", (5, 3)), ("both", (6, 5, 3))])
def test_other_powers(p, kind, shape):
    u, v = (x.requires_grad_() for x in make_views(6, 3))
    if p != 1.5:  # where pairs coincide, too: there the power 2 alone bends
        v = torch.cat([u.detach()[:2], v.detach()[2:]]).requires_grad_()
    w = None if shape is None else draw(*shape).requires_grad_()
    loss = LpInfoNCE(p, 3, INIT, learnable=True, negatives_from=kind).double()
    inputs = [x for x in (u, v, loss.raw_concentration, w) if x is not None]
    orders = 2 if p == 2.5 else 3  # beyond, it is infinite where coordinates coincide
    found = derivatives(loss(u, v, negatives=w), inputs, orders)
    for one, other in zip(
        found, derivatives(dense_lp(u, v, loss.concentration, p, kind, w), inputs, orders), strict=True
    ):
        assert relative_error(one, other) < TOLERANCE


@pytest.mark.parametrize("explicit", [True, False])
def test_what_is_infinite_is_refused(explicit):
    u = make_views(6, 3)[0].requires_grad_()
    v = u.detach().clone()
    w = torch.cat([v[:2], draw(3, 3)]) if explicit else None
    (gradient,) = torch.autograd.grad(LpInfoNCE(1.5).double()(u, v, negatives=w), u, create_graph=True)
    with pytest.raises(RuntimeError, match="no second derivative where two coordinates coincide"):
        torch.autograd.grad(gradient.square().sum(), u)
    (gradient,) = torch.autograd.grad(AlignmentUniformity(1.0, normalize=False)(u, v), u, create_graph=True)
    with pytest.raises(RuntimeError, match="no second derivative where two embeddings coincide"):
        torch.autograd.grad(gradient.square().sum(), u)


@pytest.mark.parametrize("alpha", [1.0, 2.0, 2.5, 3.0, 4.0])
@pytest.mark.parametrize("normalize", [True, False])
def test_alignment_and_uniformity(alpha, normalize):
    u, v = (x.requires_grad_() for x in make_views(6, 3))
    if alpha >= 2:
        v = torch.cat([u.detach()[:2], v.detach()[2:]]).requires_grad_()
    a, b = (F.normalize(u), F.normalize(v)) if normalize else (u, v)
    squares = (a - b).square().sum(1)
    alignment = (squares if alpha == 2 else whole_power(squares, alpha / 2)).mean()
    own = torch.eye(6, dtype=torch.bool)
    uniformity = [pairwise(x, x, 1.5).masked_fill(own, -torch.inf).logsumexp((0, 1)) - math.log(30) for x in (a, b)]
    expected = alignment + 0.7 * sum(uniformity) / 2
    loss = AlignmentUniformity(alpha, 1.5, 0.7, normalize=normalize)
    found, wanted = derivatives(loss(u, v), (u, v), 2), derivatives(expected, (u, v), 2)
    for one, other in zip(found, wanted, strict=True):
        assert relative_error(one, other) < TOLERANCE


# The routes

LOSSES = [
    InfoNCE(0.5),
    InfoNCE(0.5, chunk_size=2, negatives_from="both"),
    AnInfoNCE(3, INIT, hard_negatives=Reweighted(0.7)),
    AnInfoNCE(3, INIT, hard_negatives=Debiased(0.1)),
    AnInfoNCE(3, INIT, hard_negatives=TopK(3)),
    LpInfoNCE(2.0),
    LpInfoNCE(1.5),
    AlignmentUniformity(),
]
LOSSES = [loss.double() for loss in LOSSES]
NAMES = [f"{number}-{type(loss).__name__}" for number, loss in enumerate(LOSSES)]
EACH = pytest.mark.parametrize("loss", LOSSES, ids=NAMES)


def hessian_by_differences(f, x, step=1e-5):
    """Of first derivatives, which other tests hold; central differences."""
    columns = []
    for k in range(x.numel()):
        shift = torch.zeros(x.numel(), dtype=F64)
        shift[k] = step
        sides = []
        for sign in (1, -1):
            y = (x + sign * shift.view_as(x)).requires_grad_()
            sides.append(torch.autograd.grad(f(y), y)[0].flatten())
        columns.append((sides[0] - sides[1]) / (2 * step))
    return torch.stack(columns)


@EACH
def test_every_route_gives_one_hessian(loss):
    x, v = make_views(5, 3)
    size = x.numel()

    def f(u):
        return loss(u, v)

    found = torch.autograd.functional.hessian(f, x).view(size, size)
    assert found.abs().max() > 1e-3
    if not isinstance(getattr(loss, "hard_negatives", None), Reweighted):  # whose gradient is that of no function
        torch.testing.assert_close(found, hessian_by_differences(f, x), rtol=1e-5, atol=1e-7)
    for route in (
        torch.func.hessian,
        lambda f: torch.func.jacrev(torch.func.jacrev(f)),
        lambda f: torch.func.jacfwd(torch.func.jacfwd(f)),
    ):
        torch.testing.assert_close(route(f)(x).view(size, size), found, rtol=1e-9, atol=1e-10)
    direction = draw(5, 3)
    for product in (torch.autograd.functional.hvp, torch.autograd.functional.vhp):
        torch.testing.assert_close(product(f, x, direction)[1].flatten(), found @ direction.flatten())


@EACH
def test_transforms_of_the_first_order(loss):
    u, v = (x.requires_grad_() for x in make_views(5, 3))
    value = loss(u, v)
    (gradient,) = torch.autograd.grad(value, u)
    x = u.detach()
    torch.testing.assert_close(torch.func.grad(loss)(x, v), gradient)
    result, pull = torch.func.vjp(lambda a: loss(a, v), x)
    torch.testing.assert_close(result, value)
    torch.testing.assert_close(pull(torch.tensor(3.0, dtype=F64))[0], 3 * gradient)
    direction = draw(5, 3)
    _, tangent = torch.func.jvp(lambda a: loss(a, v), (x,), (direction,))
    torch.testing.assert_close(tangent, (gradient * direction).sum())
    with forward_ad.dual_level():
        dual = loss(forward_ad.make_dual(x, direction), v.detach())
        torch.testing.assert_close(forward_ad.unpack_dual(dual).tangent, (gradient * direction).sum())
    torch.testing.assert_close(torch.autograd.functional.jvp(lambda a: loss(a, v), x, direction)[1], tangent.detach())


@EACH
def test_many_batches_at_once_or_refused(loss):
    several = torch.stack([make_views(5, 3, seed=seed)[0] for seed in range(3)])
    v = make_views(5, 3)[1]
    if isinstance(getattr(loss, "hard_negatives", None), TopK):  # how many anchors remain depends on the data
        with pytest.raises(RuntimeError, match="vmap"):
            torch.func.vmap(loss, (0, None))(several, v)
        return
    single = [loss(u, v) for u in several]
    torch.testing.assert_close(torch.func.vmap(loss, (0, None))(several, v), torch.stack(single))
    gradients = torch.func.vmap(torch.func.grad(loss), (0, None))(several, v)
    u = several[1].clone().requires_grad_()
    torch.testing.assert_close(gradients[1], torch.autograd.grad(loss(u, v), u)[0])


@EACH
def test_a_batch_of_gradients_is_refused(loss):
    u, v = (x.requires_grad_() for x in make_views(5, 3))
    with pytest.raises(RuntimeError, match="one gradient at a time"):
        torch.autograd.grad(loss(u, v), u, torch.ones(2, dtype=F64), is_grads_batched=True)
    with pytest.raises(RuntimeError, match="one gradient at a time"):
        torch.autograd.functional.hessian(lambda x: loss(x, v.detach()), u.detach(), vectorize=True)
    value = loss(u, v)
    with pytest.raises(RuntimeError, match="one gradient at a time"):
        torch.func.vmap(lambda g: torch.autograd.grad(value, u, g, retain_graph=True)[0])(torch.ones(2, dtype=F64))


@pytest.mark.parametrize("chunk", [None, 2])
def test_parameters_mixed_derivatives_and_functional_calls(chunk):
    u, v = make_views(6, 3)
    loss = AnInfoNCE(3, INIT, chunk_size=chunk).double()
    raw = loss.raw_concentration.detach()

    def value(raw, u):
        return torch.func.functional_call(loss, {"raw_concentration": raw}, (u, v))

    def expected(raw, u):
        return dense(u, v, raw.exp(), (None, None), "positives", True)

    blocks = torch.autograd.functional.hessian(value, (raw, u))
    wanted = torch.func.hessian(expected, argnums=(0, 1))(raw, u)
    by_transform = torch.func.hessian(value, argnums=(0, 1))(raw, u)
    for i in range(2):
        for j in range(2):
            torch.testing.assert_close(blocks[i][j], wanted[i][j], rtol=1e-8, atol=1e-12)
            torch.testing.assert_close(by_transform[i][j], wanted[i][j], rtol=1e-8, atol=1e-12)


@pytest.mark.parametrize("chunk", [None, 2])
def test_a_gradient_penalty_trains_a_network(chunk):
    """As WGAN-GP and MAML have it: the penalty's gradient by the weights, through `.backward()`."""
    x, y = make_views(6, 4)
    network = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 3)).double()
    loss = AnInfoNCE(3, INIT, chunk_size=chunk).double()
    found = []
    for contrast in (loss, lambda u, v: dense(u, v, loss.concentration, (None, None), "positives", True)):
        network.zero_grad()
        loss.zero_grad()
        a = x.clone().requires_grad_()
        value = contrast(network(a), network(y))
        (gradient,) = torch.autograd.grad(value, a, create_graph=True)
        (value + 10 * gradient.square().sum()).backward()
        inner = network[0].weight
        found.append([p.grad.clone() for p in (*network.parameters(), *loss.parameters())])
        step = torch.autograd.grad(contrast(network(a), network(y)), inner, create_graph=True)[0]
        adapted = F.linear(F.tanh(F.linear(y, inner - 0.1 * step)), network[2].weight)
        found[-1] += torch.autograd.grad(contrast(adapted, network(x)), inner)
    assert relative_error(*found) < TOLERANCE


@pytest.mark.parametrize("autocast", [True, False])
def test_single_precision(autocast):
    """Also called and differentiated under autocast, whose products would be coarse."""
    u, v = (x.float().requires_grad_() for x in make_views(40, 8))
    exact = [x.detach().double().requires_grad_() for x in (u, v)]
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
        found = derivatives(InfoNCE(0.2, chunk_size=7)(u, v), (u, v), 2)
    wanted = derivatives(InfoNCE(0.2).double()(*exact), exact, 2)
    assert relative_error(found[1], wanted[1]) < 2e-5


def test_the_first_derivative_is_the_same_number_either_way():
    for loss in LOSSES:
        u, v = (x.requires_grad_() for x in make_views(5, 3))
        value = loss(u, v)
        plain = torch.autograd.grad(value, (u, v), retain_graph=True)
        onward = torch.autograd.grad(value, (u, v), create_graph=True)
        for one, other in zip(plain, onward, strict=True):
            assert torch.equal(one, other)


class Largest(torch.utils._python_dispatch.TorchDispatchMode):
    """The number of entries of the largest tensor that any operation returns."""

    entries = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        for x in result if isinstance(result, (tuple, list)) else [result]:
            if isinstance(x, torch.Tensor):
                self.entries = max(self.entries, x.numel())
        return result


@pytest.mark.parametrize("rule", [None, Reweighted(0.5)])
def test_no_matrix_of_the_batch_is_held(rule):
    batch = 3 * CPU_CHUNK
    u, v = (x.requires_grad_() for x in make_views(batch, 2, dtype=torch.float32))
    with Largest() as largest:
        loss = AnInfoNCE(2, negatives_from="both", hard_negatives=rule)
        gradients = torch.autograd.grad(loss(u, v), (u, v, loss.raw_concentration), create_graph=True)
        torch.autograd.grad(sum(x.square().sum() for x in gradients), (u, v, loss.raw_concentration))
    assert CPU_CHUNK**2 <= largest.entries <= CPU_CHUNK**2 + batch


def test_memory_of_blocks_and_of_explicit_negatives_is_linear_at_the_third_order():
    peaks = []
    for batch in (64, 128):
        u, v = (x.requires_grad_() for x in make_views(batch, 2))
        w = draw(batch, 10, 2).requires_grad_()
        with Largest() as largest:
            derivatives(AnInfoNCE(2, chunk_size=8).double()(u, v), (u, v))
        blocks = largest.entries
        with Largest() as largest:
            derivatives(AnInfoNCE(2, chunk_size=8).double()(u, v, w), (u, v, w))
        peaks.append((blocks, largest.entries))
    assert peaks[1][0] <= 2 * peaks[0][0] < 64 * 64
    assert peaks[1][1] == 2 * peaks[0][1] == 128 * 10 * 2  # the negatives' own gradient
