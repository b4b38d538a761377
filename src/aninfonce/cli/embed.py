"""`aninfonce embed`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from aninfonce._progress import Progress
from aninfonce.data import StoredImages, load_images
from aninfonce.training import encode, load

__all__ = ["embed"]

SPLITS = ("train", "test")


def embed(
    run: Path,
    out: Path,
    data: str | None = None,
    data_root: Path | None = None,
    device: str = "cpu",
    overwrite: bool = False,
) -> None:
    """Write a trained encoder's features of images to an .npz file.

    The file holds, for SPLIT in train and test: SPLIT_backbone and SPLIT_projector (on the unit sphere), one row an
    image; SPLIT_places, the image's place among the split's; and SPLIT_labels where the data have classes (-1:
    an image without a label).

    Args:
        run: folder of a training run.
        out: the file, ending in .npz.
        data: the images, named as for train; default: the run's own.
        data_root: folder that holds the data set; default: the run's own.
        device: cpu, or cuda.
        overwrite: replace the file if it is there.
    """
    if out.suffix != ".npz":
        raise ValueError(f"the output file must end in .npz, got {out}")
    if out.exists() and not overwrite:
        raise ValueError(f"{out} is there already; pass --overwrite")
    if not out.parent.is_dir():
        raise ValueError(f"the folder {out.parent} of the output file does not exist")
    encoder = load(run, device)
    own = data is None or data == encoder.config.data
    dataset = load_images(
        encoder.config.data if data is None else data,
        encoder.config.data_root if data_root is None and own else data_root,
        image_size=encoder.image_size,
        decode_workers=encoder.config.decode_workers,
        max_corrupt=encoder.config.max_corrupt,
    )
    arrays: dict[str, np.ndarray[tuple[int, ...], np.dtype[np.generic]]] = {}
    with Progress(f"features of {dataset.name}", total=len(SPLITS)) as progress:
        for done, name in enumerate(SPLITS, start=1):
            split = dataset.train if name == "train" else dataset.test
            if split.images.shape[1] != encoder.channels:
                raise ValueError(
                    f"the encoder takes images of {encoder.channels} channels, {dataset.name} has "
                    f"{split.images.shape[1]}"
                )
            found = encode(encoder.task.model, split.images)
            arrays |= {f"{name}_{layer}": values.numpy() for layer, values in found.items()}
            if split.labels is not None:
                arrays[f"{name}_labels"] = split.labels[found["places"].to(torch.int64)].numpy()
            skipped = len(split.images.skipped) if isinstance(split.images, StoredImages) else 0
            progress.step(done, f"{name}: {len(found['places'])} images, {skipped} skipped as unreadable")
    temporary = out.with_name(f".{out.name}")
    with temporary.open("wb") as file:
        np.savez(file, allow_pickle=False, **arrays)
    temporary.replace(out)
    for name, values in arrays.items():
        print(f"{name}: {' × '.join(map(str, values.shape))}")
    print(out)
