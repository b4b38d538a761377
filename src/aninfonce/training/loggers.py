"""Where the log's numbers go besides `log.jsonl`: TensorBoard and Weights & Biases, as loggers of Lightning Fabric."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aninfonce._extras import require
from aninfonce.training.config import TrainConfig
from aninfonce.training.stopping import PreemptedError

if TYPE_CHECKING:
    from lightning_fabric.loggers.logger import Logger

__all__ = ["finalized", "make_loggers", "scalars"]


def make_loggers(config: TrainConfig, folder: Path) -> list[Logger]:
    """The loggers that the settings name, in their order.

    Arguments:
        config: the settings; they are shown with a W&B run.
        folder: existing folder of the run: TensorBoard's events go to `tensorboard` in it, W&B's files to `wandb`.

    Raises:
        ValueError: if W&B cannot start (no account and not WANDB_MODE=offline, no network).
        MissingExtraError: if a logger's package is not installed.
    """
    return [_make(name, config, folder) for name in config.loggers]


def _make(name: str, config: TrainConfig, folder: Path) -> Logger:
    require("lightning_fabric", "app")
    require("tensorboard" if name == "tensorboard" else "wandb", name)
    from aninfonce.training import _loggers  # its base classes are lightning-fabric's

    return _loggers.TensorBoard(folder) if name == "tensorboard" else _loggers.WeightsAndBiases(config, folder)


def scalars(line: Mapping[str, Any]) -> dict[str, float]:
    """A line of `log.jsonl` as loggers take it: name -> number.

    An epoch's numbers go below `epoch/`, those from inside an epoch below `step/`. Of Λ̂ the smallest, the median and
    the largest entry are kept.

    Example:
        >>> scalars({"step": 8, "epoch": 2, "loss": 1.5, "concentration": [1.0, 2.0, 9.0], "readouts": {"a/b": 0.5}})
        {'epoch/loss': 1.5, 'epoch/concentration_min': 1.0, 'epoch/concentration_median': 2.0, \
'epoch/concentration_max': 9.0, 'epoch/readouts/a/b': 0.5}
        >>> scalars({"step": 3, "loss": 2.5})
        {'step/loss': 2.5}
    """
    prefix = "epoch" if "epoch" in line else "step"
    found: dict[str, float] = {}
    for name, value in line.items():
        if name in ("step", "epoch"):
            continue
        if name == "concentration":
            for which, place in (("min", 0), ("median", len(value) // 2), ("max", -1)):
                found[f"{prefix}/{name}_{which}"] = value[place]
        elif isinstance(value, Mapping):
            found |= {f"{prefix}/{name}/{inner}": number for inner, number in value.items()}
        else:
            found[f"{prefix}/{name}"] = value
    return found


@contextmanager
def finalized(loggers: Sequence[Logger]) -> Iterator[None]:
    """Around the training: however it ends, the loggers write out what they hold and are told how it ended."""
    status = "failed"
    try:
        yield
        status = "success"
    except (PreemptedError, KeyboardInterrupt):
        status = "aborted"
        raise
    finally:
        for logger in loggers:
            logger.finalize(status)
