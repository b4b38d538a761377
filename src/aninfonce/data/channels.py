"""Grey images as colour ones, and the other way round."""

from __future__ import annotations

from torch import Tensor

__all__ = ["with_channels"]

_LUMA = (0.299, 0.587, 0.114)


def with_channels(images: Tensor, channels: int) -> Tensor:
    """Images in colour or in grey.

    Arguments:
        images: floating point, shape (n, 1 or 3, height, width).
        channels: 3: a grey image gets three equal channels. 1: a colour image becomes its luma,
            0.299 red + 0.587 green + 0.114 blue.

    Returns:
        Shape (n, channels, height, width); the images themselves if they are so already.

    Raises:
        ValueError: if one of the numbers of channels is another.

    References:
        ITU-R BT.601, as Pillow's mode "L" has it.

    Example:
        >>> import torch
        >>> red = torch.tensor([1.0, 0, 0]).reshape(1, 3, 1, 1)
        >>> with_channels(red, 1).flatten(), with_channels(with_channels(red, 1), 3).shape
        (tensor([0.2990]), torch.Size([1, 3, 1, 1]))
    """
    if channels not in (1, 3) or images.shape[1] not in (1, 3):
        raise ValueError(f"channels must be 1 (grey) or 3 (colour), got {images.shape[1]} to become {channels}")
    if images.shape[1] == channels:
        return images
    if channels == 3:
        return images.expand(-1, 3, -1, -1)
    red, green, blue = _LUMA
    return red * images[:, :1] + green * images[:, 1:2] + blue * images[:, 2:]
