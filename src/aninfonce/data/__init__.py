"""Images, augmentations that return the parameters they drew, and generators of synthetic data."""

from __future__ import annotations

from aninfonce.data.augmentations import Augmentation, augment_images
from aninfonce.data.config import PRESETS, AugmentationConfig
from aninfonce.data.files import ImageFiles, Images, read_batches
from aninfonce.data.folder import load_folder
from aninfonce.data.parameters import (
    NUMBER_PARAMETERS,
    PARAMETERS,
    YES_NO_PARAMETERS,
    AugmentationParameters,
    Parameter,
)
from aninfonce.data.sources import SOURCES, load_images
from aninfonce.data.splits import ImageDataset, ImageSplit

__all__ = [
    "NUMBER_PARAMETERS",
    "PARAMETERS",
    "PRESETS",
    "SOURCES",
    "YES_NO_PARAMETERS",
    "Augmentation",
    "AugmentationConfig",
    "AugmentationParameters",
    "ImageDataset",
    "ImageFiles",
    "ImageSplit",
    "Images",
    "Parameter",
    "augment_images",
    "load_folder",
    "load_images",
    "read_batches",
]
