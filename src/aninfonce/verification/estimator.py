"""The estimate of the anisotropy of a frozen embedding, its standard errors, tests and intervals."""

from __future__ import annotations

import math

import numpy as np
import torch
from scipy.stats import chi2, kstest
from scipy.stats import f as fisher
from torch import Tensor

from aninfonce import metrics
from aninfonce.verification._check import Measurement, Statement, equal, quiet, rings, seldom
from aninfonce.verification._oracle import Draws, concentrations, objective

__all__ = ["STATEMENTS"]

SECTION = "estimator"
SPREAD = concentrations(20.0, 10.0, 5.0)
ROWS = 2000
NEGATIVES = 8
REPLICATES = 60
WRONG = 8  # replicates of a wrong model
LARGE = 20_000
COVERED = (((100.0, 50.0, 10.0), 540, 16), ((3.0, 1.0), 100, 2))  # Λ, pairs and M; about 50 and 25 wrong anchors
INTERVALS = 400  # of each; standard errors too small by a factor of 1.3 would miss 60 times instead of 20
FEWEST_INTERVALS = 100
MISSES = 0.06  # of the intervals, at most: in samples this small 95 % is an approximation


def _estimates(draws: Draws, concentration: Tensor, replicates: int) -> list[metrics.Anisotropy]:
    pairs = (draws.pairs(ROWS, concentration) for _ in range(replicates))
    return [metrics.anisotropy(u, v, negatives=NEGATIVES, seed=draws.seed()) for u, v in pairs]


def estimate(draws: Draws) -> list[Measurement]:
    """Λ̂ of `metrics.anisotropy`, held against its own standard error."""
    rows = []
    for negatives in (1, 16):
        found = metrics.anisotropy(*draws.pairs(draws.size(LARGE), SPREAD), negatives=negatives, seed=draws.seed())
        groups = found.n // (negatives + 1)
        rows.append(equal(f"Λ̂, M = {negatives}", found.concentration, SPREAD, found.standard_error, dof=groups - 1))
    return rows


def calibration(draws: Draws) -> list[Measurement]:
    """Hotelling's T² of Λ̂ - Λ over replicates, as a p-value of each, is uniform."""
    rows = []
    for name, spectrum in (("(20, 10, 5)", SPREAD), ("(5, 5, 5)", torch.full_like(SPREAD, 5.0))):
        p_values = []
        for found in _estimates(draws, spectrum, draws.size(REPLICATES, 30)):
            groups, dim = found.n // (NEGATIVES + 1), len(spectrum)
            error = found.concentration - spectrum.numpy()
            t2 = float(error @ np.linalg.solve(found.covariance, error))
            p_values.append(float(fisher.sf(t2 * (groups - dim) / (dim * (groups - 1)), dim, groups - dim)))
        rows.append(quiet(f"T² of Λ̂ is F-distributed, Λ = {name}", float(kstest(p_values, "uniform").pvalue)))
    return rows


def information(draws: Draws) -> list[Measurement]:
    """Under the model H = S: the batches' scores, each a sum of n, have the covariance nH."""
    size = 400
    batches = draws.explicit(size, 16, SPREAD)
    value = objective(3)
    at = SPREAD.clone().requires_grad_()
    scores = torch.stack([torch.autograd.grad(value(at, batch), at)[0] for batch in batches])
    squares = [_score_variance(batch.u, batch.v, batch.negatives, SPREAD) for batch in batches]
    hessian = torch.stack(squares).mean(0)
    statistic = size * float((scores @ torch.linalg.inv(hessian) * scores).sum())
    dof = len(SPREAD) * len(batches)
    p_value = 2 * min(chi2.sf(statistic, dof), chi2.cdf(statistic, dof))
    return [quiet("n Σ gᵀH⁻¹g of independent batches is χ²", float(p_value))]


def _score_variance(u: Tensor, v: Tensor, negatives: Tensor | None, concentration: Tensor) -> Tensor:
    """E Cov_π(δ²), the Hessian, written out, shape (dim, dim)."""
    assert negatives is not None
    squares = (u[:, None] - torch.cat([v[:, None], negatives], 1)) ** 2
    pi = torch.softmax(-(squares @ concentration), 1)[..., None]
    squares = squares - (pi * squares).sum(1, keepdim=True)
    return torch.einsum("nci,ncj->ij", pi * squares, squares) / len(u)


