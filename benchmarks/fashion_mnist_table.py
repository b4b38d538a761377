"""The table of Fashion-MNIST in docs/measured.md, and what follows from it, from benchmarks/results/fashion-mnist.json.

python benchmarks/fashion_mnist_table.py            rewrites the part of docs/measured.md between the two marks
python benchmarks/fashion_mnist_table.py --print    shows it
"""

from __future__ import annotations

import argparse
import json
import statistics
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
SUMMARY, PAGE = HERE / "results" / "fashion-mnist.json", HERE.parent / "docs" / "measured.md"
START, END = "<!-- fashion-mnist: made by benchmarks/fashion_mnist_table.py -->", "<!-- /fashion-mnist -->"

METHODS = {"infonce": "InfoNCE, fixed τ", "infonce-trainable": "InfoNCE, trainable τ", "aninfonce": "AnInfoNCE"}
# Measure -> heading, factor, digits.
COLUMNS = {
    "backbone/class_accuracy": ("backbone: classes, %", 100, 1),
    "backbone/augmentation_r2": ("backbone: augmentations, R²", 1, 3),
    "projector/class_accuracy": ("projector: classes, %", 100, 1),
    "projector/augmentation_r2": ("projector: augmentations, R²", 1, 3),
    "projector/augmentation_accuracy": ("projector: augmentations, %", 100, 1),
}
KEPT = "projector/augmentation_r2"


def document(results: Mapping[str, Any]) -> str:
    """Setting, table and what follows from it."""
    return "\n\n".join([_wrapped(_setting(results)), _table(results), _wrapped(_finding(results))])


def _wrapped(text: str) -> str:
    return textwrap.fill(text, 150, break_long_words=False, break_on_hyphens=False)


def _setting(results: Mapping[str, Any]) -> str:
    per_seed = results["per_seed"]
    minutes = [s / 60 for method in METHODS for s in per_seed[f"{method}/cpu_seconds"]]
    trained, tested = (round(per_seed[f"aninfonce/{name}_images"][0]) for name in ("train", "test"))
    seeds = len(per_seed[f"aninfonce/{KEPT}"])
    chosen = results["temperatures"]
    of = {method: _temperature(chosen[method]) for method in METHODS}
    ends = [_short(t, 3) for t in per_seed["infonce-trainable/temperature"]]
    tuned = (
        f"each method's τ chosen out of the same three on a validation split: {of['infonce']} fixed, "
        f"{of['infonce-trainable']} as the trainable one's start (it ends at {', '.join(ends)}), "
        f"{of['aninfonce']} as AnInfoNCE's, Λ̂ = 1 / (2 τ)"
    )
    return (
        f"**Fashion-MNIST** (`make bench-fashion-mnist`; {trained:,} training images, {tested:,} test images, small "
        f"backbone, {results['epochs']} epochs, {statistics.median(minutes):.1f} core-minutes a run (median), "
        f"{seeds} seeds; {tuned}; mean ± standard deviation over the seeds):"
    )


def _table(results: Mapping[str, Any]) -> str:
    rows = [["", *(heading for heading, _, _ in COLUMNS.values())], ["---"] * (len(COLUMNS) + 1)]
    for method, name in METHODS.items():
        rows.append([name, *(_cell(results["per_seed"][f"{method}/{m}"], *COLUMNS[m][1:]) for m in COLUMNS)])
    return "\n".join(f"| {' | '.join(row)} |".replace("|  |", "| |") for row in rows)


def _finding(results: Mapping[str, Any]) -> str:
    """In numbers only: what each keeps of the augmentations where the objective sees it."""
    kept = {m: statistics.fmean(results["per_seed"][f"{m}/{KEPT}"]) for m in METHODS}
    fixed, ours = (_short(kept[method], 3) for method in ("infonce", "aninfonce"))
    trainable = _short(kept["infonce-trainable"], 3)
    said = (
        f"At the projector InfoNCE with a fixed temperature keeps R² {fixed} of the augmentations, with a trainable "
        f"one {trainable}, AnInfoNCE {ours}"
    )
    gain = kept["aninfonce"] - kept["infonce"]
    if gain <= 0:
        return f"{said}."
    share = (kept["infonce-trainable"] - kept["infonce"]) / gain
    return f"{said}: the trainable temperature alone makes up {100 * share:.0f} % of the difference."


def _cell(values: Sequence[float], factor: float, digits: int) -> str:
    scaled = [factor * value for value in values]
    mean = _short(statistics.fmean(scaled), digits)
    return mean if len(scaled) < 2 else f"{mean} ± {_short(statistics.stdev(scaled), digits)}"


def _short(value: float, digits: int) -> str:
    """With so many digits, without the zero before the point, as in the page's other tables."""
    return f"{value:.{digits}f}".removeprefix("0")


def _temperature(value: float) -> str:
    return f"{value:g}".removeprefix("0")


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--summary", type=Path, default=SUMMARY)
    parser.add_argument("--page", type=Path, default=PAGE)
    parser.add_argument("--print", action="store_true", help="show it, and leave the file as it is")
    options = parser.parse_args(arguments)
    text = document(json.loads(options.summary.read_text()))
    if options.print:
        print(text)
        return
    before, mark, rest = options.page.read_text().partition(START)
    _, end, after = rest.partition(END)
    if not (mark and end):
        raise SystemExit(f"{options.page} lacks the marks {START} and {END}")
    options.page.write_text(f"{before}{START}\n{text}\n{END}{after}")


if __name__ == "__main__":
    main()
