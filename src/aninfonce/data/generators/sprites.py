"""A renderer of sprites: ten numbers in, a small colour image out, smooth and injective.

The sprite is a house-shaped arrow (a rectangle with a roof) with a light stripe across it, before a plain background.
Its outline is the intersection of five half-planes; the stripe's is that of the same five and two more. With d_i(p) the
signed distances of a pixel's centre p to their edges, in pixels, positive outside, and w the softness of the edge,

    d(p) = w log Σ_i exp(d_i(p) / w)          smooth maximum: the signed distance with rounded corners,
    coverage(p) = 1 / (1 + exp(d(p) / w)) = 1 / (1 + Σ_i exp(d_i(p) / w)),

so that edges are anti-aliased and the image is smooth in every factor. Each d_i is linear in p = (x, y), so the sum is
a product of two small matrices, Σ_i exp(β_i(y)) exp(α_i(x)): exponentials are taken a row and a column, not a pixel.

Colours go around the hue circle of intensity and hue: channel k (red 0, green 1, blue 2) is
intensity + chroma · cos 2π(hue - k/3). It has none of the corners of HSV and HLS; its mean over the channels is the
intensity exactly, and its hue is theirs within 0.004 turns.

Why every factor can be told from the image: the sprite is lighter than any background by at least 0.15 in the mean of
its channels, so the outline shows whatever the colours are; it lies inside the image and has no rotational symmetry;
the stripe is lighter than any sprite and never covers all of it. Rotation spans two thirds of a turn and hues three
quarters, so each is a coordinate and not an angle: the two ends of a range look different.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from aninfonce._typing import Float

__all__ = ["FACTORS", "FACTOR_RANGES", "FactorRange", "SpriteRenderer"]

# The house along its axis, as fractions of its length from the base: where the roof begins, and what follows from it.
_SHOULDER = 0.55
_FILLING = (1 + _SHOULDER) / 2  # area / (length · width)
_CENTROID = (_SHOULDER**2 / 2 + (1 - _SHOULDER) / 2 * (1 + 2 * _SHOULDER) / 3) / _FILLING

_CHROMA = 0.35
_BACKGROUND_CHROMA = 0.1
_STRIPE_GRAY = 0.97
_STRIPE_HALF_WIDTH = 0.12  # fraction of the sprite's length
_OUTLINE = 5  # edges of the house; those of the stripe come after them
_FARTHEST = 1.05  # no pixel is farther outside an edge than that many sides of the image
_LARGEST_EXPONENT = {dtype: math.log(torch.finfo(dtype).max) for dtype in (torch.float32, torch.float64)}
_TOLERANCE = 1e-4  # of a range's width: what rounding may add


@dataclass(frozen=True)
class FactorRange:
    """What one factor means.

    Attributes:
        low: its smallest value.
        high: its largest value.
        unit: the unit of the value.
    """

    low: float
    high: float
    unit: str


_HALF = "half sides of the image"

FACTOR_RANGES: Mapping[str, FactorRange] = {
    "x": FactorRange(-0.34, 0.34, f"sprite's centroid right of the image's centre, {_HALF}"),
    "y": FactorRange(-0.34, 0.34, f"sprite's centroid below the image's centre, {_HALF}"),
    "size": FactorRange(0.25, 0.38, f"radius of the disc of the sprite's area, {_HALF}"),
    "rotation": FactorRange(-120.0, 120.0, "degrees clockwise from pointing right"),
    "hue": FactorRange(0.0, 0.75, "turns of the colour circle from red (1/3 green, 2/3 blue)"),
    "lightness": FactorRange(0.45, 0.65, "mean of the sprite's red, green and blue"),
    "background_hue": FactorRange(0.0, 0.75, "turns of the colour circle from red"),
    "background_lightness": FactorRange(0.1, 0.3, "mean of the background's red, green and blue"),
    "elongation": FactorRange(1.0, 2.0, "sprite's length / width, at constant area"),
    "stripe": FactorRange(0.2, 0.7, "stripe's place on the sprite's axis, 0 (base) to 1 (tip)"),
}
"""All factors, in the order of the columns, with their ranges; the sprite never leaves the image."""

FACTORS: tuple[str, ...] = tuple(FACTOR_RANGES)
"""The names of the columns."""


@dataclass(frozen=True)
class SpriteRenderer:
    """Images from factors: a deterministic, smooth and injective function, differentiable by autograd.

    It works on the device of the factors; sizes above 84 softnesses need a device that knows float64. Nothing loops
    over images; chunks bound the memory of the intermediate results, about ten numbers a pixel without gradients.

    Arguments:
        size: height and width of the images in pixels, at least 8, at most 675 softnesses.
        softness: w, the width of the anti-aliased edge in pixels, > 0; 10 to 90 % coverage takes 4.4 w.
        chunk: images rendered at a time, at least 1.

    Raises:
        ValueError: if a setting is out of range.

    Example:
        >>> renderer = SpriteRenderer(size=16)
        >>> factors = torch.tensor([[0.1, -0.2, 0.3, 45.0, 0.5, 0.6, 0.1, 0.2, 1.5, 0.4]])
        >>> image = renderer(factors)
        >>> image.shape, round(image[0, :, 0, 0].mean().item(), 3)  # a corner: the background's lightness
        (torch.Size([1, 3, 16, 16]), 0.2)
    """

    size: int = 32
    softness: float = 0.4
    chunk: int = 128

    def __post_init__(self) -> None:
        if self.size < 8 or self.chunk < 1:
            raise ValueError(f"expected size >= 8 pixels and chunk >= 1, got size={self.size}, chunk={self.chunk}")
        if not 0 < self.softness < math.inf:
            raise ValueError(f"softness must be a positive number of pixels, got {self.softness}")
        if _FARTHEST * self.size / self.softness > _LARGEST_EXPONENT[torch.float64]:
            raise ValueError(f"size must be at most 675 times the softness, got {self.size} and {self.softness}")

    def __call__(self, factors: Tensor) -> Tensor:
        """Render one image for every row of factors.

        Arguments:
            factors: shape (n, 10), float32 or float64; columns in the order of `FACTORS`, values in `FACTOR_RANGES`.

        Returns:
            Images of shape (n, 3, size, size) in [0, 1], in the dtype of the factors.

        Raises:
            TypeError: if `factors` is not a tensor of float32 or float64.
            ValueError: if its shape is not (n, 10), or a value is not finite or outside its factor's range.
        """
        parts = torch.split(_check_factors(factors), self.chunk)
        return torch.cat([_render(part, self.size, self.softness) for part in parts])


def _check_factors(factors: object) -> Tensor:
    if not isinstance(factors, Tensor) or factors.dtype not in _LARGEST_EXPONENT:
        came = factors.dtype if isinstance(factors, Tensor) else type(factors).__name__
        raise TypeError(f"factors must be a tensor of float32 or float64, shape (n, {len(FACTORS)}), got {came}")
    if factors.ndim != 2 or factors.shape[1] != len(FACTORS):
        raise ValueError(
            f"factors must have shape (n, {len(FACTORS)}), the columns {', '.join(FACTORS)}; got {tuple(factors.shape)}"
        )
    low, high = factor_bounds(FACTORS, factors)
    slack = _TOLERANCE * (high - low)
    inside = (factors >= low - slack) & (factors <= high + slack)
    if not bool(inside.all()):
        row, column = (~inside).nonzero()[0].tolist()
        name = FACTORS[column]
        allowed = FACTOR_RANGES[name]
        raise ValueError(
            f"{name} must be between {allowed.low:g} and {allowed.high:g} ({allowed.unit}), "
            f"got {factors[row, column].item():g} in row {row}"
        )
    return factors


def factor_bounds(names: tuple[str, ...], like: Tensor) -> tuple[Tensor, Tensor]:
    """The smallest and the largest values of the named factors, two tensors of shape (len(names),) like `like`."""
    bounds = [[getattr(FACTOR_RANGES[name], end) for name in names] for end in ("low", "high")]
    low, high = torch.tensor(bounds, dtype=like.dtype, device=like.device)
    return low, high


def _colour(
    lightness: Float[Tensor, " batch"], hue: Float[Tensor, " batch"], chroma: float
) -> Float[Tensor, "batch 3"]:
    """Red, green and blue of a mean over the channels, a hue in turns and a chroma."""
    thirds = torch.arange(3, dtype=hue.dtype, device=hue.device) / 3
    return lightness[:, None] + chroma * torch.cos(2 * math.pi * (hue[:, None] - thirds))


def _edges(factors: Float[Tensor, "batch 10"], half: float) -> Float[Tensor, "batch 7 3"]:
    """Rows (a, b, c): a x + b y + c is the signed distance in pixels to an edge, positive outside.

    (x, y) is the place from the image's centre. The first five edges are the house's, the others the stripe's.
    """
    x, y, radius, degrees, _, _, _, _, elongation, stripe = factors.unbind(1)
    area = math.pi * (radius * half).square() / _FILLING
    length, half_width = (area * elongation).sqrt(), (area / elongation).sqrt() / 2
    roof = (1 - _SHOULDER) * length
    slant = torch.hypot(half_width, roof)
    front, side = half_width / slant, roof / slant
    tip = front * (1 - _CENTROID) * length
    middle, reach = (stripe - _CENTROID) * length, _STRIPE_HALF_WIDTH * length
    zero, one = torch.zeros_like(x), torch.ones_like(x)
    # Outer normals, along the sprite's axis and across it, and the edges' distances from the centroid:
    # the base, the two long sides, the two sides of the roof, the stripe's upper and lower edge.
    along = torch.stack([-one, zero, zero, front, front, one, -one], 1)
    across = torch.stack([zero, one, -one, side, -side, zero, zero], 1)
    distance = torch.stack([_CENTROID * length, half_width, half_width, tip, tip, reach + middle, reach - middle], 1)
    radians = degrees * (math.pi / 180)
    cos, sin = torch.cos(radians)[:, None], torch.sin(radians)[:, None]
    a, b = along * cos - across * sin, along * sin + across * cos
    c = -(distance + a * (x * half)[:, None] + b * (y * half)[:, None])
    return torch.stack([a, b, c], 2)


def _coverages(factors: Float[Tensor, "batch 10"], size: int, softness: float) -> Float[Tensor, "batch 2 pixels"]:
    """How much of every pixel the house covers, and how much the stripe, which is part of it."""
    dtype = factors.dtype
    exponent = _FARTHEST * size / softness
    work = dtype if exponent < _LARGEST_EXPONENT[dtype] else torch.float64
    a, b, c = (_edges(factors, size / 2) / softness).to(work)[:, :, :, None].unbind(2)
    place = torch.arange(size, dtype=work, device=factors.device) - (size - 1) / 2
    columns, rows = torch.exp(a * place + c / 2), torch.exp(b * place + c / 2)
    outline = torch.bmm(rows[:, :_OUTLINE].mT, columns[:, :_OUTLINE]) + 1
    stripe = torch.baddbmm(outline, rows[:, _OUTLINE:].mT, columns[:, _OUTLINE:])
    return torch.stack([outline, stripe], 1).reciprocal().to(dtype).flatten(2)


def _render(factors: Float[Tensor, "batch 10"], size: int, softness: float) -> Float[Tensor, "batch 3 size size"]:
    _, _, _, _, hue, lightness, background_hue, background_lightness, _, _ = factors.unbind(1)
    body = _colour(lightness, hue, _CHROMA)
    background = _colour(background_lightness, background_hue, _BACKGROUND_CHROMA)
    # background + house · (body - background) + stripe · (light - body), stripe ≤ house ≤ 1: a convex combination.
    colours = torch.stack([body - background, _STRIPE_GRAY - body], 2)
    images = torch.baddbmm(background[:, :, None], colours, _coverages(factors, size, softness))
    return images.view(-1, 3, size, size)