def true_model(draws: Draws) -> list[Measurement]:
    """Both specification tests over replicates."""
    found = _estimates(draws, SPREAD, draws.size(REPLICATES, 30))
    return [quiet(f"{name} is uniform", float(kstest(values, "uniform").pvalue)) for name, values in _tests(found)]


def _tests(found: list[metrics.Anisotropy]) -> list[tuple[str, list[float]]]:
    return [
        ("information matrix test", [result.information_matrix.p_value for result in found]),
        ("cross-terms test", [result.cross_terms.p_value for result in found]),
    ]


def wrong_models(draws: Draws) -> list[Measurement]:
    """Heavier tails and a Λ that depends on the anchor for the one test, a rotated embedding for the other."""
    heavy, moving, turned = [], [], []
    for _ in range(WRONG):
        u = draws.uniform(2 * ROWS, dim=3)
        narrow = torch.rand(len(u), 1, generator=draws.generator) < 0.5
        v = draws.positives(u, torch.where(narrow, 4.0, 0.25) * SPREAD)
        heavy.append(metrics.anisotropy(u, v).information_matrix.p_value)
        v = draws.positives(u, torch.where(u[:, :1] > 0, 3.0, 1 / 3) * SPREAD)
        moving.append(metrics.anisotropy(u, v).information_matrix.p_value)
        turn = torch.linalg.qr(torch.randn(3, 3, dtype=u.dtype, generator=draws.generator)).Q
        u, v = draws.pairs(ROWS, SPREAD)
        turned.append(metrics.anisotropy(u @ turn, v @ turn).cross_terms.p_value)
    return [
        rings("information matrix test, heavy tails", heavy),
        rings("information matrix test, Λ depends on z", moving),
        rings("cross-terms test, rotated embedding", turned),
    ]


def coverage(draws: Draws) -> list[Measurement]:
    """Intervals at 95 % miss Λ and its summaries no more often than `MISSES`, with few wrong anchors and with fewer."""
    rows = []
    for concentration, pairs, negatives in COVERED:
        spectrum = concentrations(*concentration)
        estimates = [
            metrics.anisotropy(*draws.pairs(pairs, spectrum), negatives=negatives, seed=draws.seed())
            for _ in range(draws.size(INTERVALS, FEWEST_INTERVALS))
        ]
        where = f"Λ = ({', '.join(f'{value:g}' for value in concentration)}), {pairs} pairs"
        for name, truth in _summaries(spectrum).items():
            intervals = [getattr(found, name) for found in estimates]
            defined = [one for one in intervals if not math.isnan(one.low)]
            missed = sum(not one.low <= truth <= one.high for one in defined)
            rows.append(seldom(f"intervals miss the {name.replace('_', ' ')}, {where}", missed, len(defined), MISSES))
        undefined = sum(math.isnan(found.ratio.low) for found in estimates)
        rows.append(seldom(f"have no interval, {where}", undefined, len(estimates), MISSES))
        outside = [(found.low > spectrum.numpy()) | (found.high < spectrum.numpy()) for found in estimates]
        for k, missed in enumerate(np.sum(outside, axis=0)):
            rows.append(seldom(f"intervals miss Λ_{k + 1}, {where}", int(missed), len(estimates), MISSES))
    return rows


def _summaries(spectrum: Tensor) -> dict[str, float]:
    share = spectrum / spectrum.sum()
    return {
        "ratio": float(spectrum.max() / spectrum.min()),
        "participation": 1 / float((share**2).sum()),
        "effective_dimensions": math.exp(-float((share * share.log()).sum())),
    }


STATEMENTS = (
    Statement(
        "estimate", SECTION, "The maximum likelihood estimate of a frozen embedding's Λ is Λ, for every M", estimate
    ),
    Statement("calibration", SECTION, "Its sandwich standard errors are calibrated", calibration),
    Statement(
        "information", SECTION, "Under the model the Hessian is the covariance of the scores, H = S", information
    ),
    Statement("true-model", SECTION, "The specification tests keep quiet under the model", true_model),
    Statement("wrong-models", SECTION, "They ring under a wrong one", wrong_models),
    Statement("coverage", SECTION, "The intervals of Λ̂ and of its summaries cover the truth", coverage),
)
