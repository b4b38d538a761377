"""Encoders, projectors and normalisation."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aninfonce._lazy import lazily

if TYPE_CHECKING:
    from aninfonce.models.backbones import Backbone, check_backbone, make_backbone
    from aninfonce.models.convnet import SmallConvNet
    from aninfonce.models.coverage import check_coverage
    from aninfonce.models.heads import ContrastiveModel, Projector
    from aninfonce.models.pretrained import load_pretrained
    from aninfonce.models.vae import VAE

lazily(
    __name__,
    {
        "backbones": ["Backbone", "check_backbone", "make_backbone"],
        "convnet": ["SmallConvNet"],
        "coverage": ["check_coverage"],
        "heads": ["ContrastiveModel", "Projector"],
        "pretrained": ["load_pretrained"],
        "vae": ["VAE"],
    },
)

__all__ = [
    "VAE",
    "Backbone",
    "ContrastiveModel",
    "Projector",
    "SmallConvNet",
    "check_backbone",
    "check_coverage",
    "load_pretrained",
    "make_backbone",
]
