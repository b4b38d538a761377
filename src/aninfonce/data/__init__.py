"""Images, augmentations that return the parameters they drew, and generators of synthetic data."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aninfonce._lazy import lazily

if TYPE_CHECKING:
    from aninfonce.data.augmentations import Augmentation, augment_images
    from aninfonce.data.background import background_colour
    from aninfonce.data.channels import with_channels
    from aninfonce.data.config import PRESETS, AugmentationConfig
    from aninfonce.data.files import ImageFiles, load_files
    from aninfonce.data.findings import Findings, Ignored
    from aninfonce.data.folder import load_folder
    from aninfonce.data.hugging_face import HuggingFaceImages, load_hugging_face
    from aninfonce.data.parameters import (
        NUMBER_PARAMETERS,
        PARAMETERS,
        YES_NO_PARAMETERS,
        AugmentationParameters,
        Parameter,
    )
    from aninfonce.data.reading import ImageReadError, UnreadableImageError
    from aninfonce.data.remarks import REMARKS, sentences
    from aninfonce.data.shards import ShardImages, load_shards
    from aninfonce.data.sources import SOURCES, load_images
    from aninfonce.data.splits import NO_LABEL, ImageDataset, ImageSplit
    from aninfonce.data.stored import Images, StoredImages, read_batches, shuffled_order
    from aninfonce.data.summary import summary_lines, summary_of
    from aninfonce.data.write_shards import write_shards

lazily(
    __name__,
    {
        "augmentations": ["Augmentation", "augment_images"],
        "background": ["background_colour"],
        "channels": ["with_channels"],
        "config": ["PRESETS", "AugmentationConfig"],
        "files": ["ImageFiles", "load_files"],
        "findings": ["Findings", "Ignored"],
        "folder": ["load_folder"],
        "hugging_face": ["HuggingFaceImages", "load_hugging_face"],
        "parameters": ["NUMBER_PARAMETERS", "PARAMETERS", "YES_NO_PARAMETERS", "AugmentationParameters", "Parameter"],
        "reading": ["ImageReadError", "UnreadableImageError"],
        "remarks": ["REMARKS", "sentences"],
        "shards": ["ShardImages", "load_shards"],
        "sources": ["SOURCES", "load_images"],
        "splits": ["NO_LABEL", "ImageDataset", "ImageSplit"],
        "stored": ["Images", "StoredImages", "read_batches", "shuffled_order"],
        "summary": ["summary_lines", "summary_of"],
        "write_shards": ["write_shards"],
    },
)

__all__ = [
    "NO_LABEL",
    "NUMBER_PARAMETERS",
    "PARAMETERS",
    "PRESETS",
    "REMARKS",
    "SOURCES",
    "YES_NO_PARAMETERS",
    "Augmentation",
    "AugmentationConfig",
    "AugmentationParameters",
    "Findings",
    "HuggingFaceImages",
    "Ignored",
    "ImageDataset",
    "ImageFiles",
    "ImageReadError",
    "ImageSplit",
    "Images",
    "Parameter",
    "ShardImages",
    "StoredImages",
    "UnreadableImageError",
    "augment_images",
    "background_colour",
    "load_files",
    "load_folder",
    "load_hugging_face",
    "load_images",
    "load_shards",
    "read_batches",
    "sentences",
    "shuffled_order",
    "summary_lines",
    "summary_of",
    "with_channels",
    "write_shards",
]
