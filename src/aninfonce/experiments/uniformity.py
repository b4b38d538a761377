"""How far the anchors' embeddings are from the uniform marginal that the theory assumes, by their second moments."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["moment_penalty"]


def moment_penalty(u: Tensor) -> Tensor:
    """|d·T - I|²/d - (d - 1)/n with T = n⁻¹ Σ uuᵀ, a scalar; 0 in expectation for independent uniform embeddings.

    It is the Bingham statistic of uniformity, rescaled. Only anchors belong here: the marginal of the positives is not
    uniform when Λ is anisotropic.

    Why it is needed: where the mean of x lies outside the surface g(S^{d-1}), as at d = 20, the map that an encoder of
    centred x starts from has degree 0. The loss alone then keeps |z_i| of one latent and loses its sign, since maps of
    the sphere of different degree are connected only through maps that are somewhere undefined. Such a fold, and the
    stretching that imitates Λ, have unequal second moments. Equal ones do not exclude a fold; that training finds its
    way out of it is an observation (d = 20: R² of style .89 without the penalty, .99 with it), not a theorem, and not
    without exception: see `recipe_for`.

    Arguments:
        u: embeddings on the sphere, shape (n, d).

    References:
        Mardia, Jupp 2000, "Directional Statistics", Sec. 10.7 (Bingham's test).
    """
    n, dim = u.shape
    excess = dim * (u.T @ u) / n - torch.eye(dim, dtype=u.dtype, device=u.device)
    return excess.square().sum() / dim - (dim - 1) / n
