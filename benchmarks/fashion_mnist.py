"""Fashion-MNIST: InfoNCE, its temperature tuned on a validation split, against AnInfoNCE; readouts on all test images.

    python benchmarks/fashion_mnist.py --data-root FOLDER      (about 70 core-minutes; finished runs are not repeated)

1. InfoNCE at several temperatures, 10 % of the training images held out: the one with the best class accuracy from the
   backbone on those images is taken. AnInfoNCE is not tuned at all.
2. Both objectives, three seeds, 10,000 training images each, the 10,000 test images.

Runs are kept in runs/benchmarks/fashion-mnist; the summary goes to benchmarks/results/fashion-mnist.json.
"""

from __future__ import annotations

import argparse
import multiprocessing
import statistics
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

from aninfonce._runs import RESULTS, prepare_folder, read_results, write_results
from aninfonce.experiments.study import one_thread
from aninfonce.training import TrainConfig, train

RUNS = Path("runs/benchmarks/fashion-mnist")
RESULT_FOLDER = Path(__file__).parent / "results"
TEMPERATURES = (0.05, 0.1, 0.2, 0.5, 1.0)
CRITERION = "backbone/class_accuracy"


def run(config: TrainConfig, folder: Path) -> dict[str, Any]:
    """One training run, or its results if it is finished; an unfinished one continues."""
    if not (folder / RESULTS).exists():
        prepare_folder(folder, {"epochs": config.epochs, "method": config.method}, resume=folder.exists())
        train(config, folder)
    print(f"{folder.name}: {read_results(folder)['cpu_seconds']:.0f} core-seconds", flush=True)
    return read_results(folder)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-root", type=Path, help="folder with Fashion-MNIST; default: download")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--tuning-epochs", type=int, default=12)
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    base = {"data": "fashion-mnist", "data_root": options.data_root, "limit": 10_000, "device": "cpu"}
    with ProcessPoolExecutor(
        options.workers, mp_context=multiprocessing.get_context("spawn"), initializer=one_thread
    ) as pool:
        tuning = {
            t: pool.submit(
                run,
                TrainConfig(**base, temperature=t, epochs=options.tuning_epochs, validation=0.1, seed=100),
                RUNS / f"tuning-tau-{t:g}",
            )
            for t in TEMPERATURES
        }
        final = {
            ("aninfonce", seed): pool.submit(
                run,
                TrainConfig(**base, objective="aninfonce", epochs=options.epochs, seed=seed),
                RUNS / f"aninfonce-seed-{seed}",
            )
            for seed in range(options.seeds)
        }
        scores = {t: future.result()["metrics"] for t, future in tuning.items()}
        temperature = max(scores, key=lambda t: scores[t][CRITERION])
        print(f"temperature {temperature:g}: {[(t, round(s[CRITERION], 4)) for t, s in scores.items()]}", flush=True)
        final |= {
            ("infonce", seed): pool.submit(
                run,
                TrainConfig(**base, temperature=temperature, epochs=options.epochs, seed=seed),
                RUNS / f"infonce-tau-{temperature:g}-seed-{seed}",
            )
            for seed in range(options.seeds)
        }
        results = {key: future.result() for key, future in final.items()}
    per_seed: dict[str, list[float]] = {}
    for (method, _), result in results.items():
        for name, value in {**result["metrics"], "cpu_seconds": result["cpu_seconds"]}.items():
            per_seed.setdefault(f"{method}/{name}", []).append(value)
    RESULT_FOLDER.mkdir(exist_ok=True)
    written = write_results(
        RESULT_FOLDER,
        {
            "name": "fashion-mnist",
            "epochs": options.epochs,
            "temperature": temperature,
            "tuning": {f"{t:g}": s for t, s in scores.items()},
            "metrics": {name: statistics.fmean(values) for name, values in per_seed.items()},
            "per_seed": per_seed,
        },
    )
    written.replace(RESULT_FOLDER / "fashion-mnist.json")
    for layer in ("backbone", "projector"):
        for measure in ("class_accuracy", "augmentation_r2", "augmentation_accuracy"):
            for method in ("infonce", "aninfonce"):
                values = per_seed[f"{method}/{layer}/{measure}"]
                spread = statistics.stdev(values) if len(values) > 1 else float("nan")
                print(f"{layer:10}{measure:24}{method:10}{statistics.fmean(values):.4f} ± {spread:.4f}")


if __name__ == "__main__":
    main()
