"""A graphics card that is not there: tensors that are said to be on it may meet only their like, as on a real one.

It runs everything on the CPU and keeps to the devices' rules: tensors of two devices do not mix, a draw needs a
generator of its own device, NumPy sees only the CPU. Not shown are kernels that a card lacks, and its rounding.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import torch
from pretend_labels import CPU, Labels
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

CUDA, MPS = torch.device("cuda", 0), torch.device("mps", 0)
_Generator = torch.Generator


@contextmanager
def pretend_cuda(card: torch.device = CUDA) -> Iterator[Labels]:
    """Within it device="cuda" may be asked for everywhere, or "mps", which knows no float64; gives the labels."""
    labels = Labels(card)
    asked = _Asked(labels)

    class GeneratorType(type(_Generator)):
        def __instancecheck__(cls, instance: object) -> bool:
            return isinstance(instance, _Generator)

    class StandIn(_Generator, metaclass=GeneratorType):
        """A generator on the CPU that says, and is taken, to be where it was asked to be."""

        def __new__(cls, device: torch.device | str = "cpu") -> StandIn:
            generator: StandIn = super().__new__(cls)
            labels.put_generator(generator, _device(device))
            return generator

        @property
        def device(self) -> torch.device:
            return labels.of_generator(self)

    engine = torch.autograd.graph._engine_run_backward

    def backward(*args: Any, **kwargs: Any) -> Any:
        with _Translate(labels, asked):  # torch switches the mode off in its own functions, `backward` among them
            return engine(*args, **kwargs)

    with (
        mock.patch.object(torch, "Generator", StandIn),
        mock.patch.object(torch.autograd, "_engine_run_backward", backward),
        _Check(labels, asked),
        _Translate(labels, asked),
    ):
        yield labels


class _Asked:
    """What the innermost call from Python asks for: the device by name, and the one of its tensors."""

    def __init__(self, labels: Labels) -> None:
        self.labels = labels
        self.named: torch.device | None = None
        self.ambient: torch.device | None = None

    @contextmanager
    def by(self, named: torch.device | None, ambient: torch.device | None) -> Iterator[None]:
        before = self.named, self.ambient
        self.named, self.ambient = named, ambient
        try:
            yield
        finally:
            self.named, self.ambient = before


class _Check(TorchDispatchMode):
    """Every operator, also those of the backward pass: checks its devices, labels what it makes."""

    def __init__(self, labels: Labels, asked: _Asked) -> None:
        super().__init__()
        self.labels, self.asked = labels, asked

    def __torch_dispatch__(
        self, func: Any, types: object, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        with torch._C.DisableTorchFunction():
            leaves = tree_leaves((args, kwargs))
            tensors = [x for x in leaves if isinstance(x, Tensor)]
            self.labels.check(func, tensors, args)
            name = func._schema.name
            makes = any(argument.name == "device" for argument in func._schema.arguments)
            home = self.labels.among(tensors) or self.asked.ambient or CPU
            if makes and self.asked.named is not None:
                home = self.asked.named
            for generator in leaves:
                if isinstance(generator, _Generator) and self.labels.of_generator(generator) != home:
                    raise RuntimeError(
                        f"Expected a '{home.type}' device type for generator but found "
                        f"'{self.labels.of_generator(generator).type}' (in {name})"
                    )
            self.labels.operators += home != CPU
            known = {x.untyped_storage()._cdata for x in tensors}
            made = func(*args, **kwargs)
            for x in tree_leaves(made):
                # `set_` makes no storage: it hands over one that has its label.
                if isinstance(x, Tensor) and home == MPS and x.dtype == torch.float64:
                    raise TypeError(f"Cannot convert a MPS Tensor to float64 dtype (in {name})")
                if isinstance(x, Tensor) and x.untyped_storage()._cdata not in known and name != "aten::set_":
                    self.labels.put(x, home)
            return made


class _Translate(TorchFunctionMode):
    """Every call from Python: takes "cuda" out of its arguments, and answers where a tensor is."""

    def __init__(self, labels: Labels, asked: _Asked) -> None:
        super().__init__()
        self.labels, self.asked = labels, asked

    def __torch_function__(
        self, func: Any, types: object, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = dict(kwargs or {})
        special = next((answer for key, answer in _SPECIAL if func == key), None)
        if special is not None:
            return special(self.labels, func, args, kwargs)
        named = _device(kwargs["device"]) if kwargs.get("device") is not None else None
        if named is not None:
            kwargs["device"] = CPU
        if kwargs.pop("pin_memory", False) and named not in (None, CPU):
            raise RuntimeError("Only dense CPU tensors can be pinned")
        tensors = [x for x in tree_leaves((args, kwargs)) if isinstance(x, Tensor)]
        with self.asked.by(named, self.labels.among(tensors)):
            return func(*args, **kwargs)


def _device(device: torch.device | str | int) -> torch.device:
    device = torch.device("cuda", device) if isinstance(device, int) else torch.device(device)
    return CPU if device.type == "cpu" else torch.device(device.type, 0)


def _moved(labels: Labels, x: Tensor, device: torch.device, dtype: torch.dtype | None, copy: bool) -> Tensor:
    if device == MPS and (x.dtype if dtype is None else dtype) == torch.float64:
        raise TypeError("Cannot convert a MPS Tensor to float64 dtype as the MPS framework doesn't support float64")
    if labels.of(x) == device:
        return x.to(dtype=x.dtype if dtype is None else dtype, copy=copy)
    moved = x.to(dtype=x.dtype if dtype is None else dtype, copy=True)
    labels.put(moved, device)
    return moved


def _to(labels: Labels, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor:
    copy = bool(kwargs.pop("copy", False))
    kwargs.pop("memory_format", None)
    x, *rest = args
    if isinstance(kwargs.get("other", rest[0] if rest else None), Tensor):
        other = kwargs["other"] if "other" in kwargs else rest[0]
        return _moved(labels, x, labels.of(other), other.dtype, copy)
    device, dtype, _, _ = torch._C._nn._parse_to(*rest, **kwargs)
    return _moved(labels, x, labels.of(x) if device is None else _device(device), dtype, copy)


def _to_cuda(labels: Labels, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor:
    return _moved(labels, args[0], CUDA, None, False)


def _to_cpu(labels: Labels, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor:
    return _moved(labels, args[0], CPU, None, False)


def _numpy(labels: Labels, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    if labels.of(args[0]) != CPU and not kwargs.get("force"):
        raise TypeError(
            f"can't convert {labels.of(args[0])} device type tensor to numpy. Use Tensor.cpu() to copy the tensor to "
            "host memory first."
        )
    return func(*args, **kwargs)


def _from_data(labels: Labels, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor:
    """torch.tensor and torch.as_tensor."""
    data = args[0] if args else kwargs["data"]
    given = kwargs.pop("device", None)
    home = labels.of(data) if isinstance(data, Tensor) else CPU
    made = func(*args, **kwargs)
    if isinstance(data, Tensor):
        labels.put(made, home)
    device = home if given is None else _device(given)
    return made if labels.of(made) == device else _moved_leaf(labels, made, device)


def _new_tensor(labels: Labels, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor:
    """Tensor.new_tensor: where the other one is, unless told otherwise."""
    like, data, *rest = args
    device = kwargs.pop("device", None) or labels.of(like)
    return _from_data(labels, torch.tensor, (data, *rest), {"dtype": like.dtype, **kwargs, "device": device})


def _moved_leaf(labels: Labels, x: Tensor, device: torch.device) -> Tensor:
    moved = _moved(labels, x.detach(), device, None, False) if x.is_leaf else _moved(labels, x, device, None, False)
    return moved.requires_grad_() if x.is_leaf and x.requires_grad else moved


def _deep_copy(labels: Labels, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor:
    """torch copies the storage behind the operators' back."""
    copied: Tensor = func(*args, **kwargs)
    labels.put(copied, labels.of(args[0]))
    return copied


