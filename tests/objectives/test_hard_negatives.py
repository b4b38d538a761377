"""The rules for harder negatives: against loops, and against what theory says about their optimum."""

import math

import pytest
import torch
from loss_reference import dense_logits, make_views
from torch.nn import functional as F

from aninfonce import AnInfoNCE, AnisotropicSpherical, HypersphericalUniform, InfoNCE
from aninfonce.objectives import Debiased, Reweighted, Tilted, TopK

CONCENTRATION = AnInfoNCE(4, [4.0, 2.0, 1.0, 0.5]).double().concentration.detach()  # with its rounding
KINDS = ["positives", "anchors", "both"]


def views():
    """Leaves for the gradients, and their projections onto the sphere."""
    leaves = tuple(x.requires_grad_() for x in make_views(batch=9))
    return leaves, *(F.normalize(x) for x in leaves)


def objective(rule, **options):
    return AnInfoNCE(4, CONCENTRATION, hard_negatives=rule, **options).double()


def positives(u, v):
    return -(CONCENTRATION * (u - v).square()).sum(-1)


def assert_same(loss, expected, inputs):
    torch.testing.assert_close(loss, expected, rtol=1e-7, atol=1e-9)
    for got, wanted in zip(torch.autograd.grad(loss, inputs), torch.autograd.grad(expected, inputs), strict=True):
        torch.testing.assert_close(got, wanted, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("negatives_from", KINDS)
@pytest.mark.parametrize("beta", [0.0, 0.5, 2.0])
def test_reweighting_equals_explicit_detached_weights(negatives_from, beta):
    leaves, u, v = views()
    expected = []
    for s in dense_logits(u, v, CONCENTRATION, negatives_from, True):
        count = s.isfinite().sum(1, keepdim=True)
        weights = count * (beta * s.clamp_min(-1e9)).masked_fill(s.isinf(), -torch.inf).softmax(1).detach()
        expected.append(torch.log1p((weights * s.exp()).sum(1) * torch.exp(-positives(u, v))).mean())
    loss = objective(Reweighted(beta), negatives_from=negatives_from)(*leaves)
    assert_same(loss, sum(expected) / 2, leaves)


@pytest.mark.parametrize("negatives_from", KINDS)
@pytest.mark.parametrize("prior", [0.0, 0.1, 0.9])
def test_debiasing_equals_its_formula(negatives_from, prior):
    leaves, u, v = views()
    expected = []
    for s in dense_logits(u, v, CONCENTRATION, negatives_from, True):
        count = s.isfinite().sum(1)
        estimate = (s.exp().sum(1) / count - prior * positives(u, v).exp()) / (1 - prior)
        estimate = estimate.clamp_min(math.exp(-4 * CONCENTRATION.max()))
        expected.append(torch.log1p(count * estimate * torch.exp(-positives(u, v))).mean())
    loss = objective(Debiased(prior), negatives_from=negatives_from)(*leaves)
    assert_same(loss, sum(expected) / 2, leaves)


@pytest.mark.parametrize("negatives_from", KINDS)
@pytest.mark.parametrize("k", [1, 3, 100])
def test_top_k_equals_a_loop_over_sorted_candidates(negatives_from, k):
    leaves, u, v = views()
    means = []
    for s in dense_logits(u, v, CONCENTRATION, negatives_from, True):
        p, losses = positives(u, v), []
        for i in range(len(u)):
            negatives = s[i][s[i].isfinite()]
            candidates = torch.cat([p[i : i + 1], negatives])
            kept = candidates.argsort(descending=True)[: k + 1]
            if 0 in kept.tolist():
                losses.append(candidates[kept].logsumexp(0) - p[i])
        means.append(torch.stack(losses).mean())
    loss = objective(TopK(k), negatives_from=negatives_from)(*leaves)
    assert_same(loss, sum(means) / 2, leaves)


def test_top_k_of_explicit_negatives_does_not_depend_on_how_they_are_passed():
    _, u, v = views()
    w = F.normalize(torch.randn(20, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64))
    loss = objective(TopK(3))
    shared = loss(u, v, negatives=w)
    assert shared.item() == pytest.approx(loss(u, v, negatives=w.expand(9, 20, 4)).item(), rel=1e-12)
    assert shared.item() != pytest.approx(objective(None)(u, v, negatives=w).item(), rel=1e-3)


def test_a_batch_without_any_anchor_left_has_the_loss_zero():
    u = torch.eye(3).requires_grad_()
    loss = InfoNCE(hard_negatives=TopK(1), symmetric=False)(u, -torch.eye(3))  # every positive is the farthest
    assert loss.item() == 0
    (gradient,) = torch.autograd.grad(loss, u)
    assert gradient.abs().max() == 0


def oracle_fit(rule=None, *, sampler=None, log_q=False, n=20_000, m=16, true=(10.0, 5.0, 2.0), seed=0, **options):
    """Λ̂ that minimises the loss with the latents themselves as embeddings and given negatives."""
    rng = torch.Generator().manual_seed(seed)
    true = torch.tensor(true, dtype=torch.float64)
    z = HypersphericalUniform(len(true)).sample((n,), generator=rng).double()
    positive = AnisotropicSpherical(z, true).sample(generator=rng)
    correction = None
    if sampler is None:
        negatives = HypersphericalUniform(len(true)).sample((n, m), generator=rng).double()
    else:
        tilt = torch.tensor(sampler, dtype=torch.float64)
        negatives = AnisotropicSpherical(z, tilt).sample((m,), generator=rng).transpose(0, 1).contiguous()
        if log_q:

            def log_density(c, anchor):  # relative to the uniform law, up to a constant of the anchor
                return -(tilt * (c - anchor).square()).sum(-1)

            correction = (log_density(positive, z), log_density(negatives, z[:, None]))
    loss = AnInfoNCE(len(true), 3.0, hard_negatives=rule, signed=True, **options).double()

    def closure():
        optimizer.zero_grad()
        value = loss(z, positive, negatives=negatives, log_q=correction)
        value.backward()
        return value

    if isinstance(rule, (Reweighted, TopK)):
        # At fixed weights the "gradient" is that of no function, and a choice jumps: both rule out a line search.
        optimizer = torch.optim.Adam(loss.parameters(), lr=0.3)
        schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.01, total_iters=100)
        for _ in range(100):
            optimizer.step(closure)
            schedule.step()
    else:
        optimizer = torch.optim.LBFGS(loss.parameters(), max_iter=40, line_search_fn="strong_wolfe")
        optimizer.step(closure)
    return loss, loss.concentration.detach()


