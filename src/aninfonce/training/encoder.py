"""A trained encoder, from a run's folder in one line."""

from __future__ import annotations

from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from aninfonce._checks import nearest_name
from aninfonce._runs import read_json, write_json
from aninfonce._tensor_checks import check_device
from aninfonce.models import check_coverage
from aninfonce.training.checkpoint import load_weights, save_weights
from aninfonce.training.checksums import checksum, digest
from aninfonce.training.config import TrainConfig
from aninfonce.training.module import ContrastiveTask, build_task
from aninfonce.training.outputs import LAYERS

__all__ = ["MODEL", "WEIGHTS", "Encoder", "load", "save_model"]

WEIGHTS, MODEL = "model.safetensors", "model.json"


class Encoder(nn.Module):
    """What a run has trained, in evaluation mode and without gradients.

    Attributes:
        config: the run's settings.
        channels: number of channels of the images, 1 or 3.
        image_size: side of the images the run was trained on, pixels.
        feature_dim: dimension of the backbone's features.
        embedding_dim: dimension of the projector's embedding; without a projector the backbone's.
        task: network and objective; `task.objective.concentration` is Λ̂ of an AnInfoNCE run.
    """

    def __init__(self, task: ContrastiveTask, config: TrainConfig, channels: int, image_size: int) -> None:
        super().__init__()
        self.task = task.requires_grad_(False)
        self.config = config
        self.channels = channels
        self.image_size = image_size
        self.feature_dim: int = task.model.backbone.feature_dim  # type: ignore[assignment, union-attr]
        self.embedding_dim = config.projector_dim if config.projector_layers else self.feature_dim
        self._sizes = {(image_size, image_size)}
        self.eval()

    def forward(self, images: Tensor, layer: str = "backbone") -> Tensor:
        """Features of images.

        Arguments:
            images: shape (batch, channels, height, width); uint8, or floating point in [0, 1].
            layer: "backbone", or "projector": what the objective sees, on the unit sphere.

        Returns:
            Shape (batch, feature_dim) or (batch, embedding_dim).

        Raises:
            TypeError: if the images are neither uint8 nor of floating-point numbers.
            ValueError: if the images have another shape or range, or the layer is unknown. An alpha channel has to be
                composed onto a background first, as `aninfonce.data.load_images` does. Images of another size than
                the run's are an error where the network would not see all of their pixels.
        """
        nearest_name("layer", layer, LAYERS)
        _check_images(images, self.channels)
        self._check_size(images.shape[2], images.shape[3])
        features, projection = self.task.model(images if images.is_floating_point() else images.float() / 255)
        found: Tensor = features if layer == "backbone" else F.normalize(projection, dim=1)
        return found

    def _check_size(self, height: int, width: int) -> None:
        """Check, once for each size, that no pixel is lost; the run's own size was checked when it was built."""
        if (height, width) in self._sizes or torch.compiler.is_compiling():
            return
        backbone: Any = self.task.model.backbone
        check_coverage(backbone, f"the backbone {self.config.backbone}", self.channels, height, width)
        self._sizes.add((height, width))


def _check_images(images: Tensor, channels: int) -> None:
    if images.ndim != 4 or images.shape[1] != channels:
        hint = ": compose the alpha channel onto a background first" if images.shape[1:2] in ((2,), (4,)) else ""
        raise ValueError(f"images must have shape (batch, {channels}, height, width), got {tuple(images.shape)}{hint}")
    if images.dtype != torch.uint8 and not images.is_floating_point():
        raise TypeError(f"images must be uint8, or floating point in [0, 1], got {images.dtype}")
    if images.is_floating_point() and images.numel():
        low, high = images.aminmax()
        if not (low >= 0 and high <= 1):  # NaN fails both
            raise ValueError(f"float images must be in [0, 1], got values from {float(low):g} to {float(high):g}")


def save_model(folder: Path, task: ContrastiveTask, config: TrainConfig, channels: int, image_size: int) -> None:
    """Write the weights and what `load` needs besides to the run's folder."""
    save_weights(folder / WEIGHTS, task)
    described = {
        "config": {name: str(v) if isinstance(v, Path) else v for name, v in asdict(config).items()},
        "channels": channels,
        "image_size": image_size,
        "sha256": checksum(folder / WEIGHTS),
    }
    write_json(folder / MODEL, {**described, "digest": digest(described)})


def load(run: Path | str, device: str | torch.device = "cpu") -> Encoder:
    """The encoder of a training run.

    Arguments:
        run: the run's folder, as `aninfonce train --out` names it.
        device: where to put it.

    Raises:
        ValueError: if the folder holds no finished run, a file in it is damaged, or there is no such device.
        MissingExtraError: if the backbone's library is not installed.

    Example:
        >>> import tempfile
        >>> from aninfonce.training import TrainConfig, train
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     config = TrainConfig(backbone="small:4", epochs=1, limit=128, device="cpu")
        ...     _ = train(config, Path(folder))
        ...     encoder = load(folder)
        >>> encoder(torch.zeros(2, 1, 16, 16)).shape, encoder(torch.zeros(2, 1, 16, 16), layer="projector").shape
        (torch.Size([2, 64]), torch.Size([2, 64]))
    """
    check_device(device)
    folder = Path(run)
    if not (folder / MODEL).is_file():
        raise ValueError(f"no finished training run at {folder}: expected a folder with {MODEL} and {WEIGHTS}")
    content = _verified(folder)
    try:
        config = _config(content["config"])
        channels, image_size = content["channels"], content["image_size"]
        if type(channels) is not int or type(image_size) is not int:
            raise TypeError(f"channels and image_size must be int, got {channels!r} and {image_size!r}")
        # Mean and deviation of the images come with the weights, and so do the backbone's.
        fresh = replace(config, pretrained=None)
        task = build_task(fresh, channels, image_size, torch.zeros(channels), torch.ones(channels))
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        known = ", ".join(field.name for field in fields(TrainConfig))
        raise ValueError(
            f"{folder / MODEL} does not describe a model of this version ({error}); settings: {known}"
        ) from error
    load_weights(folder / WEIGHTS, task)
    return Encoder(task, config, channels, image_size).to(device)


def _verified(folder: Path) -> dict[str, Any]:
    """What the model's file says, if it and the weights are as they were written.

    Raises:
        ValueError: if a file is missing or was changed.
    """
    content = read_json(folder / MODEL)
    if content.keys() == {"config", "channels", "image_size"}:  # from before there were checksums
        return content
    body = {name: value for name, value in content.items() if name != "digest"}
    if content.get("digest") != digest(body):
        raise ValueError(f"{folder / MODEL} was changed or damaged: its digest differs")
    if not (folder / WEIGHTS).is_file():
        raise ValueError(f"no weights at {folder / WEIGHTS}")
    if checksum(folder / WEIGHTS) != content.get("sha256"):
        raise ValueError(f"{folder / WEIGHTS} is damaged: its checksum differs from the one in {MODEL}")
    return content


def _config(settings: object) -> TrainConfig:
    """The settings as JSON has them: paths are strings there, and tuples lists."""
    if not isinstance(settings, dict):
        raise TypeError(f"config must be an object, got {settings!r}")
    paths = {field.name for field in fields(TrainConfig) if "Path" in str(field.type)}
    values: dict[str, Any] = {
        name: Path(value) if name in paths and isinstance(value, str) else value for name, value in settings.items()
    }
    values |= {name: tuple(value) for name, value in values.items() if isinstance(value, list)}
    return TrainConfig(**values)
