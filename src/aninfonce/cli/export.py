"""`aninfonce export`."""

from __future__ import annotations

from pathlib import Path

from aninfonce._checks import nearest_name
from aninfonce._progress import Progress
from aninfonce.cli._common import check_output_file
from aninfonce.cli._output import say
from aninfonce.training import export_encoder, load
from aninfonce.training.export import FORMATS

__all__ = ["export"]


def export(
    run: Path,
    format: str = "onnx",
    out: Path | None = None,
    layer: str = "backbone",
    overwrite: bool = False,
) -> None:
    """Write a trained encoder to one file that runs without this package, and compare the two.

    The exported network takes uint8 images of shape (batch, channels, size, size), with the run's size and any batch.

    Args:
        run: folder of a training run.
        format: onnx, or torch-export (for torch.export.load).
        out: the file, ending in .onnx or .pt2; by default encoder.onnx or encoder.pt2 in the run's folder.
        layer: backbone, or projector (on the unit sphere).
        overwrite: replace the file if it exists.
    """
    suffix = FORMATS[nearest_name("format", format, FORMATS)]
    file = run / f"encoder{suffix}" if out is None else out
    encoder = load(run)
    check_output_file(file, (suffix,), overwrite=overwrite)
    with Progress(f"export of the {layer}"):
        difference = export_encoder(encoder, file, format=format, layer=layer)
    say(f"file and encoder differ by {difference:.1e} of the features' scale")
    say(file)
