"""Checkpoints: tensors in a safetensors file, everything else in JSON beside it, nothing pickled.

`checkpoint.json` is replaced atomically and names the tensor file with its checksum, so at every moment it points to a
complete checkpoint: a crash between the two writes leaves the previous one in force.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from aninfonce._runs import read_json, read_tensors, write_json, write_tensors

__all__ = ["load_checkpoint", "load_weights", "save_checkpoint", "save_weights"]

POINTER = "checkpoint.json"


def save_checkpoint(
    folder: Path,
    module: nn.Module,
    optimizer: torch.optim.Optimizer,
    generator: torch.Generator,
    progress: dict[str, Any],
) -> None:
    """Write a checkpoint and remove the one before.

    Arguments:
        folder: of the run.
        module: its state_dict is saved.
        optimizer: its state is saved; learning rates are not, they follow from the step.
        generator: its state is saved.
        progress: how far the run is, JSON-serialisable; must hold "epoch".
    """
    tensors = {f"module.{name}": tensor for name, tensor in module.state_dict().items()}
    for index, state in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{index}.{name}": torch.as_tensor(value) for name, value in state.items()}
    tensors["generator"] = generator.get_state()
    path = folder / f"checkpoint-{progress['epoch']:05d}.safetensors"
    write_tensors(path, tensors)
    write_json(folder / POINTER, {"file": path.name, "sha256": _checksum(path), "progress": progress})
    for old in folder.glob("checkpoint-*.safetensors"):
        if old != path:
            old.unlink()


def load_checkpoint(
    folder: Path, module: nn.Module, optimizer: torch.optim.Optimizer, generator: torch.Generator
) -> dict[str, Any] | None:
    """Restore module, optimiser and generator from the folder's checkpoint; returns its progress, or None without one.

    Raises:
        ValueError: if the checkpoint is damaged, or belongs to another network.
    """
    if not (folder / POINTER).exists():
        return None
    pointer = read_json(folder / POINTER)
    path = folder / str(pointer.get("file"))
    if not path.is_file():
        raise ValueError(f"the checkpoint {path}, named by {POINTER}, is missing")
    if _checksum(path) != pointer.get("sha256"):
        raise ValueError(f"the checkpoint {path} is damaged: its checksum differs from the one in {POINTER}")
    tensors, _ = read_tensors(path)
    _restore(
        module, {name.removeprefix("module."): t for name, t in tensors.items() if name.startswith("module.")}, path
    )
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        if name.startswith("optimizer."):
            _, index, key = name.split(".", 2)
            state.setdefault(int(index), {})[key] = tensor
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
    generator.set_state(tensors["generator"])
    progress: dict[str, Any] = pointer["progress"]
    return progress


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


def _restore(module: nn.Module, tensors: dict[str, Tensor], path: Path) -> None:
    try:
        module.load_state_dict(tensors)
    except RuntimeError as error:
        raise ValueError(f"{path} belongs to another network: {error}") from error


def _checksum(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
