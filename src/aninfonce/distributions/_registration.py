"""How a Kullback–Leibler divergence is made known to `torch.distributions.kl_divergence`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from torch import Tensor
from torch.distributions import Distribution
from torch.distributions.kl import register_kl

__all__ = ["divergence"]

Function = TypeVar("Function", bound=Callable[..., Tensor])


def divergence(*pairs: tuple[type[Distribution], type[Distribution]]) -> Callable[[Function], Function]:
    """Register a function (p, q) -> KL(p‖q), of shape the batch shapes' broadcast, for some pairs of classes."""

    def register(function: Function) -> Function:
        for p, q in pairs:
            register_kl(p, q)(function)  # type: ignore[no-untyped-call]
        return function

    return register
