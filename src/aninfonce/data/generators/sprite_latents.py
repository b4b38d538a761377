"""From latents on the sphere or the box to sprites: the generator g of experiments on images with known factors."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor

from aninfonce._checks import nearest_name
from aninfonce._tensor_checks import check_embeddings
from aninfonce.data.generators.sprites import FACTOR_RANGES, FACTORS, SpriteRenderer, factor_bounds

__all__ = ["LatentsToFactors", "SpriteGenerator"]

_TOLERANCE = 1e-4  # of the latents' range: what rounding may add


@dataclass(frozen=True)
class LatentsToFactors:
    """Latents (n, dim) to factors (n, 10), one factor a latent, each increasing in its latent.

    With `curve="linear"` a factor goes linearly from its smallest value at `low` to its largest at `high`. A coordinate
    of a uniform point on S^{dim-1} has a standard deviation of only 1/√dim, so most images then lie in the middle of
    the ranges; `curve="even"` takes Φ(√dim · z) of the range instead, Φ the standard normal distribution function,
    which spreads the factors about evenly, is as smooth, and is as invertible (its slope at ±1 is small).

    Arguments:
        names: the factors that the latents drive, in the order of the latents; at least one, none twice.
        low: the latents' smallest value: -1 for the sphere.
        high: the latents' largest value: 1 for the sphere.
        curve: `"linear"`, or `"even"` for latents on the sphere.
        fixed: values of factors that no latent drives; the middle of the range where nothing is said.

    Raises:
        ValueError: if a name is unknown, comes twice or is both driven and fixed, a fixed value is outside its range,
            `low` is not less than `high`, or the curve is unknown or needs the sphere.

    Example:
        >>> mapping = LatentsToFactors(names=("x", "size", "hue"))
        >>> z = torch.tensor([[1.0, 0.0, 0.0], [0.0, 0.0, -1.0]])
        >>> factors = mapping(z)
        >>> factors.shape, factors[:, FACTORS.index("hue")].tolist()
        (torch.Size([2, 10]), [0.375, 0.0])
        >>> bool(torch.allclose(mapping.inverse(factors), z, atol=1e-6))
        True
    """

    names: tuple[str, ...] = FACTORS
    low: float = -1.0
    high: float = 1.0
    curve: Literal["linear", "even"] = "linear"
    fixed: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in (*self.names, *self.fixed):
            nearest_name("factor", name, FACTORS)
        if not self.names or len(set(self.names)) < len(self.names):
            raise ValueError(f"names must be at least one factor, none of them twice, got {self.names}")
        if both := set(self.names) & set(self.fixed):
            raise ValueError(f"a factor is driven by a latent or fixed, got both for {', '.join(sorted(both))}")
        for name, value in self.fixed.items():
            allowed = FACTOR_RANGES[name]
            if not allowed.low <= value <= allowed.high:
                raise ValueError(
                    f"{name} must be between {allowed.low:g} and {allowed.high:g} ({allowed.unit}), got {value}"
                )
        if not -math.inf < self.low < self.high < math.inf:
            raise ValueError(f"low must be less than high, both finite, got low={self.low}, high={self.high}")
        if nearest_name("curve", self.curve, ("linear", "even")) == "even" and (self.low, self.high) != (-1, 1):
            raise ValueError(
                f"curve 'even' is for the sphere, low=-1 and high=1, got low={self.low}, high={self.high}; "
                "on a box 'linear' is even already"
            )

    @classmethod
    def first(cls, dim: int, *, curve: Literal["linear", "even"] = "linear") -> LatentsToFactors:
        """The map from latents on S^{dim-1} to the first `dim` factors of `FACTORS`.

        Raises:
            ValueError: if `dim` is less than 1 or there are fewer factors.
        """
        if not 1 <= dim <= len(FACTORS):
            raise ValueError(f"dim must be between 1 and the number of factors, {len(FACTORS)}, got {dim}")
        return cls(FACTORS[:dim], curve=curve)

    @property
    def dim(self) -> int:
        """The number of latents."""
        return len(self.names)

    def __call__(self, z: Tensor) -> Tensor:
        """Factors of shape (n, 10), in the order of `FACTORS`, from latents of shape (n, dim).

        Raises:
            TypeError: if `z` is not a floating-point tensor.
            ValueError: if its shape is not (n, dim), or a latent is not finite or outside [low, high].
        """
        check_embeddings("latents", z, min_rows=0)
        if z.shape[1] != self.dim:
            raise ValueError(
                f"latents must have shape (n, {self.dim}), one column for each of {', '.join(self.names)}; "
                f"got {tuple(z.shape)}"
            )
        slack = _TOLERANCE * (self.high - self.low)
        if not bool(((z >= self.low - slack) & (z <= self.high + slack)).all()):
            raise ValueError(
                f"latents must be between {self.low:g} and {self.high:g}, "
                f"got values from {z.min().item():g} to {z.max().item():g}"
            )
        fraction = (
            (z - self.low) / (self.high - self.low)
            if self.curve == "linear"
            else (1 + torch.erf(z * math.sqrt(self.dim / 2))) / 2
        )
        low, high = factor_bounds(self.names, z)
        driven = dict(zip(self.names, (low + fraction * (high - low)).unbind(1), strict=True))
        return torch.stack([driven[name] if name in driven else self._constant(name, z) for name in FACTORS], 1)

    def _constant(self, name: str, z: Tensor) -> Tensor:
        allowed = FACTOR_RANGES[name]
        value = self.fixed.get(name, (allowed.low + allowed.high) / 2)
        return torch.full_like(z[:, 0], value)

    def inverse(self, factors: Tensor) -> Tensor:
        """Latents of shape (n, dim) from factors of shape (n, 10); exact up to rounding."""
        low, high = factor_bounds(self.names, factors)
        fraction = (factors[:, [FACTORS.index(name) for name in self.names]] - low) / (high - low)
        if self.curve == "linear":
            return self.low + fraction * (self.high - self.low)
        return torch.erfinv(2 * fraction - 1) / math.sqrt(self.dim / 2)


@dataclass(frozen=True)
class SpriteGenerator:
    """g: latents to images of sprites, by way of factors; the place of `InvertibleMLP` in experiments on images.

    Arguments:
        mapping: latents to factors; `LatentsToFactors.first(dim)` is the usual choice.
        renderer: factors to images.

    See also:
        aninfonce.data.latent_pairs.LatentPairs: exact positive pairs on the sphere, observed through any g.
        aninfonce.data.box_pairs.BoxPairs: the same on the box.
        smallest_singular_value: how far g is from losing a latent.

    Example:
        >>> from aninfonce.data.latent_pairs import LatentPairs
        >>> g = SpriteGenerator(LatentsToFactors.first(4), SpriteRenderer(size=16))
        >>> pairs = LatentPairs(torch.tensor([12.5, 12.5, 2.5, 2.5]), g)
        >>> x, x_positive = next(pairs.batches(8, torch.Generator().manual_seed(0), pool=1))
        >>> x.shape, x_positive.shape
        (torch.Size([8, 3, 16, 16]), torch.Size([8, 3, 16, 16]))
    """

    mapping: LatentsToFactors = field(default_factory=LatentsToFactors)
    renderer: SpriteRenderer = field(default_factory=SpriteRenderer)

    def __call__(self, z: Tensor) -> Tensor:
        """Images of shape (n, 3, size, size) in [0, 1] from latents of shape (n, dim)."""
        return self.renderer(self.mapping(z))
