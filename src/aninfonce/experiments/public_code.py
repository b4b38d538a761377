"""What the paper's public code computes in the place of the theorem's loss and of its law; for comparison only.

Its loss has the form of NT-Xent: both views are anchors, and each has the negatives of both views. In the second
direction, though, the similarities of the two views stand as in the first, where they ought to be transposed: v_i is
told apart from the candidates of u_i. Its sampler of positives approximates the conditional.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from aninfonce._typing import Float
from aninfonce.data.latent_pairs import LatentPairs
from aninfonce.distributions import ApproximateAnisotropicSpherical
from aninfonce.objectives import AnInfoNCE

__all__ = ["ApproximatePairs", "UntransposedNTXent", "nt_xent"]


def nt_xent(
    u: Float[Tensor, "batch dim"],
    v: Float[Tensor, "batch dim"],
    concentration: Float[Tensor, " dim"],
    *,
    transposed: bool,
) -> Tensor:
    """NT-Xent with the similarity s(a, b) = -(a-b)ᵀ Λ̂ (a-b), and what the public code makes of it.

        of the anchor u_i: log(Σ_j e^{s(u_i, v_j)} + Σ_{j≠i} e^{s(u_i, u_j)}) - s(u_i, v_i)
        of the anchor v_i: log(Σ_j e^{c_ij} + Σ_{j≠i} e^{s(v_i, v_j)}) - s(u_i, v_i)

    c_ij = s(v_i, u_j) if `transposed`, as in NT-Xent; c_ij = s(u_i, v_j) otherwise, as in the public code.

    Arguments:
        u: embeddings of the first view, shape (batch, dim), batch at least 2.
        v: those of the second view, row by row.
        concentration: Λ̂, shape (dim,).
        transposed: see above.

    Returns:
        The mean over both views' anchors, in nats; memory O(batch²).

    References:
        Chen, Kornblith, Norouzi, Hinton, "A Simple Framework for Contrastive Learning of Visual Representations",
        ICML 2020, Eq. 1 (NT-Xent). `AnInfoNCELoss` in the code of Rusak et al., arXiv 2407.00143.
    """
    cross = _similarities(u, v, concentration)
    of_u = torch.logaddexp(cross.logsumexp(1), _among(u, concentration))
    of_v = torch.logaddexp((cross.T if transposed else cross).logsumexp(1), _among(v, concentration))
    return (0.5 * (of_u + of_v) - cross.diagonal()).mean()


def _similarities(a: Tensor, b: Tensor, concentration: Tensor) -> Tensor:
    left, right = a * concentration, b * concentration
    return 2 * left @ b.T - (left * a).sum(1)[:, None] - (right * b).sum(1)


def _among(a: Tensor, concentration: Tensor) -> Tensor:
    """log Σ_{j≠i} e^{s(a_i, a_j)}, shape (batch,)."""
    own = torch.eye(len(a), dtype=torch.bool, device=a.device)
    return _similarities(a, a, concentration).masked_fill(own, -torch.inf).logsumexp(1)


class UntransposedNTXent(AnInfoNCE):
    """AnInfoNCE's Λ̂ under the loss of the public code, `nt_xent` with its untransposed block.

    Arguments, attributes: see `AnInfoNCE`; the negatives are always those of both views, in both directions.
    """

    def forward(
        self, u: Tensor, v: Tensor, negatives: Tensor | None = None, log_q: tuple[Tensor, Tensor] | None = None
    ) -> Tensor:
        """The mean loss of a batch, u and v each of shape (batch, dim).

        Raises:
            ValueError: if there are explicit negatives, which this loss does not know.
        """
        if negatives is not None or log_q is not None:
            raise ValueError("the public code's loss takes its negatives from the batch and accepts no explicit ones")
        if self.normalize:
            u, v = F.normalize(u, dim=-1), F.normalize(v, dim=-1)
        return nt_xent(u, v, self.concentration.to(u), transposed=False)


@dataclass(frozen=True)
class ApproximatePairs(LatentPairs):
    """`LatentPairs` whose positives come from the public code's sampler; see `ApproximateAnisotropicSpherical`."""

    def latent_pairs(self, n: int, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        """n positive pairs of latents (z, z⁺), each of shape (n, dim)."""
        z = self.latents(n, rng)
        law = ApproximateAnisotropicSpherical(z, self.concentration, validate_args=False)
        return z, law.sample(generator=rng)
