"""Every experiment by its name on the command line, in the order in which `reproduce all` runs them."""

from __future__ import annotations

from collections.abc import Mapping

from aninfonce.experiments.batch_size import BatchSize
from aninfonce.experiments.blocks import Blocks
from aninfonce.experiments.cifar10 import Cifar10
from aninfonce.experiments.content_style import ContentStyle
from aninfonce.experiments.dimensions import Dimensions
from aninfonce.experiments.ensembles import Ensembles
from aninfonce.experiments.experiment import Experiment
from aninfonce.experiments.gap import (
    AssumptionChecks,
    GapConditional,
    GapDimension,
    GapInjectivity,
    GapMarginal,
    GapNegatives,
    GapProjector,
)
from aninfonce.experiments.hard_negatives import HardNegatives
from aninfonce.experiments.imagenet import ImageNet
from aninfonce.experiments.linear_spectrum import LinearSpectrum
from aninfonce.experiments.mixing_depth import MixingDepth
from aninfonce.experiments.mnist_vae import MnistVAE
from aninfonce.experiments.negatives_kind import NegativesKind
from aninfonce.experiments.negatives_number import NegativesNumber
from aninfonce.experiments.ratio_temperature import RatioTemperature
from aninfonce.experiments.sprites import Sprites

__all__ = ["EXPERIMENTS"]

_ALL: tuple[type[Experiment], ...] = (
    ContentStyle,
    LinearSpectrum,
    Dimensions,
    RatioTemperature,
    NegativesKind,
    NegativesNumber,
    BatchSize,
    MixingDepth,
    Blocks,
    Sprites,
    MnistVAE,
    HardNegatives,
    Ensembles,
    GapMarginal,
    GapConditional,
    GapInjectivity,
    GapDimension,
    GapNegatives,
    GapProjector,
    AssumptionChecks,
    Cifar10,
    ImageNet,
)

EXPERIMENTS: Mapping[str, type[Experiment]] = {experiment.name: experiment for experiment in _ALL}
