"""The processes of a training: those that torchrun or SLURM have started, or those that the flags ask for."""

from __future__ import annotations

import dataclasses
import os
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from aninfonce import training
from aninfonce._extras import require
from aninfonce.training.config import TrainConfig
from aninfonce.training.stopping import ElsewhereError, PreemptedError

__all__ = ["QuietError", "counted", "ending_together"]

_PATIENCE = 3.0  # seconds that a process which has failed is given to say so, and to end


def counted(config: TrainConfig, environment: Mapping[str, str] | None = None) -> TrainConfig:
    """The settings with the numbers of machines and processes that torchrun or SLURM have started.

    Raises:
        ValueError: if the flags name other numbers.
    """
    environment = os.environ if environment is None else environment
    found: Any = require("lightning_fabric.plugins.environments", "app")
    if found.TorchElasticEnvironment.detect():
        starter, devices = "torchrun", int(environment["LOCAL_WORLD_SIZE"])
        nodes = int(environment["WORLD_SIZE"]) // devices
    elif found.SLURMEnvironment.detect():
        starter, nodes = "SLURM", int(environment.get("SLURM_NNODES", "1"))
        devices = int(environment["SLURM_NTASKS"]) // nodes
    else:
        return config
    if (config.devices, config.nodes) not in ((1, 1), (devices, nodes)):
        raise ValueError(
            f"{starter} has started {nodes} × {devices} processes, but --nodes {config.nodes} --devices "
            f"{config.devices} asks for others; omit these flags"
        )
    return dataclasses.replace(config, devices=devices, nodes=nodes)


class QuietError(Exception):
    """The end of a process that has nothing of its own to say.

    Attributes:
        code: its exit code.
    """

    def __init__(self, code: int) -> None:
        super().__init__(f"exit code {code}")
        self.code = code


@contextmanager
def ending_together(processes: training.Processes) -> Iterator[None]:
    """Around what the processes do: who has failed tells of it, in one line, and takes the others along.

    Another process ends quietly: with 0 if all were asked to stop, so that nothing hinders the first one's own code,
    else with 1. The first one speaks for a process that could not: one that was killed.
    """
    try:
        yield
    except (PreemptedError, KeyboardInterrupt):
        if processes.rank == 0:
            raise
    except (ElsewhereError, FloatingPointError) as error:
        if processes.rank:
            raise QuietError(1) from error
        raise _spoken_for(processes, error) from error
    except Exception as error:
        lost = processes.world > 1 and _is_lost_connection(error)
        if lost and processes.rank:
            raise QuietError(1) from error
        if lost:
            raise _spoken_for(processes, ElsewhereError(_ENDED)) from error
        processes.end_children()
        raise
    except BaseException:
        processes.end_children()
        raise


def _is_lost_connection(error: BaseException) -> bool:
    from aninfonce.training.processes import is_lost_connection  # with torch

    return is_lost_connection(error)


_ENDED = "another process of the run has ended: its own error says why, or it was killed; --resume continues the run"


def _spoken_for(processes: training.Processes, error: Exception) -> Exception:
    """What the first process says if it has not failed itself: nothing, if a child of its own has said it."""
    if not isinstance(error, ElsewhereError):
        return error
    codes = processes.codes_of_children(_PATIENCE)
    processes.end_children()
    killed = [-code for code in codes if code is not None and code < 0]
    if killed:
        name = signal.Signals(killed[0]).name
        return ElsewhereError(f"another process of the run was ended by {name}; --resume continues from the checkpoint")
    said = [code for code in codes if code]
    return QuietError(said[0]) if said else error
