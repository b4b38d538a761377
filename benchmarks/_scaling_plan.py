"""Arithmetic from the measured figures to clusters that were not there: bytes, operations and memory of each GPU."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from _scaling_traffic import FLOAT, loss_bytes, wire

GPUS = (8, 64, 512)
BATCHES = (4096, 32_768, 131_072, 1_048_576)
STATE = 16  # bytes a parameter in float32 with AdamW: itself, its gradient, two moments


@dataclass(frozen=True)
class Assumptions:
    """What is assumed of the cluster and the run, not measured.

    Attributes:
        bandwidth: bytes that a GPU sends in a second.
        flops: operations that a GPU does in a second, sustained.
        memory: bytes of a GPU.
        piece: images that cached gradients take through the network at a time.
        dim: of the embeddings.
        chunk: side of the loss's blocks on a GPU.
    """

    bandwidth: float = 25e9
    flops: float = 50e12
    memory: float = 80e9
    piece: int = 64
    dim: int = 128
    chunk: int = 4096


def loss_flops(batch: int, dim: int) -> float:
    """Of the whole global batch, for many blocks: 16·batch²·dim, and the two columns more that two products have."""
    return batch**2 * (16 * dim + 16)


def plan(
    backbone: Mapping[str, Any], matrices: float, gpus: int, batch: int, assumptions: Assumptions = Assumptions()
) -> dict[str, float]:
    """What a step asks of each GPU.

    Arguments:
        backbone: a row of `measure_backbone`.
        matrices: float32 matrices of batch × dim that the loss was measured to hold at its peak, its inputs and their
            gradients included.
        gpus: processes, one a GPU.
        batch: global batch, images; a multiple of `gpus`.
        assumptions: of the cluster.

    Raises:
        ValueError: if the batch is not a multiple of the processes.
    """
    if batch % gpus:
        raise ValueError(f"the global batch must be a multiple of the {gpus} GPUs, got {batch}")
    a = assumptions
    rows = batch // gpus
    loss = wire(loss_bytes(gpus, rows, a.dim, a.dim), gpus)
    gradients = wire({"gradients": FLOAT * int(backbone["parameters"])}, gpus)
    views = 2 * rows
    network_flops = views * backbone["step_flops"]
    own_loss_flops = loss_flops(batch, a.dim) / gpus
    state = STATE * backbone["parameters"]
    loss_memory = matrices * FLOAT * batch * a.dim + 2 * FLOAT * min(a.chunk, batch) ** 2
    kept = views * backbone["activation_bytes"]
    # The projections of all own views and their gradients; the network sees a piece at a time.
    cached = 2 * FLOAT * views * a.dim + min(views, 2 * a.piece) * backbone["activation_bytes"]
    return {
        "rows": rows,
        "loss_bytes": loss,
        "gradient_bytes": gradients,
        "seconds_sending": (loss + gradients) / a.bandwidth,
        "loss_flops": own_loss_flops,
        "network_flops": network_flops,
        "cached_network_flops": network_flops + views * backbone["forward_flops"],
        "seconds_computing": (own_loss_flops + network_flops) / a.flops,
        "loss_memory": loss_memory,
        "memory": state + loss_memory + kept,
        "cached_memory": state + loss_memory + cached,
    }
