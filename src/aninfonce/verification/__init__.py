"""Every statement of the theory as a numerical check, with an encoder that has nothing left to learn.

References:
    Rusak et al., "InfoNCE: Identifying the Gap Between Theory and Practice", arXiv 2407.00143. What is not in it was
    derived for this library, and stands or falls with these checks.
"""

from aninfonce.verification._check import COMPARISONS, FAMILY_WISE, LEVEL, Measurement, Statement
from aninfonce.verification._run import SECTIONS, STATEMENTS, Finding, as_json, run, select

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
