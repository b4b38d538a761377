"""Images that cannot be read: named, counted, and too many of them refused."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

__all__ = ["CorruptImages"]


class CorruptImages:
    """What could not be read of a set of images.

    The rule: the set is refused as soon as more than `max_corrupt` of all its images are known to be unreadable; and at
    the end of a pass through some of them if the share among those lies above it by more than chance explains (four
    standard deviations, and two images).

    Arguments:
        total: images of the set.
        max_corrupt: share of them that may be unreadable, in [0, 1]; 1 refuses nothing.

    Attributes:
        skipped: file -> reason.

    Raises:
        ValueError: if `max_corrupt` is not a share.

    Example:
        >>> found = CorruptImages(100, 0.01)
        >>> found.add([(Path("a.jpg"), "OSError: truncated")])
        >>> found.add([(Path("b.jpg"), "OSError: truncated")])
        Traceback (most recent call last):
        ValueError: 2 of 100 images cannot be read, more than the share of 0.01 that max_corrupt allows: ...
    """

    def __init__(self, total: int, max_corrupt: float = 1.0) -> None:
        if not 0 <= max_corrupt <= 1:
            raise ValueError(f"max_corrupt must be a share in [0, 1], got {max_corrupt}")
        self.total = total
        self.max_corrupt = max_corrupt
        self.skipped: dict[Path, str] = {}

    def add(self, failed: Sequence[tuple[Path, str]]) -> None:
        """Take note of unreadable images.

        Raises:
            ValueError: if there are too many of them now.
        """
        self.skipped.update(failed)
        if len(self.skipped) > self.max_corrupt * self.total + 1e-9:  # 0.29 × 100 is 28.999…
            raise ValueError(self._refusal(len(self.skipped), self.total))

    def end_pass(self, read: int, failed: int) -> None:
        """A pass has ended: `read` images were asked for, `failed` of them in vain.

        Raises:
            ValueError: if those are too many.
        """
        allowed = self.max_corrupt * read
        if failed > allowed + 4 * math.sqrt(allowed) + 2:
            raise ValueError(self._refusal(failed, read))

    def _refusal(self, failed: int, of: int) -> str:
        first = "; ".join(f"{path}: {reason}" for path, reason in list(self.skipped.items())[:3])
        return (
            f"{failed} of {of} images cannot be read, more than the share of {self.max_corrupt:g} that max_corrupt "
            f"allows: {first}{'; …' if len(self.skipped) > 3 else ''}"
        )
