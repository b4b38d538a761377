"""From what users pass in (arrays or tensors) to checked float64 arrays, split into training and test rows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import normalize as unit_rows
from torch import Tensor

from aninfonce._typing import Float, FloatArray

__all__ = [
    "Halves",
    "as_matrix",
    "as_points",
    "as_targets",
    "constant_columns",
    "halves",
    "row_blocks",
    "same_rows",
    "same_shape",
]

_BLOCK = 128  # rows of a similarity matrix held at once: 20 MB for 20,000 columns

AnyArray = npt.NDArray[Any]


class Halves(NamedTuple):
    """Rows to fit on and rows to score on, of two arrays whose rows belong together."""

    train_x: FloatArray
    train_y: AnyArray
    test_x: FloatArray
    test_y: AnyArray


def as_matrix(name: str, x: object, *, min_rows: int = 1) -> Float[FloatArray, "rows dim"]:
    """Convert a matrix of real numbers to float64.

    Raises:
        TypeError: if `x` is not an array or tensor of real numbers.
        ValueError: if it does not have two axes, at least `min_rows` rows and one column, or an entry is not finite.
    """
    values = _as_numpy(name, x)
    if values.dtype.kind not in "biuf":
        raise TypeError(f"{name} must hold real numbers, got dtype {values.dtype}")
    if values.ndim != 2 or values.shape[1] == 0:
        raise ValueError(f"{name} must have shape (rows, dim) with dim ≥ 1, got {values.shape}")
    if len(values) < min_rows:
        raise ValueError(f"{name} must have at least {min_rows} rows, got {len(values)}")
    return _as_finite(name, values)


def row_blocks(rows: int) -> Iterator[slice]:
    """The rows of a large matrix, a few at a time."""
    return (slice(start, min(start + _BLOCK, rows)) for start in range(0, rows, _BLOCK))


def as_points(name: str, x: object, normalize: bool, min_rows: int = 1) -> Float[FloatArray, "rows dim"]:
    """Convert embeddings to float64, projected onto the unit sphere if `normalize`.

    Raises:
        TypeError: if `x` is not an array or tensor of real numbers.
        ValueError: if it is not of shape (rows, dim), an entry is not finite, or a row to normalise is zero.
    """
    values = as_matrix(name, x, min_rows=min_rows)
    if not normalize:
        return values
    zero = ~values.any(axis=1)
    if zero.any():
        raise ValueError(
            f"{name} must have a direction in every row to be normalised, got {int(zero.sum())} rows of zeros, "
            f"the first is row {int(np.argmax(zero))}"
        )
    return np.asarray(unit_rows(values))


def as_targets(name: str, x: object) -> AnyArray:
    """Convert targets: categories keep their type and shape (rows,), numbers become float64 of shape (rows, columns).

    Raises:
        TypeError: if `x` is not an array or tensor of booleans, integers, strings or real numbers.
        ValueError: if its shape is not (rows,), or for real numbers (rows, columns), or a number is not finite.
    """
    values = _as_numpy(name, x)
    if values.dtype.kind == "f":
        if values.ndim not in (1, 2) or values.size == 0:
            raise ValueError(f"{name} must have shape (rows,) or (rows, columns), got {values.shape}")
        return _as_finite(name, values.reshape(len(values), -1))
    strings = values.dtype.kind in "UT" or (
        values.dtype.kind == "O" and all(isinstance(value, str) for value in values.flat)
    )
    if not strings and values.dtype.kind not in "biu":
        raise TypeError(f"{name} must hold categories (bool, int, str) or real numbers, got dtype {values.dtype}")
    if values.ndim != 1 or values.size == 0:
        raise ValueError(f"{name} holds categories and must have shape (rows,), got {values.shape}")
    return values.astype(np.str_) if strings else values


def constant_columns(x: Float[FloatArray, "rows dim"]) -> npt.NDArray[np.bool_]:
    """Which columns hold one value only, up to rounding; shape (dim,)."""
    return np.asarray(np.ptp(x, axis=0) <= 8 * np.finfo(np.float64).eps * np.abs(x).max(axis=0))


def same_rows(name: str, x: AnyArray, other_name: str, other: AnyArray) -> None:
    """Check that the rows of two arrays can belong together.

    Raises:
        ValueError: if one has more rows; names both shapes.
    """
    if len(x) != len(other):
        raise ValueError(
            f"{name} and {other_name} must have the same number of rows, got shapes {x.shape} and {other.shape}"
        )


def same_shape(name: str, x: AnyArray, other_name: str, other: AnyArray) -> None:
    """Check that two arrays have one shape.

    Raises:
        ValueError: if they differ; names both shapes.
    """
    if x.shape != other.shape:
        raise ValueError(f"{name} and {other_name} must have the same shape, got {x.shape} and {other.shape}")


def halves(
    names: tuple[str, str],
    x: FloatArray,
    y: AnyArray,
    test_x: FloatArray | None,
    test_y: AnyArray | None,
    *,
    test_fraction: float,
    seed: int,
) -> Halves:
    """Split the rows at random, or take all of them for training if a test set is given.

    Raises:
        ValueError: if rows or columns do not fit together, half a test set is given, `test_fraction` is not in (0, 1),
            or fewer than two rows are left to train or to test on.
    """
    x_name, y_name = names
    same_rows(x_name, x, y_name, y)
    if test_x is None and test_y is None:
        if not 0 < test_fraction < 1:
            raise ValueError(f"test_fraction must be in (0, 1), got {test_fraction}")
        rows = len(x)
        test_rows = round(rows * test_fraction)
        if min(test_rows, rows - test_rows) < 2:
            raise ValueError(
                f"{x_name} and {y_name} have too few rows ({rows}) to split at test_fraction={test_fraction}: "
                "at least 2 are needed to train and 2 to test"
            )
        train, test = train_test_split(np.arange(rows), test_size=test_rows, random_state=seed)
        return Halves(x[train], y[train], x[test], y[test])
    if test_x is None or test_y is None:
        missing, given = (x_name, y_name) if test_x is None else (y_name, x_name)
        raise ValueError(f"test_{given} needs test_{missing} beside it, got None")
    same_rows(f"test_{x_name}", test_x, f"test_{y_name}", test_y)
    for name, train_part, test_part in ((x_name, x, test_x), (y_name, y, test_y)):
        if train_part.shape[1:] != test_part.shape[1:]:
            raise ValueError(
                f"{name} and test_{name} must have the same columns, "
                f"got shapes {train_part.shape} and {test_part.shape}"
            )
    if min(len(x), len(test_x)) < 2:
        raise ValueError(f"at least 2 rows are needed to train and 2 to test, got {len(x)} and {len(test_x)}")
    return Halves(x, y, test_x, test_y)


def _as_numpy(name: str, x: object) -> AnyArray:
    if isinstance(x, Tensor):
        x = x.detach().cpu()  # before the cast: not every device knows float64
        return (x.to(torch.float64) if x.is_floating_point() else x).numpy()  # NumPy has no bfloat16
    if isinstance(x, np.ndarray):
        return x
    raise TypeError(f"{name} must be a NumPy array or a torch.Tensor, got {type(x).__name__}")


def _as_finite(name: str, values: AnyArray) -> FloatArray:
    converted = np.asarray(values, dtype=np.float64)
    bad = ~np.isfinite(converted)
    if bad.any():
        row = int(np.argmax(bad.any(axis=1)))
        raise ValueError(f"{name} must be finite, got {int(bad.sum())} NaN or infinite entries, the first in row {row}")
    return converted
