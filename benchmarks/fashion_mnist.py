"""Fashion-MNIST: InfoNCE with a fixed and with a trainable temperature against AnInfoNCE, on all test images.

    python benchmarks/fashion_mnist.py --data-root FOLDER      (about 100 core-minutes)
    python benchmarks/fashion_mnist_table.py                   (the table in docs/measured.md)

1. Tuning, 12 epochs, 10 % of the training images held out, every method alike: InfoNCE at three fixed temperatures,
   InfoNCE with a trainable temperature from the same three, and AnInfoNCE from the concentrations 1 / (2 τ) that stand
   for them. Of each, the one with the best class accuracy from the backbone on the held-out images is taken. A
   trainable temperature and Λ̂ have the same learning rate, the default, and no weight decay.
2. All three methods, three seeds, 10,000 training images each, the 10,000 test images.

Every finished run is kept (in runs/benchmarks/fashion-mnist) and not done again, an unfinished one goes on from its
last checkpoint; a run with other settings in its place is refused. The summary is written after every run, to
benchmarks/results/fashion-mnist.json when all are finished and next to the runs until then.
"""

from __future__ import annotations

import argparse
import multiprocessing
import statistics
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from aninfonce._folder import claimed
from aninfonce._runs import RESULTS, read_results, versions, write_json
from aninfonce.experiments.study import one_thread
from aninfonce.training import TrainConfig, train

RUNS = Path("runs/benchmarks/fashion-mnist")
SUMMARY = Path(__file__).parent / "results" / "fashion-mnist.json"
TEMPERATURES = (0.1, 0.2, 0.5)
METHODS = ("infonce", "infonce-trainable", "aninfonce")
CRITERION = "backbone/class_accuracy"
FREE = ("data_root", "device", "log_every", "loggers", "decode_workers", "checkpoint_minutes")  # not what is trained


@dataclass(frozen=True)
class Plan:
    """What is run.

    Attributes:
        base: the settings that all runs share; of method and seed, and for the tuning, each its own.
        epochs: of the runs that count.
        tuning_epochs: of those that choose a temperature.
        seeds: 0, 1, … up to it.
        temperatures: to choose from.
    """

    base: TrainConfig
    epochs: int = 40
    tuning_epochs: int = 12
    seeds: int = 3
    temperatures: tuple[float, ...] = TEMPERATURES

    def tuning(self) -> dict[str, TrainConfig]:
        """Folder -> settings, of every method from every temperature."""
        short = replace(self.base, epochs=self.tuning_epochs, validation=0.1, seed=100)
        return {f"tuning-{m}-tau-{t:g}": _started(short, m, t) for m in METHODS for t in self.temperatures}

    def tuned(self, chosen: Mapping[str, float]) -> dict[str, TrainConfig]:
        """Folder -> settings, of every method from the temperature chosen for it."""
        found = {}
        for method, t in chosen.items():
            found |= self._seeds(method, _started(self.base, method, t))
        return found

    def _seeds(self, method: str, config: TrainConfig) -> dict[str, TrainConfig]:
        settings = {seed: replace(config, epochs=self.epochs, seed=seed) for seed in range(self.seeds)}
        return {f"{method}-seed-{seed}": each for seed, each in settings.items()}

    def choose(self, results: Mapping[str, Mapping[str, Any]]) -> dict[str, float]:
        """Method -> the temperature with the best score on the held-out images, from all tuning runs' results."""
        scores = {
            method: {t: results[f"tuning-{method}-tau-{t:g}"]["metrics"][CRITERION] for t in self.temperatures}
            for method in METHODS
        }
        return {method: max(found, key=found.__getitem__) for method, found in scores.items()}


def _started(config: TrainConfig, method: str, temperature: float) -> TrainConfig:
    """The settings of a method that starts from a temperature; for AnInfoNCE that is Λ̂ = 1 / (2 τ) in every entry."""
    if method == "aninfonce":
        return replace(config, objective="aninfonce", concentration=1 / (2 * temperature))
    return replace(config, temperature=temperature, trainable_temperature=method != "infonce")