def _set_gradient(labels: Labels, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    if isinstance(args[1], Tensor) and labels.of(args[0]) != labels.of(args[1]):
        raise RuntimeError("attempting to assign a gradient that is located on a different device")
    return func(*args, **kwargs)


def _pin(labels: Labels, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor:
    if labels.of(args[0]) != CPU:
        raise RuntimeError("cannot pin 'torch.cuda.FloatTensor' only dense CPU tensors can be pinned")
    return args[0]


_Answer = Callable[[Labels, Any, tuple[Any, ...], dict[str, Any]], Any]
_SPECIAL: list[tuple[Any, _Answer]] = [
    (Tensor.device.__get__, lambda labels, func, args, kwargs: labels.of(args[0])),
    (Tensor.is_cuda.__get__, lambda labels, func, args, kwargs: labels.of(args[0]) == CUDA),
    (Tensor.is_mps.__get__, lambda labels, func, args, kwargs: labels.of(args[0]) == MPS),
    (Tensor.is_cpu.__get__, lambda labels, func, args, kwargs: labels.of(args[0]) == CPU),
    (Tensor.get_device, lambda labels, func, args, kwargs: -1 if labels.of(args[0]) == CPU else 0),
    (Tensor.grad.__set__, _set_gradient),
    (Tensor.to, _to),
    (Tensor.cuda, _to_cuda),
    (Tensor.cpu, _to_cpu),
    (Tensor.numpy, _numpy),
    (Tensor.__array__, _numpy),
    (Tensor.__deepcopy__, _deep_copy),
    (Tensor.pin_memory, _pin),
    (Tensor.new_tensor, _new_tensor),
    (torch.tensor, _from_data),
    (torch.as_tensor, _from_data),
]
