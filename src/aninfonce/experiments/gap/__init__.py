"""The gap between theory and practice: one assumption of the theorem is broken at a time, to a rising degree."""

from aninfonce.experiments.gap.conditional import GapConditional
from aninfonce.experiments.gap.dimension import GapDimension
from aninfonce.experiments.gap.injectivity import GapInjectivity
from aninfonce.experiments.gap.marginal import GapMarginal
from aninfonce.experiments.gap.negatives import GapNegatives
from aninfonce.experiments.gap.power import AssumptionChecks
from aninfonce.experiments.gap.projector import GapProjector

__all__ = [
    "AssumptionChecks",
    "GapConditional",
    "GapDimension",
    "GapInjectivity",
    "GapMarginal",
    "GapNegatives",
    "GapProjector",
]
