"""The processes of one run: how they are started, and what they agree on so that none waits for another for ever."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.fsdp import FSDPModule, fully_shard

from aninfonce._extras import require
from aninfonce._parent import end_with
from aninfonce.training.config import TrainConfig
from aninfonce.training.stopping import ElsewhereError

__all__ = ["Processes", "is_lost_connection"]

T = TypeVar("T")
_PRECISIONS = {"32": "32-true", "64": "64-true"}  # Lightning's names


class Processes:
    """This process among those of its run; Lightning Fabric connects them, and finds torchrun and SLURM by itself.

    Where neither has started them, the first process starts the others of its machine, with its own command line.

    Arguments:
        config: says how many processes, on what, in which precision.

    Attributes:
        fabric: Lightning's Fabric, launched.
        rank: number of this process among all, from 0.
        world: how many there are.
        device: where this one computes.

    Raises:
        ValueError: if the environment (torchrun, SLURM) or the machine has not what the settings ask for, or a CPU is
            to compute in 16-mixed.
        MissingExtraError: if lightning-fabric is not installed.
    """

    def __init__(self, config: TrainConfig) -> None:
        _check_half_precision(config)
        several = config.devices * config.nodes > 1
        try:
            self.fabric = require("lightning_fabric", "app").Fabric(
                accelerator=config.device,
                devices=config.devices,
                num_nodes=config.nodes,
                strategy=_strategy(config) if several else "auto",
                precision=_PRECISIONS.get(config.precision, config.precision),
            )
        except (RuntimeError, ImportError) as error:  # Lightning's word for a device that is not there
            raise ValueError(f"cannot train on {config.devices} × {config.device}: {error}") from error
        _launch(self.fabric)
        self.rank: int = self.fabric.global_rank
        self.world: int = self.fabric.world_size
        self.device: torch.device = self.fabric.device

    def first(self, action: Callable[[], T]) -> T | None:
        """What the first process does while the others wait; they get None.

        Raises:
            ElsewhereError: in the others, if it failed in the first, which has the error itself.
        """
        if self.world == 1:
            return action()
        value = None
        if self.rank == 0:
            try:
                value = action()
            except Exception:
                self.fabric.broadcast(True)
                raise
        if self.fabric.broadcast(False):
            raise ElsewhereError("the first process has failed; see its own error")
        return value

    def together(self, action: Callable[[], T]) -> T:
        """What every process does on its own, and all stop if one of them fails.

        Raises:
            ElsewhereError: in those that did not fail themselves.
        """
        if self.world == 1:
            return action()
        try:
            value = action()
        except Exception:
            self.any(True)
            raise
        if self.any(False)[0]:
            raise ElsewhereError("another process has failed; see its own error")
        return value

    def gather(self, value: T) -> list[T]:
        """The values of every process, in the order of their ranks; all must ask equally often."""
        if self.world == 1:
            return [value]
        values: list[Any] = [None] * self.world
        dist.all_gather_object(values, value)
        return values

    def any(self, *said: bool) -> tuple[bool, ...]:
        """Of each statement whether one of them makes it; all must ask equally often."""
        if self.world == 1:
            return said
        flags = torch.tensor(said, dtype=torch.int32, device=self.device)
        dist.all_reduce(flags, op=dist.ReduceOp.MAX)
        return tuple(bool(flag) for flag in flags.tolist())

    def share(self, places: Tensor) -> tuple[Tensor, int]:
        """This process's part of a global batch, and where in the batch it begins; the parts differ by one at most."""
        parts = torch.tensor_split(places, self.world)
        return parts[self.rank], sum(len(part) for part in parts[: self.rank])

    def end_children(self) -> None:
        """End the processes that this one has started, if any: it cannot go on, and they would wait."""
        for child in self._children:
            if child.poll() is None:
                child.kill()  # at SIGTERM they would finish their step, for which they wait for this process

    def codes_of_children(self, patience: float) -> list[int | None]:
        """Exit codes of the processes that this one has started, negative after a signal; None where one still runs.

        Arguments:
            patience: seconds to wait for the first that has failed.
        """
        until = time.monotonic() + patience
        while self._children and time.monotonic() < until and not any(child.poll() for child in self._children):
            time.sleep(0.05)
        return [child.poll() for child in self._children]

    @property
    def _children(self) -> list[subprocess.Popen[bytes]]:
        return getattr(self.fabric.strategy.launcher, "procs", [])


# The parent's number, for the processes that it starts.
_PARENT = "ANINFONCE_PARENT"


def _launch(fabric: Any) -> None:
    """Start the other processes; in one of them: end with the process that has started it, even if that is killed."""
    parent = os.environ.pop(_PARENT, "")
    if parent.isdecimal():
        end_with(int(parent))
    os.environ[_PARENT] = str(os.getpid())
    try:
        fabric.launch()
    finally:
        del os.environ[_PARENT]


def is_lost_connection(error: BaseException) -> bool:
    """Whether a collective operation has failed because another process is gone."""
    if isinstance(error, dist.DistError):
        return True
    text = str(error).lower()
    return isinstance(error, RuntimeError) and any(words in text for words in _LOST)


_LOST = ("connection closed by peer", "connection reset by peer", "broken pipe", "gloo", "nccl")


def _strategy(config: TrainConfig) -> Any:
    if config.strategy != "fsdp":
        return "ddp"
    strategies = require("lightning_fabric.strategies", "app")
    return strategies.ModelParallelStrategy(
        _shard, data_parallel_size=config.devices * config.nodes, tensor_parallel_size=1
    )


# Smaller modules are gathered with what holds them: a collective each would cost more than it saves.
_UNIT = 1_000_000


def _shard(task: nn.Module, mesh: Any) -> nn.Module:
    """Fully sharded data parallelism: large layers are units of their own, gathered one after the other.

    References:
        Zhao et al., "PyTorch FSDP: Experiences on Scaling Fully Sharded Data Parallel", VLDB 2023.
    """
    for module in reversed(list(task.modules())):  # the innermost first, as FSDP asks for
        large = sum(p.numel() for p in module.parameters()) >= _UNIT
        inside = any(isinstance(part, FSDPModule) for part in module.modules())
        if large and not inside and not isinstance(module, nn.ModuleList):
            fully_shard(module, mesh=mesh["data_parallel"])
    if not isinstance(task, FSDPModule):
        fully_shard(task, mesh=mesh["data_parallel"])
    return task


def _check_half_precision(config: TrainConfig) -> None:
    """Refuse half precision on a CPU, where Lightning would compute in another precision than the run says."""
    cpu = config.device == "auto" and not (torch.cuda.is_available() or torch.backends.mps.is_available())
    if config.precision == "16-mixed" and (cpu or config.device == "cpu"):
        raise ValueError("a CPU does not train in precision 16-mixed; use bf16-mixed, or 32, or a graphics card")
