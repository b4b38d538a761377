"""Names in the settings, checked before anything is loaded or written."""

from __future__ import annotations

from aninfonce import models
from aninfonce._checks import nearest_name
from aninfonce._extras import require
from aninfonce.data import PRESETS
from aninfonce.training.config import TrainConfig

__all__ = ["check_names"]


def check_names(config: TrainConfig) -> None:
    """Check everything in the settings that names something else, so that a typing error costs no loading of data.

    The data's own name is checked where they are loaded, which is the first thing that a run does.

    Raises:
        ValueError: if the augmentations or the backbone are unknown, or the file of pretrained weights is not there.
        MissingExtraError: if a package that the settings need is missing.
    """
    nearest_name("augmentations", config.augmentations, PRESETS)
    models.check_backbone(config.backbone)
    if config.pretrained is not None and not config.pretrained.expanduser().is_file():
        raise ValueError(f"no pretrained weights at {config.pretrained}")
    for logger in config.loggers:
        require(logger, logger)
