"""What a checkpoint of a training run holds: weights, Λ̂, the optimiser's state, torch's random state.

Learning rates follow from the step and are not saved; the order of the images and their views follow from seed, epoch
and step (see `aninfonce.training.randomness`). How checkpoints are written is the business of `CheckpointStore`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from aninfonce._runs import read_tensors, write_tensors
from aninfonce.training.store import Checkpoint

__all__ = ["load_weights", "restore", "save_weights", "state_of"]


def state_of(module: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Every tensor that the next step depends on, by name.

    Arguments:
        module: its state_dict is taken.
        optimizer: its state is taken.
    """
    tensors = {f"module.{name}": tensor for name, tensor in module.state_dict().items()}
    for index, state in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{index}.{name}": torch.as_tensor(value) for name, value in state.items()}
    # What layers of libraries draw from the global generators: dropped paths and the like.
    tensors["random.cpu"] = torch.get_rng_state()
    if torch.cuda.is_available():
        tensors |= {f"random.cuda.{i}": state for i, state in enumerate(torch.cuda.get_rng_state_all())}
    return tensors


def restore(checkpoint: Checkpoint, module: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """Put module, optimiser and random state back to where the checkpoint was taken.

    Raises:
        ValueError: if it belongs to another network or optimiser.
    """
    _restore(module, _below("module.", checkpoint.tensors), checkpoint.path)
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in _below("optimizer.", checkpoint.tensors).items():
        index, key = name.split(".", 1)
        state.setdefault(int(index), {})[key] = tensor
    try:
        optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
    except (KeyError, ValueError) as error:
        raise ValueError(f"{checkpoint.path} belongs to another optimiser: {error}") from error
    torch.set_rng_state(checkpoint.tensors["random.cpu"])
    cuda = _below("random.cuda.", checkpoint.tensors)
    if cuda and len(cuda) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all([cuda[str(i)] for i in range(len(cuda))])


def _below(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


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
        module.load_state_dict(tensors)
    except RuntimeError as error:
        raise ValueError(f"{path} belongs to another network: {error}") from error
