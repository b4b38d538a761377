"""What a loader found and what it passed over: the record that the summary before a training is made of."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

__all__ = ["Findings", "Ignored"]

_EXAMPLES = 5


class Ignored:
    """Files, folders and members of archives that were passed over: how many for every reason, and the first few.

    Example:
        >>> ignored = Ignored()
        >>> ignored.add("hidden", ".DS_Store")
        >>> list(ignored)
        [('hidden', 1, ('.DS_Store',))]
    """

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}
        self._examples: dict[str, list[str]] = {}

    def add(self, reason: str, name: object) -> None:
        """One more was passed over."""
        self._counts[reason] = self._counts.get(reason, 0) + 1
        examples = self._examples.setdefault(reason, [])
        if len(examples) < _EXAMPLES:
            examples.append(str(name))

    def update(self, others: Ignored) -> None:
        """What others passed over was passed over as well."""
        for reason, count, examples in others:
            self._counts[reason] = self._counts.get(reason, 0) + count
            found = self._examples.setdefault(reason, [])
            found += examples[: _EXAMPLES - len(found)]

    def __iter__(self) -> Iterator[tuple[str, int, tuple[str, ...]]]:
        """(reason, how many, the first few)."""
        return ((reason, count, tuple(self._examples[reason])) for reason, count in self._counts.items())


@dataclass(frozen=True)
class Findings:
    """How a data set was read.

    Attributes:
        splits: what was taken for the training images and for those held out, and by which rule.
        labels: what was taken for the classes, or why there are none.
        ignored: what was passed over.
        notes: what else the user should know.
    """

    splits: str = ""
    labels: str = ""
    ignored: Ignored = field(default_factory=Ignored)
    notes: tuple[str, ...] = ()
