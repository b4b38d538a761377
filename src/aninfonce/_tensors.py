"""Tensors in a run's files, alone or inside JSON, written so that none is ever half there, and read with care."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from aninfonce._atomic import atomically

__all__ = ["pack_images", "read_tensors", "unpack_images", "write_tensors"]


def write_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None) -> None:
    """Write tensors, and strings about them, as safetensors; atomically, as `_runs.write_json`."""
    # safetensors refuses tensors that share memory; detached contiguous copies never do.
    copies = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    with atomically(path) as temporary:
        temporary.touch()
        mode = temporary.stat().st_mode  # as the process's umask has it; safetensors makes a file for its owner alone
        save_file(copies, temporary, metadata=None if metadata is None else dict(metadata))
        temporary.chmod(mode)


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The tensors of a safetensors file, and the strings about them.

    Raises:
        ValueError: if the file is missing or damaged.
    """
    if not path.is_file():
        raise ValueError(f"no weights at {path}")
    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118
    except SafetensorError as error:
        raise ValueError(f"{path} is not a readable safetensors file: {error}") from error


def pack_images(images: Tensor) -> dict[str, Any]:
    """Images in [0, 1], of any shape, for JSON: the shape, and 8 bits a value in base 64."""
    values = images.detach().cpu().clamp(0, 1).mul(255).round().numpy().astype(np.uint8)
    return {"shape": list(values.shape), "base64": base64.b64encode(values.tobytes()).decode()}


def unpack_images(packed: Mapping[str, Any]) -> npt.NDArray[np.float64]:
    """The images of `pack_images`, in [0, 1]."""
    values = np.frombuffer(base64.b64decode(packed["base64"]), dtype=np.uint8)
    return values.reshape(packed["shape"]) / 255
