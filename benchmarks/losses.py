"""Time, memory and accuracy of our losses against their peers and the hardware floor, in one run.

    python benchmarks/losses.py [--quick] [--batches 256 4096] [--rounds 7] [--out benchmarks/results/losses.json]
    python benchmarks/losses.py --show [--markdown]     # the tables of an earlier run

Peers come with `pip install 'aninfonce[bench]'`. solo-learn pins a PyTorch of 2021; its loss alone needs none of that:
`pip install --no-deps solo-learn`. Peers that are not installed are listed as such.

Time: process CPU time of one forward and backward pass, one thread, d = 128, τ = 0.1, normalisation included; all
contenders in a random order within each round, the minimum over all calls. Memory: peak resident memory of one pass
beyond what was held before it, gradients included, each contender and batch in a process of its own; what would take
more than `--memory-limit`, by the growth from smaller batches, is not run. The floor: `_losses_contenders.floor`.
Errors: against the same loss in float64, the embeddings on a cap and Λ̂ ≈ 100.
The bars are ratios within the run; absolute times differ from machine to machine.
"""

from __future__ import annotations

import argparse
import json
import math
import platform
import re
import time
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from _losses_bars import FLOORS, bars
from _losses_contenders import DIM, FLOOR_BLOCKS, TEMPERATURE, Contender, contenders, floor
from _losses_measure import (
    ACCURACY_BATCH,
    available_gb,
    errors,
    make_step,
    peak_memory,
    time_interleaved,
    what_is_wrong,
)
from _losses_report import draw, markdown, show
from _pages import filled

HERE = Path(__file__).parent
PAGE = HERE.parent / "docs" / "objectives.md"
BATCHES = (256, 1024, 4096, 8192, 16384)
QUICK = (256, 1024)
PACKAGES = ("torch", "numpy", "lightly", "info-nce-pytorch", "pytorch-metric-learning", "solo-learn")


def machine() -> str:
    """Processor, memory limit of the reading and threads, in a line."""
    model = platform.processor() or platform.machine()
    if (cpuinfo := Path("/proc/cpuinfo")).exists():
        found = re.search(r"model name\s*:\s*(.+)", cpuinfo.read_text())
        model = found.group(1) if found else model
    return f"{model}, {torch.get_num_threads()} thread, {torch.backends.cpu.get_cpu_capability()}"


def versions(packages: Sequence[str] = PACKAGES) -> dict[str, str]:
    """What is installed of the packages that take part."""
    found = {"python": platform.python_version()}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found


def measure_memory(everyone: list[Contender], batches: list[int], limit_gb: float) -> list[dict[str, Any]]:
    """A row for each contender and batch."""
    rows = []
    for contender in everyone:
        for found in peak_memory(contender, batches, limit_gb):
            rows.append({"contender": contender.name, "negatives": contender.negatives, **found})
            shown = found.get("note") or f"{found['peak_mb']:.1f} MB"
            print(f"memory  {contender.negatives:<10}{contender.name:<38}{found['batch']:>7,}  {shown}", flush=True)
    return rows


def measure_time(
    everyone: list[Contender], memory: list[dict[str, Any]], rounds: int, seconds: float
) -> list[dict[str, Any]]:
    """The memory's rows with times, and those of the floor."""
    made = {contender.key: contender.make(TEMPERATURE) for contender in everyone}
    rows = []
    for negatives in ("positives", "both"):
        for batch in dict.fromkeys(row["batch"] for row in memory):
            here = [row for row in memory if (row["negatives"], row["batch"]) == (negatives, batch)]
            steps = {
                row["contender"]: make_step(made[f"{negatives}/{row['contender']}"], batch)
                for row in here
                if row["peak_mb"] is not None
            }
            for name, block in zip(FLOORS, FLOOR_BLOCKS, strict=True):
                steps[name] = floor(negatives, batch, block)
                here.append({"contender": name, "negatives": negatives, "batch": batch, "peak_mb": None})
            times = time_interleaved(steps, rounds, seconds)
            for row in here:
                fastest, median, calls = times.get(row["contender"], (None, None, 0))
                rows.append({**row, "seconds_min": fastest, "seconds_median": median, "calls": calls})
            print(f"time    {negatives:<10}batch {batch:>7,}  {len(steps)} contenders", flush=True)
    return rows


