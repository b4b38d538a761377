"""Checks of tensors and devices that users pass in: each names what was expected and what came."""

from __future__ import annotations

import math

import torch
from torch import Tensor

__all__ = ["check_device", "check_embeddings", "check_finite", "check_same_shape"]


def check_device(device: str | torch.device) -> None:
    """Check that torch can compute on `device`.

    Raises:
        ValueError: if there is no such device, or no graphics card where one is asked for.
    """
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:  # the latter from a torch that was built without it
        raise ValueError(f"cannot compute on device {str(device)!r}: {str(error).splitlines()[0]}") from error


def check_embeddings(name: str, x: object, *, min_rows: int = 1) -> Tensor:
    """Check that `x` is a floating-point tensor of shape (rows, dim) without NaN or infinity, and return it.

    Raises:
        TypeError: if it is not a floating-point tensor.
        ValueError: if its shape is not (rows, dim) with at least `min_rows` rows, or an entry is not finite.
    """
    if not isinstance(x, Tensor):
        raise TypeError(f"{name} must be a torch.Tensor of shape (batch, dim), got {type(x).__name__}")
    if not x.is_floating_point():
        raise TypeError(f"{name} must be a floating-point tensor, got dtype {x.dtype}")
    if x.ndim != 2:
        raise ValueError(f"{name} must have shape (batch, dim), got {tuple(x.shape)}")
    if x.shape[0] < min_rows:
        raise ValueError(f"{name} must have at least {min_rows} rows (the batch), got {x.shape[0]}")
    check_finite(name, x)
    return x


def check_finite(name: str, x: Tensor) -> None:
    """Check that every entry of `x` is finite.

    Raises:
        ValueError: if one is NaN or infinite; says how many are and in which row the first one stands.
    """
    # A graph that is compiled or transformed cannot branch on data; there the caller sees the NaN in the loss itself.
    if torch.compiler.is_compiling() or torch._C._are_functorch_transforms_active():
        return
    # The sum is finite unless an entry is not (or it overflows): one cheap pass decides the usual case.
    if math.isfinite(x.detach().sum().item()):
        return
    bad = ~torch.isfinite(x.detach())
    if not bool(bad.any()):
        return
    row = int(bad.reshape(len(bad), -1).any(1).nonzero()[0]) if x.ndim else 0
    raise ValueError(f"{name} must be finite, got {int(bad.sum())} NaN or infinite entries, the first in row {row}")


def check_same_shape(name: str, x: Tensor, other_name: str, other: Tensor) -> None:
    """Check that two tensors have one shape.

    Raises:
        ValueError: if they differ; names both shapes.
    """
    if x.shape != other.shape:
        raise ValueError(
            f"{name} and {other_name} must have the same shape, got {tuple(x.shape)} and {tuple(other.shape)}"
        )
