"""A trained encoder as one file that needs nothing of this package: ONNX, or an exported program of torch."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from aninfonce._checks import nearest_name
from aninfonce._extras import require
from aninfonce._runs import atomically
from aninfonce.data import with_channels
from aninfonce.training.encoder import Encoder
from aninfonce.training.outputs import FORMATS, LAYERS

__all__ = ["TOLERANCE", "export_encoder"]

TOLERANCE = 1e-5
_BATCHES = (1, 5)  # of the images that the file is tried on; neither is the one it is traced with
_TRACED = 2


def export_encoder(
    encoder: Encoder, path: Path, *, format: str = "onnx", layer: str = "backbone", channels: int | None = None
) -> float:
    """Write an encoder to a file, and compare what the file computes with the encoder, before it takes its place.

    The file's network maps `images`, uint8 of shape (batch, channels, image_size, image_size) with any batch, to
    `features`, float32 of shape (batch, dim); what the encoder does to its images (scaling, mean, deviation) is in it.

    Arguments:
        encoder: on any device; the file is for the CPU, and for what its runtime puts it on.
        path: the file; replaced if it is there.
        format: "onnx" (run by onnxruntime and others), or "torch-export" (read by `torch.export.load`).
        layer: "backbone", or "projector": on the unit sphere.
        channels: of the images that the file takes, 1 (grey) or 3 (colour); None: the encoder's own. If they are not,
            the file makes grey images colour ones or the other way round, see `aninfonce.data.with_channels`.

    Returns:
        The largest difference of file and encoder on random images, relative to the features' largest entry.

    Raises:
        ValueError: if the format or layer is unknown, `channels` is neither 1 nor 3, or the file has another ending
            than .onnx or .pt2.
        ArithmeticError: if the difference is above 1e-5; no file is left.
        MissingExtraError: if onnx, onnxscript or onnxruntime is needed and not installed.
    """
    nearest_name("format", format, FORMATS)
    nearest_name("layer", layer, LAYERS)
    if path.suffix != FORMATS[format]:
        raise ValueError(f"a file of {format} must end in {FORMATS[format]}, got {path}")
    taken = encoder.channels if channels is None else channels
    if taken not in (1, 3):
        raise ValueError(f"channels must be 1 (grey) or 3 (colour), got {taken}")
    device = next(encoder.parameters()).device
    network = _FeatureNetwork(encoder, layer).eval()
    write, read = (_write_onnx, _read_onnx) if format == "onnx" else (_write_program, _read_program)
    try:
        network.cpu()
        with atomically(path) as file:
            write(network, _images(encoder, taken, _TRACED), file)
            difference = _difference(network, read(file), encoder, taken)
            if not difference <= TOLERANCE:
                raise ArithmeticError(
                    f"the exported {layer} differs from the encoder's by {difference:.1e} of the features' scale, more "
                    f"than {TOLERANCE:g}; {path} was not written"
                )
    finally:
        network.to(device)
    return difference


class _FeatureNetwork(nn.Module):
    """One layer of an encoder, from bytes."""

    def __init__(self, encoder: Encoder, layer: str) -> None:
        super().__init__()
        self.model = encoder.task.model
        self.layer = layer
        self.channels = encoder.channels

    def forward(self, images: Tensor) -> Tensor:
        """Features of shape (batch, dim) of uint8 images of shape (batch, channels, size, size)."""
        features, projection = self.model(with_channels(images.float() / 255, self.channels))
        found: Tensor = features if self.layer == "backbone" else F.normalize(projection, dim=1)
        return found


def _images(encoder: Encoder, channels: int, n: int) -> Tensor:
    shape = (n, channels, encoder.image_size, encoder.image_size)
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(n))


@torch.no_grad()
def _difference(network: nn.Module, exported: Callable[[Tensor], Tensor], encoder: Encoder, channels: int) -> float:
    worst = 0.0
    for n in _BATCHES:
        images = _images(encoder, channels, n)
        expected, found = network(images), exported(images)
        if found.shape != expected.shape:
            raise ArithmeticError(f"the exported network gives {tuple(found.shape)}, expected {tuple(expected.shape)}")
        difference = (found - expected).abs().max() / expected.abs().max().clamp_min(torch.finfo(torch.float32).tiny)
        worst = max(worst, difference.item()) if difference.isfinite() else float("inf")
    return worst


def _dynamic() -> dict[str, dict[int, object]]:
    return {"images": {0: torch.export.Dim("batch")}}


def _write_program(network: nn.Module, images: Tensor, file: Path) -> None:
    torch.export.save(torch.export.export(network, (images,), dynamic_shapes=_dynamic()), file)


def _read_program(file: Path) -> Callable[[Tensor], Tensor]:
    return torch.export.load(file).module()


def _write_onnx(network: nn.Module, images: Tensor, file: Path) -> None:
    for package in ("onnx", "onnxscript", "onnxruntime"):
        require(package, "export")
    torch.onnx.export(
        network,
        (images,),
        file,
        dynamo=True,
        dynamic_shapes=_dynamic(),
        input_names=["images"],
        output_names=["features"],
        external_data=False,
        verbose=False,
    )


def _read_onnx(file: Path) -> Callable[[Tensor], Tensor]:
    session = require("onnxruntime", "export").InferenceSession(str(file), providers=["CPUExecutionProvider"])

    def run(images: Tensor) -> Tensor:
        return torch.from_numpy(session.run(["features"], {"images": images.numpy()})[0])

    return run
