"""One step on a batch whose activations do not fit into memory: the gradient is that of the whole batch.

A contrastive loss is not a mean over images, so the gradients of small batches do not add up to it: every image's
gradient depends on all the others' embeddings. But it depends on nothing else. So, by the chain rule,

    ∂L/∂θ = Σ_pieces Σ_i ∂L/∂z_i · ∂z_i/∂θ,

the embeddings z are computed piece by piece without keeping activations, ∂L/∂z from all of them at once, and every
piece once more, with activations, to carry its part of ∂L/∂z back into the weights.

References:
    Gao, Zhang, Han, Callan, "Scaling Deep Contrastive Learning Batch Size under Memory Limited Setup", RepL4NLP 2021
    (GradCache).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

__all__ = ["cached_backward", "has_batch_norm"]


def cached_backward(
    fabric: Any, wrapped: Any, pieces: int, views_of: Callable[[int], Tensor]
) -> tuple[Tensor, Tensor, Tensor]:
    """Add the whole batch's gradient to the parameters.

    Batch normalisation takes its statistics from the piece, not from the batch; its running ones move once a piece.

    Arguments:
        fabric: Lightning's Fabric.
        wrapped: the `ContrastiveTask` as Fabric has set it up, whose methods are marked as forward methods.
        pieces: into how many the batch is cut.
        views_of: piece -> its views, first and second ones, shape (2m, …); called twice for each, and must say the same
            (and set random generators that layers use to the same state).

    Returns:
        The loss, and the embeddings of all first and of all second views, detached.
    """
    several = fabric.world_size > 1
    with torch.no_grad(), _running_statistics_kept(wrapped):
        found = [wrapped.embed(views_of(piece)).chunk(2) for piece in range(pieces)]
    u, v = (torch.cat([views[side] for views in found]).requires_grad_() for side in (0, 1))
    # Λ̂'s gradient is averaged over the processes by the loss itself; it is part of the sum in the last piece.
    with fabric.no_backward_sync(wrapped) if several else nullcontext():
        loss = wrapped.contrast(u, v)
        fabric.backward(loss)
    assert u.grad is not None
    assert v.grad is not None
    scaler = getattr(fabric.strategy.precision, "scaler", None)
    scale = 1.0 if scaler is None else scaler.get_scale()  # backward scales once more
    sizes = [len(views[0]) for views in found]
    gradients = zip(torch.split(u.grad / scale, sizes), torch.split(v.grad / scale, sizes), strict=True)
    for piece, gradient in enumerate(gradients):
        last = piece == pieces - 1
        with fabric.no_backward_sync(wrapped, enabled=not last) if several else nullcontext():
            fabric.backward(wrapped.surrogate(views_of(piece), torch.cat(gradient)))
    return loss.detach(), u.detach(), v.detach()


def has_batch_norm(module: nn.Module) -> bool:
    """Whether a layer's output for one image depends on the other images of its piece."""
    return any(isinstance(layer, _BatchNorm) for layer in module.modules())


@contextmanager
def _running_statistics_kept(module: nn.Module) -> Iterator[None]:
    """While it lasts, batch normalisation uses the batch's statistics and does not note them."""
    layers = [layer for layer in module.modules() if isinstance(layer, _BatchNorm) and layer.track_running_stats]
    for layer in layers:
        layer.track_running_stats = False
    try:
        yield
    finally:
        for layer in layers:
            layer.track_running_stats = True
