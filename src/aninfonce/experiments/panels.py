"""The panels that sweeps share: what `facts["panels"]` holds (see `report`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["CONCENTRATIONS", "LATENTS"]

LATENTS: Mapping[str, Any] = {
    "measures": ["r2_content", "r2_style"],
    "label": "held-out linear R²",
    "ylim": [-0.05, 1.03],
    "title": "latents",
}

CONCENTRATIONS: Mapping[str, Any] = {
    "measures": ["concentration_error"],
    "label": "median of |Λ̂ - Λ|/Λ",
    "series": ["aninfonce"],
    "title": "concentrations",
}
