"""The processes of a training: those that torchrun or SLURM have started, or those that the flags ask for."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from aninfonce._extras import require
from aninfonce.training import ElsewhereError, PreemptedError, Processes, TrainConfig

__all__ = ["counted", "ending_together"]


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
            f"{config.devices} asks for others; leave these flags away"
        )
    return dataclasses.replace(config, devices=devices, nodes=nodes)


@contextmanager
def ending_together(processes: Processes) -> Iterator[None]:
    """Around what the processes do: the first one alone tells of what concerns them all, and takes the others along.

    So another process exits with 0, quietly, where it has nothing of its own to say, and whoever started it sees the
    first one's code.
    """
    try:
        yield
    except (ElsewhereError, PreemptedError, FloatingPointError, KeyboardInterrupt):
        if processes.rank == 0:
            raise
    except BaseException:
        processes.end_children()
        raise
