"""The vocabulary of augmentation parameters, and a batch of them.

The names are public: tables, figures and `results.json` use them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from aninfonce._checks import nearest_name

__all__ = ["NUMBER_PARAMETERS", "PARAMETERS", "YES_NO_PARAMETERS", "AugmentationParameters", "Parameter"]


@dataclass(frozen=True)
class Parameter:
    """What one augmentation parameter means.

    Attributes:
        kind: `"number"` (float tensors, read out by R²) or `"yes/no"` (bool tensors, read out by accuracy).
        identity: the value at which the pixels do not change.
        unit: the unit of the value.
        color: whether it needs an image with colours; such a parameter is absent for grey images.
    """

    kind: Literal["number", "yes/no"]
    identity: float
    unit: str
    color: bool = False


PARAMETERS: Mapping[str, Parameter] = {
    "flip": Parameter("yes/no", 0.0, "mirrored left to right"),
    "crop_x": Parameter("number", 0.0, "crop's centre, -1 (left edge) to 1 (right edge), in the image after the flip"),
    "crop_y": Parameter("number", 0.0, "crop's centre, -1 (top edge) to 1 (bottom edge)"),
    "crop_scale": Parameter("number", 1.0, "crop's area / image's area"),
    "crop_aspect": Parameter("number", 0.0, "log of crop's width / height, relative to the image's own"),
    "brightness": Parameter("number", 1.0, "factor on the pixels"),
    "contrast": Parameter("number", 1.0, "factor on the distance from the image's mean luma"),
    "saturation": Parameter("number", 1.0, "factor on the distance from the pixel's luma", color=True),
    "hue": Parameter("number", 0.0, "turns around the colour circle", color=True),
    "grayscale": Parameter("yes/no", 0.0, "colours replaced by their luma", color=True),
    "blur": Parameter("number", 0.0, "standard deviation of the Gaussian, pixels"),
}
"""All parameters, in the order in which the augmentations are applied."""

NUMBER_PARAMETERS: tuple[str, ...] = tuple(name for name, p in PARAMETERS.items() if p.kind == "number")
YES_NO_PARAMETERS: tuple[str, ...] = tuple(name for name, p in PARAMETERS.items() if p.kind == "yes/no")


@dataclass(frozen=True, eq=False)
class AugmentationParameters:
    """What a batch of images underwent, one value an image.

    An augmentation that was skipped for an image reads as its identity value there, with `applied` False. A parameter
    that could not vary at all (hue of grey images, a probability or a strength of 0) is absent from both mappings.

    Attributes:
        values: name -> tensor of shape (n,): float32 for numbers, bool for yes/no. Units and identities: `PARAMETERS`.
        applied: name -> bool tensor of shape (n,); the same names.

    Example:
        >>> size = torch.tensor([0.5, 1.0])
        >>> parameters = AugmentationParameters({"crop_scale": size}, {"crop_scale": torch.tensor([True, False])})
        >>> len(parameters), parameters.names
        (2, ('crop_scale',))
        >>> parameters.roll(1).values["crop_scale"]
        tensor([1.0000, 0.5000])
    """

    values: Mapping[str, Tensor]
    applied: Mapping[str, Tensor]

    def __post_init__(self) -> None:
        for name in self.values:
            nearest_name("augmentation parameter", name, PARAMETERS)
        if self.values.keys() != self.applied.keys():
            raise ValueError(f"values and applied must have the same names, got {[*self.values]} and {[*self.applied]}")
        shapes = {tuple(t.shape) for t in (*self.values.values(), *self.applied.values())}
        if len(shapes) > 1 or any(len(shape) != 1 for shape in shapes):
            raise ValueError(f"all parameters must have one shape (n,), got {sorted(shapes)}")

    @classmethod
    def identity(cls, n: int, names: tuple[str, ...] = tuple(PARAMETERS)) -> AugmentationParameters:
        """Parameters under which `n` images stay as they are.

        Raises:
            ValueError: if a name is not one of `PARAMETERS`.
        """
        values: dict[str, Tensor] = {}
        for name in names:
            parameter = PARAMETERS[nearest_name("augmentation parameter", name, PARAMETERS)]
            dtype = torch.bool if parameter.kind == "yes/no" else torch.float32
            values[name] = torch.full((n,), parameter.identity, dtype=dtype)
        return cls(values, {name: torch.zeros(n, dtype=torch.bool) for name in names})

    @property
    def names(self) -> tuple[str, ...]:
        """The parameters present, in the order of `PARAMETERS`."""
        return tuple(name for name in PARAMETERS if name in self.values)

    def __len__(self) -> int:
        return len(next(iter(self.values.values()), ()))

    def __getitem__(self, index: slice | Tensor) -> AugmentationParameters:
        """The parameters of some of the images: a slice, or a tensor of indices or of booleans."""
        return AugmentationParameters(
            {name: value[index] for name, value in self.values.items()},
            {name: flag[index] for name, flag in self.applied.items()},
        )

    def roll(self, shift: int = 1) -> AugmentationParameters:
        """The same parameters for other images: those of image i go to image i + shift, around the end."""
        return AugmentationParameters(
            {name: value.roll(shift) for name, value in self.values.items()},
            {name: flag.roll(shift) for name, flag in self.applied.items()},
        )

    def to(self, device: torch.device | str) -> AugmentationParameters:
        """The same parameters on another device."""
        return AugmentationParameters(
            {name: value.to(device) for name, value in self.values.items()},
            {name: flag.to(device) for name, flag in self.applied.items()},
        )
