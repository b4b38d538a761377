"""Energy-distance tests: do two samples come from one distribution? Exact at every sample size, by permutation.

The energy distance 2 E|x - y| - E|x - x'| - E|y - y'| is zero for equal distributions only. With every label or swap
written as a sign, the statistic is a quadratic form in the signs, so all permutations need one pass over distances.
"""

from __future__ import annotations

import numpy as np
import torch
from scipy.spatial.distance import cdist

from aninfonce._typing import ArrayLike, Float, FloatArray
from aninfonce.distributions import AnisotropicSpherical
from aninfonce.metrics._arrays import as_matrix, as_points, row_blocks, same_shape
from aninfonce.metrics._specification import TestResult

__all__ = ["conditional_shape_test", "energy_test", "symmetry_test"]


def energy_test(x: ArrayLike, y: ArrayLike, *, permutations: int = 199, seed: int = 0) -> TestResult:
    """Test that two independent samples come from one distribution, by their energy distance.

    To compare pairs (u, v) with pairs from elsewhere, lay them side by side: `np.c_[u, v]`. Rows that belong together,
    as pairs that share an anchor, break the permutation; see `conditional_shape_test`.

    Arguments:
        x: shape (rows, dim), at least 2 rows. Time grows with the square of all rows, memory does not.
        y: shape (other_rows, dim).
        permutations: number of permutations of the rows between the samples; the p-value is at least 1 / (permutations
            + 1).
        seed: the seed of the permutations.

    Returns:
        The `TestResult`; its statistic is nm/(n + m) times the energy distance of the samples, ≥ 0.

    Raises:
        TypeError: if an input is not an array or tensor of real numbers.
        ValueError: if the columns differ, there are fewer than 2 rows, an entry is not finite, or `permutations` < 1.

    References:
        Székely, Rizzo, "Energy statistics: A class of statistics based on distances", Journal of Statistical Planning
        and Inference 143, 2013.

    Example:
        >>> import numpy as np
        >>> from aninfonce import metrics
        >>> x = np.random.default_rng(0).normal(size=(200, 2))
        >>> print(metrics.energy_test(x[:100], x[100:]).p_value > 0.05, metrics.energy_test(x, x + 1.0).p_value < 0.05)
        True True
    """
    first, second = as_matrix("x", x, min_rows=2), as_matrix("y", y, min_rows=2)
    if first.shape[1] != second.shape[1]:
        raise ValueError(f"x and y must have the same columns, got shapes {first.shape} and {second.shape}")
    _check_permutations(permutations)
    points, (n, m) = np.concatenate([first, second]), (len(first), len(second))
    labels = np.repeat([1 / n, -1 / m], [n, m])
    rng = np.random.default_rng(seed)
    signs = np.stack([labels, *(rng.permutation(labels) for _ in range(permutations))], axis=1)
    form = np.zeros(permutations + 1)
    for block in row_blocks(n + m):
        form -= (signs[block] * (cdist(points[block], points) @ signs)).sum(axis=0)
    return _result(n * m / (n + m) * form)


def symmetry_test(
    u: ArrayLike, v: ArrayLike, *, normalize: bool = True, permutations: int = 199, seed: int = 0
) -> TestResult:
    """Test that the two members of a positive pair are exchangeable: (u, v) is distributed as (v, u).

    The energy distance of the pairs to the swapped pairs, against that after swapping each pair at random. Under the
    paper's conditional with uniform anchors the pairs are exchangeable if Λ is isotropic. If not, C(z) makes the
    marginal of the positives deviate a little from uniform, which enough rows will show.

    Arguments:
        u: embeddings of the anchors, shape (rows, dim), at least 2 rows; time grows with rows².
        v: embeddings of the positives, the same shape.
        normalize: project every row onto the unit sphere first.
        permutations: random swaps of all pairs; the p-value is at least 1 / (permutations + 1).
        seed: the seed of the swaps.

    Returns:
        The `TestResult`; its statistic is rows/2 times the energy distance of the samples, ≥ 0.

    Raises:
        TypeError: if an input is not an array or tensor of real numbers.
        ValueError: if the shapes differ, there are fewer than 2 rows, an entry is not finite, `permutations` < 1, or
            with `normalize` a row is zero.

    References:
        Székely, Rizzo, 2013 (see `energy_test`), for the distance; the swaps are a randomisation test.

    Example:
        >>> import numpy as np
        >>> from aninfonce import metrics
        >>> x = np.random.default_rng(0).normal(size=(3, 100, 4))
        >>> u, v = x[0] + x[1], x[0] + x[2]  # two noisy views of x[0]
        >>> metrics.symmetry_test(u, v).p_value > 0.05, metrics.symmetry_test(u, v + [1.0, 0, 0, 0]).p_value < 0.05
        (True, True)
    """
    first, second = as_points("u", u, normalize, min_rows=2), as_points("v", v, normalize, min_rows=2)
    same_shape("u", first, "v", second)
    _check_permutations(permutations)
    return _swap_test(np.c_[first, second], np.c_[second, first], permutations, seed)


