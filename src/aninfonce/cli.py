"""The command line: one function a command; tyro makes flags of its arguments and help of its docstring.

Exit codes: 0 done, 1 the computation failed or a statement of the theory was refuted, 2 a setting or a file is not as
it must be, 130 interrupted (Ctrl-C).
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from aninfonce import report, verification
from aninfonce._checks import nearest_name
from aninfonce._extras import MissingExtraError, require
from aninfonce._progress import Progress
from aninfonce._runs import RESULTS, prepare_folder, read_results, write_results
from aninfonce.data import ImageDataset
from aninfonce.experiments import EXPERIMENTS, Job, Recovery, Result, run_study
from aninfonce.training import EpochRecord, TrainConfig
from aninfonce.training import train as train_encoder

if TYPE_CHECKING:
    from rich.table import Table

__all__ = ["main"]


@dataclass(frozen=True)
class TrainFlags(TrainConfig):
    """The settings as the parser makes them: not checked yet, so that a bad one is reported in our one line."""

    def __post_init__(self) -> None:
        """Leave the checks to `checked`."""

    def checked(self) -> TrainConfig:
        """The settings, or ValueError."""
        return TrainConfig(**{field.name: getattr(self, field.name) for field in fields(self)})


class StatementError(Exception):
    """A statement of the theory that its check refutes."""


def reproduce(
    name: str,
    out: Path | None = None,
    seeds: int = 1,
    seed: int = 0,
    steps: int | None = None,
    workers: int | None = None,
    device: str = "cpu",
    overwrite: bool = False,
    resume: bool = False,
) -> None:
    """Run an experiment of the paper on latents that are known, and hold it against the published figure.

    Args:
        name: content-style (half of the latents hardly vary within a pair, half strongly) or linear-spectrum (every
            latent varies to its own extent).
        out: folder for results.json, the figure (PNG and SVG) and every finished run; default runs/NAME.
        seeds: number of random mixings; they run side by side on the cores there are.
        seed: the first mixing's seed; the others count up from it.
        steps: optimiser steps; default: the experiment's own, with which it meets its bars.
        workers: processes; default: one a core.
        device: cpu, or cuda.
        overwrite: replace a run that is in the output folder.
        resume: continue a run that is in the output folder (also with more seeds); what is done is not done again.
    """
    experiment = EXPERIMENTS[nearest_name("experiment", name, EXPERIMENTS)]
    if seeds < 1:
        raise ValueError(f"seeds must be at least 1, got {seeds}")
    if workers is not None and workers < 1:
        raise ValueError(f"workers must be at least 1, got {workers}")
    nearest_name("device", device, ("cpu", "cuda"))
    config = experiment(seeds=seeds, first_seed=seed)
    if steps is not None:
        config = replace(config, steps=steps)
    study = config.study()
    folder = out or Path("runs") / name
    settings = {key: value for key, value in asdict(config).items() if key not in ("seeds", "first_seed")}
    prepare_folder(folder, {"command": "reproduce", "name": name, **settings}, overwrite=overwrite, resume=resume)
    with Progress(f"{name}: {study.title}", total=len(study.jobs())) as progress:

        def on_done(job: Job, recovery: Recovery, result: Result) -> None:
            scores = ", ".join(f"{k} {recovery.metrics[k]:.3f}" for k in ("r2_content", "r2_style", "loss"))
            progress.step(len(result.recoveries), f"{job.method} seed {job.seed}: {scores}")

        result = run_study(
            study, folder, workers=cores() if workers is None else workers, device=device, on_done=on_done
        )
    finish(folder, report.study_table(result.as_json()), report.study_figure(result.as_json(), folder))


def train(
    flags: TrainFlags,
    out: Path | None = None,
    overwrite: bool = False,
    resume: bool = False,
) -> None:
    """Train an encoder on images, then read classes and augmentation parameters from backbone and projector.

    Args:
        flags: the settings.
        out: folder for results.json, the weights and the figure; default runs/DATA-METHOD-seed-SEED.
        overwrite: replace a run that is in the output folder.
        resume: continue a run that is in the output folder.
    """
    config = flags.checked()
    source = config.data.replace(":", "-").replace("/", "-")
    folder = out or Path("runs") / f"{source}-{config.method}-seed-{config.seed}"
    prepare_folder(folder, {"command": "train", **asdict(config)}, overwrite=overwrite, resume=resume)
    with Progress(f"{config.method} on {config.data}") as progress:

        def on_data(dataset: ImageDataset) -> None:
            for path, reason in dataset.skipped:
                progress.say(f"skipped {path}: {reason}")
            skipped = f", {len(dataset.skipped)} skipped as unreadable" if dataset.skipped else ""
            progress.say(f"{len(dataset.train)} training and {len(dataset.test)} test images{skipped}")

        def on_step(step: int, steps: int, loss: float) -> None:
            progress.step(step, f"loss {loss:.3f}", total=steps, aloud=False)

        def on_epoch(record: EpochRecord) -> None:
            progress.say(
                f"epoch {record.epoch}/{config.epochs}: loss {record.loss:.3f}, Hit@1 {record.hit_at_1:.2f}, "
                f"effective rank {record.effective_rank:.1f}, {record.images_per_second:.0f} images/s",
                quiet=True,
            )

        result = train_encoder(config, folder, on_data=on_data, on_step=on_step, on_epoch=on_epoch)
    finish(folder, report.training_table(result.as_json()), report.training_figure(result.as_json(), folder))


def compare(
    runs: tuple[Path, ...],
    out: Path = Path("runs/compare"),
    overwrite: bool = False,
) -> None:
    """Put training runs side by side; runs that differ in nothing but their seed are averaged.

    Args:
        runs: folders of training runs.
        out: folder for results.json and the figure (PNG and SVG).
        overwrite: replace a comparison that is in the output folder.
    """
    if not runs:
        raise ValueError("name at least one folder of a training run")
    summary = report.summarize([read_results(run) for run in runs])
    prepare_folder(out, {"command": "compare", "runs": [str(run) for run in runs]}, overwrite=overwrite, resume=None)
    per_seed = {f"{setting}/{name}": values for setting, found in summary.items() for name, values in found.items()}
    means = {name: sum(values) / len(values) for name, values in per_seed.items()}
    write_results(out, {"name": "compare", "runs": [str(r) for r in runs], "metrics": means, "per_seed": per_seed})
    finish(out, report.compare_table(summary), report.compare_figure(summary, out))


def verify(
    out: Path = Path("runs/verify"),
    seed: int = 0,
    quick: bool = False,
    only: tuple[str, ...] = (),
    overwrite: bool = False,
) -> None:
    """Check every statement of the theory numerically, in about two minutes; exit code 1 if one fails.

    Args:
        out: folder for results.json.
        seed: of all samples.
        quick: a quarter of the sample sizes: about half a minute.
        only: names of the statements to check; default: all.
        overwrite: replace a run that is in the output folder.
    """
    chosen = verification.select(only)
    config = {"command": "verify", "seed": seed, "quick": quick, "only": list(only)}
    prepare_folder(out, config, overwrite=overwrite, resume=None)
    started, cpu_started = time.perf_counter(), time.process_time()
    findings: list[verification.Finding] = []

    def results() -> dict[str, Any]:
        return {
            "name": "verify",
            "config": config,
            "seed": seed,
            "complete": len(findings) == len(chosen),
            "seconds": time.perf_counter() - started,
            "cpu_seconds": time.process_time() - cpu_started,
            **verification.as_json(findings),
        }

    title = "verify: every statement of the theory, with an oracle encoder"
    try:
        with single_thread(), Progress(title, total=len(chosen)) as progress:
            for finding in verification.run(seed, quick=quick, statements=only):
                findings.append(finding)
                progress.step(len(findings), f"{finding.statement.name}: {'holds' if finding.holds else 'FAILS'}")
    finally:  # also what an interrupted run has found
        write_results(out, results())
    finish(out, report.verification_table(results()), [])
    failed = [finding.statement.name for finding in findings if not finding.holds]
    if failed:
        raise StatementError(f"{len(failed)} of {len(findings)} statements fail: {', '.join(failed)}")


@contextmanager
def single_thread() -> Iterator[None]:
    """One thread for many small operations: more would mostly wait for each other, on a busy machine for minutes."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with require("threadpoolctl", "app").threadpool_limits(1):
            yield
    finally:
        torch.set_num_threads(threads)