def run(config: TrainConfig, folder: Path) -> dict[str, Any]:
    """One training run, or its results if it is finished; an unfinished one continues.

    Raises:
        ValueError: if another run is in the folder.
    """
    settings = {key: value for key, value in asdict(config).items() if key not in FREE}
    if (folder / RESULTS).exists():
        there = read_results(folder)["config"]
        if wrong := [key for key, value in settings.items() if there.get(key) != value]:
            raise ValueError(f"{folder} holds a run with other settings ({', '.join(wrong)}); move it away")
    else:
        with claimed(folder, {"command": "train", **settings}, resume=True) as place:
            train(config, folder, on_start=place.begin)
    return read_results(folder)


def summary(plan: Plan, results: Mapping[str, Mapping[str, Any]], chosen: Mapping[str, float]) -> dict[str, Any]:
    """What the finished runs found; `complete` when it is all of them."""
    per_seed: dict[str, list[float]] = {}
    for method in METHODS:
        finished = [results[f"{method}-seed-{s}"] for s in range(plan.seeds) if f"{method}-seed-{s}" in results]
        for result in finished:
            for name, value in {**result["metrics"], "cpu_seconds": result["cpu_seconds"]}.items():
                per_seed.setdefault(f"{method}/{name}", []).append(value)
    return {
        "name": "fashion-mnist",
        "complete": len(results) == len(plan.tuning()) + len(METHODS) * plan.seeds,
        "epochs": plan.epochs,
        "seeds": plan.seeds,
        "train_images": plan.base.limit,
        "temperatures": dict(chosen),
        "tuning": {name: results[name]["metrics"] for name in plan.tuning() if name in results},
        "metrics": {name: statistics.fmean(values) for name, values in per_seed.items()},
        "per_seed": per_seed,
    }


def execute(plan: Plan, folder: Path, workers: int) -> dict[str, Any]:
    """Run what is not yet done; returns the summary, which is also kept in the folder after every run."""
    folder.mkdir(parents=True, exist_ok=True)
    results: dict[str, dict[str, Any]] = {}
    chosen: dict[str, float] = {}

    def keep(name: str, result: dict[str, Any]) -> None:
        results[name] = result
        print(f"{name}: {result['cpu_seconds']:.0f} core-seconds", flush=True)
        write_json(folder / "summary.json", summary(plan, results, chosen))

    with finishing(workers) as finish:
        for name, result in finish(plan.tuning(), folder):
            keep(name, result)
        chosen |= plan.choose(results)
        print(f"temperatures: {chosen}", flush=True)
        for name, result in finish(plan.tuned(chosen), folder):
            keep(name, result)
    return summary(plan, results, chosen)


@contextmanager
def finishing(workers: int) -> Iterator[Any]:
    """A function from runs (name -> settings) and a folder to (name, result), as they finish; 0: in this process."""
    if not workers:
        yield lambda runs, folder: ((name, run(config, folder / name)) for name, config in runs.items())
        return
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=spawn, initializer=one_thread) as pool:

        def finish(runs: Mapping[str, TrainConfig], folder: Path) -> Iterator[tuple[str, dict[str, Any]]]:
            waiting = {pool.submit(run, config, folder / name): name for name, config in runs.items()}
            for future in as_completed(waiting):
                yield waiting[future], future.result()

        yield finish


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="fashion-mnist", help="for a trial of the command: digits")
    parser.add_argument("--data-root", type=Path, help="folder with Fashion-MNIST; default: download")
    parser.add_argument("--backbone", default="small")
    parser.add_argument("--limit", type=int, default=10_000, help="training images")
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--tuning-epochs", type=int, default=12)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=2, help="processes of one thread; 0: this one")
    parser.add_argument("--runs", type=Path, default=RUNS, help="where the runs are kept")
    parser.add_argument("--summary", type=Path, default=SUMMARY, help="file for the summary")
    options = parser.parse_args(arguments)
    base = TrainConfig(
        data=options.data,
        data_root=options.data_root,
        backbone=options.backbone,
        limit=options.limit,
        device="cpu",
    )
    plan = Plan(base, options.epochs, options.tuning_epochs, options.seeds)
    found = execute(plan, options.runs, options.workers)
    write_json(options.summary, {**found, "versions": versions()})
    print(options.summary)


if __name__ == "__main__":
    main()
