"""How close a generator brings observations of different latents: injectivity at large, not only in the small."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from aninfonce._tensor_checks import check_embeddings

__all__ = ["Separation", "separation"]


@dataclass(frozen=True)
class Separation:
    """The ratios |g(z) - g(z')| / |z - z'| of pairs of latents, in the unit of the observations a unit of the latents.

    Attributes:
        nearest: of every latent, to the one that comes closest in this ratio, shape (n,).
        median: over all pairs.
        searched: the smallest that a search by gradient found from the closest pairs, over all of the sphere.
        distance: |z - z'| where it found that.
    """

    nearest: Tensor
    median: float
    searched: float
    distance: float


def separation(
    generator: Callable[[Tensor], Tensor],
    latents: Tensor,
    *,
    starts: int = 128,
    steps: int = 100,
    apart: float = 0.1,
) -> Separation:
    """The smallest |g(z) - g(z')| / |z - z'| over all pairs of a sample of the unit sphere, and by a search from them.

    Above zero for all pairs, g is injective, and the number is the lower constant of a bi-Lipschitz bound. The Jacobian
    (`smallest_singular_value`) sees only neighbours; g may also fold, so that latents far apart look the same.

    Arguments:
        generator: g, latents (n, dim) to observations (n, …), differentiable.
        latents: shape (n, dim), n at least 2, on the unit sphere.
        starts: so many of the closest pairs are where the search starts, at least 1.
        steps: number of steps of the search, at least 0; 0 reports the closest pair of the sample.
        apart: the search keeps to pairs at least so far apart, in (0, 1]; closer ones are the Jacobian's.

    Raises:
        TypeError: if `latents` is not a floating-point tensor.
        ValueError: if a shape or a number is not as above, or the latents are not on the sphere.

    Example:
        >>> z = torch.nn.functional.normalize(torch.randn(50, 2, generator=torch.Generator().manual_seed(0)))
        >>> found = separation(lambda z: z * torch.tensor([3.0, 0.5]), z)
        >>> round(found.searched, 2)
        0.5
    """
    check_embeddings("latents", latents, min_rows=2)
    if starts < 1 or steps < 0 or not 0 < apart <= 1:
        raise ValueError(f"expected starts >= 1, steps >= 0 and 0 < apart <= 1, got {starts=}, {steps=}, {apart=}")
    if not torch.allclose(latents.norm(dim=1), latents.new_ones(())):
        raise ValueError("latents must be on the unit sphere")
    with torch.no_grad():
        between = torch.cdist(latents, latents)
        x = generator(latents).flatten(1)
        ratios = torch.cdist(x, x) / between
        ratios.fill_diagonal_(torch.inf)
        nearest, partner = ratios.min(1)
        off_diagonal = ratios[~torch.eye(len(latents), dtype=torch.bool, device=latents.device)]
        worst = nearest.argsort()[:starts]
    searched, distance = _search(generator, latents[worst], latents[partner[worst]], steps, apart)
    if float(nearest.min()) < searched:
        searched, distance = float(nearest.min()), float(between[worst[0], partner[worst[0]]])
    return Separation(nearest, float(off_diagonal.median()), searched, distance)


def _search(
    generator: Callable[[Tensor], Tensor], z: Tensor, other: Tensor, steps: int, apart: float
) -> tuple[float, float]:
    """Descend from pairs of the sphere to the smallest ratio; returns it and the distance of the latents there."""
    points = torch.stack([z, other]).detach().clone().requires_grad_()
    optimizer = torch.optim.Adam([points], lr=0.03)
    best, where = torch.inf, torch.nan
    for _ in range(steps + 1):
        with torch.enable_grad():
            a, b = F.normalize(points, dim=-1)
            far = (a - b).norm(dim=1)
            x, x_other = generator(torch.cat([a, b])).flatten(1).chunk(2)
            # The floor keeps pairs apart: below it they gain nothing by coming closer.
            ratio = (x - x_other).norm(dim=1) / far
            loss = ratio.log().sum() + (apart / far).clamp_min(1).sub(1).mul(10).sum()
        allowed = ratio.detach().where(far.detach() >= apart, torch.inf)
        index = int(allowed.argmin())
        if float(allowed[index]) < best:
            best, where = float(allowed[index]), float(far[index].detach())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return best, where
