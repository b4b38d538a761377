"""Tables for the screen and figures for print, from the content of `results.json`; nothing is measured here."""

from aninfonce.report.pairs import pairs_figure
from aninfonce.report.study import study_figure, study_table
from aninfonce.report.training import compare_figure, compare_table, summarize, training_figure, training_table
from aninfonce.report.verification import verification_table

__all__ = [
    "compare_figure",
    "compare_table",
    "pairs_figure",
    "study_figure",
    "study_table",
    "summarize",
    "training_figure",
    "training_table",
    "verification_table",
]
