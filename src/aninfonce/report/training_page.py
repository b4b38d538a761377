"""The page of one training run: settings, curves, readouts, what was skipped, in one file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np

from aninfonce.report._html import embedded, render
from aninfonce.report._style import label
from aninfonce.report._training_curves import spectra
from aninfonce.report.training import LAYERS, not_measured, readout_rows
from aninfonce.training import TrainConfig

__all__ = ["write_training_page"]

_SHOWN = 1000  # skipped files; all of a broken ImageNet would make the page unreadable
_QUANTILES = {"smallest": 0.0, "10 %": 0.1, "25 %": 0.25, "median": 0.5, "75 %": 0.75, "90 %": 0.9, "largest": 1.0}


def write_training_page(path: Path, results: Mapping[str, Any], pictures: Sequence[Path]) -> None:
    """Write the page, atomically; it needs neither a network nor the other files.

    Arguments:
        path: the path of the HTML file; its folder must exist.
        results: the content of `results.json`.
        pictures: the files of its figures (PNG and SVG of each).

    Raises:
        MissingExtraError: if jinja2 is not installed.
        OSError: if the file cannot be written.
    """
    metrics, history, skipped = results["metrics"], results["history"], results["skipped"]
    final = spectra(history)[-1]
    spectrum = [(name, f"{np.quantile(final, share):.3g}") for name, share in _QUANTILES.items()]
    render(
        path,
        "training.html.jinja",
        name=f"{label(results['method'])} on {results['config']['data']}",
        summary=_summary(results),
        layers=LAYERS,
        readouts=readout_rows(metrics),
        test_images=f"{metrics['test_images']:.0f}",
        images=[embedded(picture) for picture in pictures if picture.suffix == ".svg"],
        spectrum=spectrum if len(final) > 1 else [],
        entries=len(final),
        ratio=f"{final[-1] / final[0]:.3g}",
        concentration=f"{final[0]:.3g}",
        settings=_settings(results["config"]),
        not_measured=not_measured(results),
        skipped=skipped[:_SHOWN],
        skipped_count=len(skipped),
        versions=results["versions"],
    )


def _summary(results: Mapping[str, Any]) -> str:
    """How long it took, and how it ended."""
    metrics, last = results["metrics"], results["history"][-1]
    return (
        f"{last['epoch']} {'epoch' if last['epoch'] == 1 else 'epochs'} over {metrics['train_images']:.0f} images "
        f"in {_duration(results['seconds'])} "
        f"({_duration(results['cpu_seconds'])} of processor time), "
        f"{_number(metrics['images_per_second'], '.0f')} images/s. At the end: loss {_number(last['loss'], '.3f')} "
        f"nats, Hit@1 {_number(last['hit_at_1'], '.2f')}, effective rank {_number(last['effective_rank'], '.1f')}."
    )


def _settings(config: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Every setting with its default; one that this version does not know has none."""
    defaults = {field.name: _value(field.default) for field in fields(TrainConfig)}
    values = {name: _value(value) for name, value in config.items()}
    return [
        {"name": name, "value": value, "default": defaults.get(name, ""), "changed": value != defaults.get(name)}
        for name, value in values.items()
    ]


def _value(value: Any) -> str:
    if value is None or value in ((), []):
        return "–"
    return ", ".join(map(str, value)) if isinstance(value, tuple | list) else str(value)


def _number(value: float | None, form: str) -> str:
    """A number that may not have been finite (null in the file)."""
    return "–" if value is None else format(value, form)


def _duration(seconds: float) -> str:
    hours, rest = divmod(round(seconds), 3600)
    minutes, left = divmod(rest, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {left} s"
