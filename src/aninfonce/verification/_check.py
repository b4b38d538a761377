"""A statement of the theory, what was measured of it, and the rule by which it holds or fails."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from scipy.stats import binom, norm
from scipy.stats import t as student
from torch import Tensor

from aninfonce._checks import nearest_name

if TYPE_CHECKING:
    from aninfonce.verification._oracle import Draws

__all__ = [
    "COMPARISONS",
    "FAMILY_WISE",
    "LEVEL",
    "Measurement",
    "Statement",
    "above",
    "below",
    "equal",
    "quiet",
    "rings",
    "seldom",
]

FAMILY_WISE = 1e-3  # probability that a run in which every statement is true reports a failure
COMPARISONS = 250  # numbers compared in one run, at most
LEVEL = FAMILY_WISE / COMPARISONS  # of a single comparison (Bonferroni)

NOMINAL = 0.05  # level of the single tests that `quiet` and `rings` count the rejections of

Numbers = float | Sequence[float] | npt.NDArray[np.float64] | Tensor


@dataclass(frozen=True)
class Measurement:
    """One row of the table: numbers that belong together, each held against its prediction.

    Every number is one comparison at `LEVEL`, so that by Bonferroni's inequality a run of at most `COMPARISONS` of
    them raises a false alarm with probability `FAMILY_WISE` at most.

        "="   holds if |measured - predicted| ≤ q · standard error + allowance, q the two-sided quantile at `LEVEL`
        ">"   holds if measured - predicted > q · standard error: the excess is significant, not just not refuted
        "<"   the mirror image

    A true "=" fails by chance with probability `LEVEL`. A true ">" or "<" with an effect of e standard errors fails
    with the probability of a deviation beyond e - q; the sample sizes are chosen so that e is about 2q or more.
    A number that is not finite fails.

    Arguments:
        what: the quantity.
        predicted, measured, standard_error: of the same length; a standard error of 0 stands for no sampling error.
        relation: "=", ">" or "<".
        allowance: absolute bias that is allowed, of the same length: rounding, or what the statement neglects.
        dof: degrees of freedom of the standard error; infinite: the normal quantile, else Student's.

    Raises:
        ValueError: if the lengths differ, a standard error or allowance is negative, or the relation is unknown.
    """

    what: str
    predicted: tuple[float, ...]
    measured: tuple[float, ...]
    standard_error: tuple[float, ...]
    relation: str
    allowance: tuple[float, ...]
    dof: float = math.inf

    def __post_init__(self) -> None:
        nearest_name("relation", self.relation, ("=", ">", "<"))
        lengths = {len(x) for x in (self.predicted, self.measured, self.standard_error, self.allowance)}
        if len(lengths) != 1:
            raise ValueError(f"all tuples of a measurement must have one length, got {sorted(lengths)}")
        if min(*self.standard_error, *self.allowance) < 0:
            raise ValueError("standard errors and allowances must be at least 0")

    @property
    def quantile(self) -> float:
        """q, in standard errors."""
        law = norm if math.isinf(self.dof) else student(self.dof)
        return float(law.isf(LEVEL / 2))

    @property
    def comparisons(self) -> int:
        """How many numbers are compared."""
        return len(self.measured)

    @property
    def holds(self) -> bool:
        """The verdict: whether every number is as predicted."""
        return all(map(self._holds, self.predicted, self.measured, self.standard_error, self.allowance))

    def _holds(self, predicted: float, measured: float, standard_error: float, allowance: float) -> bool:
        excess, reach = measured - predicted, self.quantile * standard_error
        if self.relation == "=":
            return abs(excess) <= reach + allowance  # false for NaN, too
        return math.isfinite(excess) and (excess if self.relation == ">" else -excess) > reach


def _tuple(x: Numbers, like: int = 1) -> tuple[float, ...]:
    values = tuple(float(value) for value in np.atleast_1d(np.asarray(x, dtype=np.float64)))
    return values * like if len(values) == 1 else values


def _measurement(
    relation: str,
    what: str,
    measured: Numbers,
    predicted: Numbers,
    standard_error: Numbers,
    allowance: Numbers,
    dof: float,
) -> Measurement:
    count = len(_tuple(measured))
    return Measurement(
        what,
        _tuple(predicted, count),
        _tuple(measured, count),
        _tuple(standard_error, count),
        relation,
        _tuple(allowance, count),
        dof,
    )


def equal(
    what: str,
    measured: Numbers,
    predicted: Numbers,
    standard_error: Numbers = 0.0,
    *,
    allowance: Numbers = 0.0,
    dof: float = math.inf,
) -> Measurement:
    """The measured numbers are the predicted ones, up to noise and the allowance; single numbers are repeated."""
    return _measurement("=", what, measured, predicted, standard_error, allowance, dof)


def above(
    what: str, measured: Numbers, predicted: Numbers, standard_error: Numbers = 0.0, *, dof: float = math.inf
) -> Measurement:
    """The measured numbers are larger than the predicted ones, beyond noise."""
    return _measurement(">", what, measured, predicted, standard_error, 0.0, dof)


def below(
    what: str, measured: Numbers, predicted: Numbers, standard_error: Numbers = 0.0, *, dof: float = math.inf
) -> Measurement:
    """The measured numbers are smaller than the predicted ones, beyond noise."""
    return _measurement("<", what, measured, predicted, standard_error, 0.0, dof)


def quiet(what: str, p_values: Numbers) -> Measurement:
    """A test does not reject: its p-value, or for several independent ones that of how many are below 5 %."""
    return above(f"p-value: {what}", _together(p_values), LEVEL)


def rings(what: str, p_values: Numbers) -> Measurement:
    """A test rejects, at the level of this run: its p-value, or that of how many of several are below 5 %."""
    return below(f"p-value: {what}", _together(p_values), LEVEL)


def seldom(what: str, count: int, trials: int, probability: float) -> Measurement:
    """Something happens with a probability of at most so much: the p-value of its count, P(Binomial ≥ count).

    Few trials cannot tell: take enough that the smallest fault of interest lies beyond the quantile at `LEVEL`.
    No trials at all say nothing, which fails.
    """
    p_value = float(binom.sf(count - 1, trials, probability)) if trials else math.nan
    return above(f"p-value: {count} of {trials} {what}", p_value, LEVEL)


def _together(p_values: Numbers) -> float:
    """One p-value from several: P(Binomial(n, 5 %) ≥ the rejections). A permutation test has no small ones itself."""
    values = np.array(_tuple(p_values))
    if len(values) == 1:
        return float(values[0])
    return float(binom.sf((values <= NOMINAL).sum() - 1, len(values), NOMINAL))


@dataclass(frozen=True)
class Statement:
    """A sentence of the theory and how it is measured.

    Attributes:
        name: short, for selecting it.
        section: what it is about; a key of `SECTIONS`.
        text: the sentence.
        check: measures it, from `Draws` that hold the randomness and the sample sizes.
    """

    name: str
    section: str
    text: str
    check: Callable[[Draws], list[Measurement]]
