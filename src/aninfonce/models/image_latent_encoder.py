"""The encoder of the controlled experiments on images: a small convolutional net beside a linear map of the image."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from aninfonce._sphere import unit_rows
from aninfonce.models.latent_encoder import cayley_rotation

__all__ = ["ImageLatentEncoder", "PatchLinear"]

_KERNEL, _STRIDE, _PADDING = 4, 2, 1  # every convolution halves the image
_STAGES = 3
_PATCH_IMAGES = 512  # to take the patches' covariance from
_PATCH_FLOOR = 1e-3  # added to its eigenvalues, in units of the largest: the finest patterns are not blown up
_OVERSAMPLING, _POWER_STEPS = 16, 4  # of the randomised singular value decomposition


class PatchLinear(nn.Linear):
    """A convolution whose weight is the matrix (out channels, in channels · 4 · 4) that acts on every patch.

    Patches of 4×4 pixels, 2 apart, with a border of one pixel: the image's sides are halved. The matrix form is what
    Muon takes, which orthogonalises the updates of matrices.

    Arguments:
        inputs: channels of the input.
        outputs: channels of the output.
        whitening: applied to every patch before the weight, shape (inputs · 4 · 4, inputs · 4 · 4); None: nothing is.
    """

    whitening: Tensor | None

    def __init__(self, inputs: int, outputs: int, whitening: Tensor | None = None) -> None:
        super().__init__(inputs * _KERNEL**2, outputs)
        self.register_buffer("whitening", whitening)

    def forward(self, maps: Tensor) -> Tensor:
        """Maps of shape (batch, out, height/2, width/2) from maps of shape (batch, in, height, width)."""
        # One small product of matrices instead of whitening every patch.
        weight = self.weight if self.whitening is None else self.weight @ self.whitening
        kernels = weight.view(self.out_features, -1, _KERNEL, _KERNEL)
        return F.conv2d(maps, kernels, self.bias, _STRIDE, _PADDING)


class ImageLatentEncoder(nn.Module):
    """f(x) = Rᵀ normalize(net(x) + W x̃): the image's counterpart of `LatentEncoder`.

    net: three convolutions, each halving the image, and two linear layers, with leaky ReLUs between. The first one
    sees whitened patches, since neighbouring pixels say almost the same. x̃: the image's
    first principal components, centred and whitened; their linear map W is a start that the net then bends. R: a
    trainable rotation, as in `LatentEncoder`.

    Arguments:
        dim: number of dimensions of the embedding, at least 2.
        images: a sample to take the mean, the scale and the components from, shape (n, channels, size, size), n at
            least 256; `size` a multiple of 8.
        channels: number of channels of the first convolution; the others have twice as many.
        width: the width of the hidden linear layer.
        components: number of principal components, at most n/2 and at most the pixels' numbers.
        generator: source of the initial weights, on the CPU.

    Raises:
        ValueError: if a number is out of its range or the images do not have such a shape.
    """

    mean: Tensor
    scale: Tensor
    projection: Tensor

    def __init__(
        self,
        dim: int,
        images: Tensor,
        *,
        channels: int = 16,
        width: int = 128,
        components: int = 64,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        if dim < 2 or min(channels, width) < 1:
            raise ValueError(f"expected dim >= 2, channels and width >= 1, got {dim=}, {channels=}, {width=}")
        if images.ndim != 4 or images.shape[2] != images.shape[3] or images.shape[2] % 2**_STAGES or len(images) < 256:
            raise ValueError(
                f"images must have shape (n, channels, size, size), n at least 256 and size a multiple of "
                f"{2**_STAGES}, got {tuple(images.shape)}"
            )
        largest = min(len(images) // 2, images[0].numel())
        if not 1 <= components <= largest:
            raise ValueError(f"components must be between 1 and {largest}, got {components}")
        centred = images - images.mean(0)
        self.register_buffer("mean", images.mean(0))
        self.register_buffer("scale", centred.std())
        self.register_buffer("projection", _whitened_components(centred.flatten(1), components, generator))
        patches = _patch_whitening(centred[:_PATCH_IMAGES] / self.scale)
        cells = (images.shape[2] // 2**_STAGES) ** 2
        self.layers = nn.ModuleList(
            [
                PatchLinear(images.shape[1], channels, patches),
                PatchLinear(channels, 2 * channels),
                PatchLinear(2 * channels, 2 * channels),
                nn.Linear(2 * channels * cells, width),
                nn.Linear(width, dim),
            ]
        )
        self.skip = nn.Parameter(torch.empty(dim, components))
        self.skew = nn.Parameter(torch.zeros(dim, dim))
        self._initialize(generator)

    @property
    def linear_layers(self) -> list[nn.Linear]:
        """The layers of the net, from the input on."""
        return [layer for layer in self.layers if isinstance(layer, nn.Linear)]

    @property
    def rotation(self) -> Tensor:
        """R, shape (dim, dim), orthogonal with determinant 1; differentiable."""
        return cayley_rotation(self.skew)

    @torch.no_grad()
    def _initialize(self, generator: torch.Generator | None) -> None:
        first, *_, last = self.linear_layers
        for layer in self.linear_layers:
            nn.init.kaiming_normal_(layer.weight, generator=generator)
            nn.init.zeros_(layer.bias)
        nn.init.normal_(first.bias, std=0.1, generator=generator)
        # Start close to a linear map, whose outputs have about the variance of one.
        nn.init.normal_(last.weight, std=0.1 / last.in_features**0.5, generator=generator)
        nn.init.normal_(self.skip, std=self.skip.shape[1] ** -0.5, generator=generator)

    def forward(self, images: Tensor) -> Tensor:
        """Embeddings on the unit sphere, shape (batch, dim), of images of shape (batch, channels, size, size)."""
        x = images - self.mean
        h = (x / self.scale).contiguous(memory_format=torch.channels_last)
        *hidden, last = self.layers
        for layer in hidden:
            h = F.leaky_relu(layer(h if isinstance(layer, PatchLinear) else h.flatten(1)), 0.2)
        return unit_rows(last(h) + x.flatten(1) @ self.projection @ self.skip.T) @ self.rotation


def _whitened_components(centred: Tensor, components: int, generator: torch.Generator | None) -> Tensor:
    """A matrix (pixels, components) that takes centred images to their whitened principal components.

    A randomised decomposition (Halko, Martinsson, Tropp 2011, arXiv 0909.4061): the exact one takes seconds.
    """
    wanted = min(components + _OVERSAMPLING, *centred.shape)
    basis = torch.randn(centred.shape[1], wanted, dtype=centred.dtype, generator=generator)
    for _ in range(_POWER_STEPS):
        basis = torch.linalg.qr(centred.T @ (centred @ basis)).Q
    _, values, rows = torch.linalg.svd(centred @ basis, full_matrices=False)
    scales = values[:components] / len(centred) ** 0.5
    projection: Tensor = basis @ rows[:components].T / scales
    return projection


def _patch_whitening(centred: Tensor) -> Tensor:
    """The symmetric root of the inverse covariance of the images' patches, shape (channels · 4 · 4, the same)."""
    patches = F.unfold(centred, _KERNEL, padding=_PADDING, stride=_STRIDE).transpose(1, 2).flatten(0, 1)
    eigenvalues, eigenvectors = torch.linalg.eigh((patches.T @ patches / len(patches)).double())
    floor = _PATCH_FLOOR * eigenvalues[-1]
    whitening: Tensor = (eigenvectors * (eigenvalues + floor).rsqrt()) @ eigenvectors.T
    return whitening.to(centred.dtype)
