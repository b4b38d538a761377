"""Negatives that are harder than the batch's own, and what each kind does to what the loss identifies.

A rule is passed to an objective, `AnInfoNCE(dim, hard_negatives=Reweighted(beta=1.0))`. p_i is the similarity of a
positive pair, s_ij that of anchor i with its negative j, M the number of negatives.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from aninfonce._tensor_checks import check_finite
from aninfonce.objectives._arguments import check_count, check_number, numbers
from aninfonce.objectives._negatives import Negatives

__all__ = ["Debiased", "NegativesRule", "Reweighted", "Tilted", "TopK"]


@dataclass(frozen=True)
class NegativesRule:
    """The plain loss, in which all negatives have the same weight. The other rules derive from it."""

    def score_concentration(self, concentration: Tensor) -> Tensor:
        """The Λ of the similarity that enters the softmax, from the objective's Λ̂, shape (dim,)."""
        return concentration

    def corrected(self, concentration: Tensor) -> Tensor:
        """The Λ of the data that the objective's trained Λ̂ stands for, shape (dim,)."""
        return concentration

    def check(self, *, normalize: bool, explicit: bool) -> None:
        """Raise ValueError if the rule does not go with the objective's settings or with the kind of negatives."""

    def losses(self, negatives: Negatives, positive: Tensor) -> Tensor | list[Tensor]:
        """The anchors' losses log(1 + r_i e^{-p_i}), shape (directions, batch), or one tensor a direction."""
        return F.softplus(negatives.log_sums() - positive)


@dataclass(frozen=True)
class Tilted(NegativesRule):
    """Explicit negatives drawn near their anchor, from p⁻(c|z) ∝ exp(-(c-z)ᵀΛ⁻(c-z)) on the sphere, corrected.

    Identifiability: without a correction the optimum is Λ̂ = Λ - Λ⁻, whose entries may be negative (so the objective
    needs `signed=True`), and a dimension with Λ_k = Λ⁻_k vanishes from the loss. This rule adds the log-Q correction
    |c - z|²_{Λ⁻} to the logit of every candidate, the positive included; the optimum then is Λ̂ = Λ.

    Λ⁻ is in the coordinates of the embedding. Where only the sampler's log density is known, pass it to the loss as
    `log_q` instead.

    Arguments:
        concentration: Λ⁻, shape (dim,), any sign.

    Raises:
        ValueError: if it is not one finite number for each dimension.

    Example:
        >>> import torch
        >>> from aninfonce import AnInfoNCE
        >>> loss = AnInfoNCE(2, hard_negatives=Tilted([5.0, 1.0]))
        >>> u, negatives = torch.eye(2), torch.eye(2)[:, None]
        >>> f"{loss(u, -u, negatives=negatives):.2f}"  # s = -|a - c|² with Λ̂ - Λ⁻ = (0, 4): ½ [log 2 + log(1 + e^16)]
        '8.35'
    """

    concentration: Sequence[float] | Tensor

    def __post_init__(self) -> None:
        values = numbers("the negatives' concentration", self.concentration)
        if values.ndim != 1 or len(values) == 0:
            raise ValueError(f"the negatives' concentration must have shape (dim,), got {tuple(values.shape)}")
        check_finite("the negatives' concentration", values)
        object.__setattr__(self, "concentration", values)

    def score_concentration(self, concentration: Tensor) -> Tensor:
        """Λ̂ - Λ⁻."""
        assert isinstance(self.concentration, Tensor)  # since __post_init__
        if self.concentration.shape != concentration.shape:
            raise ValueError(
                f"the negatives' concentration must have shape {tuple(concentration.shape)}, as the embeddings, "
                f"got {tuple(self.concentration.shape)}"
            )
        return concentration - self.concentration.to(concentration)

    def check(self, *, normalize: bool, explicit: bool) -> None:
        """Raise ValueError without explicit negatives: the batch's own are not tilted."""
        if not explicit:
            raise ValueError("tilted negatives come from a sampler: pass them as negatives=")


