"""What became known of a data set's images while they were read: what was skipped, and what there is to remark."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from aninfonce.data import ImageDataset, Images, StoredImages, sentences
from aninfonce.training.processes import Processes
from aninfonce.training.records import EpochRecord

__all__ = ["Told", "remarks_of", "share_what_was_seen", "unreadable"]


def unreadable(dataset: ImageDataset) -> dict[Path, str]:
    """What could not be read, at loading and since: name -> reason."""
    found = dict(dataset.skipped)
    for images in _stored(dataset):
        found |= images.skipped
    return found


def remarks_of(dataset: ImageDataset) -> dict[str, int]:
    """How many images have which flag, see `aninfonce.data.REMARKS`, at loading and since."""
    found = dict(dataset.remarks)
    for remarks in {id(images.remarks): images.remarks for images in _stored(dataset)}.values():
        for name, number in remarks.counts().items():
            found[name] = found.get(name, 0) + number
    return found


def share_what_was_seen(processes: Processes, images: Images) -> None:
    """Make known to every process what the others have seen of the images, of which each has read its part."""
    if processes.world > 1 and isinstance(images, StoredImages):
        for skipped, flags in processes.gather((images.skipped, images.remarks.flags)):
            images.skipped.update(skipped)
            images.remarks.flags |= flags


def _stored(dataset: ImageDataset) -> list[StoredImages]:
    both = (dataset.train.images, dataset.test.images)
    return [images for images in both if isinstance(images, StoredImages)]


class Told:
    """Says what there is to say of a set's images, when it first becomes known and when its number is final.

    Arguments:
        dataset: what is known of it now counts as said.
        background: name of the colour that transparent images are put on.
        say: takes a line; None: nobody listens.
    """

    def __init__(self, dataset: ImageDataset, background: str, say: Callable[[str], None] | None) -> None:
        self._dataset = dataset
        self._background = background
        self._say = say
        self._known = {name: number for name, (number, _) in self._lines().items()}

    def after_epoch(self, on_epoch: Callable[[EpochRecord], None] | None) -> Callable[[EpochRecord], None]:
        """To be called after every epoch: says what is new, then calls `on_epoch`."""

        def both(record: EpochRecord) -> None:
            self.tell(new_only=True)
            if on_epoch is not None:
                on_epoch(record)

        return both

    def tell(self, *, new_only: bool = False) -> None:
        """Say what is known, as far as it was not said; `new_only`: not the numbers that have only grown."""
        for name, (number, line) in self._lines().items():
            if self._known.get(name) != number and not (new_only and name in self._known):
                self._known[name] = number
                if self._say is not None:
                    self._say(line)

    def _lines(self) -> dict[str, tuple[int, str]]:
        """What is told of -> its number, and the line that tells it."""
        counts, skipped = remarks_of(self._dataset), unreadable(self._dataset)
        lines = sentences(counts, self._background)
        found = {name: (counts[name], line) for name, line in zip(counts, lines, strict=True)}
        if skipped:
            path, reason = next(iter(skipped.items()))
            line = f"{len(skipped)} image(s) skipped as unreadable so far, the first {path}: {reason}"
            found["skipped"] = len(skipped), line
        return found
