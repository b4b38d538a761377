"""Checks of what is passed to an objective; each error names what was expected and what came."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from aninfonce._checks import check_embeddings, check_finite, check_same_shape

__all__ = ["check_log_q", "check_views", "initial_concentration"]


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


def initial_concentration(init: float | Sequence[float] | Tensor, dim: int | None, *, signed: bool = False) -> Tensor:
    """The initial concentration: shape (dim,), or () if `dim` is None.

    Raises:
        ValueError: if `dim` is below 1, `init` has another shape than () or (dim,), is not finite, or is not positive
            while `signed` is false.
    """
    initial = torch.as_tensor(init, dtype=torch.get_default_dtype()).detach().clone()
    if dim is None:
        if initial.ndim:
            raise ValueError(f"init must be a number unless dim is given, got shape {tuple(initial.shape)}")
    elif dim < 1:
        raise ValueError(f"dim must be at least 1, got {dim}")
    elif initial.ndim == 0:
        initial = initial.repeat(dim)
    elif initial.shape != (dim,):
        raise ValueError(f"init must be a number or have shape ({dim},), got shape {tuple(initial.shape)}")
    check_finite("init", initial)
    if not signed and not bool((initial > 0).all()):
        hint = "" if dim is None else "; signed=True trains a concentration that may be negative"
        raise ValueError(f"init must be positive, got a smallest entry of {initial.min().item():g}{hint}")
    return initial
