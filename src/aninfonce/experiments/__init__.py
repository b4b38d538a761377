"""The paper's experiments, one file each, by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aninfonce._lazy import lazily

if TYPE_CHECKING:
    from aninfonce.experiments.experiment import Experiment
    from aninfonce.experiments.recovery import Mixing, Recipe, Recovery, RecoveryTask, recover
    from aninfonce.experiments.reference import Reference
    from aninfonce.experiments.registry import EXPERIMENTS
    from aninfonce.experiments.study import Job, Result, Study, run_study
    from aninfonce.experiments.task import Outcome, Place, Task

lazily(
    __name__,
    {
        "experiment": ["Experiment"],
        "recovery": ["Mixing", "Recipe", "Recovery", "RecoveryTask", "recover"],
        "reference": ["Reference"],
        "registry": ["EXPERIMENTS"],
        "study": ["Job", "Result", "Study", "run_study"],
        "task": ["Outcome", "Place", "Task"],
    },
)

__all__ = [
    "EXPERIMENTS",
    "Experiment",
    "Job",
    "Mixing",
    "Outcome",
    "Place",
    "Recipe",
    "Recovery",
    "RecoveryTask",
    "Reference",
    "Result",
    "Study",
    "Task",
    "recover",
    "run_study",
]
