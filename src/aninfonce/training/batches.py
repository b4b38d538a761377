"""This process's part of every global batch, and its two augmented views, which follow from seed and step alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from aninfonce.data import Augmentation, Images, read_batches, shuffled_order
from aninfonce.training.config import TrainConfig
from aninfonce.training.processes import Processes
from aninfonce.training.randomness import generator_at

__all__ = ["Batch", "epoch_batches", "views_of_pieces"]


@dataclass(frozen=True, eq=False)
class Batch:
    """What one process has of a global batch.

    Attributes:
        places: the positions of its readable images among all, shape (n,).
        images: uint8, shape (n, channels, height, width), on the device.
        rows: their places in the global batch, shape (n,).
        asked: places of the global batch's images among all, unreadable ones included, shape (batch,).
    """

    places: Tensor
    images: Tensor
    rows: Tensor
    asked: Tensor


def epoch_batches(config: TrainConfig, images: Images, processes: Processes, epoch: int, first: int) -> Iterator[Batch]:
    """The batches of an epoch from number `first` on; a last one that would be too small is left out.

    Raises:
        ValueError: if too few of a batch's images can be read.
        ElsewhereError: if this happens to another process.
    """
    order = shuffled_order(images, generator_at(config.seed, "order", epoch))
    whole = torch.split(order, config.batch_size)[first : len(images) // config.batch_size]
    shares = [processes.share(batch) for batch in whole]
    stream = read_batches(images, [asked for asked, _ in shares], processes.device)
    for batch, (asked, offset) in zip(whole, shares, strict=True):

        def read() -> tuple[Tensor, Tensor]:
            places, found = next(stream)
            least = max(config.accumulate, 2 if processes.world == 1 else 1)
            if len(places) < least:
                raise ValueError(f"a batch has only {len(places)} images that can be read, expected {least} at least")
            return places, found

        places, found = processes.together(read)
        rows = offset + torch.isin(asked, places).nonzero().flatten()
        yield Batch(places, found, rows, batch)


def views_of_pieces(
    batch: Batch, augment: Augmentation, generator: torch.Generator, pieces: int
) -> Callable[[int], Tensor]:
    """Piece -> two independently augmented views of its images, shape (2m, …): the first views, then the second ones.

    The parameters are drawn for the global batch, so they do not depend on who computes which part.
    """
    size = len(batch.asked)
    drawn = augment.draw(2 * size, generator=generator)
    cuts = torch.tensor_split(torch.arange(len(batch.rows)), pieces)

    def views(piece: int) -> Tensor:
        cut = cuts[piece]
        rows = batch.rows[cut]
        parameters = drawn[torch.cat([rows, rows + size])].to(batch.images.device)
        images = batch.images if pieces == 1 else batch.images[cut.to(batch.images.device)]
        return augment.apply(torch.cat([images, images]), parameters)

    return views
