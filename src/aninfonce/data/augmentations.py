"""SimCLR's augmentations for a whole batch at once, which return the parameters they drew for every image.

Drawing and applying are separate, pure steps: the same parameters on the same images give the same pixels, and
parameters can be rolled onto other images. The order is fixed:

    flip -> crop (resized to the image's size) -> brightness -> contrast -> saturation -> hue -> grayscale -> blur

`torchvision.transforms.ColorJitter` shuffles its four operations; in a fixed order, one number an operation describes
completely what the pixels underwent. Cropping first and flipping then gives views of the same distribution, but its
`crop_x` cannot be read from the view of a symmetric object: whether the view shows the left or the right part would
depend on an unseen flip. So the flip comes first, and `crop_x` is a place in the flipped image.

References:
    Chen, Kornblith, Norouzi, Hinton, "A Simple Framework for Contrastive Learning of Visual Representations",
    ICML 2020.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from aninfonce._checks import nearest_name
from aninfonce._typing import Float
from aninfonce.data.config import PRESETS, AugmentationConfig
from aninfonce.data.parameters import PARAMETERS, AugmentationParameters
from aninfonce.data.pixels import (
    adjust_brightness,
    adjust_contrast,
    adjust_hue,
    adjust_saturation,
    blur_matrix,
    crop_matrix,
    resample,
    to_gray,
)

__all__ = ["Augmentation", "augment_images"]

# On a CPU, work on so many pixel values at a time: they stay in the cache (256 colour images at once: twice as long).
_CPU_CHUNK = 100_000
# Below this size a blur of 2 pixels would leave nothing of the image.
_BLUR_REFERENCE_SIZE = 32
# One column of uniform numbers each, whatever is switched on, so that one seed gives the same crops in every setting.
_COLUMNS = (
    *("crop?", "crop_scale", "crop_aspect", "crop_x", "crop_y", "flip"),
    *("jitter?", "brightness", "contrast", "saturation", "hue"),
    *("grayscale", "blur?", "blur"),
)


class Augmentation:
    """Draws augmentation parameters and applies them to batches of images.

    Arguments:
        config: a configuration, or the name of one of `PRESETS`.
        channels: 1 (grey) or 3 (red, green, blue). Grey images have no saturation, hue and grayscale.
        image_size: the shorter side of the images in pixels; it sets the scale of the blur only.

    Attributes:
        names: the parameters that are drawn, in the order of `PARAMETERS`.

    Raises:
        ValueError: if the preset is unknown, or `channels` or `image_size` is not as above.

    Example:
        >>> augment = Augmentation("simclr", channels=1, image_size=28)
        >>> augment.names
        ('flip', 'crop_x', 'crop_y', 'crop_scale', 'crop_aspect', 'brightness', 'contrast', 'blur')
        >>> images = torch.randint(256, (4, 1, 28, 28), dtype=torch.uint8)
        >>> views, parameters = augment(images, generator=torch.Generator().manual_seed(0))
        >>> views.shape, views.dtype, parameters.values["blur"].shape
        (torch.Size([4, 1, 28, 28]), torch.float32, torch.Size([4]))
        >>> torch.equal(augment.apply(images, parameters), views)
        True
    """

    def __init__(self, config: AugmentationConfig | str = "simclr", *, channels: int, image_size: int) -> None:
        if isinstance(config, str):
            config = PRESETS[nearest_name("augmentation preset", config, PRESETS)]
        if channels not in (1, 3):
            raise ValueError(f"channels must be 1 (grey) or 3 (red, green, blue), got {channels}")
        if image_size < 1:
            raise ValueError(f"image_size must be at least 1 pixel, got {image_size}")
        self.config = config
        self.channels = channels
        scale = min(1.0, image_size / _BLUR_REFERENCE_SIZE)
        self.blur_sigma = (scale * config.blur_sigma[0], scale * config.blur_sigma[1])
        self.names = tuple(
            name
            for name, parameter in PARAMETERS.items()
            if _varies(name, config) and (channels == 3 or not parameter.color)
        )

    def draw(self, n: int, *, generator: torch.Generator) -> AugmentationParameters:
        """Draw the parameters of `n` images.

        Arguments:
            n: number of images, at least 1.
            generator: source of randomness; the parameters live on its device.

        Raises:
            ValueError: if `n` is less than 1.
        """
        if n < 1:
            raise ValueError(f"n must be at least 1, got {n}")
        uniform = torch.rand(n, len(_COLUMNS), generator=generator, device=generator.device)
        values, applied = _parameters_of_uniform(uniform, self.config, self.blur_sigma)
        return AugmentationParameters(
            {name: values[name] for name in self.names}, {name: applied[name] for name in self.names}
        )

    def apply(self, images: Tensor, parameters: AugmentationParameters) -> Tensor:
        """Apply parameters to images: `augment_images`."""
        return augment_images(images, parameters)

    def __call__(self, images: Tensor, *, generator: torch.Generator) -> tuple[Tensor, AugmentationParameters]:
        """Draw parameters for the images, and return (the augmented images, the parameters)."""
        parameters = self.draw(len(images), generator=generator)
        return augment_images(images, parameters), parameters


def _varies(name: str, config: AugmentationConfig) -> bool:
    """Whether a parameter can differ from its identity value at all."""
    if name.startswith("crop_"):
        return config.crop > 0 and config.crop_scale[0] < 1
    if name in ("brightness", "contrast", "saturation", "hue"):
        return config.jitter > 0 and getattr(config, name) > 0
    if name == "blur":
        return config.blur > 0 and config.blur_sigma[1] > 0
    return bool(getattr(config, name) > 0)


def _parameters_of_uniform(
    uniform: Float[Tensor, "batch columns"], config: AugmentationConfig, blur_sigma: tuple[float, float]
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """All parameters as a function of numbers uniform in [0, 1), one row an image and one column a random choice."""
    u = dict(zip(_COLUMNS, uniform.unbind(1), strict=True))

    def between(low: Tensor | float, high: Tensor | float, position: Tensor) -> Tensor:
        return low + (high - low) * position

    scale = between(*config.crop_scale, u["crop_scale"])
    # A crop of this area fits into the image if |log aspect| <= -log scale.
    limit = -scale.log()
    low, high = (math.log(ratio) for ratio in config.crop_aspect)
    aspect = between((-limit).clamp(min=low), limit.clamp(max=high), u["crop_aspect"])
    width, height = _crop_extent(scale, aspect)
    drawn = {
        "crop_x": (1 - width).clamp(min=0) * between(-1.0, 1.0, u["crop_x"]),
        "crop_y": (1 - height).clamp(min=0) * between(-1.0, 1.0, u["crop_y"]),
        "crop_scale": scale,
        "crop_aspect": aspect,
        **{
            name: between(1 - getattr(config, name), 1 + getattr(config, name), u[name])
            for name in ("brightness", "contrast", "saturation")
        },
        "hue": between(-config.hue, config.hue, u["hue"]),
        "blur": between(*blur_sigma, u["blur"]),
    }
    applied = {"flip": u["flip"] < config.flip, "grayscale": u["grayscale"] < config.grayscale}
    for name in drawn:
        group = "crop" if name.startswith("crop_") else "blur" if name == "blur" else "jitter"
        applied[name] = u[f"{group}?"] < getattr(config, group)
    values = {
        name: flag if name not in drawn else torch.where(flag, drawn[name], PARAMETERS[name].identity)
        for name, flag in applied.items()
    }
    return values, applied


def _crop_extent(scale: Tensor, aspect: Tensor) -> tuple[Tensor, Tensor]:
    """Width and height of a crop as fractions of the image's, from its area and log aspect ratio."""
    root = scale.sqrt()
    return root * (aspect / 2).exp(), root * (-aspect / 2).exp()


