"""What InfoNCE and AnInfoNCE share: checks, normalisation, precision, and the choice of negatives."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from aninfonce._checks import check_embeddings, check_finite, check_same_shape
from aninfonce.objectives._dense import check_negatives_from, contrast, contrast_explicit
from aninfonce.objectives._fused import FusedContrast, is_safe

__all__ = ["ContrastiveObjective"]


class ContrastiveObjective(nn.Module):
    """A contrastive loss whose similarity is -(u-v)ᵀ Λ (u-v); subclasses say what Λ is."""

    def __init__(self, *, normalize: bool, negatives_from: str, symmetric: bool) -> None:
        super().__init__()
        self.normalize = normalize
        self.negatives_from = check_negatives_from(negatives_from)
        self.symmetric = symmetric

    def _concentration(self, dim: int, like: Tensor) -> Tensor:
        """Λ of shape (dim,), in the dtype and on the device of `like`."""
        raise NotImplementedError  # every subclass defines it

    def forward(self, u: Tensor, v: Tensor, negatives: Tensor | None = None) -> Tensor:
        """The mean loss of the batch, in nats.

        Arguments:
            u: embeddings of the first view (the anchors), shape (batch, dim).
            v: embeddings of the second view (the positives), row by row, shape (batch, dim).
            negatives: embeddings to tell the positives from, shape (n, dim) for all anchors or (batch, n, dim) for each
                its own. Then u alone are anchors, exactly as in Eq. 4 of the paper. Without them the other samples of
                the batch serve, as `negatives_from` says.

        Returns:
            A scalar tensor, at least float32 (also under autocast).

        Raises:
            TypeError: if an argument is not a floating-point tensor, or dtypes differ.
            ValueError: if shapes or devices do not fit, an entry is NaN or infinite, or the batch has one row and no
                explicit negatives.
        """
        u = check_embeddings("u", u)
        v = check_embeddings("v", v)
        check_same_shape("u", u, "v", v)
        if negatives is None and len(u) < 2:
            raise ValueError("the batch must have at least 2 samples to have negatives, got 1; or pass negatives=")
        others = [v] if negatives is None else [v, self._check_negatives(u, negatives)]
        for other in others:
            if other.device != u.device:
                raise ValueError(f"all embeddings must be on one device, got {u.device} and {other.device}")
            if other.dtype != u.dtype:
                raise TypeError(f"all embeddings must have one dtype, got {u.dtype} and {other.dtype}")
        # Half precision has too few digits for a softmax over distances.
        with torch.autocast(u.device.type, enabled=False):
            u, v = self._prepare(u), self._prepare(v)
            concentration = self._concentration(u.shape[1], u)
            if negatives is None:
                compute = FusedContrast.apply if is_safe(u, v, concentration) else contrast
                return compute(u, v, concentration, self.negatives_from, self.symmetric)
            return contrast_explicit(u, v, self._prepare(negatives), concentration)

    def _prepare(self, x: Tensor) -> Tensor:
        x = x.to(torch.promote_types(x.dtype, torch.float32))
        return F.normalize(x, dim=-1) if self.normalize else x

    @staticmethod
    def _check_negatives(u: Tensor, negatives: object) -> Tensor:
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
        return negatives

    def extra_repr(self) -> str:
        """The settings, for `print(loss)`."""
        return f"normalize={self.normalize}, negatives_from={self.negatives_from!r}, symmetric={self.symmetric}"
