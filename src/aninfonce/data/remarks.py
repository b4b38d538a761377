"""What was done to images on the way to pixels that their owner may not expect: counted, to be said."""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntFlag

import numpy as np
import numpy.typing as npt

__all__ = ["REMARKS", "Remark", "Remarks", "sentences"]


class Remark(IntFlag):
    """Flags of one decoded image, see `REMARKS`."""

    TRANSPARENT = 1
    INVISIBLE = 2
    SEVERAL = 4
    DEEP = 8


REMARKS: Mapping[str, str] = {
    "transparent": "with transparent parts, which show the background {background}",
    "invisible": "transparent everywhere: nothing but the background {background} is left of them",
    "several": "with several pictures (frames or pages), of which the first was taken",
    "deep": "with 16 bits a pixel, of which 8 were kept (0 to 65,535 became 0 to 255)",
}
"""What is true of the images with a flag, by the flag's name in small letters."""


class Remarks:
    """The flags of every image of a set, as far as they have been decoded; its selections share them.

    Arguments:
        total: images of the set.
    """

    def __init__(self, total: int) -> None:
        self.flags: npt.NDArray[np.uint8] = np.zeros(total, np.uint8)
        self._next = 0

    def add(self, remark: Remark) -> None:
        """Take note of the flags of the next image."""
        self.flags[self._next] = remark
        self._next += 1

    def note(self, places: npt.NDArray[np.int64], remarks: list[Remark]) -> None:
        """Take note of the flags of some images, by their places in the whole set."""
        self.flags[places] |= np.array(remarks, np.uint8)

    def counts(self) -> dict[str, int]:
        """Flag -> how many images have it, of those decoded so far; those that none has are left out."""
        return {
            remark.name.lower(): number  # type: ignore[union-attr]  # a single flag has a name
            for remark in Remark
            if (number := int(((self.flags & remark) != 0).sum()))
        }


def sentences(counts: Mapping[str, int], background: str) -> list[str]:
    """What the counts of `Remarks.counts` say, a line a flag; `background` is the name of the colour."""
    return [
        f"{number} image{'s' if number > 1 else ''} {REMARKS[name].format(background=background)}"
        for name, number in counts.items()
    ]
