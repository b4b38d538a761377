"""The frame of every gradient that is written out by hand, and what happens when it is differentiated again.

A hand-written backward pass computes numbers, which autograd would take for constants. So a pass that is to be
differentiated (create_graph=True) hands its results on through `_Again`, which hangs on the function's own arguments
and differentiates a reference: the same function, to first order with the same gradient, of operations that autograd
knows to any order (see `_parts` for those too large to be held at once). The numbers of the first derivative are the
hand-written ones either way.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad

__all__ = ["Reference", "refused", "transformed", "written_out"]

# The function of its differentiable arguments.
Reference = Callable[..., Tensor]


def transformed() -> bool:
    """Whether torch.func transforms the code that runs now, or tensors may carry tangents (forward-mode AD).

    Hand-written gradients know neither; the losses are composed of plain operations then.
    """
    return torch._C._are_functorch_transforms_active() or forward_ad._current_level >= 0


def _refuse_batched(grad: Tensor) -> None:
    """Raise RuntimeError if the gradient is a batch of gradients in the guise of one."""
    if torch._C._are_functorch_transforms_active() or torch._C._functorch.is_legacy_batchedtensor(grad):
        raise RuntimeError(
            "a contrastive objective takes one gradient at a time: set is_grads_batched=False or vectorize=False; or "
            "put the whole calculation, with the loss in it, into a function that torch.func transforms"
        )


@dataclass
class _Plan:
    """The numbers of a gradient, None where no argument wants one, and the function whose gradient it is."""

    results: tuple[Tensor | None, ...]
    reference: Reference


class _Again(torch.autograd.Function):
    """The gradient of a reference's arguments, whose numbers are known, as a function that has derivatives."""

    @staticmethod
    def forward(ctx: Any, plan: _Plan, grad: Tensor, *arguments: Tensor) -> tuple[Tensor, ...]:
        ctx.plan = plan
        ctx.save_for_backward(grad, *arguments)
        return tuple(x for x in plan.results if x is not None)

    @staticmethod
    def backward(ctx: Any, *cotangents: Tensor) -> tuple[Tensor | None, ...]:
        """What the gradient's change along the cotangents says about the incoming gradient and the arguments."""
        _refuse_batched(cotangents[0])
        onward = torch.is_grad_enabled()
        results = ctx.plan.results
        with torch.enable_grad(), torch.autocast(cotangents[0].device.type, enabled=False):
            # Aliases end the differentiation here; those of tensors with a history carry it further.
            grad, *arguments = [
                x.view_as(x) if onward and x.requires_grad else x.detach().requires_grad_() for x in ctx.saved_tensors
            ]
            wanted = [x for x, result in zip(arguments, results, strict=True) if result is not None]
            value = ctx.plan.reference(*arguments)
            first = torch.autograd.grad(value, wanted, grad, create_graph=True, materialize_grads=True)
            pairs = [(x, c) for x, c in zip(first, cotangents, strict=True) if x.requires_grad]
            second = torch.autograd.grad(
                [x for x, _ in pairs],
                [grad, *arguments],
                [c for _, c in pairs],
                create_graph=onward,
                materialize_grads=True,
            )
        return None, *second


class _NotAgain(torch.autograd.Function):
    """The tensor x itself; differentiating it by what it was made of raises RuntimeError."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, *arguments: Tensor) -> Tensor:
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        raise RuntimeError(
            "the gradient of a contrastive objective that contrasts with the samples of other processes cannot be "
            "differentiated again (create_graph=True): use gather=False where a second derivative is needed"
        )


def refused(ctx: Any) -> None:
    """No reference: a second derivative of this function is refused."""


def written_out(
    again: Callable[[Any], Reference | None], arguments: int = 0
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Frame a backward pass: computed in the precision of its arguments, and differentiable by a reference.

    Called inside an autocast region, its products would be in half precision.

    Arguments:
        again: from the function's context to the function of its differentiable arguments; to None if a second
            derivative is refused, by whichever of the saved tensors it is asked.
        arguments: the number of differentiable arguments, which come first among all, and among what is saved.
    """

    def frame(backward: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(backward)
        def framed(ctx: Any, grad: Tensor) -> Any:
            _refuse_batched(grad)
            with torch.no_grad(), torch.autocast(grad.device.type, enabled=False):
                results = backward(ctx, grad)
            if not torch.is_grad_enabled():
                return results
            several = results if isinstance(results, tuple) else (results,)
            saved = ctx.saved_tensors
            reference = again(ctx)
            if reference is None:
                marked = [None if x is None else _NotAgain.apply(x, grad, *saved) for x in several]
            else:
                found = iter(_Again.apply(_Plan(several[:arguments], reference), grad, *saved[:arguments]))
                marked = [None if x is None else next(found) for x in several]
            return tuple(marked) if isinstance(results, tuple) else marked[0]

        return framed

    return frame
