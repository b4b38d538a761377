"""`aninfonce embed`."""

from __future__ import annotations

from pathlib import Path

import torch

from aninfonce._checks import nearest_name
from aninfonce._progress import Progress
from aninfonce.cli._common import check_output_file
from aninfonce.cli._output import say
from aninfonce.data import ImageDataset, StoredImages, load_images, sentences
from aninfonce.training import Encoder, encode, load
from aninfonce.training.feature_file import SplitFeatures, write_npz, write_parquet
from aninfonce.training.seen import remarks_of

__all__ = ["embed"]

SPLITS = ("train", "test")
LAYERS = {"both": ("backbone", "projector"), "backbone": ("backbone",), "projector": ("projector",)}


def embed(
    run: Path,
    out: Path,
    data: str | None = None,
    data_root: Path | None = None,
    layer: str = "both",
    device: str = "cpu",
    overwrite: bool = False,
) -> None:
    """Write a trained encoder's features of images to an .npz or .parquet file.

    For each SPLIT of train and test, an .npz file holds SPLIT_backbone and SPLIT_projector (on the unit sphere) with
    one row for each image, SPLIT_places with the position of each image in the split, and, if the data have classes,
    SPLIT_labels (-1 for an image without a label). A .parquet file has one row for each image, with the columns split,
    place, label and class (if the data have classes), backbone and projector.

    Args:
        run: folder of a training run.
        out: the file, ending in .npz or .parquet.
        data: the images, named as for train; by default those of the run.
        data_root: folder that holds the data set; by default that of the run.
        layer: both, backbone or projector.
        device: cpu or cuda.
        overwrite: replace the file if it exists.
    """
    layers = LAYERS[nearest_name("layer", layer, LAYERS)]
    check_output_file(out, (".npz", ".parquet"), overwrite=overwrite)
    encoder = load(run, device)
    own = data is None or data == encoder.config.data
    dataset = load_images(
        encoder.config.data if data is None else data,
        encoder.config.data_root if data_root is None and own else data_root,
        image_size=encoder.image_size,
        decode_workers=encoder.config.decode_workers,
        max_corrupt=encoder.config.max_corrupt,
        background=encoder.config.background,
    )
    splits: list[SplitFeatures] = []
    with Progress(f"features of {dataset.name}", total=len(SPLITS)) as progress:
        for done, name in enumerate(SPLITS, start=1):
            splits.append(_features(encoder, dataset, name, layers))
            images = (dataset.train if name == "train" else dataset.test).images
            skipped = len(images.skipped) if isinstance(images, StoredImages) else 0
            progress.step(done, f"{name}: {len(splits[-1].places)} images, {skipped} skipped as unreadable")
    for line in sentences(remarks_of(dataset), encoder.config.background):
        print(line)
    if out.suffix == ".npz":
        write_npz(out, splits)
    else:
        write_parquet(out, splits, dataset.class_names)
    for split in splits:
        for found, values in split.layers.items():
            say(f"{split.name}_{found}: {' × '.join(map(str, values.shape))}")
    say(out)


def _features(encoder: Encoder, dataset: ImageDataset, name: str, layers: tuple[str, ...]) -> SplitFeatures:
    split = dataset.train if name == "train" else dataset.test
    if split.images.shape[1] != encoder.channels:
        raise ValueError(
            f"the encoder takes images of {encoder.channels} channels, {dataset.name} has {split.images.shape[1]}"
        )
    found = encode(encoder.task.model, split.images)
    places = found["places"].to(torch.int64)
    labels = None if split.labels is None else split.labels[places]
    return SplitFeatures(name, {layer: found[layer] for layer in layers}, places, labels)
