"""Imports of what an extra installs, with an error that says which extra."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

__all__ = ["MissingExtraError", "require"]


class MissingExtraError(ImportError):
    """A feature needs a package that only an extra of aninfonce installs."""


def require(module: str, extra: str) -> ModuleType:
    """Import `module`, or say which extra installs it.

    Arguments:
        module: dotted name of the module, for example `"torchvision.datasets"`.
        extra: the extra of this package that installs it, for example `"vision"`.

    Raises:
        MissingExtraError: if the module's package is not installed.
    """
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        package = module.partition(".")[0]
        if (error.name or "").partition(".")[0] != package:
            raise  # the package is there, but broken: its own error says more
        raise MissingExtraError(
            f"this needs {package}, which is not installed: pip install 'aninfonce[{extra}]'"
        ) from error
