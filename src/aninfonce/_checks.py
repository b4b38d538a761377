"""Checks of settings that users pass in: each names what was expected and what came.

Those of tensors are in `_tensor_checks`: settings are checked without torch.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import dataclass, fields
from difflib import get_close_matches
from types import NoneType, UnionType
from typing import TYPE_CHECKING, get_args, get_origin, get_type_hints

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

__all__ = ["OneOf", "check_field_types", "nearest_name"]

_LARGEST = sys.float_info.max


@dataclass(frozen=True)
class OneOf:
    """The names that a text is one of: `Annotated[str, OneOf(LAYERS)]`, for the help of the command line.

    Not a `Literal`: a name that is none of them is for `nearest_name` to refuse, which knows the one that was meant.

    Attributes:
        names: in the order in which they are shown.
    """

    names: tuple[str, ...]


def check_field_types(settings: DataclassInstance) -> None:
    """Check that every field of a dataclass is what its annotation says: a class, some with `|` between, or a tuple.

    Settings come from JSON, too. A bool is no number, an int is welcome as a float.

    Raises:
        TypeError: if one is something else.
        ValueError: if a float is NaN or infinite, or an integer has more than 64 bits.
    """
    hints = get_type_hints(type(settings))
    for name in (field.name for field in fields(settings)):
        value, hint = getattr(settings, name), hints[name]
        kinds = get_args(hint) if isinstance(hint, UnionType) else (hint,)
        if get_origin(hint) is tuple:  # tuple[str, ...], the only container among the settings
            kinds, (kind, _) = (tuple,), get_args(hint)
            if isinstance(value, tuple) and not all(isinstance(item, kind) for item in value):
                raise TypeError(f"{name} must be a tuple of {kind.__name__}, got {value!r}")
        if type(value) is bool or not isinstance(value, int | float):
            right = isinstance(value, tuple(kind for kind in kinds if kind not in (int, float)))
        else:
            right = float in kinds or (int in kinds and isinstance(value, int))
        if not right:
            expected = " or ".join("None" if kind is NoneType else kind.__name__ for kind in kinds)
            raise TypeError(f"{name} must be {expected}, got {value!r}")
        if float in kinds and value is not None and not -_LARGEST <= value <= _LARGEST:
            raise ValueError(f"{name} must be a finite number, got {value}")
        if float not in kinds and isinstance(value, int) and not -(2**63) <= value < 2**63:
            raise ValueError(f"{name} must be an integer of 64 bits, got one of {value.bit_length()}")


def nearest_name(kind: str, name: str, known: Iterable[str]) -> str:
    """Return `name` if it is known.

    Raises:
        ValueError: if it is not; names the nearest known one and all of them.
    """
    names = sorted(known)
    if name in names:
        return name
    close = get_close_matches(name, names, n=1, cutoff=0.4)
    hint = f"; did you mean {close[0]!r}?" if close else ";"
    raise ValueError(f"unknown {kind} {name!r}{hint} Known: {', '.join(names)}")
