"""What the processes of a data-parallel step send each other: counted in the collectives, and as a formula.

A collective counts with the bytes of its whole tensor: what an all-gather returns, what a reduce-scatter takes, what an
all-reduce or a broadcast changes. What of it crosses the wire is the algorithm's business: see `wire`.
"""

from __future__ import annotations

import json
import multiprocessing
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import wraps
from pathlib import Path
from typing import Any
from unittest import mock

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.algorithms.ddp_comm_hooks.default_hooks import allreduce_hook
from torch.nn.parallel import DistributedDataParallel

from aninfonce.objectives._exchange import ALL_GATHER, REDUCE_SCATTER

FLOAT, INT64 = 4, 8  # bytes
COLLECTIVES = ("all_gather", "reduce_scatter", "all_reduce", "gradients", "buffers")
TIMEOUT = 300  # seconds

Bytes = dict[str, int]


def _size(x: Tensor) -> int:
    return x.numel() * x.element_size()


@contextmanager
def counting(model: DistributedDataParallel | None = None) -> Iterator[Bytes]:
    """Bytes by collective of this process, meanwhile; those of the wrapped model by its hook, see `hook_of`."""
    count = dict.fromkeys(COLLECTIVES, 0)

    def counted(kind: str, function: Callable[..., Any], which: int) -> Callable[..., Any]:
        @wraps(function)
        def call(*arguments: Any, **options: Any) -> Any:
            tensors = arguments[which]
            count[kind] += sum(map(_size, tensors)) if isinstance(tensors, list) else _size(tensors)
            return function(*arguments, **options)

        return call

    with ExitStack() as stack:
        for name, kind, which in (
            (ALL_GATHER, "all_gather", 0),
            (REDUCE_SCATTER, "reduce_scatter", 1),
            ("all_reduce", "all_reduce", 0),
            ("_broadcast_coalesced", "buffers", 1),
        ):
            stack.enter_context(mock.patch.object(dist, name, counted(kind, getattr(dist, name), which)))
        if model is not None:
            model.counted_gradients = 0
        yield count
        if model is not None:
            count["gradients"] = model.counted_gradients
            count["all_reduce"] -= model.counted_gradients  # the hook reduces them by the same function


def wrap(module: nn.Module) -> DistributedDataParallel:
    """The module for data-parallel training, whose gradients are counted."""
    model = DistributedDataParallel(module)
    model.counted_gradients = 0

    def hook(group, bucket):  # without annotations: as strings, DistributedDataParallel would refuse them
        model.counted_gradients += _size(bucket.buffer())
        return allreduce_hook(group, bucket)

    model.register_comm_hook(None, hook)
    return model


def loss_bytes(world: int, rows: int, dim: int, parameters: int) -> Bytes:
    """The formula for our loss: negatives from both views, symmetric, `rows` a process, plain sums (see `_streaming`).

    With B = world · rows: 2·B·dim floats gathered, the same scattered back; 2·B sums of exponentials reduced and 2·B
    gradients of their logarithms gathered; the rest is a handful: the shapes that the processes agree on (5 integers
    each), the mean with its count, the loss's own parameters.
    """
    batch = world * rows
    return {
        "all_gather": FLOAT * (2 * batch * dim + 2 * batch) + INT64 * 5 * world,
        "reduce_scatter": FLOAT * 2 * batch * dim,
        "all_reduce": FLOAT * (2 * batch + 2 + parameters),
    }


def model_bytes(module: nn.Module) -> Bytes:
    """The formula for DistributedDataParallel: the gradients of all parameters, and rank 0's buffers at every step."""
    return {
        "gradients": sum(_size(p) for p in module.parameters() if p.requires_grad),
        "buffers": sum(map(_size, module.buffers())),
    }


def wire(count: Bytes, world: int) -> float:
    """Bytes that a process sends in a step if all collectives go around a ring, the optimum in volume.

    An all-gather and a reduce-scatter send the share (world - 1) / world of the whole tensor, an all-reduce both.
    Broadcasts are pipelined along the ring: each process passes the tensor on once.
    """
    share = (world - 1) / world
    factors = {"all_gather": share, "reduce_scatter": share, "all_reduce": 2 * share, "gradients": 2 * share}
    return sum(factors.get(kind, 1.0) * size for kind, size in count.items())


class SmallTask(nn.Module):
    """The `small` backbone with its projector and AnInfoNCE, on 28×28 grey images, as `aninfonce train` has them."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        from aninfonce.models import ContrastiveModel, Projector, SmallConvNet
        from aninfonce.objectives import AnInfoNCE

        backbone = SmallConvNet(1)
        self.model = ContrastiveModel(backbone, Projector(backbone.feature_dim, 256, dim), [0.5], [0.3])
        self.objective = AnInfoNCE(dim, init=1.0, negatives_from="both")

    def forward(self, views: Tensor) -> Tensor:
        u, v = self.model(views)[1].chunk(2)
        return self.objective(u, v)


def _count(rank: int, world: int, rows: int, dim: int, folder: str) -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    dist.init_process_group("gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=world)
    module = SmallTask(dim)
    model = wrap(module)
    views = torch.rand(2 * rows, 1, 28, 28)
    model(views).backward()  # the first step also lays out the buckets
    with counting(model) as count:
        model(views).backward()
    expected = loss_bytes(world, rows, dim, dim) | model_bytes(module)
    Path(folder, f"rank{rank}.json").write_text(json.dumps({"counted": count, "formula": expected}), encoding="utf-8")
    dist.destroy_process_group()


def measure_traffic(world: int, rows: int, dim: int) -> dict[str, Any]:
    """Counted bytes and the formula's, of one step of `world` processes with `rows` images each, on gloo.

    Raises:
        RuntimeError: if a process fails, or the processes count differently.
    """
    spawn = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as folder:
        processes = [spawn.Process(target=_count, args=(rank, world, rows, dim, folder)) for rank in range(world)]
        for process in processes:
            process.start()
        for process in processes:
            process.join(TIMEOUT)
        codes = [process.exitcode for process in processes]
        for process in processes:
            process.kill()
        if any(codes):
            raise RuntimeError(f"the processes ended with {codes}, expected zeros: their errors are above")
        found = [json.loads(Path(folder, f"rank{rank}.json").read_text()) for rank in range(world)]
    if any(other != found[0] for other in found):
        raise RuntimeError(f"the processes counted differently: {found}")
    return {"world": world, "rows": rows, "dim": dim, **found[0]}