def measure_errors(everyone: list[Contender]) -> list[dict[str, Any]]:
    """A row of relative errors for each contender that takes such a batch."""
    rows = []
    for contender in everyone:
        if not contender.accuracy:
            continue
        found = {
            key: value if value is None or math.isfinite(value) else None for key, value in errors(contender).items()
        }
        identity = {"contender": contender.name, "negatives": contender.negatives, "batch": ACCURACY_BATCH}
        rows.append({**identity, **found})
        print(f"errors  {contender.negatives:<10}{contender.name}", flush=True)
    return rows


def run(batches: list[int], rounds: int, seconds: float, limit_gb: float) -> dict[str, Any]:
    """Measure everything."""
    everyone = contenders()
    notes = {c.key: "not installed" if c.missing else what_is_wrong(c) for c in everyone}
    present = [contender for contender in everyone if notes[contender.key] is None]
    memory = measure_memory(present, batches, limit_gb)
    rows = measure_time(present, memory, rounds, seconds)
    rows += [
        {"contender": c.name, "negatives": c.negatives, "batch": None, "note": notes[c.key]}
        for c in everyone
        if notes[c.key] is not None
    ]
    accuracy = measure_errors(present)
    return {
        "name": "losses",
        "machine": machine(),
        "versions": versions(),
        "dim": DIM,
        "temperature": TEMPERATURE,
        "threads": torch.get_num_threads(),
        "rounds": rounds,
        "memory_limit_gb": limit_gb,
        "accuracy_batch": ACCURACY_BATCH,
        "rows": rows,
        "accuracy": accuracy,
        "bars": [bar.evaluate(rows + accuracy) for bar in bars(ACCURACY_BATCH)],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help=f"only batches {QUICK}, into runs/benchmarks")
    parser.add_argument("--batches", type=int, nargs="+", help=f"default: {BATCHES}")
    parser.add_argument("--rounds", type=int, default=7, help="interleaved rounds (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=6, help="a contender's time at a batch (default: %(default)s)")
    parser.add_argument("--memory-limit", type=float, default=6, help="GB, less if less is free (default: %(default)s)")
    parser.add_argument("--out", type=Path, help="the JSON file (default: benchmarks/results/losses.json)")
    parser.add_argument("--figures", type=Path, help="the figure's folder (default: docs/images)")
    parser.add_argument(
        "--docs", type=Path, help="the page to fill (default: docs/objectives.md, unless --quick or --out is given)"
    )
    parser.add_argument("--show", action="store_true", help="measure nothing: tables and figure of the JSON file")
    parser.add_argument("--markdown", action="store_true", help="print the tables as Markdown")
    arguments = parser.parse_args()
    batches = sorted(set(arguments.batches or (QUICK if arguments.quick else BATCHES)))
    if batches[0] < 2 or arguments.rounds < 1:
        parser.error("batches must be at least 2 and rounds at least 1")
    # A quick look must not replace the published numbers.
    aside = Path("runs/benchmarks")
    docs = arguments.docs or (None if arguments.quick or arguments.out else PAGE)
    out = arguments.out or (aside / "losses.json" if arguments.quick else HERE / "results" / "losses.json")
    figures = arguments.figures or (aside if arguments.quick else HERE.parent / "docs" / "images")

    if arguments.show:
        if not out.is_file():
            parser.error(f"there are no results in {out}; measure first, without --show")
        results = json.loads(out.read_text(encoding="utf-8"))
    else:
        start = time.perf_counter()
        torch.set_num_threads(1)
        limit = min(arguments.memory_limit, 0.8 * available_gb())
        results = run(batches, arguments.rounds, arguments.seconds, limit)
        print(f"measured in {time.perf_counter() - start:.0f} s")
        out.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps(results, indent=2, ensure_ascii=False, allow_nan=False)
        out.write_text(text + "\n", encoding="utf-8")
    if docs is not None:
        docs.write_text(filled(docs.read_text(encoding="utf-8"), {"losses": markdown(results)}), encoding="utf-8")
        print(f"written to {docs}")
    print(markdown(results)) if arguments.markdown else show(results)
    for path in [out, *draw(results, figures)]:
        print(f"written to {path}" if not (arguments.show and path == out) else f"read from {path}")


if __name__ == "__main__":
    main()
