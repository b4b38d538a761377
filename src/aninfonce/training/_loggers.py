"""The loggers themselves; imported only where lightning-fabric and the logger's own package are there."""

from __future__ import annotations

import secrets
from argparse import Namespace
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from lightning_fabric.loggers.logger import Logger
from lightning_fabric.loggers.tensorboard import TensorBoardLogger
from lightning_fabric.utilities.rank_zero import rank_zero_only

from aninfonce._atomic import announce
from aninfonce._extras import require
from aninfonce._runs import read_json, write_json
from aninfonce._text import printable
from aninfonce.training.config import TrainConfig

__all__ = ["TensorBoard", "WeightsAndBiases"]

WANDB_RUN = "wandb-run.json"


class TensorBoard(TensorBoardLogger):
    """Fabric's own logger, in one folder of the run; a continued run takes the place of what lay after its checkpoint.

    Arguments:
        folder: the folder of the run.

    Raises:
        ValueError: if its events would go through a link to another place.
    """

    def __init__(self, folder: Path) -> None:
        if (folder / "tensorboard").is_symlink():
            raise ValueError(
                f"{folder / 'tensorboard'} is a link; TensorBoard's events are written into the run's folder"
            )
        announce(folder / "tensorboard" / "events.out.tfevents.*")
        super().__init__(folder, name="tensorboard", version="")

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Write scalars; readers then drop what an earlier process wrote from this one's first step on."""
        self._kwargs.setdefault("purge_step", step)
        super().log_metrics(metrics, step)


class WeightsAndBiases(Logger):
    """A run of Weights & Biases; Fabric has no logger for it, and Lightning's needs all of pytorch-lightning.

    Whether it goes over the network is W&B's own matter: its login, its variables WANDB_MODE, WANDB_PROJECT and so on.
    A continued run keeps its id, which is stored in `wandb-run.json`.

    Arguments:
        config: the settings, shown with the run.
        folder: the folder of the run; gives the run its name.

    Raises:
        ValueError: if W&B cannot start.
    """

    def __init__(self, config: TrainConfig, folder: Path) -> None:
        self._name = printable(folder.resolve().name)
        self._id: str | None = None
        self._run: Any = None
        self._start(config, folder)

    @rank_zero_only
    def _start(self, config: TrainConfig, folder: Path) -> None:
        wandb: Any = require("wandb", "wandb")
        path = folder / WANDB_RUN
        if not path.is_file():
            write_json(path, {"id": secrets.token_hex(4)})
        self._id = str(read_json(path)["id"])
        try:
            self._run = wandb.init(
                project=None if wandb.setup().settings.project else "aninfonce",
                name=self._name,
                dir=folder,
                id=self._id,
                resume="allow",
                config={key: _shown(value) for key, value in asdict(config).items()},
                settings=wandb.Settings(console="off"),  # the terminal's lines are no business of W&B
            )
        except wandb.Error as error:
            raise ValueError(
                f"Weights & Biases cannot start: {error}; WANDB_MODE=offline keeps its files in {folder}"
            ) from error
        # Not W&B's own step, which refuses to go back to a checkpoint.
        self._run.define_metric("step")
        self._run.define_metric("*", step_metric="step")

    @property
    def name(self) -> str:
        """The run's name."""
        return self._name

    @property
    def version(self) -> str | None:
        """The run's id; None in processes other than the first."""
        return self._id

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Hand over scalars and their step."""
        self._run.log({**metrics, "step": step})

    @rank_zero_only
    def log_hyperparams(self, params: dict[str, Any] | Namespace, *args: Any, **kwargs: Any) -> None:
        """More settings to show with the run."""
        self._run.config.update(vars(params) if isinstance(params, Namespace) else params, allow_val_change=True)

    @rank_zero_only
    def finalize(self, status: str) -> None:
        """End the run; anything but "success" counts as failed."""
        self._run.finish(exit_code=0 if status == "success" else 1)


def _shown(value: Any) -> Any:
    """A setting as W&B takes it: a path is a text there, and a text must be one."""
    return printable(value) if isinstance(value, str | Path) else value