TRUE = torch.tensor([10.0, 5.0, 2.0], dtype=torch.float64)


def test_tilted_negatives_shift_the_optimum_and_both_corrections_undo_it():
    tilt = [4.0, 5.0, 4.0]
    _, shifted = oracle_fit(sampler=tilt)
    torch.testing.assert_close(shifted, TRUE - torch.tensor(tilt).double(), rtol=0, atol=0.3)
    _, by_rule = oracle_fit(Tilted(tilt), sampler=tilt)
    torch.testing.assert_close(by_rule, TRUE, rtol=0, atol=0.3)
    _, by_density = oracle_fit(sampler=tilt, log_q=True)
    torch.testing.assert_close(by_density, TRUE, rtol=0, atol=0.3)
    torch.testing.assert_close(by_density, by_rule, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("beta", [0.5, 1.0])
def test_reweighting_divides_the_optimum(beta):
    loss, raw = oracle_fit(Reweighted(beta), m=128, n=4000)
    torch.testing.assert_close(raw, TRUE / (1 + beta), rtol=0.08, atol=0)
    torch.testing.assert_close(loss.corrected_concentration.detach(), (1 + beta) * raw)


def test_consistent_top_k_keeps_the_optimum():
    _, kept = oracle_fit(TopK(4), m=32)
    torch.testing.assert_close(kept, TRUE, rtol=0.08, atol=0)


def test_debiasing_moves_the_optimum_up():
    _, plain = oracle_fit(m=128, n=4000)
    _, debiased = oracle_fit(Debiased(0.02), m=128, n=4000)
    torch.testing.assert_close(plain, TRUE, rtol=0.08, atol=0)
    assert (debiased > 1.02 * plain).all()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Reweighted(-0.1), "beta must be at least 0"),
        (lambda: Reweighted(math.nan), "beta must be at least 0"),
        (lambda: TopK(0), "k must be at least 1"),
        (lambda: Debiased(1.0), r"\[0, 1\)"),
        (lambda: Tilted(torch.ones(1, 1)), r"shape \(dim,\)"),
        (lambda: Tilted([math.inf]), "must be finite"),
        (lambda: InfoNCE(hard_negatives=Tilted([1.0]))(torch.eye(3), torch.eye(3)), "come from a sampler"),
        (
            lambda: InfoNCE(hard_negatives=Tilted([1.0]))(torch.eye(3), torch.eye(3), negatives=torch.eye(3)),
            r"must have shape \(3,\)",
        ),
        (lambda: InfoNCE(normalize=False, hard_negatives=Debiased(0.1))(torch.eye(3), torch.eye(3)), "normalize=True"),
        (lambda: InfoNCE()(torch.eye(3), torch.eye(3), log_q=(torch.ones(3), torch.ones(3))), "pass them as negatives"),
        (
            lambda: InfoNCE()(torch.eye(3), torch.eye(3), torch.eye(3)[:2], (torch.ones(3), torch.ones(3))),
            r"\(3,\) and \(2,\) or \(3, 2\), got \(3,\) and \(3,\)",
        ),
        (lambda: InfoNCE(chunk_size=0), "chunk_size must be at least 1"),
    ],
)
def test_bad_arguments_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
