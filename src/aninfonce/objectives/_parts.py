"""Functions that are sums over parts, differentiable to any order, with one part in memory at a time.

    F(t_1, …, t_n) = Σ_b f_b(t_1[b], …, t_n[b]),   each part's result added to its own place in the outputs.

The pullback of F is a sum over the same parts again, of the pullbacks of the f_b, whose results are placed as the
arguments were: ∂/∂t_i gets from part b what belongs to t_i[b]. So every derivative is a `SumOfParts` in its turn, and
autograd sees the inside of a single part only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor

__all__ = ["Part", "Parts", "sum_of_parts"]

Index = slice | tuple[slice | int, ...]
Part = Mapping[str, Index]  # the index of every axis that is cut
WHOLE = "whole"  # the axis of what no part cuts


@dataclass(frozen=True)
class Parts:
    """A sum over parts.

    Arguments:
        function: (part, pieces of the inputs) to the pieces of the outputs.
        parts: which entries each part takes of an axis.
        inputs: the axis along which each input is cut; "whole" for all of it.
        outputs: the same for the outputs.
        shapes: the shapes of the outputs.
    """

    function: Callable[..., tuple[Tensor, ...]]
    parts: Sequence[Part]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    shapes: tuple[torch.Size, ...]

    def pullback(self, shapes: tuple[torch.Size, ...]) -> Parts:
        """(inputs of these shapes, cotangents of the outputs) to the gradients of the inputs."""
        count = len(self.inputs)

        def function(part: Part, *pieces: Tensor) -> tuple[Tensor, ...]:
            onward = torch.is_grad_enabled()
            inputs = [x if onward else x.detach().requires_grad_() for x in pieces[:count]]
            with torch.enable_grad():
                outputs = self.function(part, *inputs)
            # A derivative that is zero throughout has no history.
            pairs = [(y, c) for y, c in zip(outputs, pieces[count:], strict=True) if y.requires_grad]
            if not pairs:
                return tuple(torch.zeros_like(x) for x in inputs)
            return torch.autograd.grad(
                [y for y, _ in pairs], inputs, [c for _, c in pairs], create_graph=onward, materialize_grads=True
            )

        return Parts(function, self.parts, (*self.inputs, *self.outputs), self.inputs, shapes)


def sum_of_parts(parts: Parts, *inputs: Tensor) -> tuple[Tensor, ...]:
    """The outputs, in the dtype and on the device of the inputs; differentiable to any order."""
    return cast(tuple[Tensor, ...], _SumOfParts.apply(parts, *inputs))


def _piece(x: Tensor, axis: str, part: Part) -> Tensor:
    return x if axis == WHOLE else x[part[axis]]


class _SumOfParts(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, parts: Parts, *inputs: Tensor) -> tuple[Tensor, ...]:
        ctx.parts = parts
        ctx.save_for_backward(*inputs)
        totals = tuple(inputs[0].new_zeros(shape) for shape in parts.shapes)
        with torch.autocast(inputs[0].device.type, enabled=False):
            for part in parts.parts:
                pieces = [_piece(x, axis, part) for x, axis in zip(inputs, parts.inputs, strict=True)]
                for total, axis, piece in zip(totals, parts.outputs, parts.function(part, *pieces), strict=True):
                    _piece(total, axis, part).add_(piece)
        return totals

    @staticmethod
    def backward(ctx: Any, *cotangents: Tensor) -> tuple[Tensor | None, ...]:
        inputs = ctx.saved_tensors
        pullback = ctx.parts.pullback(tuple(x.shape for x in inputs))
        return None, *sum_of_parts(pullback, *inputs, *cotangents)
