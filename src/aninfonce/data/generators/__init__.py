"""Generators g: latents in, observations out, invertible."""

from aninfonce.data.generators.mlp import InvertibleMLP

__all__ = ["InvertibleMLP"]