@torch.no_grad()
def augment_images(images: Tensor, parameters: AugmentationParameters) -> Tensor:
    """Apply augmentation parameters to images.

    Arguments:
        images: shape (n, channels, height, width), 1 or 3 channels; uint8, or float32 in [0, 1].
        parameters: the parameters of n images; absent ones are not applied.

    Returns:
        Images of the same shape, float32 in [0, 1], contiguous. At the identity values they are exactly `images`
        (`images / 255` of uint8).

    Raises:
        TypeError: if the images are neither uint8 nor float32.
        ValueError: if the images' shape or range is not as above, the number of parameters differs, or a colour
            parameter meets grey images.
    """
    _check_images(images)
    if len(parameters) != len(images) and parameters.names:
        raise ValueError(f"got parameters of {len(parameters)} images for {len(images)} images")
    colored = [name for name in parameters.names if PARAMETERS[name].color]
    if images.shape[1] == 1 and colored:
        raise ValueError(f"{', '.join(colored)} need images with 3 channels, got grey images")
    values = parameters.to(images.device).values
    if not len(images):
        return images.float()
    augmented = torch.empty(images.shape, dtype=torch.float32, device=images.device)
    step = max(1, _CPU_CHUNK // images[0].numel() if images.device.type == "cpu" else len(images))
    for start in range(0, len(images), step):
        part = slice(start, start + step)
        augmented[part] = _augment_chunk(images[part], {name: value[part] for name, value in values.items()})
    return augmented


def _check_images(images: Tensor) -> None:
    if images.dtype not in (torch.uint8, torch.float32):
        raise TypeError(f"images must be uint8, or float32 in [0, 1], got {images.dtype}")
    if images.ndim != 4 or images.shape[1] not in (1, 3) or 0 in images.shape[2:]:
        raise ValueError(f"images must have shape (n, 1 or 3 channels, height, width), got {tuple(images.shape)}")
    if images.dtype == torch.float32 and images.numel():
        low, high = images.aminmax()
        if not (low >= 0 and high <= 1):  # NaN fails both
            raise ValueError(f"float images must be in [0, 1], got values from {float(low):g} to {float(high):g}")


def _augment_chunk(images: Tensor, values: Mapping[str, Tensor]) -> Float[Tensor, "batch channels height width"]:
    # The memory layout of `resample`; uint8 is a quarter of the bytes to move.
    x = images.permute(0, 2, 1, 3).contiguous().permute(0, 2, 1, 3)
    x = x.float().div_(255) if x.dtype == torch.uint8 else x
    height, width = x.shape[2:]
    if "crop_scale" in values or "flip" in values:
        zero = torch.zeros(len(x), device=x.device)
        across, down = _crop_extent(values.get("crop_scale", zero + 1), values.get("crop_aspect", zero))
        mirror = 1 - 2 * values["flip"].float() if "flip" in values else zero + 1
        x = resample(
            x,
            crop_matrix(values.get("crop_y", zero), down, height),
            crop_matrix(mirror * values.get("crop_x", zero), mirror * across, width),
        )
    for name, adjust in (
        ("brightness", adjust_brightness),
        ("contrast", adjust_contrast),
        ("saturation", adjust_saturation),
        ("hue", adjust_hue),
        ("grayscale", to_gray),
    ):
        if name in values:
            x = adjust(x, values[name])
    if "blur" in values:
        x = resample(x, blur_matrix(values["blur"], height), blur_matrix(values["blur"], width))
    return x.clamp(0, 1)  # sums of weights round
