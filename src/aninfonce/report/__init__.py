"""Tables for the screen and figures for print, from the content of `results.json`; nothing is measured here."""

from aninfonce.report.experiments import experiments_table, scores, summary_table
from aninfonce.report.page import write_page
from aninfonce.report.pairs import pairs_figure
from aninfonce.report.run_log import LogReader, RunLog
from aninfonce.report.study import reference_table, study_figures, study_table
from aninfonce.report.training import (
    compare_figure,
    compare_table,
    missing_control,
    summarize,
    training_figure,
    training_table,
)
from aninfonce.report.training_page import write_training_page
from aninfonce.report.verification import verification_table
from aninfonce.report.watching import epoch_line, status_line, watch_view

__all__ = [
    "LogReader",
    "RunLog",
    "compare_figure",
    "compare_table",
    "epoch_line",
    "experiments_table",
    "missing_control",
    "pairs_figure",
    "reference_table",
    "scores",
    "status_line",
    "study_figures",
    "study_table",
    "summarize",
    "summary_table",
    "training_figure",
    "training_table",
    "verification_table",
    "watch_view",
    "write_page",
    "write_training_page",
]
