"""A run's folder: who may write into it, and its files (JSON, tensors), written so that none is ever half there."""

from __future__ import annotations

import base64
import dataclasses
import json
import math
import os
import platform
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

if sys.platform != "win32":
    import fcntl

__all__ = [
    "MARKER",
    "RESULTS",
    "atomically",
    "finite",
    "pack_images",
    "prepare_folder",
    "read_results",
    "read_tensors",
    "unpack_images",
    "versions",
    "write_json",
    "write_lines",
    "write_results",
    "write_tensors",
]

RESULTS = "results.json"
MARKER = "run.json"
LOCK = ".lock"


def prepare_folder(
    out: Path, config: Mapping[str, Any], *, overwrite: bool = False, resume: bool | None = False
) -> None:
    """Make `out` ready for a run with this configuration, and note the configuration there.

    Arguments:
        out: the folder; made if it is missing.
        config: the run's configuration, JSON-serialisable.
        overwrite: delete a run that is there. Only a folder that holds a run of ours is ever deleted.
        resume: keep what is there and go on; the configuration must be the same. None: the command cannot do that.

    Raises:
        ValueError: if the folder holds a run and neither flag is given (or both are), holds something else than a run,
            cannot be written, holds a run of another configuration and `resume` is given, or is in use by another
            process.
    """
    if overwrite and resume:
        raise ValueError("--overwrite and --resume exclude each other")
    if out.exists() and not out.is_dir():
        raise ValueError(f"the output folder {out} is a file")
    marker = out / MARKER
    config = json.loads(json.dumps(config, default=_plain))
    names = {path.name for path in out.iterdir()} - {LOCK} if out.is_dir() else set()
    if names:
        if not marker.is_file():
            raise ValueError(f"the output folder {out} is not empty and holds no aninfonce run; choose another --out")
        _lock(out)
        if names == {MARKER}:
            marker.unlink()  # a run that failed before it computed anything
        elif resume:
            there = read_json(marker).get("config")
            if there != config:
                raise ValueError(f"cannot resume {out}: {_difference(there, config)}")
            return
        elif not overwrite:
            flags = "--overwrite" if resume is None else "--overwrite or --resume"
            raise ValueError(f"the output folder {out} already holds a run; pass {flags}")
        else:
            shutil.rmtree(out)
    try:
        out.mkdir(parents=True, exist_ok=True)
        _lock(out)
        write_json(marker, {"config": config})
    except OSError as error:
        raise ValueError(f"cannot write to the output folder {out}: {error.strerror}") from error


def _lock(out: Path) -> None:
    """Keep other processes out of the folder while this one lives.

    Raises:
        ValueError: if one is in there already.
    """
    if sys.platform == "win32":  # no such locks there
        return
    # The descriptor stays open: the lock lasts until the process ends.
    handle = os.open(out / LOCK, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        # A POSIX lock belongs to the process: the same one may take it again.
        fcntl.lockf(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(handle)
        raise ValueError(f"another process is running in the output folder {out}; wait for it, or end it") from error


def _difference(there: object, here: Mapping[str, Any]) -> str:
    if not isinstance(there, dict):
        return f"its {MARKER} holds no configuration"
    changed = [key for key in sorted({*there, *here}) if there.get(key) != here.get(key)]
    return "it was started with other settings: " + ", ".join(
        f"{key} {there.get(key)!r}, now {here.get(key)!r}" for key in changed
    )


def write_results(out: Path, results: Mapping[str, Any]) -> Path:
    """Write `results.json` into the folder, with the versions of what computed it; returns its path."""
    path = out / RESULTS
    write_json(path, {**results, "versions": versions()})
    return path


def read_results(run: Path) -> dict[str, Any]:
    """Read a run's `results.json`.

    Arguments:
        run: the run's folder, or the file itself.

    Raises:
        ValueError: if there is no such file, or it is not a result of ours.
    """
    path = run / RESULTS if run.is_dir() else run
    if not path.is_file():
        raise ValueError(f"no run at {run}: expected a folder with {RESULTS}")
    results = read_json(path)
    metrics = results.get("metrics")
    if not isinstance(metrics, dict):
        raise ValueError(f"{path} is not a result of aninfonce: it has no metrics")
    for name, value in metrics.items():
        if value is not None and not isinstance(value, int | float):
            raise ValueError(f"{path} is damaged: the metric {name} must be a number, got {value!r}")
    return results


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object; ValueError names the file if it is not one."""
    try:
        content = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:  # ValueError: also what is no UTF-8, and numbers of 5000 digits
        raise ValueError(f"{path} is not readable JSON: {error}") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path} must hold a JSON object, got {type(content).__name__}")
    return content


@contextmanager
def atomically(path: Path) -> Iterator[Path]:
    """A name beside `path` to write a file under, with the same ending; the file takes its place at the end.

    If something fails, it is removed, and what was at `path` stays.
    """
    temporary = path.with_name(f".{os.getpid()}.{path.name}")
    try:
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write JSON atomically: a reader sees the old file or the new one, never a half of it."""
    text = json.dumps(finite(json.loads(json.dumps(content, default=_plain))), indent=2, allow_nan=False)
    with atomically(path) as temporary:
        temporary.write_text(text)


def write_lines(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write JSON lines, one a row; atomically, as `write_json`."""
    with atomically(path) as temporary:
        temporary.write_text("".join(json.dumps(finite(row), allow_nan=False) + "\n" for row in rows))


def write_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None) -> None:
    """Write tensors, and strings about them, as safetensors; atomically, as `write_json`."""
    # safetensors refuses tensors that share memory; detached contiguous copies never do.
    plain = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    with atomically(path) as temporary:
        temporary.touch()
        mode = temporary.stat().st_mode  # as the process's umask has it; safetensors makes a file for its owner alone
        save_file(plain, temporary, metadata=None if metadata is None else dict(metadata))
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


def _plain(value: object) -> object:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    if isinstance(value, Path):
        return str(value)
    if hasattr(value, "tolist"):  # tensors and arrays
        return value.tolist()
    raise TypeError(f"cannot write {type(value).__name__} as JSON")


def finite(value: Any) -> Any:
    """The value for JSON. NaN and infinity are not JSON: they become null."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [finite(item) for item in value]
    return value


def versions() -> dict[str, str]:
    """Versions of Python, this package and what its numbers depend on."""
    found = {"python": platform.python_version()}
    for package in ("aninfonce", "torch", "numpy", "scipy", "scikit-learn", "torchvision"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found
