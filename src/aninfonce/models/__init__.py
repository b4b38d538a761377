"""Encoders, projectors and normalisation."""

from __future__ import annotations

from aninfonce.models.backbones import Backbone, check_backbone, make_backbone
from aninfonce.models.convnet import SmallConvNet
from aninfonce.models.heads import ContrastiveModel, Projector
from aninfonce.models.pretrained import load_pretrained
from aninfonce.models.vae import VAE

__all__ = [
    "VAE",
    "Backbone",
    "ContrastiveModel",
    "Projector",
    "SmallConvNet",
    "check_backbone",
    "load_pretrained",
    "make_backbone",
]
