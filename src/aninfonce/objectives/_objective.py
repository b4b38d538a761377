"""The base of every loss: a module that has a parameter group for optimisers and remembers its initial values."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor

from aninfonce.objectives._arguments import check_number
from aninfonce.objectives._decay import watch

__all__ = ["Objective"]


class Objective(nn.Module):
    """A loss that may have parameters of its own."""

    def __init__(self) -> None:
        super().__init__()
        # Of parameters and buffers by name: the initial value as it was rounded, and in double precision.
        self._origins: dict[str, tuple[Tensor, Tensor]] = {}
        watch(self)

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Copies, too, are to be heard when an optimiser decays them."""
        super().__setstate__(state)  # type: ignore[no-untyped-call]  # of torch's
        self.__dict__.setdefault("_origins", {})  # of a module that was pickled without them
        watch(self)

    def param_groups(self, lr: float = 0.1) -> list[dict[str, Any]]:
        """The loss's parameters as a group for an optimiser: a learning rate of their own, and no weight decay.

        Concentrations and temperatures are trained through their logarithms. Weight decay pulls these to 0, and so Λ̂
        and τ to 1, whatever the data say.

        Arguments:
            lr: the learning rate, positive and finite; with Adam about 0.1 to 0.3, far more than a network's.

        Returns:
            A list of one group, or an empty list if the loss has no parameters, so that it can always be added.

        Raises:
            TypeError: if `lr` is not a number.
            ValueError: if it is not positive and finite.

        Example:
            >>> import torch
            >>> from aninfonce import AnInfoNCE
            >>> network, loss = torch.nn.Linear(8, 3), AnInfoNCE(dim=3)
            >>> groups = [{"params": network.parameters()}, *loss.param_groups(lr=0.1)]
            >>> optimizer = torch.optim.AdamW(groups, lr=1e-3, weight_decay=1e-2)
            >>> [(group["lr"], group["weight_decay"]) for group in optimizer.param_groups]
            [(0.001, 0.01), (0.1, 0.0)]
        """
        rate = check_number("lr", lr)
        if not 0 < rate < math.inf:
            raise ValueError(f"lr must be positive and finite, got {lr}")
        parameters = list(self.parameters())
        return [{"params": parameters, "lr": rate, "weight_decay": 0.0}] if parameters else []

    def _begin(self, name: str, rounded: Tensor, exact: Tensor, *, trainable: bool, like: object = None) -> None:
        """Register a parameter, or a buffer, which is saved and moved with the module as well.

        It lies where `like` does, if that is a tensor, otherwise on torch's default device.
        """
        value = rounded.to(like.device if isinstance(like, Tensor) else torch.get_default_device(), copy=True)
        if trainable:
            self.register_parameter(name, nn.Parameter(value))
        else:
            self.register_buffer(name, value)
        self._origins[name] = (rounded, exact)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Any:
        """As `nn.Module`; a value that still is the initial one is rounded anew for another dtype, not converted."""
        before = {name: getattr(self, name).detach() for name in self._origins}
        module = super()._apply(fn, recurse)  # type: ignore[no-untyped-call]  # of torch's
        for name, (rounded, exact) in self._origins.items():
            old, new = before[name], getattr(self, name)
            if old.dtype == new.dtype or old.is_meta or new.is_meta or isinstance(old, FakeTensor):
                continue
            if torch.equal(old.cpu(), _initial(rounded, exact, old.dtype)):
                with torch.no_grad():
                    new.copy_(_initial(rounded, exact, new.dtype))
        return module


def _initial(rounded: Tensor, exact: Tensor, dtype: torch.dtype) -> Tensor:
    return exact if dtype == torch.float64 else rounded.to(dtype)
