"""What the parser is told of a command besides its signature: choices, and flags without a default of their own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, is_dataclass
from functools import partial, wraps
from inspect import Parameter, signature
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

from aninfonce._checks import OneOf
from aninfonce._extras import require

__all__ = ["flags_of", "parsed"]

Command = Callable[..., None]
_METAVARS = {int: "INT", float: "FLOAT", str: "STR", Path: "PATH"}


def parsed(command: Command, *, completing: bool = False) -> Callable[..., Callable[[], None]]:
    """The command for tyro: called with its arguments, it gives what is to be run.

    Choices are shown as such. What is none of them is still taken, and refused by the settings' own check, which knows
    the nearest name. No flag claims that its default is None: its help says what happens without it.

    Arguments:
        command: function whose annotations and docstring describe its flags.
        completing: a completion script is being made: it lists the choices, if they are the parser's own.
    """
    hints = get_type_hints(command, include_extras=True)
    defaults = {p.name: p.default for p in signature(command).parameters.values()}

    @wraps(command)
    def call(*args: Any, **kwargs: Any) -> Callable[[], None]:
        return partial(command, *args, **kwargs)

    call.__annotations__ = {
        name: _described(hint, defaults.get(name), completing) for name, hint in hints.items() if name != "return"
    }
    call.__signature__ = signature(command)  # type: ignore[attr-defined]
    del call.__wrapped__  # the parser would look at its annotations
    return call


def flags_of(command: Command) -> list[str]:
    """The command's flags, without their dashes, as they are written on the command line."""
    found: list[str] = []
    hints = get_type_hints(command)
    for parameter in signature(command).parameters.values():
        hint = hints[parameter.name]
        if is_dataclass(hint):
            found += [field.name for field in fields(hint)]
        elif parameter.default is not Parameter.empty:  # one that must be given has no name there, only a place
            found.append(parameter.name)
    return [name.replace("_", "-") for name in found]


def _described(hint: Any, default: Any, completing: bool) -> Any:
    """A parameter's annotation for the parser."""
    if is_dataclass(hint) and isinstance(hint, type):
        hints = get_type_hints(hint, include_extras=True)
        own = {  # one inside it stays what its default is
            f.name: hints[f.name] if is_dataclass(hints[f.name]) else _described(hints[f.name], f.default, completing)
            for f in fields(hint)
        }
        return type(hint.__name__, (hint,), {"__annotations__": own, "__module__": hint.__module__})
    told: dict[str, Any] = {}
    if default is None or default == () or (default is Parameter.empty and get_origin(hint) is tuple):
        told["help_behavior_hint"] = ""  # the text says what happens without it
    kinds = [kind for kind in (get_args(hint) if isinstance(hint, UnionType) else (hint,)) if kind is not NoneType]
    if len(kinds) == 1 and kinds[0] in _METAVARS and default is None:
        told["metavar"] = _METAVARS[kinds[0]]
    several = get_origin(hint) is tuple
    names = _names(get_args(hint)[0] if several else hint)
    if names:
        kind: Any = Literal[names] if completing else str
        hint = tuple[kind, ...] if several else kind
        shown = f"{{{','.join(names)}}}"
        told["metavar"] = f"[{shown} ...]" if several else shown
    return Annotated[hint, require("tyro", "app").conf.arg(**told)] if told else hint


def _names(hint: Any) -> tuple[str, ...]:
    """What `Annotated[str, OneOf(…)]` may be; nothing for every other hint."""
    return next((kind.names for kind in getattr(hint, "__metadata__", ()) if isinstance(kind, OneOf)), ())
