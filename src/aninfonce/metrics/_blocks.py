"""Does the map from the latents to the embedding keep blocks of latents apart, and is it orthogonal?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.linalg import lstsq, orthogonal_procrustes
from scipy.optimize import linear_sum_assignment

from aninfonce._checks import nearest_name
from aninfonce._typing import ArrayLike, Float, FloatArray
from aninfonce.metrics._latents import Groups, group_columns, latent_halves

__all__ = ["BlockStructure", "block_leakage"]

_JACKKNIFE = 10  # groups of rows, in each half
_DRAWS = 400  # of random orthogonal maps, for the level of chance


@dataclass(frozen=True, eq=False)
class BlockStructure:
    """What `block_leakage` found; d latents, d_hat dimensions of the embedding, both in k blocks.

    Attributes:
        leakage: share of the squared weight outside the matched blocks, in [0, 1]. NaN if the weights do not sum to
            more than 0, as for a collapsed embedding.
        standard_error: the standard error of the leakage; NaN if leaving out a few rows makes the leakage NaN.
        chance: the leakage of a map without block structure.
        matrix: squared weights A_ij², shape (d_hat, d), without the noise of the fit (so an entry that is zero in
            truth comes out with either sign).
        block_matrix: shares of the squared weight by block of the embedding (row) and of latents (column), shape
            (k, k), in the order of `blocks`. The diagonal sums to 1 - leakage, before it is kept in [0, 1].
        orthogonality_error: min over s of |AᵀA - s²I| / |s²I| (Frobenius), in [0, 1]: 0 if A is a multiple of an
            orthogonal map, √(1 - r/d) for one of r of the d latents. The squares inside are products of two fits too,
            but the root keeps the sign of noise from averaging out. NaN if A is 0 or not told from it.
        block_orthogonality_errors: the same for the matched part of A, by block.
        explained: held-out R² of the affine map from the latents to the embedding, over all its dimensions together.
            Near 0 the leakage means nothing.
        linear_map: A by least squares, shape (d_hat, d).
        blocks: columns of `z`, by block.
        embedding_blocks: columns of `z_hat`, by block.
    """

    leakage: float
    standard_error: float
    chance: float
    matrix: FloatArray
    block_matrix: FloatArray
    orthogonality_error: float
    block_orthogonality_errors: dict[str, float]
    explained: float
    linear_map: FloatArray
    blocks: dict[str, list[int]]
    embedding_blocks: dict[str, list[int]]

    @property
    def arranged(self) -> FloatArray:
        """`matrix` with the columns of a block side by side, and its rows too: the picture of the blocks."""
        dimensions = np.concatenate([self.embedding_blocks[name] for name in self.blocks])
        latents = np.concatenate(list(self.blocks.values()))
        return np.asarray(self.matrix[np.ix_(dimensions, latents)])


def block_leakage(
    z: ArrayLike,
    z_hat: ArrayLike,
    blocks: Groups,
    *,
    embedding_blocks: Groups | None = None,
    fit: str = "least-squares",
    test_z: ArrayLike | None = None,
    test_z_hat: ArrayLike | None = None,
    test_fraction: float = 0.5,
    seed: int = 0,
) -> BlockStructure:
    """Measure the indeterminacy that identification leaves: is the map z -> z_hat block-orthogonal?

    The map z_hat ≈ A z + b is fitted twice, on each part of the rows. The dimensions are matched with the blocks by
    the first fit A⁽¹⁾, and the squared weights are A⁽¹⁾_ij·A⁽²⁾_ij: the errors of the two fits are independent, so
    that noise, which would add its variance to a square, adds nothing on average to the product. A leakage of zero
    is therefore estimated as zero up to its standard error, however noisy the embedding or few the rows. That error
    is a jackknife over groups of rows, with the matching held fixed.

    Weights are in the units of the columns: latents of unequal scales want to be standardised beforehand.

    Arguments:
        z: true latents, shape (rows, d).
        z_hat: embedding, shape (rows, d_hat).
        blocks: names for blocks of latents, each with its columns of `z`; every latent in one block. In the theory,
            the sets of equal concentration.
        embedding_blocks: the dimensions of each block, by the same names; every dimension in one block. By default
            (d_hat = d) those with the largest squared weight inside the blocks, as many in each as it has latents.
        fit: "least-squares", or "procrustes": a multiple of an orthogonal map (d_hat = d), for the leakage; the
            orthogonality error and `linear_map` are always those of least squares.
        test_z, test_z_hat: rows of the second fit; the first then has all rows of `z` and `z_hat`.
        test_fraction: share of the rows of the second fit if no test set is given, in (0, 1).
        seed: the seed of the random split and of the level of chance.

    Returns:
        The `BlockStructure`.

    Raises:
        TypeError: if an input is not an array or tensor of real numbers, or a block's columns are not integers.
        ValueError: if shapes do not fit together, an entry is not finite, a latent is constant in a part of the rows,
            latents are linearly dependent, a part has fewer than 2(d + 1) rows, blocks are not a partition of the
            columns or are named differently, d_hat ≠ d without `embedding_blocks` or for "procrustes", or `fit` is
            unknown.

    See also: `linear_r2`, `mean_correlation`: high and low for a block-orthogonal map.

    References:
        Rusak et al., "InfoNCE: Identifying the Gap Between Theory and Practice", arXiv 2407.00143: latents of equal
        concentration are identified up to an orthogonal map. Miller, "The jackknife - a review", Biometrika 61, 1974.

    Example:
        >>> import numpy as np
        >>> from aninfonce import metrics
        >>> z = np.random.default_rng(0).normal(size=(1000, 3))
        >>> turned = np.c_[z[:, 2], z[:, :2] @ [[0.8, 0.6], [-0.6, 0.8]]]
        >>> found = metrics.block_leakage(z, turned, {"content": [0, 1], "style": [2]})
        >>> print(found.embedding_blocks, round(found.leakage, 3), round(found.orthogonality_error, 3))
        {'content': [1, 2], 'style': [0]} 0.0 0.0
        >>> print(abs(found.arranged.round(2)))
        [[0.64 0.36 0.  ]
         [0.36 0.64 0.  ]
         [0.   0.   1.  ]]
    """
    fitted = _FITS[nearest_name("fit", fit, _FITS)]
    split = latent_halves(z, z_hat, test_z, test_z_hat, test_fraction, seed)
    d, d_hat = split.train_x.shape[1], split.train_y.shape[1]
    if min(len(split.train_x), len(split.test_x)) < 2 * (d + 1):
        raise ValueError(
            f"both fits of {d} latents need at least {2 * (d + 1)} rows, "
            f"got {len(split.train_x)} and {len(split.test_x)}"
        )
    names, of_latent = _partition("blocks", blocks, d)
    if d_hat != d and (embedding_blocks is None or fit == "procrustes"):
        raise ValueError(
            "z_hat must have as many columns as z unless embedding_blocks are given and the fit is by least squares, "
            f"got {d_hat} and {d}"
        )
    parts = ((split.train_x, split.train_y), (split.test_x, split.test_y))
    first, second = (_least_squares(*part) for part in parts)
    maps = (first, second) if fit == "least-squares" else (fitted(*parts[0]), fitted(*parts[1]))
    if embedding_blocks is None:
        of_dimension, chance = _assign(maps[0] ** 2, of_latent), _chance(of_latent, seed)
    else:
        embedding_names, positions = _partition("embedding_blocks", embedding_blocks, d_hat)
        if set(embedding_names) != set(names):
            raise ValueError(f"embedding_blocks must have the names of blocks, {names}, got {embedding_names}")
        of_dimension = np.array([names.index(name) for name in embedding_names])[positions]
        chance = float((of_dimension[:, None] != of_latent).mean())
    weights, inside = maps[0] * maps[1], of_dimension[:, None] == of_latent
    total, indicators = float(weights.sum()), np.eye(len(names))
    latents = {name: np.flatnonzero(of_latent == index) for index, name in enumerate(names)}
    dimensions = {name: np.flatnonzero(of_dimension == index) for index, name in enumerate(names)}
    matched = {name: np.ix_(dimensions[name], latents[name]) for name in names}
    return BlockStructure(
        leakage=float(np.clip(_outside(weights, inside), 0.0, 1.0)),
        standard_error=_standard_error(fitted, parts, maps, inside),
        chance=chance,
        matrix=weights,
        block_matrix=indicators[of_dimension].T @ weights @ indicators[of_latent] / (total if total > 0 else np.nan),
        orthogonality_error=_orthogonality_error(first, second),
        block_orthogonality_errors={name: _orthogonality_error(first[m], second[m]) for name, m in matched.items()},
        explained=_explained(first, parts),
        linear_map=(first + second) / 2,
        blocks={name: columns.tolist() for name, columns in latents.items()},
        embedding_blocks={name: columns.tolist() for name, columns in dimensions.items()},
    )


Part = tuple[FloatArray, FloatArray]
Index = npt.NDArray[np.int64]  # of the block that each column belongs to


def _least_squares(z: Float[FloatArray, "rows d"], z_hat: Float[FloatArray, "rows d_hat"]) -> FloatArray:
    scale = z.std(axis=0)
    coefficients, _, rank, _ = lstsq((z - z.mean(axis=0)) / scale, z_hat - z_hat.mean(axis=0), check_finite=False)
    if rank < z.shape[1]:
        raise ValueError(f"latents must not be linearly dependent, got {z.shape[1]} of rank {rank}")
    return np.asarray((coefficients / scale[:, None]).T)


def _procrustes(z: Float[FloatArray, "rows d"], z_hat: Float[FloatArray, "rows d"]) -> FloatArray:
    centred = z - z.mean(axis=0)
    rotation, norm = orthogonal_procrustes(centred, z_hat - z_hat.mean(axis=0), check_finite=False)
    return np.asarray(rotation.T * norm / (centred**2).sum())


_FITS: dict[str, Callable[[FloatArray, FloatArray], FloatArray]] = {
    "least-squares": _least_squares,
    "procrustes": _procrustes,
}


def _partition(argument: str, blocks: Groups, dim: int) -> tuple[list[str], Index]:
    """The names, and the index of each column's block among them."""
    index = np.full(dim, -1, dtype=np.int64)
    for position, (name, columns) in enumerate(blocks.items()):
        chosen = group_columns(name, columns, dim)
        if (index[chosen] >= 0).any():
            raise ValueError(f"{argument} must not share columns, got {blocks}")
        index[chosen] = position
    if (index < 0).any():
        raise ValueError(f"{argument} must hold every column, got none for {np.flatnonzero(index < 0).tolist()}")
    return list(blocks), index


