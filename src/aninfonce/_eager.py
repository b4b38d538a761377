"""Functions that a compiled graph leaves out, without loading the compiler where nothing is compiled."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

import torch
from torch._compile import _disable_dynamo

__all__ = ["outside_graphs"]

P = ParamSpec("P")
T = TypeVar("T")


def outside_graphs(function: Callable[P, T]) -> Callable[P, T]:
    """`torch.compiler.disable`, which imports the compiler at once: two seconds, for whoever compiles nothing, too."""
    broken_out = _disable_dynamo(function)  # imports it when it is called

    @wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> T:
        if torch.compiler.is_compiling():
            return broken_out(*args, **kwargs)
        return function(*args, **kwargs)

    return call
