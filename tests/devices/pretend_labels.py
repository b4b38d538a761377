"""Labels on storages: which tensors are said to live on a graphics card that is not there, and what may meet what.

Every tensor is a real one on the CPU, so that values, loops that depend on them and gradients are real as well. Where
it is *said* to live is a label of its storage, which views, saved tensors and optimiser states share.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor
from torch._C._functorch import get_unwrapped, is_functorch_wrapped_tensor
from torch.multiprocessing.reductions import StorageWeakRef

CPU = torch.device("cpu")

_INDEXING = {"aten::index", "aten::index_put", "aten::index_put_", "aten::_unsafe_index", "aten::_index_put_impl_"}
# What moves data or only looks at them may see two devices.
_CROSSING = {"aten::_to_copy", "aten::copy_", "aten::copy", "aten::_local_scalar_dense", "aten::lift_fresh"}


class Labels:
    """Where storages and generators are said to live; what has no label is on the CPU.

    Attributes:
        card: the device that is not there.
        operators: how many operators have run on the card, so that a test can see that any have.
    """

    def __init__(self, card: torch.device) -> None:
        self.card = card
        self.operators = 0
        self._storages: dict[int, tuple[StorageWeakRef, torch.device]] = {}
        self._generators: dict[int, tuple[torch.Generator, torch.device]] = {}

    def of(self, x: Tensor) -> torch.device:
        """Where a tensor is said to live."""
        # A weak reference keeps the address from being given to another storage.
        return self._storages.get(_storage(x)._cdata, (None, CPU))[1]

    def put(self, x: Tensor, device: torch.device) -> None:
        """Say so of a tensor and all that share its storage."""
        storage = _storage(x)
        if device == CPU:
            self._storages.pop(storage._cdata, None)
        else:
            self._storages[storage._cdata] = StorageWeakRef(storage), device
        if len(self._storages) % 4096 == 0:
            self._storages = {key: kept for key, kept in self._storages.items() if not kept[0].expired()}

    def of_generator(self, generator: torch.Generator) -> torch.device:
        """Where a generator is said to live; torch hands it through its operators in other wrappers."""
        return self._generators.get(generator._cdata, (None, CPU))[1]

    def put_generator(self, generator: torch.Generator, device: torch.device) -> None:
        """Say so of a generator, which is kept."""
        self._generators[generator._cdata] = generator, device

    def among(self, tensors: Iterable[Tensor]) -> torch.device | None:
        """The card, if one of the tensors is on it, else the CPU; None without tensors."""
        found = {self.of(x) for x in tensors}
        return next(iter(found - {CPU}), CPU if found else None)

    def check(self, func: Any, tensors: list[Tensor], args: tuple[Any, ...]) -> None:
        """Raise as torch does if an operator's tensors are on several devices.

        Allowed, as by torch: single numbers on the CPU in pointwise operators, and indices on the CPU.

        Raises:
            RuntimeError: if they are.
        """
        name = func._schema.name
        where = [self.of(x) for x in tensors]
        if name in _CROSSING or len(set(where)) < 2:
            return
        home = self.among(tensors)
        if name in _INDEXING:
            home = self.of(args[0])
            strangers = [x for x in tensors[1:] if self.of(x) not in (home, CPU)]
            strangers += [x for x in args[2:3] if isinstance(x, Tensor) and x.ndim and self.of(x) != home]
        else:
            strangers = [x for x in tensors if self.of(x) != home]
            written = func._schema.arguments[0].alias_info is not None and func._schema.arguments[0].is_write
            if torch.Tag.pointwise in func.tags or name == "aten::fill_":
                strangers = [x for x in strangers if x.ndim or (written and x is args[0])]
        if strangers:
            raise RuntimeError(
                f"Expected all tensors to be on the same device, but found at least two devices, {home} and "
                f"{self.of(strangers[0])}! (in {name})"
            )


def _storage(x: Tensor) -> torch.UntypedStorage:
    while is_functorch_wrapped_tensor(x):
        x = get_unwrapped(x)
    return x.untyped_storage()
