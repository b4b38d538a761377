"""Alignment and uniformity: the two forces of the contrastive loss, as a loss of their own."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from aninfonce._sphere import unit_rows
from aninfonce._tensor_checks import check_embeddings, check_same_shape
from aninfonce._typing import Float
from aninfonce.objectives._arguments import check_flag, check_has_negatives, check_number
from aninfonce.objectives._objective import Objective
from aninfonce.objectives._potentials import distance_power, log_mean_potential

__all__ = ["AlignmentUniformity", "mean_alignment", "mean_uniformity"]


def mean_alignment(u: Float[Tensor, "batch dim"], v: Float[Tensor, "batch dim"], exponent: float) -> Float[Tensor, ""]:
    """The mean of |u_i - v_i|^α, row by row."""
    return distance_power(u - v, exponent).mean()


def mean_uniformity(u: Float[Tensor, "batch dim"], scale: float) -> Float[Tensor, ""]:
    """The log of the mean of e^{-t|u_i - u_j|²} over all pairs of different rows."""
    return log_mean_potential(u, scale)


class AlignmentUniformity(Objective):
    """The loss E|u - v|^α + w · log E_{i≠j} e^{-t|u_i - u_j|²}, the second term averaged over the two views.

    The first term wants positives close, the second the embeddings spread uniformly over the sphere. Together they are
    what InfoNCE becomes with many negatives: on the sphere, with negatives from the anchors' marginal and t = 1/(2τ),

        InfoNCE - log M  →  t E|u - v|² + E_i log E_j e^{-t|u_i - u_j|²}

    as their number M grows. With the logarithm outside both expectations this is t times the loss for α = 2, w = 1/t:
    an upper bound (Jensen), met where every anchor has the same mean potential, as under a uniform distribution.

    Arguments:
        alignment_exponent: α >= 1 (below, the gradient of a pair that coincides is infinite).
        uniformity_scale: t > 0.
        uniformity_weight: w >= 0.
        normalize: project the embeddings onto the unit sphere first. Off the sphere the second term alone pushes the
            embeddings to infinity.

    Raises:
        TypeError: if an option is of another type.
        ValueError: if a number is out of range or not finite.

    See also: `InfoNCE`, `aninfonce.metrics.alignment`, `aninfonce.metrics.uniformity`.

    References:
        Wang, Isola, "Understanding Contrastive Representation Learning through Alignment and Uniformity on the
        Hypersphere", arXiv 2005.10242 (ICML 2020), section 4; Theorem 1 (the limit of many negatives).

    Example:
        >>> import torch
        >>> from aninfonce.objectives.alignment_uniformity import AlignmentUniformity
        >>> u = torch.tensor([[1.0, 0.0], [-1.0, 0.0]])
        >>> print(f"{AlignmentUniformity()(u, u):.4f}")  # 0 + log e^{-2·4}
        -8.0000
    """

    def __init__(
        self,
        alignment_exponent: float = 2.0,
        uniformity_scale: float = 2.0,
        uniformity_weight: float = 1.0,
        *,
        normalize: bool = True,
    ) -> None:
        super().__init__()
        self.alignment_exponent = check_number("alignment_exponent", alignment_exponent)
        self.uniformity_scale = check_number("uniformity_scale", uniformity_scale)
        self.uniformity_weight = check_number("uniformity_weight", uniformity_weight)
        self.normalize = check_flag("normalize", normalize)
        if not 1 <= alignment_exponent < math.inf:
            raise ValueError(f"alignment_exponent must be at least 1 and finite, got {alignment_exponent}")
        if not 0 < uniformity_scale < math.inf:
            raise ValueError(f"uniformity_scale must be positive and finite, got {uniformity_scale}")
        if not 0 <= uniformity_weight < math.inf:
            raise ValueError(f"uniformity_weight must be at least 0 and finite, got {uniformity_weight}")

    def forward(self, u: Tensor, v: Tensor) -> Tensor:
        """The loss of the batch.

        Arguments:
            u: embeddings of the first view, shape (batch, dim), batch >= 2.
            v: embeddings of the second view, row by row positives, shape (batch, dim).

        Returns:
            A scalar tensor, at least float32 (also under autocast).

        Raises:
            TypeError: if an argument is not a floating-point tensor, or dtypes differ.
            ValueError: if shapes or devices do not fit, an entry is NaN or infinite, or the batch has one row.
            RuntimeError: on a second differentiation for α < 2, if two views coincide, where it is infinite.
        """
        u, v = check_embeddings("u", u), check_embeddings("v", v)
        check_same_shape("u", u, "v", v)
        if v.device != u.device:
            raise ValueError(f"all embeddings must be on one device, got {u.device} and {v.device}")
        if v.dtype != u.dtype:
            raise TypeError(f"all embeddings must have one dtype, got {u.dtype} and {v.dtype}")
        check_has_negatives(len(u))
        # Half precision has too few digits for small distances.
        with torch.autocast(u.device.type, enabled=False):
            u, v = self._prepare(u), self._prepare(v)
            uniformity = (mean_uniformity(u, self.uniformity_scale) + mean_uniformity(v, self.uniformity_scale)) / 2
            return mean_alignment(u, v, self.alignment_exponent) + self.uniformity_weight * uniformity

    def _prepare(self, x: Tensor) -> Tensor:
        x = x.to(torch.promote_types(x.dtype, torch.float32))
        return unit_rows(x) if self.normalize else x

    def extra_repr(self) -> str:
        """The settings, for `print(loss)`."""
        return (
            f"alignment_exponent={self.alignment_exponent:g}, uniformity_scale={self.uniformity_scale:g}, "
            f"uniformity_weight={self.uniformity_weight:g}, normalize={self.normalize}"
        )
