"""Text from outside (names of files, classes and runs, reasons of errors) made fit to be shown."""

from __future__ import annotations

import unicodedata

__all__ = ["printable", "without_math"]

# Cc: control characters, escape sequences and line breaks among them. Cs: bytes of a file name that are no UTF-8.
# Cf: among them those that turn the direction of writing. Zl, Zp: line breaks of Unicode.
_UNSAFE = {"Cc", "Cf", "Cs", "Zl", "Zp"}
_JOINERS = "\u200c\u200d"  # of the class Cf, but letters of Persian and emoji need them, and they move nothing


def printable(text: object) -> str:
    r"""The text in one line, without anything that a terminal or a reader's eye would take for something else.

    Escape sequences, other control characters, line breaks, marks that turn the direction of writing, and bytes that
    are no text (surrogates) are written as escapes.

    Example:
        >>> print(printable("cat\x1b[31m\n\udcff.png"))
        cat\x1b[31m\n\udcff.png
        >>> printable("Λ̂ ± τ")
        'Λ̂ ± τ'
    """
    text = str(text)
    if text.isprintable():  # the usual case: none of these categories
        return text
    return "".join(_escaped(c) if unicodedata.category(c) in _UNSAFE and c not in _JOINERS else c for c in text)


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")


def without_math(text: str) -> str:
    """The text for a figure: matplotlib would set what stands between two dollars as a formula, or fail to.

    Example:
        >>> print(without_math("data folder:$x^{$"))
        data folder:\\$x^{\\$
    """
    return printable(text).replace("$", r"\$")
