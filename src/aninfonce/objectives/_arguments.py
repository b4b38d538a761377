"""Checks of what is passed to an objective; each error names what was expected and what came."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from numbers import Real
from typing import Any

import torch
from torch import Tensor

from aninfonce._tensor_checks import check_embeddings, check_finite, check_same_shape

__all__ = [
    "check_count",
    "check_flag",
    "check_has_negatives",
    "check_log_q",
    "check_number",
    "check_views",
    "initial_concentration",
    "numbers",
]


def check_flag(name: str, x: object) -> bool:
    """Return `x` if it is True or False, or raise TypeError: "none" would be true, too."""
    if not isinstance(x, bool):
        raise TypeError(f"{name} must be True or False, got {x!r}")
    return x


def check_number(name: str, x: object) -> float:
    """Return a real number (of Python, NumPy, or a tensor without dimensions) as a float, or raise TypeError."""
    if isinstance(x, Tensor) and x.ndim == 0 and x.dtype != torch.bool and not x.is_complex():
        return float(x.detach())
    if isinstance(x, bool) or not isinstance(x, Real):
        raise TypeError(f"{name} must be a number, got {x!r}")
    return float(x)


def check_count(name: str, x: Any, least: int = 1) -> int:
    """Return a whole number that is at least `least`; raise TypeError or ValueError otherwise."""
    if isinstance(x, bool) or not hasattr(type(x), "__index__") or isinstance(x, Tensor):
        raise TypeError(f"{name} must be an integer, got {x!r}")
    count = operator.index(x)
    if count < least:
        raise ValueError(f"{name} must be at least {least}, got {count}")
    return count


def check_has_negatives(rows: int, *, explicit: str = "") -> None:
    """Raise ValueError unless the batch has two rows, of which each can be the other's negative.

    `explicit` names what else the loss takes.
    """
    if rows < 2:
        raise ValueError(
            f"the batch must have at least 2 samples to have negatives, got {rows}: set drop_last=True in the "
            f"DataLoader if this is what is left for its last batch{explicit}"
        )


def numbers(name: str, x: object) -> Tensor:
    """A number, or a sequence, array or tensor of numbers, in double precision on the CPU.

    Raises:
        TypeError: if it is something else.
    """
    try:
        values = x.detach() if isinstance(x, Tensor) else torch.as_tensor(x, device="cpu")
    except (TypeError, ValueError, RuntimeError) as error:
        raise TypeError(f"{name} must be a number or a sequence of numbers, got {x!r}") from error
    if values.dtype == torch.bool or values.is_complex():
        raise TypeError(f"{name} must be a number or a sequence of numbers, got {x!r}")
    # From the Python numbers themselves: torch would have rounded them to its default dtype.
    exact = values.cpu() if isinstance(x, Tensor) else torch.as_tensor(x, dtype=torch.float64, device="cpu")
    return exact.to(torch.float64, copy=True)


def check_views(u: Tensor, v: Tensor, negatives: Tensor | None) -> None:
    """Check two views (batch, dim) and, unless they are None, negatives (n, dim) or (batch, n, dim).

    Raises:
        TypeError: if an argument is not a floating-point tensor, or dtypes differ.
        ValueError: if shapes or devices do not fit, or an entry is NaN or infinite.
    """
    check_embeddings("u", u)
    check_embeddings("v", v)
    check_same_shape("u", u, "v", v)
    others = [v]
    if negatives is not None:
        _check_negatives(u, negatives)
        others.append(negatives)
    for other in others:
        if other.device != u.device:
            raise ValueError(f"all embeddings must be on one device, got {u.device} and {other.device}")
        if other.dtype != u.dtype:
            raise TypeError(f"all embeddings must have one dtype, got {u.dtype} and {other.dtype}")


def _check_negatives(u: Tensor, negatives: object) -> None:
    batch, dim = u.shape
    if not isinstance(negatives, Tensor) or not negatives.is_floating_point():
        raise TypeError("negatives must be a floating-point torch.Tensor of shape (n, dim) or (batch, n, dim)")
    shared = negatives.ndim == 2
    per_anchor = negatives.ndim == 3 and negatives.shape[0] == batch
    if not (shared or per_anchor) or negatives.shape[-1] != dim or negatives.shape[-2] == 0:
        raise ValueError(
            f"negatives must have shape (n, {dim}) or ({batch}, n, {dim}) with n >= 1, got {tuple(negatives.shape)}"
        )
    check_finite("negatives", negatives)


def check_log_q(batch: int, negatives: Tensor | None, log_q: tuple[Tensor, Tensor]) -> None:
    """Check the log densities of the positives (batch,) and of the negatives (n,) or (batch, n).

    Raises:
        ValueError: if there are no negatives to correct, shapes do not fit, or an entry is NaN or infinite.
    """
    if negatives is None:
        raise ValueError("log_q corrects explicit negatives: pass them as negatives=")
    positive, rest = log_q
    n = negatives.shape[-2]
    if positive.shape != (batch,) or rest.shape not in ((n,), (batch, n)):
        raise ValueError(
            f"log_q must be a pair of shapes ({batch},) and ({n},) or ({batch}, {n}), "
            f"got {tuple(positive.shape)} and {tuple(rest.shape)}"
        )
    check_finite("log_q of the positives", positive)
    check_finite("log_q of the negatives", rest)


def initial_concentration(
    init: float | Sequence[float] | Tensor, dim: int | None, *, signed: bool = False
) -> tuple[Tensor, Tensor]:
    """The initial concentration, in torch's default dtype and exactly: shape (dim,), or () if `dim` is None.

    Raises:
        TypeError: if `init` is not made of numbers.
        ValueError: if `init` has another shape than () or (dim,), is not finite, or is not positive while `signed` is
            false.
    """
    exact = numbers("init", init)
    if dim is None:
        if exact.ndim:
            raise ValueError(f"init must be a number unless dim is given, got shape {tuple(exact.shape)}")
    elif exact.ndim == 0:
        exact = exact.repeat(dim)
    elif exact.shape != (dim,):
        raise ValueError(f"init must be a number or have shape ({dim},), got shape {tuple(exact.shape)}")
    initial = exact.to(torch.get_default_dtype())
    check_finite("init", initial)
    if not signed and not bool((initial > 0).all()):
        hint = "" if dim is None else "; signed=True trains a concentration that may be negative"
        raise ValueError(f"init must be positive, got a smallest entry of {initial.min().item():g}{hint}")
    return initial, exact
