"""Known latents and the embedding that is to identify them: checked, split into training and test rows, grouped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
from torch import Tensor

from aninfonce._typing import ArrayLike, Float, FloatArray
from aninfonce.metrics._arrays import Halves, as_matrix, constant_columns, halves

__all__ = ["Groups", "check_varies", "group_columns", "latent_halves"]

Groups = Mapping[str, Sequence[int] | ArrayLike]


def latent_halves(
    z: ArrayLike,
    z_hat: ArrayLike,
    test_z: ArrayLike | None,
    test_z_hat: ArrayLike | None,
    test_fraction: float,
    seed: int,
) -> Halves:
    """Training and test rows of latents (rows, d) and an embedding (rows, d_hat), every latent varying in both.

    Raises:
        TypeError: if an argument is not an array or tensor of real numbers.
        ValueError: if shapes do not fit, an entry is not finite, or a latent is constant in either part.
    """
    split = halves(
        ("z", "z_hat"),
        as_matrix("z", z),
        as_matrix("z_hat", z_hat),
        None if test_z is None else as_matrix("test_z", test_z),
        None if test_z_hat is None else as_matrix("test_z_hat", test_z_hat),
        test_fraction=test_fraction,
        seed=seed,
    )
    check_varies(split.train_x, " in the training rows")
    check_varies(split.test_x, " in the test rows")
    return split


def check_varies(latents: Float[FloatArray, "rows d"], where: str) -> None:
    """Raise ValueError if a column does not vary; `where` ends the sentence."""
    constant = np.flatnonzero(constant_columns(latents))
    if len(constant):
        raise ValueError(f"every latent (column of z) must vary, got constant columns {constant.tolist()}{where}")


def group_columns(name: str, group: Sequence[int] | ArrayLike, dim: int) -> npt.NDArray[np.int64]:
    """The columns of z that a group names.

    Raises:
        TypeError: if they are not integers.
        ValueError: if they are not a non-empty list of different columns, 0 to dim - 1.
    """
    columns = np.asarray(group.cpu() if isinstance(group, Tensor) else group)
    if columns.size == 0 or columns.ndim != 1:
        raise ValueError(f"group {name!r} must be a non-empty list of columns, got shape {columns.shape}")
    if columns.dtype.kind not in "iu":
        raise TypeError(f"group {name!r} must hold integers (columns of z), got dtype {columns.dtype}")
    if columns.min() < 0 or columns.max() >= dim or len(np.unique(columns)) < len(columns):
        raise ValueError(f"group {name!r} must hold different columns of z, 0 to {dim - 1}, got {columns.tolist()}")
    return columns.astype(np.int64)
