"""`aninfonce export`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from aninfonce import training
from aninfonce._checks import OneOf, nearest_name
from aninfonce._progress import Progress
from aninfonce.cli._common import check_output_file
from aninfonce.cli._output import say
from aninfonce.training.outputs import FORMATS, LAYERS

__all__ = ["export"]


def export(
    run: Path,
    format: Annotated[str, OneOf(tuple(FORMATS))] = "onnx",
    out: Path | None = None,
    layer: Annotated[str, OneOf(LAYERS)] = "backbone",
    channels: int | None = None,
    overwrite: bool = False,
) -> None:
    """Write a trained encoder to one file that runs without this package, and compare the two.

    The exported network takes uint8 images of shape (batch, channels, size, size), of the run's size, in batches of any
    size.

    Args:
        run: folder of a training run.
        format: onnx, or torch-export (for torch.export.load).
        out: the file, ending in .onnx or .pt2; by default encoder.onnx or encoder.pt2 in the run's folder.
        layer: backbone, or projector (on the unit sphere).
        channels: number of channels of the images that the file takes, 1 (grey) or 3 (colour); the file converts them
            if the run was trained on the other kind. By default the run's own.
        overwrite: replace the file if it exists.
    """
    nearest_name("layer", layer, LAYERS)
    suffix = FORMATS[nearest_name("format", format, FORMATS)]
    file = run / f"encoder{suffix}" if out is None else out
    encoder = training.load(run)
    check_output_file(file, (suffix,), overwrite=overwrite)
    with Progress(f"export of the {layer}"):
        difference = training.export_encoder(encoder, file, format=format, layer=layer, channels=channels)
    say(f"file and encoder differ by {difference:.1e} of the features' scale")
    say(file)
