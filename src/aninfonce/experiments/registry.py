"""Every experiment by its name on the command line, in the order in which `reproduce all` runs them."""

from __future__ import annotations

from collections.abc import Mapping

from aninfonce.experiments.content_style import ContentStyle
from aninfonce.experiments.experiment import Experiment
from aninfonce.experiments.linear_spectrum import LinearSpectrum
from aninfonce.experiments.sprites import Sprites

__all__ = ["EXPERIMENTS"]

_ALL: tuple[type[Experiment], ...] = (
    ContentStyle,
    LinearSpectrum,
    Sprites,
)

EXPERIMENTS: Mapping[str, type[Experiment]] = {experiment.name: experiment for experiment in _ALL}
