"""What can be had of a trained encoder: its layers, and the formats that it is exported to."""

from __future__ import annotations

__all__ = ["FORMATS", "LAYERS"]

LAYERS = ("backbone", "projector")
FORMATS = {"onnx": ".onnx", "torch-export": ".pt2"}
"""Format -> ending of the file."""
