"""Figures of the experiment on a VAE's decoder: is it injective, what is recovered, and what the images look like."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from aninfonce._tensors import unpack_images
from aninfonce._typing import FloatArray
from aninfonce.report._style import PALETTE, label, new_figure, save_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["mnist_vae_figures"]

_TICKS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50)


def mnist_vae_figures(results: Mapping[str, Any], out: Path) -> list[Path]:
    """Two figures, the numbers and the images; returns the files' paths."""
    figure, (injectivity, recovery, concentrations) = new_figure(3)
    _injectivity_panel(injectivity, results)
    _recovery_panel(recovery, results)
    _concentration_panel(concentrations, results)
    paths = save_figure(figure, out, results["name"])
    if results["details"].get("decoder"):
        paths += _images_figure(results, out)
    return paths


def _injectivity_panel(axis: Axes, results: Mapping[str, Any]) -> None:
    """Over the latents: the smallest singular value of the Jacobian, and the closest other latent's ratio."""
    for run in results["details"].get("decoder", ()):
        share = np.linspace(0, 1, len(run["singular_values"]))
        axis.plot(run["singular_values"], share, color=PALETTE[0], label="latents close by (Jacobian)")
        axis.plot(run["nearest"], share, "--", color=PALETTE[1], label="all pairs of a sample")
        lowest = results["per_seed"]["decoder/separation"][0]
        axis.axvline(lowest, color=PALETTE[2], linestyle=":", label="least found by search")
    axis.set(
        xscale="log",
        xlabel="least |g(z) - g(z')| / |z - z'|, pixel intensity",
        ylabel="share of latents below",
        title="is the decoder injective?",
        ylim=(0, 1.4),
    )
    low, high = axis.get_xlim()
    ticks = [tick for tick in _TICKS if low <= tick <= high]
    axis.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axis.set_xticks([], minor=True)
    axis.set_yticks([0, 0.25, 0.5, 0.75, 1])
    axis.legend(fontsize=7, loc="upper right")


def _recovery_panel(axis: Axes, results: Mapping[str, Any]) -> None:
    """R² of content and style, a row a method, a marker a seed."""
    per_seed = results["per_seed"]
    methods = [m for m in results["config"]["methods"] if f"{m}/r2_content" in per_seed]
    for (measure, marker), color in zip((("r2_content", "o"), ("r2_style", "s")), PALETTE, strict=False):
        for row, method in enumerate(methods):
            values = per_seed[f"{method}/{measure}"]
            name = measure.removeprefix("r2_") if row == 0 else None
            axis.plot(values, [row] * len(values), marker, color=color, alpha=0.8, ms=6, label=name)
    axis.set_yticks(range(len(methods)), [label(method) for method in methods], fontsize=8)
    axis.set(
        xlabel="held-out linear R²", xlim=(-0.03, 1.03), ylim=(len(methods) - 0.5, -0.5), title="what is recovered"
    )
    axis.legend(fontsize=7, loc="center left")


def _concentration_panel(axis: Axes, results: Mapping[str, Any]) -> None:
    """Learned Λ̂ of the matched dimension against the latent's true Λ, one point a latent and seed."""
    facts = results["facts"]
    shown = {"aninfonce": ("o", "true_concentration"), "aninfonce-linear-spectrum": ("x", "true_spectrum")}
    for (method, (marker, fact)), color in zip(shown.items(), PALETTE, strict=False):
        learned = np.array([run["matched"] for run in results["details"].get(method, ())])
        if len(learned):
            true = np.tile(facts[fact], len(learned))
            axis.plot(true, learned.ravel(), marker, color=color, label=label(method), alpha=0.8, ms=5)
    true = np.array(facts["true_concentration"])
    low, high = 0.8 * true.min(), 1.25 * true.max()
    axis.plot([low, high], [low, high], color="0.5", linewidth=0.8, label="Λ̂ = Λ")
    ticks = sorted({float(t) for t in np.round(np.geomspace(true.min(), true.max(), 4), 1)})
    axis.set(xscale="log", yscale="log", xlabel="true Λ", ylabel="learned Λ̂", title="concentrations (no factor 1/2)")
    for which in (axis.xaxis, axis.yaxis):
        which.set_ticks(ticks, [f"{t:g}" for t in ticks])
        which.set_ticks([], minor=True)
    axis.legend(fontsize=7, loc="upper left")


def _images_figure(results: Mapping[str, Any], out: Path) -> list[Path]:
    """Reconstructions and positive pairs on the left, the images along every latent's axis on the right."""
    decoder = results["details"]["decoder"][0]
    rows = [("held out", unpack_images(decoder["originals"])), ("decoded", unpack_images(decoder["reconstructions"]))]
    columns = len(rows[0][1])
    for run in results["details"].get("aninfonce", ())[:1]:
        anchors, positives = unpack_images(run["anchors"]), unpack_images(run["positives"])
        for start in range(0, len(anchors), columns):
            rows.append(("anchor", anchors[start : start + columns]))
            rows.append(("positive", positives[start : start + columns]))
    figure, (left, right) = new_figure(2, width=5.2, height=4.6)
    _sheet(left, [images for _, images in rows], [name for name, _ in rows])
    left.set_title("the VAE on held-out images; positive pairs", fontsize=10)
    axes = unpack_images(decoder["axes"])
    _sheet(right, list(axes), [f"z{i + 1}" for i in range(len(axes))])
    right.set_title("from -90° to 90° along every axis of the decoder", fontsize=10)
    return save_figure(figure, out, f"{results['name']}-images")


def _sheet(axis: Axes, rows: Sequence[FloatArray], names: Sequence[str]) -> None:
    """Grey images of shape (columns, 1, height, width) in rows, dark on light so that print does not drown in ink."""
    height, width = rows[0].shape[-2:]
    gap = max(1, height // 14)
    columns = max(len(row) for row in rows)
    sheet = np.zeros((len(rows) * (height + gap) - gap, columns * (width + gap) - gap))
    for i, row in enumerate(rows):
        for j, image in enumerate(row):
            top, left = i * (height + gap), j * (width + gap)
            sheet[top : top + height, left : left + width] = image[0]
    axis.set_anchor("N")
    axis.imshow(1 - sheet, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    axis.set_yticks([i * (height + gap) + height / 2 for i in range(len(rows))], names, fontsize=8)
    axis.set_xticks([])
    axis.grid(False)
    axis.spines[:].set_visible(False)
    axis.tick_params(length=0)
