"""AnInfoNCE: one trainable concentration for every embedding dimension."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from aninfonce._checks import check_finite
from aninfonce.objectives._base import ContrastiveObjective

__all__ = ["AnInfoNCE"]


class AnInfoNCE(ContrastiveObjective):
    """The anisotropic contrastive loss; similarity -(u-v)ᵀ Λ̂ (u-v) with a trainable diagonal Λ̂.

    If the positives follow p(z⁺|z) ∝ exp(-(z⁺-z)ᵀΛ(z⁺-z)) on the sphere and the negatives the uniform marginal, a
    minimiser recovers the latents up to a block-orthogonal map (a block: latents of equal Λ), and Λ̂ = Λ up to the
    matching permutation; with distinct Λ up to signs and permutation. Convention: no factor 1/2 (noise of precision
    2Λ); the paper's public code has one, so its "25" is Λ = 12.5 here.

    Λ̂ moves with its own learning rate: on real images it needs about 0.1 to 0.3 with Adam, far more than the network.

    Arguments:
        dim: the number of embedding dimensions, at least 1.
        init: the initial Λ̂: a number for all dimensions, or one for each, shape (dim,).
        normalize: project the embeddings onto the unit sphere first.
        signed: train Λ̂ itself, so that entries may become negative (what negatives that are themselves drawn near the
            anchor call for: then Λ̂ = Λ - Λ⁻); otherwise its logarithm, so that Λ̂ > 0.
        negatives_from: which other samples of the batch are an anchor's negatives: "positives" (the other view's, as
            in CLIP), "anchors" (the anchor's own view: draws from the marginal, for which Λ̂ = Λ is stated), or "both"
            (as NT-Xent in SimCLR).
        symmetric: average the loss over both views as anchors; otherwise u alone are anchors.

    Raises:
        ValueError: if `dim` is below 1, `init` has another length than `dim`, is not finite, or is not positive while
            `signed` is false; or if `negatives_from` is unknown.

    See also: `InfoNCE`, `aninfonce.AnisotropicSpherical`.

    References:
        Rusak, Reizinger, Juhos, Bringmann, Zimmermann, Brendel, "InfoNCE: Identifying the Gap Between Theory and
        Practice", arXiv 2407.00143 (AISTATS 2025), Eq. 4 (the loss) and Theorem 1 (identifiability).

    Example:
        >>> import torch
        >>> from aninfonce import AnInfoNCE
        >>> loss = AnInfoNCE(dim=3, init=[12.5, 2.5, 2.5])
        >>> u, v = torch.eye(3), torch.eye(3)
        >>> loss(u, v).backward()
        >>> [round(c, 1) for c in loss.concentration.tolist()]
        [12.5, 2.5, 2.5]
    """

    def __init__(
        self,
        dim: int,
        init: float | Sequence[float] | Tensor = 5.0,
        normalize: bool = True,
        *,
        signed: bool = False,
        negatives_from: str = "positives",
        symmetric: bool = True,
    ) -> None:
        super().__init__(normalize=normalize, negatives_from=negatives_from, symmetric=symmetric)
        if dim < 1:
            raise ValueError(f"dim must be at least 1, got {dim}")
        initial = torch.as_tensor(init, dtype=torch.get_default_dtype()).detach().clone()
        if initial.ndim == 0:
            initial = initial.repeat(dim)
        if initial.shape != (dim,):
            raise ValueError(f"init must be a number or have shape ({dim},), got shape {tuple(initial.shape)}")
        check_finite("init", initial)
        if not signed and not bool((initial > 0).all()):
            raise ValueError(
                f"init must be positive, got a smallest entry of {initial.min().item():g}; "
                "signed=True trains a concentration that may be negative"
            )
        self.dim = dim
        self.signed = signed
        self.raw_concentration = nn.Parameter(initial if signed else initial.log())

    @property
    def concentration(self) -> Tensor:
        """Λ̂, shape (dim,), > 0 unless `signed`; differentiable."""
        return self.raw_concentration if self.signed else self.raw_concentration.exp()

    def _concentration(self, dim: int, like: Tensor) -> Tensor:
        if dim != self.dim:
            raise ValueError(f"embeddings must have {self.dim} dimensions (the loss's dim), got {dim}")
        return self.concentration.to(like)

    def extra_repr(self) -> str:
        """The settings, for `print(loss)`."""
        return f"dim={self.dim}, signed={self.signed}, {super().extra_repr()}"
