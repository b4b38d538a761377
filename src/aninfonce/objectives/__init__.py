"""Contrastive objectives: `nn.Module`s over pure functions of two views' embeddings."""

from aninfonce.objectives.alignment_uniformity import AlignmentUniformity
from aninfonce.objectives.aninfonce import AnInfoNCE
from aninfonce.objectives.ensemble import AnInfoNCEEnsemble, joint_level_sets
from aninfonce.objectives.hard_negatives import Debiased, Reweighted, Tilted, TopK
from aninfonce.objectives.infonce import InfoNCE
from aninfonce.objectives.lp import LpInfoNCE

__all__ = [
    "AlignmentUniformity",
    "AnInfoNCE",
    "AnInfoNCEEnsemble",
    "Debiased",
    "InfoNCE",
    "LpInfoNCE",
    "Reweighted",
    "Tilted",
    "TopK",
    "joint_level_sets",
]