def conditional_shape_test(
    u: ArrayLike, v: ArrayLike, concentration: ArrayLike, *, permutations: int = 199, seed: int = 0
) -> TestResult:
    """Test that positives follow p(v | u) ∝ exp(-(v - u)ᵀ Λ (v - u)) on the sphere, against exact draws from it.

    Every anchor gets one draw beside its positive. The energy distance of the two samples of pairs, each pair taken as
    (u/2, √(2|Λ|) · (v - u)) so that deviations from the anchor weigh as much as they are unlikely and the spread of the
    anchors does not drown them, is held against that after swapping positive and draw at random, anchor by anchor:
    under the hypothesis they are exchangeable given the anchor, whatever the distribution of the anchors.

    Λ must not come from the same rows: fitted to them, it would make the draws agree too well. And it should be known
    better than the rows here can tell: the errors of a Λ̂ from fewer rows than these count as a deviation.

    Arguments:
        u: embeddings of the anchors, shape (rows, dim), dim ≥ 2; projected onto the unit sphere. At least 2 rows; time
            grows with rows².
        v: embeddings of the positives, the same shape.
        concentration: the diagonal of Λ, shape (dim,), of either sign.
        permutations: random swaps of all rows; the p-value is at least 1 / (permutations + 1).
        seed: the seed of the draws and the swaps.

    Returns:
        The `TestResult`; its statistic is rows/2 times the energy distance of the samples, ≥ 0.

    Raises:
        TypeError: if an input is not an array or tensor of real numbers.
        ValueError: if the shapes do not fit, there are fewer than 2 rows, dim < 2, an entry is not finite,
            `permutations` < 1, or a row is zero.

    References:
        Székely, Rizzo, 2013 (see `energy_test`). Rusak et al., arXiv 2407.00143, section 3, for the conditional.

    Example:
        >>> import torch
        >>> from aninfonce import metrics
        >>> from aninfonce.distributions import AnisotropicSpherical, HypersphericalUniform
        >>> generator, concentration = torch.Generator().manual_seed(0), torch.tensor([12.0, 6.0, 3.0])
        >>> z = HypersphericalUniform(3).sample((200,), generator=generator)
        >>> positive = AnisotropicSpherical(z, concentration).sample(generator=generator)
        >>> print(metrics.conditional_shape_test(z, positive, concentration).p_value > 0.05)
        True
        >>> print(metrics.conditional_shape_test(z, positive, concentration / 2).p_value < 0.05)
        True
    """
    anchors, positives = as_points("u", u, True, min_rows=2), as_points("v", v, True, min_rows=2)
    same_shape("u", anchors, "v", positives)
    _check_permutations(permutations)
    dim = anchors.shape[1]
    if dim < 2:
        raise ValueError(f"u and v must have at least 2 dimensions, got {dim}")
    if isinstance(concentration, np.ndarray | torch.Tensor):
        if concentration.shape != (dim,):
            raise ValueError(
                f"concentration must have shape ({dim},), one entry a dimension, got {tuple(concentration.shape)}"
            )
        concentration = concentration[None]
    precision = as_matrix("concentration", concentration)[0]
    # Not `seed` itself: anchors that came from it would meet the numbers again that they were made of.
    generator = torch.Generator().manual_seed(int(np.random.default_rng(seed).integers(2**62)))
    model = AnisotropicSpherical(torch.from_numpy(anchors), torch.from_numpy(precision), signed=True)
    drawn = model.sample(generator=generator).numpy()
    scale = np.sqrt(2 * np.abs(precision))
    real, exact = (np.c_[anchors / 2, scale * (other - anchors)] for other in (positives, drawn))
    return _swap_test(real, exact, permutations, seed)


def _swap_test(
    a: Float[FloatArray, "rows dim"], b: Float[FloatArray, "rows dim"], permutations: int, seed: int
) -> TestResult:
    """Energy test of two samples whose rows a_i, b_i may be swapped one by one under the hypothesis.

    A swap turns the sign ε_i, and n² times the energy distance is Σ_ij ε_i ε_j K_ij with
    K_ij = |a_i - b_j| + |b_i - a_j| - |a_i - a_j| - |b_i - b_j|.
    """
    rows = len(a)
    signs = np.random.default_rng(seed).choice([-1.0, 1.0], size=(rows, permutations + 1))
    signs[:, 0] = 1.0
    form = np.zeros(permutations + 1)
    for block in row_blocks(rows):
        kernel = cdist(a[block], b) + cdist(b[block], a) - cdist(a[block], a) - cdist(b[block], b)
        form += (signs[block] * (kernel @ signs)).sum(axis=0)
    return _result(form / (2 * rows))


def _result(statistics: Float[FloatArray, " trials"]) -> TestResult:
    """The first is what was observed; ties, up to rounding, count against the rejection."""
    observed = statistics[0]
    rounding = 1e-10 * float(np.abs(statistics).max())
    p_value = float((statistics >= observed - rounding).mean())
    return TestResult(max(0.0, float(observed)), p_value)


def _check_permutations(permutations: int) -> None:
    if permutations < 1:
        raise ValueError(f"permutations must be at least 1, got {permutations}")
