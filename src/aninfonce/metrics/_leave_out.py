"""How far off is Λ̂? Its covariance by the jackknife over groups, and how many degrees of freedom that has.

With s_g the sum of the scores over the anchors of group g and H_g that of their Hessians, one Newton step gives Λ̂
without the group, and the jackknife takes the covariance from the spread of these:

    Λ̂₋g - Λ̂ = (H - H_g)⁻¹ s_g,    Ĉ = (K - 1)/K Σ_g (Λ̂₋g - Λ̂)(Λ̂₋g - Λ̂)ᵀ,    H = Σ_g H_g, K groups.

The plain sandwich has H in the place of H - H_g. It falls short in small samples, since a group that counts draws Λ̂
towards itself. If the scores are those of the model, K - 1 degrees of freedom are too many, too: where most anchors
are easy, a few groups carry Λ̂_k. As many groups of equal weight would vary as much as

    ν_k = (Σ_g h_g)² / Σ_g h_g²,    h_g = (H⁻¹ H_g H⁻¹)_kk.

References:
    Bell, McCaffrey, "Bias Reduction in Standard Errors for Linear Regression with Multi-Stage Samples", Survey
    Methodology 28, 2002: the jackknife form of the sandwich, and Satterthwaite's degrees of freedom for it.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.linalg import LinAlgError

from aninfonce._typing import Float, FloatArray
from aninfonce.metrics._posterior import Choices, Evaluation, group_hessians

__all__ = ["Uncertainty", "jackknife"]

_DETERMINED = 1e-10  # eigenvalue of H - H_g, H being the identity, below which group g alone determines a direction


class Uncertainty(NamedTuple):
    """Ĉ, ν, and the jackknife's Λ̂₋g - Λ̂, one row a group."""

    covariance: Float[FloatArray, "dim dim"]
    dof: Float[FloatArray, " dim"]
    influence: Float[FloatArray, "groups dim"]


def jackknife(choices: Choices, fit: Evaluation) -> Uncertainty:
    """Leave out the groups one at a time.

    Raises:
        ValueError: if without some group Λ is not determined.
    """
    total = fit.hessian * len(choices.anchors)
    root = np.linalg.cholesky(total)
    white = np.linalg.inv(root)  # H⁻¹ = whiteᵀ white, and white H whiteᵀ is the identity
    influence, first, second = [], np.zeros(len(total)), np.zeros(len(total))
    for groups, hessians in group_hessians(choices, fit.concentration):
        shares = white @ hessians @ white.T
        rest = np.eye(len(total)) - shares
        try:
            np.linalg.cholesky(rest - _DETERMINED * np.eye(len(total)))
        except LinAlgError:
            raise ValueError(
                f"Λ must be determined without any one group of rows, but one of {choices.groups} groups of "
                f"{choices.size} rows alone determines some of it (Hit@1 {fit.hit_at_1:.4g}); take more rows, more "
                "negatives, or pairs that differ more"
            ) from None
        scores = fit.group_scores[groups] @ white.T
        influence.append(np.linalg.solve(rest, scores[..., None])[..., 0] @ white)
        weight = np.einsum("ik,gij,jk->gk", white, shares, white, optimize=True)
        first += weight.sum(axis=0)
        second += (weight**2).sum(axis=0)
    moved = np.concatenate(influence)
    covariance = moved.T @ moved * ((choices.groups - 1) / choices.groups)
    return Uncertainty(covariance, first**2 / second, moved)