@dataclass(frozen=True)
class Reweighted(NegativesRule):
    """Every anchor's negatives re-weighted in proportion to e^{β s_ij}; the weights are detached.

        loss_i = log(1 + e^{-p_i} M Σ_j w_ij e^{s_ij}),   w_ij = e^{β s_ij} / Σ_m e^{β s_im}

    Identifiability: for many negatives the optimum is Λ̂ = Λ / (1 + β): the ratios of the concentrations, and with them
    the blocks, are those of Λ. `AnInfoNCE.corrected_concentration` is (1 + β) Λ̂. With few negatives that is too large
    (at d = 3 and β = 1, with 16 of them twice the true value, with 256 by 2 %). With gradients through the weights the
    ratios would be distorted, too.

    Arguments:
        beta: β ≥ 0; 0 is the plain loss.

    Raises:
        ValueError: if β is negative or not finite.

    References:
        Robinson, Chuang, Sra, Jegelka, "Contrastive Learning with Hard Negative Samples", arXiv 2010.04592 (ICLR 2021),
        Eq. 4 and section 4; there the gradient passes through the weights.

    Example:
        >>> from aninfonce import AnInfoNCE
        >>> loss = AnInfoNCE(2, init=[4.0, 1.0], hard_negatives=Reweighted(beta=0.5))
        >>> [round(c, 3) for c in loss.corrected_concentration.tolist()]
        [6.0, 1.5]
    """

    beta: float

    def __post_init__(self) -> None:
        check_number("beta", self.beta)
        if not 0 <= self.beta < math.inf:
            raise ValueError(f"beta must be at least 0 and finite, got {self.beta}")

    def corrected(self, concentration: Tensor) -> Tensor:
        """(1 + β) Λ̂."""
        return (1 + self.beta) * concentration

    def losses(self, negatives: Negatives, positive: Tensor) -> Tensor:
        """The anchors' losses, shape (directions, batch)."""
        power = 1 + self.beta
        with torch.no_grad():
            log_weights = negatives.log_sums(self.beta).detach()  # of the tangents of forward-mode differentiation, too
        # Σ_j w_j e^{s_j} is Σ e^{(1+β)s} / Σ e^{βs}. Its gradient at fixed weights is that of the first logarithm,
        # which moves 1 + β times as fast as s, divided by 1 + β.
        tilted = negatives.log_sums(power)
        at_fixed_weights = tilted / power + (tilted * (self.beta / power)).detach()
        return F.softplus(math.log(negatives.count) + at_fixed_weights - log_weights - positive)


@dataclass(frozen=True)
class TopK(NegativesRule):
    """Only the k hardest negatives of every anchor, chosen so that the loss stays consistent.

    The k + 1 most similar of all candidates, the positive among them, are kept; an anchor whose positive is not among
    them is left out of the mean. (A batch without any anchor left has the loss 0.)

    Identifiability: the choice does not know which candidate is the positive, so within the kept set the softmax still
    is its exact posterior: Λ̂ = Λ is optimal, as without the choice. The usual choice, the k hardest negatives plus
    always the positive, gives too small a Λ̂, and collapses (Λ̂ → 0) where these negatives are nearer to the anchor than
    the positive on average (at d = 3: half of Λ with 4 of 32, collapse with 4 of 128).

    Arguments:
        k: the number of negatives kept, at least 1; k at or above the number of negatives is the plain loss.

    Raises:
        ValueError: if k is below 1.
    """

    k: int

    def __post_init__(self) -> None:
        check_count("k", self.k)

    def losses(self, negatives: Negatives, positive: Tensor) -> list[Tensor]:
        """The losses of the anchors that remain, shape (at most batch,), one tensor a direction."""
        return [F.softplus(log_r - positive[rows]) for rows, log_r in negatives.hardest(self.k, positive)]


@dataclass(frozen=True)
class Debiased(NegativesRule):
    """Negatives corrected for the positives among them (the same class, by chance), a share τ⁺ of the marginal.

        loss_i = log(1 + e^{-p_i} M g_i),   g_i = max{ (mean_j e^{s_ij} - τ⁺ e^{p_i}) / (1 - τ⁺), e^{-4 max Λ̂} }

    (the floor is the smallest value e^s takes on the sphere).

    Identifiability: in the theory's setting the marginal already is the right law of the negatives and Λ̂ = Λ needs no
    correction. τ⁺ > 0 turns the optimum, for many negatives, into s = log p(c|z) - log(p(c) - τ⁺ p(c|z)) + const: not
    of the form -|z - c|²_Λ, and steeper near the anchor (Λ̂ > Λ): for class accuracy, not for reading off Λ.

    Arguments:
        class_prior: τ⁺ in [0, 1), the probability that a negative is of the anchor's class; 0 is the plain loss.

    Raises:
        ValueError: if it is outside [0, 1).

    References:
        Chuang, Robinson, Lin, Torralba, Jegelka, "Debiased Contrastive Learning", arXiv 2007.00224 (NeurIPS 2020),
        Eq. 7 and 8, with one positive.
    """

    class_prior: float

    def __post_init__(self) -> None:
        check_number("class_prior", self.class_prior)
        if not 0 <= self.class_prior < 1:
            raise ValueError(f"class_prior must lie in [0, 1), got {self.class_prior}")

    def check(self, *, normalize: bool, explicit: bool) -> None:
        """Raise ValueError off the sphere, where no smallest similarity bounds the estimate."""
        if not normalize:
            raise ValueError("debiased negatives need normalize=True: only on the sphere is e^s bounded from below")

    def losses(self, negatives: Negatives, positive: Tensor) -> Tensor:
        """The anchors' losses, shape (directions, batch)."""
        count, prior = negatives.count, self.class_prior
        rest = negatives.log_sums()
        if prior > 0:
            # log(r - M τ⁺ e^p) = log r + log(1 - e^x); where x ≥ 0 the estimate is not positive: the floor takes over
            x = math.log(count * prior) + positive - rest
            below = x < 0
            rest = rest + torch.log(-torch.expm1(torch.where(below, x, -1.0))) - math.log1p(-prior)
            rest = torch.where(below, rest, -torch.inf)
        lowest = math.log(count) - 4 * negatives.concentration.max()
        return F.softplus(torch.maximum(rest, lowest) - positive)
