"""How strong the augmentations are."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["PRESETS", "AugmentationConfig"]


@dataclass(frozen=True)
class AugmentationConfig:
    """How strong each augmentation is; the defaults are SimCLR's (colours: strength 0.5, its choice for CIFAR-10).

    Attributes:
        crop: probability of the crop, 0 to 1.
        crop_scale: smallest and largest crop area / image area, in (0, 1]; uniform.
        crop_aspect: smallest and largest width / height relative to the image's own, around 1; log-uniform among the
            ratios that fit into the image at the crop's area.
        flip: probability of mirroring left to right.
        jitter: probability of the colour jitter (brightness, contrast, saturation and hue together).
        brightness: largest change of the brightness's factor: uniform in [1 - brightness, 1 + brightness].
        contrast: largest change of the contrast's factor, as for the brightness.
        saturation: largest change of the saturation's factor, as for the brightness.
        hue: largest turn of the hue, 0 to 0.5: uniform in [-hue, hue].
        grayscale: probability of removing the colours.
        blur: probability of the blur.
        blur_sigma: smallest and largest standard deviation in pixels, uniform; images below 32 pixels get
            size / 32 times as much.

    Raises:
        ValueError: if a value is outside its range.
    """

    crop: float = 1.0
    crop_scale: tuple[float, float] = (0.2, 1.0)
    crop_aspect: tuple[float, float] = (3 / 4, 4 / 3)
    flip: float = 0.5
    jitter: float = 0.8
    brightness: float = 0.4
    contrast: float = 0.4
    saturation: float = 0.4
    hue: float = 0.1
    grayscale: float = 0.2
    blur: float = 0.5
    blur_sigma: tuple[float, float] = (0.1, 2.0)

    def __post_init__(self) -> None:
        for name, top in (
            *((probability, 1.0) for probability in ("crop", "flip", "jitter", "grayscale", "blur")),
            *((strength, 1.0) for strength in ("brightness", "contrast", "saturation")),
            ("hue", 0.5),
        ):
            if not 0 <= getattr(self, name) <= top:
                raise ValueError(f"{name} must be between 0 and {top:g}, got {getattr(self, name)}")
        if not 0 < self.crop_scale[0] <= self.crop_scale[1] <= 1:
            raise ValueError(f"crop_scale must be (smallest, largest) within (0, 1], got {self.crop_scale}")
        if not 0 < self.crop_aspect[0] <= 1 <= self.crop_aspect[1] < math.inf:
            # A full-size crop can only have the image's own ratio, so 1 must be among the choices.
            raise ValueError(f"crop_aspect must be (smallest, largest) around 1, got {self.crop_aspect}")
        if not 0 <= self.blur_sigma[0] <= self.blur_sigma[1] < math.inf:
            raise ValueError(f"blur_sigma must be (smallest, largest), at least 0 pixels, got {self.blur_sigma}")


PRESETS: Mapping[str, AugmentationConfig] = {
    "simclr": AugmentationConfig(),
    # As SimCLR's public code has it for these data sets: crops down to 8 %; colours at strength .5 and 1.
    "simclr-cifar10": AugmentationConfig(crop_scale=(0.08, 1.0), blur=0.0),
    "simclr-imagenet": AugmentationConfig(
        crop_scale=(0.08, 1.0), brightness=0.8, contrast=0.8, saturation=0.8, hue=0.2
    ),
    "weak": AugmentationConfig(
        crop_scale=(0.6, 1.0), brightness=0.2, contrast=0.2, saturation=0.2, hue=0.05, grayscale=0.0, blur=0.0
    ),
    "crop-flip": AugmentationConfig(jitter=0.0, grayscale=0.0, blur=0.0),
}
"""Configurations by name."""