def _assign(weights: Float[FloatArray, "d d"], of_latent: Index) -> Index:
    """The block of each dimension, as many in a block as it has latents, with the largest weight inside."""
    same = of_latent[:, None] == of_latent
    # One slot for each latent: a dimension in it is worth its weight on the whole block.
    _, slots = linear_sum_assignment(weights @ same, maximize=True)
    return of_latent[slots]


def _outside(weights: Float[FloatArray, "d_hat d"], inside: npt.NDArray[np.bool_]) -> float:
    total = float(weights.sum())
    return float(weights[~inside].sum()) / total if total > 0 else float("nan")


def _chance(of_latent: Index, seed: int) -> float:
    """The mean leakage of uniformly random orthogonal maps, after the same assignment."""
    d = len(of_latent)
    orthogonal, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=(_DRAWS, d, d)))
    return float(np.mean([_outside(w, _assign(w, of_latent)[:, None] == of_latent) for w in orthogonal**2]))


def _standard_error(
    fitted: Callable[[FloatArray, FloatArray], FloatArray],
    parts: tuple[Part, Part],
    maps: tuple[FloatArray, FloatArray],
    inside: npt.NDArray[np.bool_],
) -> float:
    variance = 0.0
    for (z, z_hat), other in zip(parts, maps[::-1], strict=True):
        groups = np.array_split(np.arange(len(z)), min(_JACKKNIFE, len(z)))
        without = [
            _outside(fitted(np.delete(z, rows, axis=0), np.delete(z_hat, rows, axis=0)) * other, inside)
            for rows in groups
        ]
        variance += (len(groups) - 1) * float(np.var(without))
    return float(np.sqrt(variance))


def _orthogonality_error(first: Float[FloatArray, "d_hat d"], second: Float[FloatArray, "d_hat d"]) -> float:
    gram = first.T @ second
    squares = gram * gram.T  # not gram²: (j, k) times (k, j) squares no error of a fit
    trace, total = float(np.trace(gram)), float(squares.sum())
    if min(trace, total) <= 0:
        return float("nan")
    scaled = gram * (trace / total) - np.eye(len(gram))  # over the best s²
    return float(np.sqrt(np.clip((scaled * scaled.T).mean(axis=0).sum(), 0.0, 1.0)))


def _explained(linear_map: Float[FloatArray, "d_hat d"], parts: tuple[Part, Part]) -> float:
    (z, z_hat), (test_z, test_z_hat) = parts
    residual = test_z_hat - z_hat.mean(axis=0) - (test_z - z.mean(axis=0)) @ linear_map.T
    spread = float(((test_z_hat - test_z_hat.mean(axis=0)) ** 2).sum())
    return 1 - float((residual**2).sum()) / spread if spread > 0 else 0.0
