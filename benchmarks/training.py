"""Images a second of our training loop against lightly's SimCLR example and solo-learn's recipe, in one run.

    python benchmarks/training.py [--data-root DIR] [--steps 8] [--rounds 5] [--out benchmarks/results/training.json]
    python benchmarks/training.py --show [--markdown]     # the tables of an earlier run

The same images, backbone (`small`), projector and batch; CPU, one thread, every run in a process of its own without
workers, wall clock from the end of the first step. The rounds are interleaved, the order within each is random, and
what counts is the median over the rounds of the ratio to the round's fastest peer; the same by the process's CPU time,
which other jobs on the machine disturb less, stands beside it. A second reading gives the peers one worker process,
hence a second core; our images are in memory and augmented in batches, so our loop has none.

Ours is what `aninfonce train` runs, `fit` with its default optimiser (AdamW), its metrics, its log and its checkpoint
at the end of the epoch, which the peers do not write. Theirs are the loops of their documentation: torch's DataLoader,
PIL images augmented one at a time, each view through the network on its own, SGD. solo-learn pins a PyTorch of 2021:
its loss alone is loaded (`pip install --no-deps solo-learn`), its pipeline written down from its CIFAR recipe, and its
online classifier, LARS and Lightning's Trainer are left out, which would only slow it down.

Augmentations: our presets, in the peers' own terms. They differ where options do not reach: torchvision shuffles the
order of the colour operations, crops bilinearly (solo-learn: bicubically) with antialiasing, lets aspect ratios vary
for all sizes of crops; blurs are Pillow's. In the presets for small images the blur's width is in pixels of a 32×32
image; for smaller ones ours scales it, theirs do not.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from _pages import filled, table
from _training_bars import bars, ratio
from _training_contenders import (
    OURS,
    PEERS,
    TEMPERATURE,
    Task,
    colour_images,
    fashion_images,
    in_a_process,
    ours,
    why_absent,
)
from _training_parts import Stopwatch, shares, watching
from losses import machine, versions

HERE = Path(__file__).parent
PAGE = HERE.parent / "docs" / "speed.md"
PACKAGES = ("torch", "torchvision", "pillow", "lightly", "solo-learn")
# With blur, and without, as in the libraries' own recipes for CIFAR, where the peers are at their fastest.
AUGMENTATIONS = ("simclr", "simclr-cifar10")


def tasks(data_root: Path | None, batch: int, steps: int, augmentations: Sequence[str]) -> list[Task]:
    """Grey and coloured images, under each preset."""
    n = batch * steps
    pictures = {"28×28 grey": fashion_images(data_root, n), "32×32 colour": colour_images(n)}
    for images, what in pictures.values():
        print(f"{len(images)} images: {what}")
    return [
        Task(f"{name}, {preset}", images, preset, batch)
        for name, (images, _) in pictures.items()
        for preset in augmentations
    ]


def measure(
    task: Task, absent: Mapping[str, str], rounds: int, workers: Sequence[int]
) -> tuple[dict[str, list[float]], dict[str, list[float]]]:
    """Images a second and a CPU second of every round, by contender; with workers as "lightly, 1 worker".

    CPU time does not count worker processes, so contenders with workers have none.
    """
    runs = {OURS: lambda: ours(task)}
    for name, run in PEERS.items():
        for count in workers:
            if name not in absent:
                label = name if not count else f"{name}, {count} worker{'s' if count > 1 else ''}"
                runs[label] = lambda run=run, count=count: run(task, count)
    order = random.Random(0)
    found: dict[str, list[float]] = {name: [] for name in runs}
    by_cpu: dict[str, list[float]] = {name: [] for name in (OURS, *PEERS) if name in runs}
    for number in range(rounds):
        for name in order.sample(list(runs), len(runs)):
            reading = in_a_process(runs[name])
            found[name].append(reading.images / reading.seconds)
            if name in by_cpu:
                by_cpu[name].append(reading.images / reading.cpu_seconds)
        latest = ", ".join(f"{name} {values[-1]:,.0f}" for name, values in found.items())
        print(f"{task.name}  round {number + 1}: {latest} images/s", flush=True)
    return found, by_cpu


def parts_of(task: Task, rounds: int) -> dict[str, float]:
    """Shares of a step's time, the median over the rounds; from the end of the first step on."""

    def once() -> dict[str, float]:
        watch = Stopwatch()
        with watching(watch):
            ours(task, on_first_step=watch.restart)
        return shares(watch)

    found = [in_a_process(once) for _ in range(rounds)]
    return {part: statistics.median(each[part] for each in found) for part in found[0]}


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    """Measure everything."""
    chosen = tasks(arguments.data_root, arguments.batch, arguments.steps, arguments.augmentations)
    absent = {name: why for name in PEERS if (why := why_absent(name, chosen[0])) is not None}
    for name, why in absent.items():
        print(f"{name} is skipped, {why}")
    measured = {task.name: measure(task, absent, arguments.rounds, arguments.workers) for task in chosen}
    speeds = {name: wall for name, (wall, _) in measured.items()}
    parts = {task.name: parts_of(task, min(3, arguments.rounds)) for task in chosen}
    return {
        "name": "training",
        "machine": machine(),
        "versions": versions(PACKAGES),
        "data": "Fashion-MNIST and patches of photographs" if arguments.data_root else "generated and patches",
        "backbone": "small",
        "batch": arguments.batch,
        "steps": arguments.steps,
        "rounds": arguments.rounds,
        "temperature": TEMPERATURE,
        "absent": absent,
        "images_per_second": speeds,
        "images_per_cpu_second": {name: cpu for name, (_, cpu) in measured.items()},
        "shares": parts,
        "bars": bars(speeds, parts, tuple(PEERS)),
    }


