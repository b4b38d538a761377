"""What the processes of a data-parallel run tell each other about one batch.

Every rank holds some rows of the global batch. The convention is that of data-parallel averaging: a rank returns a loss
L_r whose gradients are averaged over the ranks, so that (1/W) Σ_r L_r must be the loss of the global batch.
"""

from __future__ import annotations

import zlib
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from aninfonce.objectives._gradient import Reference, refused, written_out

__all__ = ["AverageGradient", "Exchange", "GatherRows", "GlobalMean", "Ranks", "is_distributed"]

DTYPES = (torch.float32, torch.float64, torch.float16, torch.bfloat16)

# torch 2.14 has renamed these collectives, and warns of the older names.
ALL_GATHER = "all_gather_single" if hasattr(dist, "all_gather_single") else "all_gather_into_tensor"
REDUCE_SCATTER = "reduce_scatter_single" if hasattr(dist, "reduce_scatter_single") else "reduce_scatter_tensor"


def is_distributed() -> bool:
    """Whether this process is one of several that torch.distributed connects."""
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1


class Exchange:
    """One process on its own: there is nobody to tell."""

    world = 1
    rank = 0

    def gather(self, x: Tensor) -> Tensor:
        """The rows of all ranks, in the order of the ranks."""
        return x

    def scatter_sum(self, x: Tensor) -> Tensor:
        """Of the sum over all ranks, the own rows: the transpose of `gather`."""
        return x

    def sum(self, x: Tensor) -> Tensor:
        """The sum over all ranks."""
        return x

    def max(self, x: Tensor) -> Tensor:
        """The entry-wise maximum over all ranks."""
        return x

    def own(self, x: Tensor) -> Tensor:
        """The own rows of a tensor that all ranks hold."""
        return x

    def total(self, rows: int) -> int:
        """The number of rows of the global batch, of which this process holds `rows`."""
        return rows


class Ranks(Exchange):
    """All processes of the default group; ranks may hold different numbers of rows."""

    def __init__(self, sizes: list[int]) -> None:
        self.world = len(sizes)
        self.rank = dist.get_rank()
        self.sizes = sizes

    @classmethod
    def agree(cls, refused: bool, x: Tensor | None, settings: str) -> Ranks:
        """Exchange the shapes of the ranks' batches `x` before anything that depends on them.

        A rank whose batch was refused takes part too, so that the others do not wait for it for ever.

        Raises:
            RuntimeError: if another rank refused its batch.
            ValueError: if dimensions, dtypes or settings differ between the ranks.
        """
        device = torch.device("cuda", torch.cuda.current_device()) if dist.get_backend() == "nccl" else "cpu"
        rows, dim, dtype = (0, 0, 0) if x is None else (x.shape[0], x.shape[1], DTYPES.index(x.dtype))
        mine = torch.tensor([refused, rows, dim, dtype, zlib.crc32(settings.encode())], device=device)
        table = mine.new_empty(dist.get_world_size() * len(mine))
        getattr(dist, ALL_GATHER)(table, mine)
        ranks = table.view(-1, len(mine)).tolist()
        if not refused:
            others = [rank for rank, row in enumerate(ranks) if row[0]]
            if others:
                raise RuntimeError(f"the batch of rank {others[0]} was refused; see its own error")
            for name, column in [("embedding dimensions", 2), ("dtypes", 3), ("settings of the loss", 4)]:
                values = [row[column] for row in ranks]
                if len(set(values)) > 1:
                    shown = [DTYPES[code] for code in values] if column == 3 else values if column == 2 else ""
                    raise ValueError(f"the ranks must have the same {name}, got different ones: {shown}".rstrip(": "))
        return cls([row[1] for row in ranks])

    def total(self, rows: int) -> int:
        """The number of rows of the global batch."""
        return sum(self.sizes)

    def gather(self, x: Tensor) -> Tensor:
        """The rows of all ranks, in the order of the ranks."""
        longest = max(self.sizes)
        padded = torch.cat([x, x.new_zeros(longest - len(x), *x.shape[1:])]) if len(x) < longest else x
        everything = x.new_empty(self.world * longest, *x.shape[1:])
        getattr(dist, ALL_GATHER)(everything, padded.contiguous())
        if min(self.sizes) == longest:
            return everything
        return torch.cat([part[:size] for part, size in zip(torch.split(everything, longest), self.sizes, strict=True)])

    def scatter_sum(self, x: Tensor) -> Tensor:
        """Of the sum over all ranks, the own rows: the transpose of `gather`."""
        longest = max(self.sizes)
        if min(self.sizes) < longest:
            padded = x.new_zeros(self.world, longest, *x.shape[1:])
            for slot, part in zip(padded, torch.split(x, self.sizes), strict=True):
                slot[: len(part)] = part
            x = padded.flatten(0, 1)
        own = x.new_empty(longest, *x.shape[1:])
        getattr(dist, REDUCE_SCATTER)(own, x.contiguous())
        return own[: self.sizes[self.rank]]

    def sum(self, x: Tensor) -> Tensor:
        """The sum over all ranks."""
        x = x.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(x)
        return x

    def max(self, x: Tensor) -> Tensor:
        """The entry-wise maximum over all ranks."""
        x = x.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(x, op=dist.ReduceOp.MAX)
        return x

    def own(self, x: Tensor) -> Tensor:
        """The own rows of a tensor that all ranks hold."""
        return torch.split(x, self.sizes)[self.rank]


def _rows_again(ctx: Any) -> Reference | None:
    """In one process alone the rows are what they were."""
    return None if ctx.ranks.world > 1 else lambda x: x.view_as(x)


class GatherRows(torch.autograd.Function):
    """The rows of all ranks; the gradient of a row is the sum of what all ranks' losses say about it."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, ranks: Exchange) -> Tensor:
        """The rows of all ranks, in the order of the ranks."""
        ctx.ranks = ranks
        ctx.save_for_backward(x)
        return ranks.gather(x)

    @staticmethod
    @written_out(_rows_again, arguments=1)
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        """The own rows of the gradients' sum."""
        return ctx.ranks.scatter_sum(grad), None


class GlobalMean(torch.autograd.Function):
    """The mean of all ranks' rows as the value; as the gradient the share of the own rows, times the number of ranks.

    The average over the ranks, which data-parallel training takes, then is the gradient of the global mean. Zero if
    there are no rows at all.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, ranks: Ranks) -> Tensor:
        """The global mean, a scalar, of `x` of shape (rows,)."""
        total, count = ranks.sum(torch.stack([x.sum(), x.new_tensor(float(len(x)))]))
        count = count.clamp_min(1)
        ctx.rows = len(x)
        ctx.save_for_backward(ranks.world / count, x)
        mean: Tensor = total / count
        return mean

    @staticmethod
    @written_out(refused)
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        """The own rows' share."""
        scale, _ = ctx.saved_tensors
        return (grad * scale).expand(int(ctx.rows)), None


class AverageGradient(torch.autograd.Function):
    """The loss's own parameter, whose gradient is averaged over the ranks here.

    So it is right whether or not the loss sits inside the data-parallel module (averaging equal numbers again changes
    nothing).
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, ranks: Ranks) -> Tensor:
        """`x` itself."""
        ctx.ranks = ranks
        ctx.save_for_backward(x)
        return x.view_as(x)

    @staticmethod
    @written_out(refused)
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        """The mean over the ranks."""
        return ctx.ranks.sum(grad) / ctx.ranks.world, None
