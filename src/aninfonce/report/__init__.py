"""Tables for the screen and figures for print, from the content of `results.json`; nothing is measured here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aninfonce._lazy import lazily

if TYPE_CHECKING:
    from aninfonce.report.experiments import experiments_table, scores, summary_table
    from aninfonce.report.page import write_page
    from aninfonce.report.pairs import pairs_figure
    from aninfonce.report.run_log import LogReader, RunLog
    from aninfonce.report.study import reference_table, study_figures, study_table
    from aninfonce.report.training import (
        compare_figure,
        compare_table,
        mean_of_measured,
        missing_control,
        runs_not_measured,
        summarize,
        training_figure,
        training_table,
    )
    from aninfonce.report.training_page import write_training_page
    from aninfonce.report.verification import verification_table
    from aninfonce.report.watching import epoch_line, status_line, watch_view

lazily(
    __name__,
    {
        "experiments": ["experiments_table", "scores", "summary_table"],
        "page": ["write_page"],
        "pairs": ["pairs_figure"],
        "run_log": ["LogReader", "RunLog"],
        "study": ["reference_table", "study_figures", "study_table"],
        "training": [
            *("compare_figure", "compare_table", "mean_of_measured", "missing_control", "runs_not_measured"),
            *("summarize", "training_figure", "training_table"),
        ],
        "training_page": ["write_training_page"],
        "verification": ["verification_table"],
        "watching": ["epoch_line", "status_line", "watch_view"],
    },
)

__all__ = [
    "LogReader",
    "RunLog",
    "compare_figure",
    "compare_table",
    "epoch_line",
    "experiments_table",
    "mean_of_measured",
    "missing_control",
    "pairs_figure",
    "reference_table",
    "runs_not_measured",
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
