"""`aninfonce embed`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from aninfonce import data as image_data
from aninfonce import training
from aninfonce._checks import OneOf, nearest_name
from aninfonce._progress import Progress
from aninfonce.cli._common import check_output_file
from aninfonce.cli._output import say

__all__ = ["embed"]

_KINDS = {1: "grey", 3: "colour"}
SPLITS = ("train", "test")
LAYERS = {"both": ("backbone", "projector"), "backbone": ("backbone",), "projector": ("projector",)}


def embed(
    run: Path,
    out: Path,
    data: str | None = None,
    data_root: Path | None = None,
    layer: Annotated[str, OneOf(tuple(LAYERS))] = "both",
    device: str = "cpu",
    convert: bool = False,
    overwrite: bool = False,
) -> None:
    """Write a trained encoder's features of images to an .npz or .parquet file.

    For each SPLIT of train and test, an .npz file holds SPLIT_backbone and SPLIT_projector (on the unit sphere) with
    one row for each image, SPLIT_places with the position of each image in the split, SPLIT_paths with its file (for
    images that are not held in memory), and, if the data have classes, SPLIT_labels (-1 for an image without a label).
    A .parquet file has one row for each image, with the columns split, place, path (for images that are not held in
    memory), label and class (if the data have classes), backbone and projector.

    Args:
        run: folder of a training run.
        out: the file, ending in .npz or .parquet.
        data: the images, named as for train; by default those of the run.
        data_root: folder that holds the data set; by default that of the run.
        layer: both, backbone or projector.
        device: cpu or cuda.
        convert: make colour images grey, or grey ones colour, if the encoder takes the other kind.
        overwrite: replace the file if it exists.
    """
    layers = LAYERS[nearest_name("layer", layer, LAYERS)]
    check_output_file(out, (".npz", ".parquet"), overwrite=overwrite)
    encoder = training.load(run, device)
    own = data is None or data == encoder.config.data
    dataset = image_data.load_images(
        encoder.config.data if data is None else data,
        encoder.config.data_root if data_root is None and own else data_root,
        image_size=encoder.image_size,
        decode_workers=encoder.config.decode_workers,
        max_corrupt=encoder.config.max_corrupt,
        background=encoder.config.background,
    )
    splits: list[training.SplitFeatures] = []
    with Progress(f"features of {dataset.name}", total=len(SPLITS)) as progress:
        for done, name in enumerate(SPLITS, start=1):
            splits.append(_features(encoder, dataset, name, layers, convert))
            images = (dataset.train if name == "train" else dataset.test).images
            skipped = len(images.skipped) if isinstance(images, image_data.StoredImages) else 0
            progress.step(done, f"{name}: {len(splits[-1].places)} images, {skipped} skipped as unreadable")
    for line in image_data.sentences(training.remarks_of(dataset), encoder.config.background):
        print(line)
    if out.suffix == ".npz":
        training.write_npz(out, splits)
    else:
        training.write_parquet(out, splits, dataset.class_names)
    for split in splits:
        for found, values in split.layers.items():
            say(f"{split.name}_{found}: {' × '.join(map(str, values.shape))}")
    say(out)


def _features(
    encoder: training.Encoder, dataset: image_data.ImageDataset, name: str, layers: tuple[str, ...], convert: bool
) -> training.SplitFeatures:
    split = dataset.train if name == "train" else dataset.test
    images, channels = split.images, encoder.channels
    if images.shape[1] != channels and not convert:
        raise ValueError(
            f"the encoder takes {_KINDS[channels]} images, {dataset.name} has {_KINDS[images.shape[1]]} ones; pass "
            "--convert to have them converted"
        )
    found = training.encode(
        encoder.task.model, images, lambda batch, _: image_data.with_channels(batch.float() / 255, channels)
    )
    places = found["places"].long()
    labels = None if split.labels is None else split.labels[places]
    paths = None
    if isinstance(images, image_data.StoredImages):
        paths = [training.path_text(images.path(place)) for place in places.tolist()]
    return training.SplitFeatures(name, {layer: found[layer] for layer in layers}, places, labels, paths)
