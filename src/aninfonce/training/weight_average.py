"""The exponential moving average of the weights, which is often the better encoder."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

__all__ = ["WeightAverage"]


class WeightAverage:
    """Of every parameter θ an average θ̄, updated after every step: θ̄ ← decay · θ̄ + (1 - decay) · θ.

    Buffers (the statistics of batch normalisation) are averages already and are left alone. torch's AveragedModel
    copies the whole module, which sharded modules do not allow.

    Arguments:
        module: whose parameters are averaged, from their present values on.
        decay: in (0, 1).

    References:
        Tarvainen, Valpola, "Mean teachers are better role models", NeurIPS 2017.
    """

    def __init__(self, module: nn.Module, decay: float) -> None:
        self._parameters = dict(module.named_parameters())
        self.values = {name: p.detach().clone() for name, p in self._parameters.items()}
        self._update = get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call]

    @torch.no_grad()
    def update(self) -> None:
        """Take in the parameters as they are now."""
        self._update(list(self.values.values()), [p.detach() for p in self._parameters.values()], None)

    @torch.no_grad()
    def load(self, values: Mapping[str, Tensor]) -> None:
        """Go on from saved averages."""
        for name, value in self.values.items():
            value.copy_(values[name])

    @contextmanager
    def applied(self) -> Iterator[None]:
        """While it lasts, the module has the averages for its parameters."""
        kept = {name: p.detach().clone() for name, p in self._parameters.items()}
        self.apply()
        try:
            yield
        finally:
            self._write(kept)

    def apply(self) -> None:
        """Give the module the averages for good."""
        self._write(self.values)

    @torch.no_grad()
    def _write(self, values: Mapping[str, Tensor]) -> None:
        for name, p in self._parameters.items():
            p.copy_(values[name])
