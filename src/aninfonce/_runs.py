"""A run's folder: who may write into it, and `results.json`, written so that it is never half there."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import platform
import shutil
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

__all__ = ["RESULTS", "prepare_folder", "read_results", "versions", "write_json", "write_results"]

RESULTS = "results.json"
MARKER = "run.json"


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
            cannot be written, or holds a run of another configuration and `resume` is given.
    """
    if overwrite and resume:
        raise ValueError("--overwrite and --resume exclude each other")
    if out.exists() and not out.is_dir():
        raise ValueError(f"the output folder {out} is a file")
    marker = out / MARKER
    config = json.loads(json.dumps(config, default=_plain))
    if out.is_dir() and any(out.iterdir()):
        if not marker.is_file():
            raise ValueError(f"the output folder {out} is not empty and holds no aninfonce run; choose another --out")
        if [path.name for path in out.iterdir()] == [MARKER]:
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
        write_json(marker, {"config": config})
    except OSError as error:
        raise ValueError(f"cannot write to the output folder {out}: {error.strerror}") from error


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
    if not isinstance(results.get("metrics"), dict):
        raise ValueError(f"{path} is not a result of aninfonce: it has no metrics")
    return results


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object; ValueError names the file if it is not one."""
    try:
        content = json.loads(path.read_text())
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not readable JSON: {error}") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path} must hold a JSON object, got {type(content).__name__}")
    return content


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write JSON atomically: a reader sees the old file or the new one, never a half of it."""
    text = json.dumps(_finite(json.loads(json.dumps(content, default=_plain))), indent=2, allow_nan=False)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    with temporary.open("w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def _plain(value: object) -> object:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    if isinstance(value, Path):
        return str(value)
    if hasattr(value, "tolist"):  # tensors and arrays
        return value.tolist()
    raise TypeError(f"cannot write {type(value).__name__} as JSON")


def _finite(value: Any) -> Any:
    """NaN and infinity are not JSON: they become null."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_finite(item) for item in value]
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
