"""A run's files: JSON and JSON lines, written so that none is ever half there, and read with care."""

from __future__ import annotations

import dataclasses
import json
import math
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from aninfonce._atomic import atomically
from aninfonce._version import version_of

__all__ = [
    "MARKER",
    "RESULTS",
    "atomically",
    "finite",
    "plain",
    "read_results",
    "versions",
    "write_json",
    "write_lines",
    "write_results",
]

RESULTS = "results.json"
MARKER = "run.json"


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


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write JSON atomically: a reader sees the old file or the new one, never a half of it."""
    text = json.dumps(finite(json.loads(json.dumps(content, default=plain))), indent=2, allow_nan=False)
    with atomically(path) as temporary:
        temporary.write_text(text)


def write_lines(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write JSON lines, one a row; atomically, as `write_json`."""
    with atomically(path) as temporary:
        temporary.write_text("".join(json.dumps(finite(row), allow_nan=False) + "\n" for row in rows))


def plain(value: object) -> object:
    """What JSON has for a value it does not know; a `default` for `json.dumps`.

    Raises:
        TypeError: if it has nothing.
    """
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
        found[package] = version_of(package)
    return found
