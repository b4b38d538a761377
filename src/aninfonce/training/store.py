"""Checkpoints that survive: written atomically, verified when read, the one before kept.

A checkpoint is two files, `step-N.safetensors` with the tensors and `step-N.json` with everything else and the
checksums of both. The JSON file is written last and by renaming, so a checkpoint is there completely or not at all,
whenever the process is killed. Nothing is pickled.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from torch import Tensor

from aninfonce._atomic import sweep
from aninfonce._runs import read_json, write_json
from aninfonce._tensors import read_tensors, write_tensors
from aninfonce.training.checksums import checksum, digest

__all__ = ["Checkpoint", "CheckpointStore"]


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """A verified checkpoint.

    Attributes:
        step: after how many optimiser steps it was taken.
        tensors: name -> tensor, on the CPU.
        progress: everything else, as it was passed to `CheckpointStore.save`.
        path: the path of its JSON file.
    """

    step: int
    tensors: Mapping[str, Tensor]
    progress: Mapping[str, Any]
    path: Path


class CheckpointStore:
    """The checkpoints of one run.

    Arguments:
        folder: theirs alone; the first checkpoint makes it if it is missing.
        keep: how many of the newest are kept, at least 1; with 2 or more, one that turns out damaged costs the steps
            since the one before it and not the run.

    Attributes:
        damaged: file -> what is wrong with it, of the checkpoints that `latest` had to pass over.

    Raises:
        ValueError: if `keep` is less than 1.
    """

    def __init__(self, folder: Path, keep: int = 2) -> None:
        if keep < 1:
            raise ValueError(f"keep must be at least 1 checkpoint, got {keep}")
        self.folder = folder
        self.keep = keep
        self.damaged: dict[Path, str] = {}

    @property
    def steps(self) -> list[int]:
        """The steps of the checkpoints that are there, damaged or not, in ascending order."""
        names = [path.name for path in self.folder.iterdir()] if self.folder.is_dir() else []
        found = (re.fullmatch(r"step-([0-9]{9,18})\.json", name) for name in names)
        return sorted(int(name[1]) for name in found if name)

    def save(self, step: int, tensors: Mapping[str, Tensor], progress: Mapping[str, Any]) -> Path:
        """Write a checkpoint, then remove those that are too many.

        Arguments:
            step: at least 0; a checkpoint of the same step is replaced.
            tensors: name -> tensor, on any device.
            progress: JSON-serialisable.

        Returns:
            The path of its JSON file.

        Raises:
            OSError: if it cannot be written (a full disk, a folder without permission). What was half written is
                removed, and the checkpoints that are there stay usable.
        """
        path, data = self._json(step), self._data(step)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            path.unlink(missing_ok=True)  # of the same step: its tensors are about to change
            write_tensors(data, tensors)
            body = {"step": step, "sha256": checksum(data), "progress": progress}
            write_json(path, {**body, "digest": digest(body)})
            _flush(self.folder)
        except (OSError, SafetensorError) as error:
            reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
            left = f"that of step {self.steps[-1]} is intact" if self.steps else "there is none before it"
            raise OSError(f"cannot write the checkpoint of step {step} to {self.folder}: {reason}; {left}") from error
        self._prune()
        return path

    def _prune(self) -> None:
        """Remove the checkpoints that are too many."""
        for old in self.steps[: -self.keep]:
            self._json(old).unlink()  # first: without it the tensors are no checkpoint
            self._data(old).unlink(missing_ok=True)

    def sweep(self) -> None:
        """Remove what a killed process has left: half-written files, tensors without JSON, and too old checkpoints."""
        if not self.folder.is_dir():
            return
        sweep(self.folder)
        self._prune()  # the last save may have been cut off before it did
        for data in self.folder.glob("step-*.safetensors"):
            if re.fullmatch(r"step-[0-9]{9,18}", data.stem) and not data.with_suffix(".json").exists():
                data.unlink()

    def latest(self) -> Checkpoint | None:
        """The newest checkpoint that is whole, or None if there is none at all.

        Damaged ones (truncated, tampered with) are passed over and named in `damaged`.

        Raises:
            ValueError: if there are checkpoints and every one is damaged.
        """
        self.damaged = {}
        for step in reversed(self.steps):
            path = self._json(step)
            try:
                return self._read(step)
            except ValueError as error:
                self.damaged[path] = str(error)
        if self.damaged:
            reasons = "; ".join(self.damaged.values())
            raise ValueError(f"every checkpoint in {self.folder} is damaged: {reasons}")
        return None

    def _read(self, step: int) -> Checkpoint:
        path, data = self._json(step), self._data(step)
        content = read_json(path)
        body = {key: content.get(key) for key in ("step", "sha256", "progress")}
        if content.get("digest") != digest(body) or body["step"] != step:
            raise ValueError(f"{path} was changed or damaged: its digest differs")
        if not data.is_file():
            raise ValueError(f"{data} is missing")
        if checksum(data) != body["sha256"]:
            raise ValueError(f"{data} is damaged: its checksum differs from the one in {path.name}")
        return Checkpoint(step, read_tensors(data)[0], content["progress"], path)

    def _json(self, step: int) -> Path:
        return self.folder / f"step-{step:09d}.json"

    def _data(self, step: int) -> Path:
        return self.folder / f"step-{step:09d}.safetensors"


def _flush(path: Path) -> None:
    """Have the disk hold a file, or the names in a folder."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
