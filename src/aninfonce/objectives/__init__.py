"""Contrastive objectives: `nn.Module`s over pure functions of two views' embeddings."""

from aninfonce.objectives.aninfonce import AnInfoNCE
from aninfonce.objectives.infonce import InfoNCE

__all__ = ["AnInfoNCE", "InfoNCE"]
