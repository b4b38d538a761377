"""A training that is no longer finite: found before a checkpoint holds it, and what is known when it stops."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
import torch.distributed as dist
from torch import Tensor

from aninfonce._runs import write_json
from aninfonce.data import Images, StoredImages
from aninfonce.training.store import CheckpointStore

__all__ = ["DIVERGED", "check_weights", "finite_everywhere", "how_it_diverged"]

DIVERGED = "diverged.json"
_NAMED = 5  # files in the message; all of them are in `DIVERGED`
_ADVICE = "A smaller --rate or --concentration-rate may help, or --precision 32."


def finite_everywhere(*tensors: Tensor) -> bool:
    """Whether no entry is NaN or infinite, in any process; all must ask."""
    finite = torch.stack([torch.isfinite(x.detach()).all() for x in tensors]).all().int()
    if dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1:
        dist.all_reduce(finite, op=dist.ReduceOp.MIN)
    return bool(finite)


def check_weights(tensors: Mapping[str, Tensor], step: int, store: CheckpointStore) -> None:
    """Check what is about to be saved.

    Arguments:
        tensors: as `state_of` gives them.
        step: after which they were taken.
        store: the store of the run.

    Raises:
        FloatingPointError: if a weight is NaN or infinite: the loss was finite, but not its gradient.
    """
    for name, tensor in tensors.items():
        if name.startswith("module.") and not torch.isfinite(tensor).all():
            weight = name.removeprefix("module.")
            raise FloatingPointError(
                f"the weights {weight} are no longer finite after step {step}; {_kept(store)}. {_ADVICE}"
            )


def how_it_diverged(loss: float, step: int, images: Images, places: Tensor, store: CheckpointStore, run: Path) -> str:
    """What is known about a loss that is not finite; the batch's images go to `DIVERGED` in the run's folder.

    Arguments:
        loss: NaN or infinite.
        step: optimiser steps done before.
        images: the training images.
        places: the positions of the batch among them, shape (n,).
        store: the store of the run.
        run: its folder.
    """
    files = [str(images.path(place)) for place in places.tolist()] if isinstance(images, StoredImages) else None
    named = "" if files is None else f": {', '.join(files[:_NAMED])}{' …' if len(files) > _NAMED else ''}"
    try:
        write_json(run / DIVERGED, {"step": step, "loss": str(loss), "places": places.tolist(), "files": files})
        where = f"all are in {run / DIVERGED}"
    except OSError as error:  # a full disk must not hide why the run has ended
        where = f"{run / DIVERGED} could not be written: {error.strerror}"
    batch = f"The batch has {len(places)} images{named} ({where})."
    return f"the loss is {loss} at step {step}; {_kept(store)}. {batch} {_ADVICE}"


def _kept(store: CheckpointStore) -> str:
    if not store.steps:
        return "there is no checkpoint"
    return f"the checkpoint of step {store.steps[-1]} is in {store.folder}"
