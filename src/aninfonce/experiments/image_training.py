"""The trade-off on real images: what InfoNCE and AnInfoNCE keep of classes and of augmentations."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import ClassVar

from aninfonce.experiments.experiment import Experiment
from aninfonce.experiments.reference import Reference
from aninfonce.experiments.study import Study
from aninfonce.experiments.task import Outcome, Place
from aninfonce.training import TrainConfig, train

__all__ = ["ImageTraining", "TrainingTask"]

COLUMNS = (
    *("backbone/class_accuracy", "backbone/augmentation_accuracy"),
    *("projector/class_accuracy", "projector/augmentation_accuracy", "cpu_seconds"),
)


@dataclass(frozen=True)
class TrainingTask:
    """A training run of a study, in a folder of its own beside the outcomes.

    An interrupted run continues from its newest checkpoint. The outcome's metrics are those of
    `aninfonce.training.train` (its "cpu_seconds": of the last continuation), NaN for a readout that could not be made;
    its details are the `history` of the epochs, the files that could not be read (`skipped`: path -> reason) and the
    readouts that could not be made (`not_measured`: name -> reason).
    """

    config: TrainConfig

    def run(self, seed: int, place: Place) -> Outcome:
        """Train and read out with this seed, on the device of the place."""
        config = replace(self.config, seed=seed, device=place.device)
        folder = place.folder / f"{config.method}-seed-{seed}-training"
        folder.mkdir(exist_ok=True)
        result = train(config, folder)
        details = {
            "history": [asdict(record) for record in result.history],
            "skipped": {str(path): reason for path, reason in result.skipped},
            "not_measured": result.not_measured,
        }
        missing = dict.fromkeys(result.not_measured, math.nan)
        return Outcome({**missing, **result.metrics, "cpu_seconds": result.cpu_seconds}, details)


@dataclass(frozen=True, kw_only=True)
class ImageTraining(Experiment):
    """InfoNCE and AnInfoNCE, trained alike and read out alike: "infonce", "infonce-trainable" and "aninfonce".

    "infonce" has a fixed temperature. "infonce-trainable" trains it as AnInfoNCE trains its concentrations, from the
    same start: what it gains over "infonce" is not due to the anisotropy.

    Attributes:
        data_root: folder of the data set.
        settings: the settings of both trainings; objective, data root, seed and device are filled in.
        published: method -> the paper's linear readout of classes, of augmentations; in %, as the paper has them.
    """

    included: ClassVar[bool] = False
    published: ClassVar[Mapping[str, tuple[float, float]]]

    data_root: Path | None = None
    settings: TrainConfig

    def study(self) -> Study:
        """The three trainings, held against the published figures."""
        isotropic = replace(self.settings, data_root=self.data_root, objective="infonce")
        methods = {
            "infonce": isotropic,
            "infonce-trainable": replace(isotropic, trainable_temperature=True),
            "aninfonce": replace(isotropic, objective="aninfonce"),
        }
        return Study(
            name=self.name,
            title=self.shows,
            tasks={method: TrainingTask(settings) for method, settings in methods.items()},
            seeds=self.all_seeds,
            references=self._references(),
            columns=COLUMNS,
        )

    def _references(self) -> tuple[Reference, ...]:
        """The published figures as shares (the paper: %), held against the backbone's readouts."""
        references = []
        for method, (classes, augmentations) in self.published.items():
            # Seeds differ by a few tenths of a percent. The paper's text does not list its questions about the
            # augmentations, nor how it scores them: an average over others may lie that far off.
            for measure, percent, tolerance, caution in (
                ("class_accuracy", classes, 0.015, ""),
                ("augmentation_accuracy", augmentations, 0.1, "; its list of questions is not known"),
            ):
                note = f"{percent:g} % in the paper's table{caution}"
                references.append(Reference(f"{method}/backbone/{measure}", percent / 100, tolerance, note=note))
        return tuple(references)
