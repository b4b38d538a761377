"""Generators g: latents in, observations out, invertible."""

from aninfonce.data.generators.image_decoder import ImageDecoder
from aninfonce.data.generators.jacobian import smallest_singular_value
from aninfonce.data.generators.mlp import InvertibleMLP
from aninfonce.data.generators.separation import Separation, separation
from aninfonce.data.generators.sprite_latents import LatentsToFactors, SpriteGenerator
from aninfonce.data.generators.sprites import FACTOR_RANGES, FACTORS, FactorRange, SpriteRenderer

__all__ = [
    "FACTORS",
    "FACTOR_RANGES",
    "FactorRange",
    "ImageDecoder",
    "InvertibleMLP",
    "LatentsToFactors",
    "Separation",
    "SpriteGenerator",
    "SpriteRenderer",
    "separation",
    "smallest_singular_value",
]
