"""The losses written out twice, apart from the library: in NumPy, one pair at a time, and densely under autograd."""

import math

import numpy as np
import torch
from torch.nn import functional as F

KINDS = ["positives", "anchors", "both"]


def make_views(batch=12, dim=4, noise=0.3, seed=0, dtype=torch.float64):
    rng = torch.Generator().manual_seed(seed)
    u = torch.randn(batch, dim, generator=rng, dtype=dtype)
    return u, u + noise * torch.randn(batch, dim, generator=rng, dtype=dtype)


def unit(x):
    return F.normalize(x, dim=-1).numpy()


def loop_loss(u, v, concentration, negatives_from, symmetric, explicit=None, exponent=2):
    """Equation 4 of the paper, one pair at a time, in NumPy float64; for an L^p similarity with another exponent."""

    def similarity(a, c):
        return -float(np.sum(concentration * np.abs(a - c) ** exponent))

    def one_way(anchors, positives):
        losses = []
        for i in range(len(anchors)):
            others = []
            if explicit is not None:
                others = list(explicit[i] if explicit.ndim == 3 else explicit)
            else:
                for j in range(len(anchors)):
                    if j != i and negatives_from in ("positives", "both"):
                        others.append(positives[j])
                    if j != i and negatives_from in ("anchors", "both"):
                        others.append(anchors[j])
            e = math.exp(similarity(anchors[i], positives[i]))
            losses.append(-math.log(e / (e + sum(math.exp(similarity(anchors[i], c)) for c in others))))
        return sum(losses) / len(losses)

    return (one_way(u, v) + one_way(v, u)) / 2 if symmetric else one_way(u, v)


def pairwise(a, c, concentration):
    return -(concentration * (a[:, None] - c[None]).square()).sum(-1)


def dense_logits(u, v, concentration, negatives_from, symmetric):
    """All negatives' similarities, one matrix a direction, the own ones at -inf."""
    own = torch.eye(len(u), dtype=torch.bool)

    def one_way(anchors, positives):
        sources = {"positives": [positives], "anchors": [anchors], "both": [positives, anchors]}[negatives_from]
        return torch.cat([pairwise(anchors, c, concentration).masked_fill(own, -torch.inf) for c in sources], 1)

    return [one_way(u, v), one_way(v, u)] if symmetric else [one_way(u, v)]


def dense_loss(u, v, concentration, negatives_from, symmetric):
    positive = -(concentration * (u - v).square()).sum(-1)
    logits = dense_logits(u, v, concentration, negatives_from, symmetric)
    return sum(F.softplus(s.logsumexp(1) - positive).mean() for s in logits) / len(logits)


def whole_power(difference, exponent):
    """|d|^p, whose derivatives of zero are those of the limit, where there is one."""
    if exponent % 2 == 0:
        return difference ** int(exponent)
    same = difference == 0
    return torch.where(same, 0.0, torch.where(same, 1.0, difference).abs() ** exponent)


def dense_rule_loss(u, v, concentration, rule, logits):
    """The loss under a rule, (name, number), written out for each direction of the logits (-inf: no negative)."""
    name, number = rule
    positive = -(concentration * (u - v).square()).sum(-1)
    means = []
    for s in logits:
        count = s.isfinite().sum(1)
        if name == "reweighted":
            weights = (number * s.detach()).masked_fill(s.isinf(), -torch.inf).softmax(1) * count[:, None]
            means.append(torch.log1p((weights * s.exp()).sum(1) * torch.exp(-positive)).mean())
        elif name == "debiased":
            estimate = (s.exp().sum(1) / count - number * positive.exp()) / (1 - number)
            estimate = torch.maximum(estimate, torch.exp(-4 * concentration.max()))
            means.append(torch.log1p(count * estimate * torch.exp(-positive)).mean())
        elif name == "top":
            largest = s.topk(min(number + 1, s.shape[1]), 1).values
            kept = positive >= largest[:, number] if s.shape[1] > number else torch.ones_like(count, dtype=torch.bool)
            means.append(F.softplus(largest[kept, :number].logsumexp(1) - positive[kept]).mean())
        else:
            means.append(F.softplus(s.logsumexp(1) - positive).mean())
    return sum(means) / len(means)


def derivatives(value, inputs, orders=3):
    """Of a scalar: its gradient, that of a penalty on the gradient, and so on; each of all inputs."""
    found = []
    for order in range(orders):
        found.append(torch.autograd.grad(value, inputs, create_graph=order < orders - 1))
        value = sum((x.square() * (1 + torch.arange(x.numel()).view(x.shape))).sum() for x in found[-1])
    return found


def relative_error(found, wanted):
    """The largest error of some tensors, relative to the largest entry of each."""
    return max(((x - y).abs().max() / y.abs().max()).item() for x, y in zip(found, wanted, strict=True))
