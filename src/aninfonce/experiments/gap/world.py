"""A data-generating process that can break one assumption at a time; as it stands by default, none is broken."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from aninfonce.data.latent_pairs import LatentPairs
from aninfonce.distributions import AnisotropicSpherical, VonMisesFisher

__all__ = ["CONTENT", "STYLE", "World", "WorldPairs"]

CONTENT, STYLE = 12.5, 2.5  # Λ of the first and of the second half of the latents, unless told otherwise


@dataclass(frozen=True, kw_only=True)
class World:
    """What the latents, the pairs and the mixing are like. The defaults are the theory's assumptions.

    Attributes:
        concentration: Λ, one entry a latent, an even number of them and at least 4, all > 0: content first, then style.
        lean: marginal: κ ≥ 0 of a von Mises–Fisher distribution around (1, …, 1)/√d; 0: uniform.
        axes: marginal: a uniform direction with the first content and the first style latent stretched by this factor,
            > 0, and projected back (an angular central Gaussian); 1: uniform.
        degrees_of_freedom: conditional: a pair's Λ is multiplied by a χ²_ν/ν of its own, of mean 1, so that Gaussian
            deviations become Student's t with ν ≥ 1 degrees of freedom; None: by 1.
        drift: conditional: Λ on the side z_1 > 0 over Λ on the other side, ≥ 1; the geometric mean is `concentration`.
        push: conditional: every positive moves by this length towards the first axis, and back onto the sphere; ≥ 0.
        fold: mixing: the slope, in [-1, 1], with which the first content and the first style latent enter g where they
            are negative: 1 leaves them, 0 hides their negative half, -1 is |z|.

    Raises:
        ValueError: if a setting is out of range.
    """

    concentration: tuple[float, ...] = (CONTENT,) * 5 + (STYLE,) * 5
    lean: float = 0.0
    axes: float = 1.0
    degrees_of_freedom: int | None = None
    drift: float = 1.0
    push: float = 0.0
    fold: float = 1.0

    def __post_init__(self) -> None:
        if len(self.concentration) < 4 or len(self.concentration) % 2:
            raise ValueError(f"concentration must have an even number of entries, at least 4, got {self.concentration}")
        if not all(0 < c < math.inf for c in self.concentration):
            raise ValueError(f"every concentration must be positive and finite, got {self.concentration}")
        for name, least in {"lean": 0.0, "drift": 1.0, "push": 0.0}.items():
            if not least <= getattr(self, name) < math.inf:
                raise ValueError(f"{name} must be at least {least:g} and finite, got {getattr(self, name)}")
        if not 0 < self.axes < math.inf:
            raise ValueError(f"axes must be positive and finite, got {self.axes}")
        if self.degrees_of_freedom is not None and self.degrees_of_freedom < 1:
            raise ValueError(f"degrees_of_freedom must be at least 1, or None, got {self.degrees_of_freedom}")
        if not -1 <= self.fold <= 1:
            raise ValueError(f"fold must be in [-1, 1], got {self.fold}")

    @property
    def dim(self) -> int:
        """The number of latents d."""
        return len(self.concentration)

    @property
    def groups(self) -> dict[str, list[int]]:
        """Content and style: the first and the second half of the latents."""
        half = self.dim // 2
        return {"content": list(range(half)), "style": list(range(half, self.dim))}

    @property
    def singled(self) -> list[int]:
        """The latents that `axes` and `fold` single out: the first of each group."""
        return [group[0] for group in self.groups.values()]

    @property
    def reflectable(self) -> bool:
        """Whether reflecting a pair at coordinate planes leaves its law as it is."""
        return self.lean == 0 and self.drift == 1 and self.push == 0

    def folded(self, z: Tensor) -> Tensor:
        """The latents as they enter g, shape (n, d)."""
        slopes = z.new_ones(self.dim)
        slopes[self.singled] = self.fold
        return torch.where(z < 0, slopes * z, z)

    def pairs(self, g: nn.Module, dtype: torch.dtype = torch.float32) -> WorldPairs:
        """Positive pairs of this world, observed through `folded` and g."""
        return WorldPairs(torch.tensor(self.concentration, dtype=dtype), _Folded(self, g), self)


class _Folded(nn.Module):
    """z -> g(folded(z)), a module so that g moves along with the pairs."""

    def __init__(self, world: World, g: nn.Module) -> None:
        super().__init__()
        self.world, self.g = world, g

    def forward(self, z: Tensor) -> Tensor:
        """Observations of latents of shape (n, d)."""
        x: Tensor = self.g(self.world.folded(z))
        return x


@dataclass(frozen=True)
class WorldPairs(LatentPairs):
    """Positive pairs of a `World`."""

    world: World

    def latents(self, n: int, rng: torch.Generator) -> Tensor:
        """n draws of the marginal, shape (n, dim)."""
        world, one = self.world, torch.ones_like(self.concentration)
        if world.lean > 0:
            law = VonMisesFisher(one / world.dim**0.5, one.new_tensor(world.lean), validate_args=False)
            z = law.sample((n,), generator=rng)
        else:
            z = super().latents(n, rng)
        if world.axes != 1:
            one[world.singled] = world.axes
            z = F.normalize(one * z, dim=1)
        return z

    def latent_pairs(self, n: int, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        """n positive pairs of latents (z, z⁺), each of shape (n, dim)."""
        world, concentration = self.world, self.concentration
        z = self.latents(n, rng)
        if world.drift != 1:
            concentration = concentration * world.drift ** (0.5 * torch.sign(z[:, :1]))
        if (nu := world.degrees_of_freedom) is not None:
            normal = torch.randn(n, nu, dtype=z.dtype, device=z.device, generator=rng)
            # Not quite 0, which is no concentration of the conditional.
            concentration = concentration * (normal**2).mean(1, keepdim=True).clamp_min(1e-4)
        positive = AnisotropicSpherical(z, concentration, validate_args=False).sample(generator=rng)
        if world.push > 0:
            positive[:, 0] += world.push
            positive = F.normalize(positive, dim=1)
        return z, positive
