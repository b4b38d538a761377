"""A decoder from latents to images that is injective by construction, the g of the experiments on real images."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path

import torch
from torch import Tensor, nn

from aninfonce._tensors import read_tensors, write_tensors

__all__ = ["ImageDecoder", "leaky_squareplus", "leaky_squareplus_inverse"]

_SETTINGS = "decoder"  # the key of the file's metadata that says how to build the network


def leaky_squareplus(x: Tensor, slope: float = 0.1) -> Tensor:
    """φ(x) = (1 + a)/2 · x + (1 - a)/2 · √(x² + 1): a smooth leaky ReLU, strictly increasing, its slope from a to 1.

    Arguments:
        x: any shape.
        slope: a in (0, 1], the slope far on the left.

    References:
        Barron 2021, "Squareplus", arXiv 2112.11687, made leaky so that it has a bounded inverse.
    """
    return (1 + slope) / 2 * x + (1 - slope) / 2 * (x.square() + 1).sqrt()


def leaky_squareplus_inverse(y: Tensor, slope: float = 0.1) -> Tensor:
    """φ⁻¹(y) = ((1 + a)/2 · y - (1 - a)/2 · √(y² + a)) / a, of any shape."""
    return ((1 + slope) / 2 * y - (1 - slope) / 2 * (y.square() + slope).sqrt()) / slope


class ImageDecoder(nn.Module):
    """g(z) = sigmoid(W_k φ(… φ(W_1 z + b_1) …) + b_k), an image in [0, 1]; φ the leaky squareplus.

    Every layer is wider than the one before, so its matrix has full column rank (but for a set of measure zero), and φ
    and the sigmoid are strictly increasing: every layer is injective, hence g, on all of R^dim. How far it is from
    losing a latent in numbers is for `smallest_singular_value` and `separation` to say, `inverse` undoes it.

    Arguments:
        dim: number of latents, at least 1.
        shape: the shape of an image: channels, height, width.
        widths: the widths of the hidden layers, strictly increasing, more than `dim` and fewer than the values of an
            image.
        slope: the slope of the leaky squareplus, in (0, 1].
        generator: source of the initial weights, on the CPU.

    Raises:
        ValueError: if a layer is not wider than the one before, or an argument is outside its range.

    Example:
        >>> g = ImageDecoder(3, (1, 4, 4), widths=(6, 9), generator=torch.Generator().manual_seed(0)).double()
        >>> z = torch.ones(2, 3, dtype=torch.float64)
        >>> g(z).shape
        torch.Size([2, 1, 4, 4])
        >>> bool(torch.allclose(g.inverse(g(z)), z))
        True
    """

    def __init__(
        self,
        dim: int,
        shape: Sequence[int],
        widths: Sequence[int] = (96, 192),
        slope: float = 0.1,
        *,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        if len(shape) != 3 or min(shape) < 1 or dim < 1:
            raise ValueError(f"expected dim >= 1 and a shape (channels, height, width), got {dim=}, shape={shape}")
        sizes = [dim, *widths, math.prod(shape)]
        if any(after <= before for before, after in pairwise(sizes)):
            raise ValueError(f"every layer must be wider than the one before for g to be injective, got widths {sizes}")
        if not 0 < slope <= 1:
            raise ValueError(f"slope must be in (0, 1] for g to be injective, got {slope}")
        self.dim, self.shape, self.widths, self.slope = dim, tuple(shape), tuple(widths), slope
        self.layers = nn.ModuleList(nn.Linear(n, m) for n, m in pairwise(sizes))
        for layer in self.linear_layers:
            nn.init.kaiming_normal_(layer.weight, a=slope, generator=generator)
            nn.init.zeros_(layer.bias)

    @property
    def linear_layers(self) -> list[nn.Linear]:
        """The layers, from the latents on."""
        return [layer for layer in self.layers if isinstance(layer, nn.Linear)]

    def logits(self, z: Tensor) -> Tensor:
        """What the sigmoid is taken of, shape (n, channels · height · width)."""
        first, *rest = self.layers
        h: Tensor = first(z)
        for layer in rest:
            h = layer(leaky_squareplus(h, self.slope))
        return h

    def forward(self, z: Tensor) -> Tensor:
        """Images of shape (n, channels, height, width) in (0, 1) from latents of shape (n, dim)."""
        return self.logits(z).sigmoid().reshape(len(z), *self.shape)

    @torch.no_grad()
    def inverse(self, x: Tensor) -> Tensor:
        """Latents (n, dim) of images (n, channels, height, width) that the decoder made.

        Exact up to rounding, which the sigmoid magnifies where a pixel is close to black or white: ask in float64. Of
        other images it is a least-squares answer, layer by layer.
        """
        h = x.flatten(1).logit()
        for i, layer in enumerate(reversed(self.linear_layers)):
            h = leaky_squareplus_inverse(h, self.slope) if i else h
            h = torch.linalg.lstsq(layer.weight, (h - layer.bias).T).solution.T
        return h

    def save(self, path: Path, provenance: Mapping[str, str]) -> None:
        """Write weights and settings as safetensors, atomically.

        Arguments:
            path: the path of the file, in an existing folder.
            provenance: what it was trained on, and how; stands in the file's metadata.
        """
        settings = {"dim": self.dim, "shape": self.shape, "widths": self.widths, "slope": self.slope}
        write_tensors(path, self.state_dict(), {**provenance, _SETTINGS: json.dumps(settings)})

    @classmethod
    def load(cls, path: Path) -> ImageDecoder:
        """Read a decoder that `save` wrote.

        Raises:
            ValueError: if the file is missing or damaged, or holds something else.
        """
        tensors, metadata = read_tensors(path)
        if _SETTINGS not in metadata:
            raise ValueError(f"{path} holds no decoder: its metadata has no {_SETTINGS!r}")
        decoder = cls(**json.loads(metadata[_SETTINGS]))
        try:
            decoder.load_state_dict(tensors)
        except RuntimeError as error:
            raise ValueError(f"{path} belongs to another network: {error}") from error
        return decoder