def finish(folder: Path, table: Table, pictures: list[Path]) -> None:
    """The end of every command: the table, and where everything lies."""
    console = require("rich.console", "app").Console()
    if not console.is_terminal:
        console.width = 160  # a log file has no width: do not fold the table
    console.print()
    console.print(table)
    for path in [*pictures, folder / RESULTS]:
        console.print(str(path), soft_wrap=True)


def cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def main(arguments: list[str] | None = None) -> None:
    """Run a command and leave with its exit code.

    Arguments:
        arguments: the command line without the program's name; default: the process's own.
    """
    sys.exit(run(sys.argv[1:] if arguments is None else arguments))


def run(arguments: list[str]) -> int:
    """Run a command; returns its exit code."""
    try:
        tyro: Any = require("tyro", "app")
        tyro.extras.subcommand_cli_from_dict(
            {"reproduce": reproduce, "train": train, "compare": compare, "verify": verify},
            prog="aninfonce",
            description="What does a contrastive encoder throw away, and how to keep it.",
            args=arguments,
            config=(tyro.conf.OmitArgPrefixes, tyro.conf.PositionalRequiredArgs),
        )
    except (ValueError, TypeError, MissingExtraError, OSError) as error:
        if sys.flags.dev_mode:  # python -X dev -m aninfonce …: the whole traceback
            raise
        print(f"error: {error}", file=sys.stderr)
        return 2
    except (ArithmeticError, StatementError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted; what was computed is in the output folder: reproduce and train --resume", file=sys.stderr)
        return 130
    return 0
