"""Every kind of run of every experiment, made as small as it can be."""

from __future__ import annotations

import dataclasses
import importlib
import json
from collections.abc import Iterator
from typing import Any

from aninfonce.experiments import EXPERIMENTS, Recipe
from aninfonce.experiments.vae_fitting import VAERecipe
from aninfonce.training import TrainConfig

# Rows for whitening and measuring, where the modules say so.
ROWS = {
    "WHITENING": 256,
    "HELD_OUT": 256,
    "HELD_OUT_CURVE": 128,
    "HELD_OUT_PAIRWISE": 64,
    "STATISTICS": 300,
    "KERNEL_ROWS": 64,
    "LATENTS": 8,
    "JACOBIANS": 4,
    "CHECKED": 32,
}
ON_CPU = ("PicturesTask", "PowerTask")  # draw and look on the CPU, wherever the place is
_MODULES = ("recovery", "known_latents", "image_recovery", "decoding", "gap.run", "recipe")
_SIZES = {"samples": 1, "rows": 200, "repetitions": 10, "fit_rows": 500, "negatives": 8, "candidates": 8}


def fewer_rows(monkeypatch: Any) -> None:
    """Measure on a few rows: a device is the same for every number of them."""
    for name in _MODULES:
        module = importlib.import_module(f"aninfonce.experiments.{name}")
        for constant, rows in ROWS.items():
            if hasattr(module, constant):
                monkeypatch.setattr(module, constant, rows)


def small_tasks() -> Iterator[tuple[str, Any]]:
    """(experiment/method, task), one of each kind: those are the same kind that differ in numbers alone."""
    seen: set[str] = set()
    for experiment in EXPERIMENTS.values():
        study = experiment().study()
        for method, task in sorted(study.methods.items()):
            kind = type(task).__name__ if type(task).__name__ in ON_CPU else json.dumps(_shape(task))
            if kind not in seen:
                seen.add(kind)
                yield f"{experiment.name}/{method}", _small(task)


def _shape(value: Any) -> Any:
    """A value without its numbers but whether they are 0, with its texts: what decides which code runs."""
    if dataclasses.is_dataclass(value):
        fields = {field.name: _shape(getattr(value, field.name)) for field in dataclasses.fields(value)}
        return [type(value).__name__, fields]
    if isinstance(value, bool | str) or value is None:
        return value
    if isinstance(value, int | float):
        return "number" if value else 0
    if isinstance(value, dict):
        return "groups"
    return [_shape(entry) for entry in value][:2] if isinstance(value, tuple | list) else str(type(value))


def _small_training(config: TrainConfig) -> TrainConfig:
    return dataclasses.replace(
        config,
        data="digits",
        image_size=None,
        limit=128,
        backbone="small:4",
        projector_dim=8,
        projector_hidden=16,
        epochs=1,
        warmup_epochs=None,
        batch_size=64,
        precision="32",  # autocast to half precision cannot be pretended
    )


def _small(task: Any) -> Any:
    changes: dict[str, Any] = {}
    for field in dataclasses.fields(task):
        value = getattr(task, field.name)
        if isinstance(value, Recipe):
            changes[field.name] = dataclasses.replace(value, steps=3, batch_size=32, width=8, evaluations=2)
        elif isinstance(value, VAERecipe):
            changes[field.name] = dataclasses.replace(value, steps=3, batch_size=32)
        elif field.name in _SIZES and isinstance(value, int):
            changes[field.name] = min(value, _SIZES[field.name])
        elif isinstance(value, TrainConfig):
            changes[field.name] = _small_training(value)
        elif field.name == "sizes":
            changes[field.name] = (200,)
        elif field.name == "data":
            changes[field.name] = "digits"
    return dataclasses.replace(task, **changes)
