"""What each augmentation does to the pixels: pure functions of a batch of images and one parameter an image.

Images are float tensors of shape (batch, channels, height, width) in [0, 1]; a parameter is a tensor of shape (batch,).
Every function returns the image bit for bit at the parameter's identity value.

Crop, flip, resize and blur are separable, so each is one small matrix a side, `A_y X A_xᵀ`. For small images that is
several times faster than `grid_sample` on a CPU (it is slower at 224 pixels), and it is exact at the identity.

The colour operations are those of `torchvision.transforms.v2.functional`, with one factor an image, not one a call.
"""

from __future__ import annotations

import torch
from torch import Tensor

from aninfonce._typing import Bool, Float

__all__ = [
    "adjust_brightness",
    "adjust_contrast",
    "adjust_hue",
    "adjust_saturation",
    "blur_matrix",
    "crop_matrix",
    "resample",
    "to_gray",
]

_GRAY = (0.2989, 0.587, 0.114)  # ITU-R 601, as torchvision rounds it


def _per_image(factor: Tensor) -> Tensor:
    return factor[:, None, None, None]


def _luma(images: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch 1 height width"]:
    if images.shape[1] == 1:
        return images
    red, green, blue = images.unbind(1)
    return torch.mul(red, _GRAY[0]).add_(green, alpha=_GRAY[1]).add_(blue, alpha=_GRAY[2])[:, None]


def crop_matrix(
    center: Float[Tensor, " batch"], extent: Float[Tensor, " batch"], size: int
) -> Float[Tensor, "batch size size"]:
    """Weights that resize a stretch of a line of pixels to the whole line, by linear interpolation.

    Arguments:
        center: centre of the stretch, -1 (first edge) to 1 (last edge), shape (batch,).
        extent: its length as a fraction of the line; negative mirrors it, shape (batch,).
        size: pixels in the line.

    Returns:
        A of shape (batch, size, size): `A @ line` is the resized line. Centre 0 and extent 1 give exactly I, extent -1
        the exact mirror. Beyond the outermost pixel centres the edge pixel is repeated.

    Example:
        >>> line = torch.tensor([0.0, 1.0, 2.0, 3.0])
        >>> crop_matrix(torch.tensor([0.0]), torch.tensor([-1.0]), 4) @ line
        tensor([[3., 2., 1., 0.]])
        >>> crop_matrix(torch.tensor([0.5]), torch.tensor([0.5]), 4) @ line  # the right half
        tensor([[1.7500, 2.2500, 2.7500, 3.0000]])
    """
    pixel = torch.arange(size, device=center.device, dtype=center.dtype)
    middle = (size - 1) / 2
    source = (middle + center * (size / 2))[:, None] + extent[:, None] * (pixel - middle)
    return (source.clamp_(0, size - 1)[:, :, None] - pixel).abs_().neg_().add_(1).clamp_(min=0)


def blur_matrix(sigma: Float[Tensor, " batch"], size: int) -> Float[Tensor, "batch size size"]:
    """Weights of a Gaussian blur of a line of pixels, mirrored at the ends (the edge pixel not repeated).

    Arguments:
        sigma: standard deviation in pixels, at least 0, shape (batch,).
        size: pixels in the line.

    Returns:
        B of shape (batch, size, size): `B @ line` is the blurred line. The Gaussian is not truncated, rows sum to one,
        and sigma 0 gives exactly I.

    Example:
        >>> blur_matrix(torch.tensor([1.0]), 3)
        tensor([[[0.4009, 0.4906, 0.1085],
                 [0.2465, 0.5071, 0.2465],
                 [0.1085, 0.4906, 0.4009]]])
    """
    # At sigma 1e-3 every neighbour's weight underflows to zero: the identity, without dividing by zero.
    distance = torch.arange(2 * size - 1, device=sigma.device, dtype=sigma.dtype)
    weight = torch.exp(-0.5 * (distance / sigma.clamp(min=1e-3)[:, None]) ** 2)
    # Weights depend on |i - j| only: each (size, size) matrix below is a sliding window over a line, not a gather.
    line = torch.cat([weight[:, 1:size].flip(1), weight[:, :size]], 1)
    kernel = line.unfold(1, size, 1).flip(1)  # [i, j] = weight[|i - j|]
    mirrored = weight.unfold(1, size, 1)  # [i, j] = weight[i + j]
    # Pixel j stands at -j and at 2 (size - 1) - j too; an end pixel is its own mirror image.
    kernel[:, :, 1:] += mirrored[:, :, 1:]
    kernel[:, :, :-1] += mirrored.flip(1, 2)[:, :, :-1]
    return kernel.div_(kernel.sum(2, keepdim=True))


def resample(
    images: Float[Tensor, "batch channels height width"],
    rows: Float[Tensor, "batch height height"],
    columns: Float[Tensor, "batch width width"],
) -> Float[Tensor, "batch channels height width"]:
    """`rows @ image @ columnsᵀ` for every image and channel.

    The result's memory is laid out as (batch, height, channels, width), in which both products are one batched matrix
    product over all channels; given such a tensor, nothing is copied.
    """
    batch, channels, height, width = images.shape
    lines = images.permute(0, 2, 1, 3).reshape(batch, height, channels * width)
    lines = torch.bmm(rows, lines).view(batch, height * channels, width)
    return torch.bmm(lines, columns.mT).view(batch, height, channels, width).permute(0, 2, 1, 3)


def adjust_brightness(
    images: Float[Tensor, "batch channels height width"], factor: Float[Tensor, " batch"]
) -> Float[Tensor, "batch channels height width"]:
    """Multiply by a factor, at least 0, and clip to [0, 1]."""
    return (images * _per_image(factor)).clamp_(0, 1)


def adjust_contrast(
    images: Float[Tensor, "batch channels height width"], factor: Float[Tensor, " batch"]
) -> Float[Tensor, "batch channels height width"]:
    """Multiply the distance from the image's mean luma by a factor, at least 0, and clip to [0, 1]."""
    mean = _luma(images).mean((1, 2, 3))
    return (images * _per_image(factor)).add_(_per_image((1 - factor) * mean)).clamp_(0, 1)


def adjust_saturation(
    images: Float[Tensor, "batch 3 height width"], factor: Float[Tensor, " batch"]
) -> Float[Tensor, "batch 3 height width"]:
    """Multiply the distance from each pixel's luma by a factor, at least 0, and clip to [0, 1]."""
    gray = _luma(images).mul_(_per_image(1 - factor))
    return (images * _per_image(factor)).add_(gray).clamp_(0, 1)


def adjust_hue(
    images: Float[Tensor, "batch 3 height width"], turns: Float[Tensor, " batch"]
) -> Float[Tensor, "batch 3 height width"]:
    """Turn the hue of the HSV colour space by a number of turns (0.5 gives the opposite colour).

    Value and chroma stay. With V the value, C the chroma and H the hue in sixths of a turn, channel n = 5, 3, 1 is
    V - C clip(min(k, 4 - k), 0, 1), k = (n + H) mod 6.
    """
    red, green, blue = images.unbind(1)
    value = images.amax(1)
    chroma = value - images.amin(1)
    per_chroma = torch.where(chroma == 0, 1.0, chroma).reciprocal_()
    sixths = torch.where(
        value == red,
        (green - blue) * per_chroma,
        torch.where(value == green, (blue - red).mul_(per_chroma).add_(2), (red - green).mul_(per_chroma).add_(4)),
    )
    hue = sixths.div_(6).add_(turns[:, None, None])
    turned = torch.empty_like(images)
    for channel, n in enumerate((5, 3, 1)):
        k = hue + (n - 2) / 6  # min(k, 4 - k) = 2 - |k - 2|: the distance to the nearest whole turn, in sixths
        k.sub_(k.round()).abs_().mul_(-6).add_(2).clamp_(0, 1)
        torch.sub(value, k.mul_(chroma), out=turned[:, channel])
    # The way to HSV and back rounds, so an image whose hue does not move is kept as it is.
    return torch.where(_per_image(turns) == 0, images, turned)


def to_gray(
    images: Float[Tensor, "batch 3 height width"], gray: Bool[Tensor, " batch"]
) -> Float[Tensor, "batch 3 height width"]:
    """Replace the three channels by their luma in the images where `gray` is true."""
    return torch.where(_per_image(gray), _luma(images), images)
