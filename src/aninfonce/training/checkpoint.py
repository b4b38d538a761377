"""What a checkpoint of a training run holds: weights, Λ̂, the optimiser's state, the weights' average, the loss scale.

Learning rates follow from the step and are not saved; the order of the images, their views and what layers draw follow
from seed, epoch and step (see `aninfonce.training.randomness`). Tensors are whole and named after the module's own
parameters, so a run can go on with another number of processes. How checkpoints are written is the business of
`CheckpointStore`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_model_state_dict,
    get_optimizer_state_dict,
    set_model_state_dict,
    set_optimizer_state_dict,
)
from torch.distributed.tensor import DTensor, distribute_tensor

from aninfonce._tensors import read_tensors, write_tensors
from aninfonce.training.store import Checkpoint
from aninfonce.training.weight_average import WeightAverage

__all__ = ["load_weights", "restore", "save_weights", "state_of", "weights_of"]

_WHOLE = StateDictOptions(full_state_dict=True)


def state_of(
    module: nn.Module, optimizer: torch.optim.Optimizer, average: WeightAverage | None = None, scaler: Any = None
) -> dict[str, Tensor]:
    """Every tensor that the next step depends on, by name; all processes must call it, the first gets all.

    Arguments:
        module: its state_dict is taken.
        optimizer: its state is taken.
        average: the moving average of the weights.
        scaler: torch's GradScaler, in half precision.
    """
    tensors = {f"module.{name}": tensor for name, tensor in weights_of(module).items()}
    state: Any = get_optimizer_state_dict(module, optimizer, options=_WHOLE)["state"]
    for parameter, entries in state.items():
        tensors |= {f"optimizer.{parameter}.{key}": torch.as_tensor(value) for key, value in entries.items()}
    if average is not None:
        tensors |= {f"average.{name}": _whole(value) for name, value in average.values.items()}
    if scaler is not None:
        tensors |= {f"scaler.{name}": torch.tensor(value) for name, value in scaler.state_dict().items()}
    return tensors


def restore(
    checkpoint: Checkpoint,
    module: nn.Module,
    optimizer: torch.optim.Optimizer,
    average: WeightAverage | None = None,
    scaler: Any = None,
) -> None:
    """Put everything back to where the checkpoint was taken.

    Raises:
        ValueError: if it belongs to another network or optimiser.
    """
    state: Any = get_optimizer_state_dict(module, optimizer, options=_WHOLE)  # also makes what is not there yet
    saved = _below("optimizer.", checkpoint.tensors)
    expected = {f"{parameter}.{key}" for parameter, entries in state["state"].items() for key in entries}
    if set(saved) != expected:
        odd = sorted(set(saved) ^ expected)
        raise ValueError(f"{checkpoint.path} belongs to another optimiser: {odd[0]} is in one of them only")
    for parameter, entries in state["state"].items():
        for key in entries:
            entries[key] = saved[f"{parameter}.{key}"]
    try:
        if saved:  # SGD without momentum has no state
            set_optimizer_state_dict(module, optimizer, state, options=_WHOLE)
    except (KeyError, ValueError, RuntimeError) as error:
        raise ValueError(f"{checkpoint.path} belongs to another optimiser: {error}") from error
    _restore(module, _below("module.", checkpoint.tensors), checkpoint.path)
    if average is not None:
        values = _below("average.", checkpoint.tensors)
        if values.keys() != average.values.keys():
            raise ValueError(f"{checkpoint.path} holds no average of this network's weights")
        average.load({name: _like(value, average.values[name]) for name, value in values.items()})
    if scaler is not None:
        scaler.load_state_dict({name: value.item() for name, value in _below("scaler.", checkpoint.tensors).items()})


def weights_of(module: nn.Module) -> dict[str, Tensor]:
    """The module's state_dict with whole tensors; all processes must call it, the first gets it."""
    return get_model_state_dict(module, options=_WHOLE)  # type: ignore[return-value]


def save_weights(path: Path, module: nn.Module) -> None:
    """Write a module's state_dict as safetensors, atomically."""
    write_tensors(path, module.state_dict())


def load_weights(path: Path, module: nn.Module) -> None:
    """Load a state_dict written by `save_weights`.

    Raises:
        ValueError: if the file is missing, damaged, or belongs to another network.
    """
    tensors, _ = read_tensors(path)
    _restore(module, tensors, path)


def _restore(module: nn.Module, tensors: Mapping[str, Tensor], path: Path) -> None:
    try:
        set_model_state_dict(module, dict(tensors), options=_WHOLE)
    except (RuntimeError, ValueError, KeyError) as error:
        raise ValueError(f"{path} belongs to another network: {error}") from error


def _below(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def _whole(value: Tensor) -> Tensor:
    return value.full_tensor() if isinstance(value, DTensor) else value


def _like(value: Tensor, shard: Tensor) -> Tensor:
    """A whole tensor, cut as `shard` is."""
    if isinstance(shard, DTensor):
        return distribute_tensor(value.to(shard.device), shard.device_mesh, shard.placements)
    return value
