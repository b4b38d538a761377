"""AnInfoNCE, equation 4 of arXiv 2407.00143: one trainable concentration for every embedding dimension.

    L(u, v) = E[ -log( e^{s(u, v)} / (e^{s(u, v)} + Σ_j e^{s(u, v_j)}) ) ],    s(u, v) = -(u - v)ᵀ Λ̂ (u - v)

v is the positive of the anchor u, the v_j are its negatives, and Λ̂ is a trainable diagonal matrix. The class below says
it again in two lines of PyTorch. How the same number is computed without the batch × batch matrix stands in `_base.py`
and the modules below it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from aninfonce.objectives._arguments import check_count, check_flag, initial_concentration
from aninfonce.objectives._base import ContrastiveObjective
from aninfonce.objectives.hard_negatives import NegativesRule

__all__ = ["AnInfoNCE"]


class AnInfoNCE(ContrastiveObjective):
    """The anisotropic contrastive loss; similarity -(u-v)ᵀ Λ̂ (u-v) with a trainable diagonal Λ̂.

    In its dense form, squared differences weighted by λ and then cross-entropy with the diagonal, it is two lines (for
    one direction, embeddings on the unit sphere, and the other view's samples as negatives):

        >>> import torch
        >>> from torch.nn import functional as F
        >>> from aninfonce import AnInfoNCE
        >>> λ = torch.tensor([12.5, 2.5, 2.5])
        >>> u, v = F.normalize(torch.randn(2, 8, 3, generator=torch.Generator().manual_seed(0)), dim=-1)
        >>> similarities = -((u[:, None] - v[None]).square() * λ).sum(-1)  # (batch, batch)
        >>> dense = F.cross_entropy(similarities, torch.arange(len(u)))
        >>> torch.allclose(AnInfoNCE(dim=3, init=λ, symmetric=False)(u, v), dense)
        True

    This module gives the same value and gradients from blocks of the matrix, in memory that grows with batch · dim.

    If the positives follow p(z⁺|z) ∝ exp(-(z⁺-z)ᵀΛ(z⁺-z)) on the sphere and the negatives the uniform marginal, a
    minimiser recovers the latents up to a block-orthogonal map (a block: latents of equal Λ), and Λ̂ = Λ up to the
    matching permutation. With distinct Λ the map is a permutation with signs. By convention there is no factor 1/2 (the
    noise has precision 2Λ); the paper's public code has one, so its "25" is Λ = 12.5 here.

    Λ̂ needs a learning rate of its own: on real images about 0.1 to 0.3 with Adam, far more than the network's. Weight
    decay, which acts on its logarithm, would pull it to 1. `loss.param_groups(lr=0.1)` returns the group to give to the
    optimiser.

    Arguments:
        dim: the number of embedding dimensions, at least 1.
        init: the initial Λ̂: a number for all dimensions, or one for each, shape (dim,).
        normalize: project the embeddings onto the unit sphere first.
        signed: train Λ̂ itself, so that entries may become negative, which is needed for negatives that are themselves
            drawn near the anchor (then Λ̂ = Λ - Λ⁻); otherwise train its logarithm, so that Λ̂ > 0.
        negatives_from: which other samples of the batch are an anchor's negatives: "positives" (the other view's, as
            in CLIP), "anchors" (the anchor's own view: draws from the marginal, for which Λ̂ = Λ is stated), or "both"
            (as NT-Xent in SimCLR).
        symmetric: average the loss over both views as anchors; otherwise u alone are anchors.
        hard_negatives: a rule of `aninfonce.objectives.hard_negatives` (`Tilted`, `Reweighted`, `TopK`, `Debiased`);
            with None all negatives have the same weight.
        chunk_size: number of rows and columns of the blocks of similarities that are in memory at a time; with None it
            is chosen automatically. It changes time and memory, not the result.
        gather: when torch.distributed is initialised, contrast with the samples of all processes.

    Raises:
        TypeError: if an option is of another type.
        ValueError: if `dim` is below 1, `init` has another length than `dim`, is not finite, or is not positive while
            `signed` is false; `chunk_size` is below 1, or `negatives_from` is unknown.

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
        *,
        normalize: bool = True,
        signed: bool = False,
        negatives_from: str = "positives",
        symmetric: bool = True,
        hard_negatives: NegativesRule | None = None,
        chunk_size: int | None = None,
        gather: bool = True,
    ) -> None:
        super().__init__(
            normalize=normalize,
            negatives_from=negatives_from,
            symmetric=symmetric,
            hard_negatives=hard_negatives,
            chunk_size=chunk_size,
            gather=gather,
        )
        self.dim = check_count("dim", dim)
        self.signed = check_flag("signed", signed)
        initial, exact = initial_concentration(init, self.dim, signed=signed)
        # Two names, so that logarithms are never loaded as the numbers themselves.
        if signed:
            self.signed_concentration: Tensor
            self._begin("signed_concentration", initial, exact, trainable=True, like=init)
        else:
            self.raw_concentration: Tensor
            self._begin("raw_concentration", initial.log(), exact.log(), trainable=True, like=init)

    @property
    def concentration(self) -> Tensor:
        """Λ̂, shape (dim,), > 0 unless `signed`; differentiable."""
        return self.signed_concentration if self.signed else self.raw_concentration.exp()

    @property
    def corrected_concentration(self) -> Tensor:
        """The data's Λ that Λ̂ stands for under `hard_negatives`, shape (dim,): (1 + β) Λ̂ if re-weighted, else Λ̂."""
        return self.hard_negatives.corrected(self.concentration)

    def _load_from_state_dict(
        self,
        state_dict: dict[str, Any],
        prefix: str,
        local_metadata: dict[str, Any],
        strict: bool,
        missing_keys: list[str],
        unexpected_keys: list[str],
        error_msgs: list[str],
    ) -> None:
        """As `nn.Module`; refuses what an objective of the other kind saved."""
        own, other = "raw_concentration", "signed_concentration"
        own, other = (other, own) if self.signed else (own, other)
        if prefix + other in state_dict and prefix + own not in state_dict:
            error_msgs.append(
                f"{prefix}{other} holds {'the logarithms of Λ̂, of' if self.signed else 'Λ̂ itself, of'} an AnInfoNCE "
                f"with signed={not self.signed}, and this one has signed={self.signed} (earlier versions called both "
                "raw_concentration): load it with the setting it was saved with, and pass its .concentration as init"
            )
            return
        super()._load_from_state_dict(
            state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs
        )

    def _check_dim(self, dim: int) -> None:
        if dim != self.dim:
            raise ValueError(f"embeddings must have {self.dim} dimensions (the loss's dim), got {dim}")

    def _concentration(self, dim: int, like: Tensor) -> Tensor:
        return self.concentration.to(like)

    def extra_repr(self) -> str:
        """The settings, for `print(loss)`."""
        return f"dim={self.dim}, signed={self.signed}, {super().extra_repr()}"