Grid = tuple[str, list[str], list[list[str]]]


def grids(results: Mapping[str, Any]) -> list[Grid]:
    """All tables as (title, header, rows of text)."""
    speeds = results["images_per_second"]
    names = list(dict.fromkeys(name for rounds in speeds.values() for name in rounds))
    rows = []
    for task, rounds in speeds.items():
        row = [task]
        for name in names:
            shown = f"{statistics.median(rounds[name]):,.0f}"
            against = ratio(rounds, (name,)) if name != OURS else None
            by_cpu = ratio(results["images_per_cpu_second"][task], (name,)) if name != OURS else None
            beside = "" if by_cpu is None else f", by CPU time {by_cpu:.2f}×"
            row.append(shown if against is None else f"{shown} (ours {against:.2f}×{beside})")
        rows.append(row)
    parts = results["shares"]
    kinds = list(next(iter(parts.values())))
    shown_shares = [[task, *(f"{100 * found[kind]:.1f} %" for kind in kinds)] for task, found in parts.items()]
    title = f"Images a second, batch {results['batch']}, median of {results['rounds']} rounds"
    return [
        (title, ["", *names], rows),
        ("Where a step's time goes", ["", *kinds], shown_shares),
        (
            "Bars",
            ["", "measured", "bar", "verdict"],
            [
                [
                    bar["name"],
                    "–" if bar["measured"] is None else f"{bar['measured']:.3g}",
                    f"{'≥' if bar['at_least'] else '≤'} {bar['bar']:g}",
                    bar["verdict"],
                ]
                for bar in results["bars"]
            ],
        ),
    ]


def show(results: Mapping[str, Any]) -> None:
    """Print the tables, then a line a bar."""
    console = Console(width=None if sys.stdout.isatty() else 130)  # where nobody looks, nothing need be cut
    for title, header, rows in grids(results)[:-1]:
        table = Table(title=title, title_justify="left")
        for number, name in enumerate(header):
            table.add_column(name, justify="left" if number == 0 else "right")
        for row in rows:
            table.add_row(*row)
        console.print(table)
    for name, measured, bar, verdict in grids(results)[-1][2]:
        print(f"{verdict:<13}{name}: {measured} (bar {bar})")
    for name, why in results["absent"].items():
        print(f"{name} was skipped, {why}")
    print(results["machine"])


def markdown(results: Mapping[str, Any]) -> str:
    """The tables for the documentation."""
    parts = [f"**{title}**\n\n{table(header, rows)}" for title, header, rows in grids(results)]
    named = ", ".join(f"{name} {version}" for name, version in results["versions"].items())
    return "\n\n".join([*parts, f"{results['machine']}; {named}; {results['data']}."])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-root", type=Path, help="folder with Fashion-MNIST; default: generated images")
    parser.add_argument("--batch", type=int, default=256, help="images a step (default: %(default)s)")
    parser.add_argument(
        "--steps", type=int, default=8, help="steps of a run, the first not timed (default: %(default)s)"
    )
    parser.add_argument("--rounds", type=int, default=5, help="interleaved rounds (default: %(default)s)")
    parser.add_argument("--workers", type=int, nargs="+", default=[0, 1], help="of the peers (default: 0 1)")
    parser.add_argument("--augmentations", nargs="+", default=list(AUGMENTATIONS), help="presets (default: both)")
    parser.add_argument("--out", type=Path, help="the JSON file (default: benchmarks/results/training.json)")
    parser.add_argument("--docs", type=Path, help="the page to fill (default: docs/speed.md, unless --out is given)")
    parser.add_argument("--show", action="store_true", help="measure nothing: the tables of the JSON file")
    parser.add_argument("--markdown", action="store_true", help="print the tables as Markdown")
    arguments = parser.parse_args()
    if arguments.steps < 2 or arguments.rounds < 1 or arguments.batch < 2:
        parser.error("steps and batch must be at least 2 and rounds at least 1")
    docs = arguments.docs or (None if arguments.out else PAGE)
    arguments.out = arguments.out or HERE / "results" / "training.json"
    if arguments.show:
        if not arguments.out.is_file():
            parser.error(f"there are no results in {arguments.out}; measure first, without --show")
        results = json.loads(arguments.out.read_text(encoding="utf-8"))
    else:
        start = time.perf_counter()
        torch.set_num_threads(1)
        torch.manual_seed(0)
        random.seed(0)  # torchvision and Pillow's blur draw from the global generators
        results = run(arguments)
        print(f"measured in {time.perf_counter() - start:.0f} s")
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps(results, indent=2, ensure_ascii=False, allow_nan=False)
        arguments.out.write_text(text + "\n", encoding="utf-8")
        print(f"written to {arguments.out}")
    if docs is not None:
        docs.write_text(filled(docs.read_text(encoding="utf-8"), {"training": markdown(results)}), encoding="utf-8")
        print(f"written to {docs}")
    print(markdown(results)) if arguments.markdown else show(results)


if __name__ == "__main__":
    main()
