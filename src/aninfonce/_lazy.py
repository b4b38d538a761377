"""Packages whose names are imported when they are first used, so that none costs what a program does without.

A package lists the names it shows and the file that each comes from (PEP 562 in spirit). For type checkers and editors
it imports the same names under `TYPE_CHECKING`, beside the table.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType
from typing import Any

__all__ = ["lazily"]


class _Lazy(ModuleType):
    """A package that looks up what it does not have yet."""

    _sources: Mapping[str, str]

    def __getattr__(self, name: str) -> Any:
        source = self.__dict__["_sources"].get(name)
        if source is not None:
            value = getattr(import_module(source), name)
        elif not name.startswith("__") and find_spec(f"{self.__name__}.{name}") is not None:
            value = import_module(f"{self.__name__}.{name}")  # the package's files are its attributes, as ever
        else:
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}", name=name, obj=self)
        self.__dict__[name] = value
        return value

    def __setattr__(self, name: str, value: Any) -> None:
        # The import system makes every imported file an attribute: one of the same name must not hide a function.
        if isinstance(value, ModuleType) and name in self.__dict__["_sources"]:
            return
        super().__setattr__(name, value)

    def __dir__(self) -> list[str]:
        shown = self.__dict__.get("__all__", ())  # among them rooms that are not loaded yet
        return sorted({*self.__dict__, *self.__dict__["_sources"], *shown} - {"_sources"})


def lazily(package: str, files: Mapping[str, Sequence[str]]) -> None:
    """Make a package import its names when they are first used.

    Arguments:
        package: the `__name__` of the package, which is being imported.
        files: the names that come from each of its files: `{"_readout": ["readout"]}`.

    Raises:
        ValueError: if a name is listed twice.
    """
    sources: dict[str, str] = {}
    for file, names in files.items():
        for name in names:
            if name in sources:
                raise ValueError(f"{package}.{name} comes from two files: {sources[name]} and {package}.{file}")
            sources[name] = f"{package}.{file}"
    module = sys.modules[package]
    module.__dict__["_sources"] = sources
    module.__class__ = _Lazy
