"""How measures are called and written in tables and on axes."""

from __future__ import annotations

__all__ = ["heading", "shown"]

# Heading and format; what is not here stands under its own name with three decimals.
_MEASURES = {
    "r2": ("R²", ".3f"),
    "r2_content": ("R² content", ".3f"),
    "r2_style": ("R² style", ".3f"),
    "mean_correlation": ("mean correlation", ".3f"),
    "concentration_error": ("error of Λ̂", ".1%"),
    "backbone/class_accuracy": ("class accuracy, backbone", ".3f"),
    "backbone/augmentation_accuracy": ("augmentation accuracy, backbone", ".3f"),
    "projector/class_accuracy": ("class accuracy, projector", ".3f"),
    "projector/augmentation_accuracy": ("augmentation accuracy, projector", ".3f"),
    "r2_singled": ("R² of the two folded", ".3f"),
    "features_r2_content": ("R² content below the projector", ".3f"),
    "features_r2_style": ("R² style below the projector", ".3f"),
    "smallest_singular_value": ("smallest singular value", ".3g"),
    "rings": ("alarms of the checks", ".2f"),
    "concentration_content": ("Λ̂ content", ".2f"),
    "concentration_style": ("Λ̂ style", ".2f"),
    "shift_content": ("shift, content", "+.3f"),
    "shift_style": ("shift, style", "+.3f"),
    "folded": ("folded directions", ".1f"),
    "leakage_single": ("leakage, one family's blocks", ".3f"),
    "leakage_joint": ("leakage, joint level sets", ".3f"),
    "active_units": ("active latents", ".0%"),
    "separation": ("least separation", ".2f"),
    "inverse_error": ("error of inverse", ".0e"),
    "kernel_r2": ("kernel R²", ".3f"),
    "kernel_r2_style": ("kernel R² style", ".3f"),
    "bias_content": ("bias of Λ̂, content", "+.1%"),
    "bias_style": ("bias of Λ̂, style", "+.1%"),
    "leakage": ("leakage", ".2%"),
    "leakage_error": ("its standard error", ".2%"),
    "leakage_chance": ("leakage by chance", ".0%"),
    "cpu_seconds": ("core-seconds", ".1f"),
}


def heading(measure: str) -> str:
    """A measure's name for readers."""
    return _MEASURES[measure][0] if measure in _MEASURES else measure.replace("_", " ")


def shown(measure: str, value: float | None) -> str:
    """A number as tables show it; None (not finite) as a dash."""
    if value is None:
        return "–"
    return format(value, _MEASURES[measure][1] if measure in _MEASURES else ".3f")
