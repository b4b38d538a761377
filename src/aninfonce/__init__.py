"""What a contrastive encoder throws away, and how to keep it.

Anisotropic InfoNCE ("InfoNCE: Identifying the Gap Between Theory and Practice", arXiv 2407.00143), the exact
data-generating processes of its theory, and the metrics of identifiability. The command line is `aninfonce --help`.

Example:
    >>> import torch
    >>> from aninfonce import AnInfoNCE, AnisotropicSpherical, HypersphericalUniform, metrics
    >>> rng = torch.Generator().manual_seed(0)
    >>> z = HypersphericalUniform(3).sample((1000,), generator=rng)
    >>> positive = AnisotropicSpherical(z, torch.tensor([12.5, 12.5, 2.5])).sample(generator=rng)
    >>> loss = AnInfoNCE(dim=3)(z, positive)
    >>> round(metrics.linear_r2(z, z @ torch.tensor([[0.0, 2, 0], [1, 0, 0], [0, 0, -3]])), 3)
    1.0
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from aninfonce._lazy import lazily

if TYPE_CHECKING:
    from aninfonce import distributions, metrics, objectives
    from aninfonce._version import __version__
    from aninfonce.distributions import AnisotropicSpherical, HypersphericalUniform, VonMisesFisher
    from aninfonce.objectives import AnInfoNCE, AnInfoNCEEnsemble, InfoNCE
    from aninfonce.training import Encoder

lazily(
    __name__,
    {
        "_version": ["__version__"],
        "distributions": ["AnisotropicSpherical", "HypersphericalUniform", "VonMisesFisher"],
        "objectives": ["AnInfoNCE", "AnInfoNCEEnsemble", "InfoNCE"],
    },
)

__all__ = [
    "AnInfoNCE",
    "AnInfoNCEEnsemble",
    "AnisotropicSpherical",
    "HypersphericalUniform",
    "InfoNCE",
    "VonMisesFisher",
    "__version__",
    "distributions",
    "load",
    "metrics",
    "objectives",
]


def load(run: Path | str, device: str = "cpu") -> Encoder:
    """The encoder that a training run left in its folder: see `aninfonce.training.load`."""
    # Here and not above: the losses and the metrics come without the rooms that train on images.
    from aninfonce.training import load as load_encoder

    return load_encoder(run, device)
