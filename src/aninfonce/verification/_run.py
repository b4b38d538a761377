"""Run the statements one by one."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from aninfonce._checks import nearest_name
from aninfonce.verification import assumptions, ensembles, estimator, hard_negatives, loss, sampler
from aninfonce.verification._check import FAMILY_WISE, LEVEL, Measurement, Statement
from aninfonce.verification._oracle import Draws

__all__ = ["SECTIONS", "STATEMENTS", "Finding", "as_json", "run", "select"]

QUICK = 0.25  # sample sizes as a fraction of the full ones

SECTIONS: Mapping[str, str] = {
    "sampler": "The exact sampler of the anisotropic conditional",
    "loss": "What the loss identifies",
    "hard-negatives": "Hard negatives",
    "ensembles": "Ensembles of losses",
    "estimator": "The estimate of the anisotropy",
    "assumptions": "Tests of the assumptions",
}

STATEMENTS: Mapping[str, Statement] = {
    statement.name: statement
    for module in (sampler, loss, hard_negatives, ensembles, estimator, assumptions)
    for statement in module.STATEMENTS
}


@dataclass(frozen=True)
class Finding:
    """What became of a statement.

    Attributes:
        statement: what was checked.
        measurements: the rows of the table.
        seconds: wall clock.
        error: why it could not be measured, if so.
    """

    statement: Statement
    measurements: tuple[Measurement, ...]
    seconds: float
    error: str | None = None

    @property
    def holds(self) -> bool:
        """Whether it was measured and every measurement is as predicted."""
        return self.error is None and all(measurement.holds for measurement in self.measurements)


def select(names: Sequence[str] = ()) -> list[Statement]:
    """The statements of these names, or all.

    Raises:
        ValueError: if a name is unknown (names the nearest).
    """
    return [STATEMENTS[nearest_name("statement", name, STATEMENTS)] for name in names or STATEMENTS]


def run(seed: int = 0, *, quick: bool = False, statements: Sequence[str] = ()) -> Iterator[Finding]:
    """Check the statements, and yield what was found one by one.

    A statement's random numbers depend on the seed and its name only.

    Arguments:
        seed: the seed of everything.
        quick: a quarter of the sample sizes.
        statements: names of those to check; all if there are none.

    Yields:
        A `Finding` for each statement.

    Raises:
        ValueError: if a name is unknown (names the nearest).
    """
    for statement in select(statements):
        started = time.perf_counter()
        error, found = None, []
        try:
            found = statement.check(Draws.of(seed, statement.name, QUICK if quick else 1.0))
        except (ArithmeticError, ValueError) as reason:  # a fit without a solution refutes the statement, no more
            error = str(reason)
        yield Finding(statement, tuple(found), time.perf_counter() - started, error)


def as_json(findings: Sequence[Finding]) -> dict[str, Any]:
    """The findings as `results.json` holds them: `metrics` (flat) and `rows`, one for each measurement."""
    rows = []
    for finding in findings:
        statement = finding.statement
        head = {"section": SECTIONS[statement.section], "name": statement.name, "statement": statement.text}
        if finding.error is not None:
            rows.append({**head, "error": finding.error, "holds": False})
        rows += [{**head, **asdict(m), "quantile": m.quantile, "holds": m.holds} for m in finding.measurements]
    return {
        "rows": rows,
        "level": LEVEL,
        "family_wise": FAMILY_WISE,
        "metrics": {
            "statements": len(findings),
            "failed": sum(not finding.holds for finding in findings),
            "comparisons": sum(m.comparisons for finding in findings for m in finding.measurements),
            **{f"{finding.statement.name}/holds": float(finding.holds) for finding in findings},
            **{f"{finding.statement.name}/seconds": finding.seconds for finding in findings},
        },
    }
