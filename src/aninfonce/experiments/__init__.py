"""The paper's experiments, one file each, by name."""

from collections.abc import Mapping

from aninfonce.experiments.content_style import ContentStyle
from aninfonce.experiments.linear_spectrum import LinearSpectrum
from aninfonce.experiments.recovery import Mixing, Recipe, Recovery, recover
from aninfonce.experiments.study import Job, Result, Study, run_study

EXPERIMENTS: Mapping[str, type[ContentStyle] | type[LinearSpectrum]] = {
    "content-style": ContentStyle,
    "linear-spectrum": LinearSpectrum,
}

__all__ = [
    "EXPERIMENTS",
    "ContentStyle",
    "Job",
    "LinearSpectrum",
    "Mixing",
    "Recipe",
    "Recovery",
    "Result",
    "Study",
    "recover",
    "run_study",
]
