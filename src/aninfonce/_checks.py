"""Checks of what users pass in: each names what was expected and what came."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable
from dataclasses import fields
from difflib import get_close_matches
from types import NoneType, UnionType
from typing import TYPE_CHECKING, get_args, get_origin, get_type_hints

import torch
from torch import Tensor

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

__all__ = ["check_device", "check_embeddings", "check_field_types", "check_finite", "check_same_shape", "nearest_name"]


_LARGEST = sys.float_info.max


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


def check_field_types(settings: DataclassInstance) -> None:
    """Check that every field of a dataclass is what its annotation says: a class, some with `|` between, or a tuple.

    Settings come from JSON, too. A bool is no number, an int is welcome as a float.

    Raises:
        TypeError: if one is something else.
        ValueError: if a float is NaN or infinite, or an integer has more than 64 bits.
    """
    hints = get_type_hints(type(settings))
    for name in (field.name for field in fields(settings)):
        value, hint = getattr(settings, name), hints[name]
        kinds = get_args(hint) if isinstance(hint, UnionType) else (hint,)
        if get_origin(hint) is tuple:  # tuple[str, ...], the only container among the settings
            kinds, (kind, _) = (tuple,), get_args(hint)
            if isinstance(value, tuple) and not all(isinstance(item, kind) for item in value):
                raise TypeError(f"{name} must be a tuple of {kind.__name__}, got {value!r}")
        if type(value) is bool or not isinstance(value, int | float):
            right = isinstance(value, tuple(kind for kind in kinds if kind not in (int, float)))
        else:
            right = float in kinds or (int in kinds and isinstance(value, int))
        if not right:
            expected = " or ".join("None" if kind is NoneType else kind.__name__ for kind in kinds)
            raise TypeError(f"{name} must be {expected}, got {value!r}")
        if float in kinds and value is not None and not -_LARGEST <= value <= _LARGEST:
            raise ValueError(f"{name} must be a finite number, got {value}")
        if float not in kinds and isinstance(value, int) and not -(2**63) <= value < 2**63:
            raise ValueError(f"{name} must be an integer of 64 bits, got one of {value.bit_length()}")


def nearest_name(kind: str, name: str, known: Iterable[str]) -> str:
    """Return `name` if it is known.

    Raises:
        ValueError: if it is not; names the nearest known one and all of them.
    """
    names = sorted(known)
    if name in names:
        return name
    close = get_close_matches(name, names, n=1, cutoff=0.4)
    hint = f"; did you mean {close[0]!r}?" if close else ";"
    raise ValueError(f"unknown {kind} {name!r}{hint} Known: {', '.join(names)}")
