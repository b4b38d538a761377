"""Every statement of the theory as a numerical check, with an encoder that has nothing left to learn.

References:
    Rusak et al., "InfoNCE: Identifying the Gap Between Theory and Practice", arXiv 2407.00143. What is not in it was
    derived for this library, and stands or falls with these checks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aninfonce._lazy import lazily

if TYPE_CHECKING:
    from aninfonce.verification._check import COMPARISONS, FAMILY_WISE, LEVEL, Measurement, Statement
    from aninfonce.verification._run import SECTIONS, STATEMENTS, Finding, as_json, run, select

lazily(
    __name__,
    {
        "_check": ["COMPARISONS", "FAMILY_WISE", "LEVEL", "Measurement", "Statement"],
        "_run": ["SECTIONS", "STATEMENTS", "Finding", "as_json", "run", "select"],
    },
)

__all__ = [
    "COMPARISONS",
    "FAMILY_WISE",
    "LEVEL",
    "SECTIONS",
    "STATEMENTS",
    "Finding",
    "Measurement",
    "Statement",
    "as_json",
    "run",
    "select",
]
