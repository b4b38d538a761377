"""An experiment's runs side by side: every finished one is kept, and all are summed up."""

from __future__ import annotations

import math
import multiprocessing
import signal
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from threadpoolctl import threadpool_limits

from aninfonce._atomic import announce
from aninfonce._parent import end_with_parent
from aninfonce._runs import read_json, read_results, write_json, write_results
from aninfonce.experiments.reference import Reference, held_against
from aninfonce.experiments.task import Outcome, Place, Preparation, Task

__all__ = ["Job", "Result", "Study", "run_study"]


@dataclass(frozen=True)
class Study:
    """What an experiment runs, and what it is held against.

    Attributes:
        name: as on the command line.
        title: one line on what it shows.
        tasks: method -> its run. A method's name is part of file names: letters, digits, "-", "." only.
        seeds: every method runs once with each.
        references: published figures and promises of the theory.
        columns: the measures of the table, in this order.
        facts: what figures need besides the outcomes: true concentrations, the values along an axis, units.
        prepare: method -> a run that must be finished before the others start; once, with seed 0.
        once: method -> a run with the first seed only: what is costly, or only there to compare with.
    """

    name: str
    title: str
    tasks: Mapping[str, Task]
    seeds: tuple[int, ...]
    references: tuple[Reference, ...] = ()
    columns: tuple[str, ...] = ("r2", "cpu_seconds")
    facts: Mapping[str, Any] = field(default_factory=dict)
    prepare: Mapping[str, Task] = field(default_factory=dict)
    once: Mapping[str, Task] = field(default_factory=dict)

    def jobs(self) -> list[Job]:
        """Every (method, seed), seed by seed, so that an interrupted study has whole seeds; preparations first."""
        first = [Job(method, 0) for method in self.prepare]
        # The costly ones start early, so that they do not end alone.
        single = [Job(method, self.seeds[0]) for method in self.once]
        return first + single + [Job(method, seed) for seed in self.seeds for method in self.tasks]

    @property
    def methods(self) -> Mapping[str, Task]:
        """Every method's run, in the order of tables."""
        return {**self.prepare, **self.tasks, **self.once}

    def task(self, job: Job) -> Task:
        """What a job runs."""
        return self.methods[job.method]


@dataclass(frozen=True)
class Job:
    """One run of a study."""

    method: str
    seed: int

    @property
    def file(self) -> str:
        """The name of the file that keeps its outcome."""
        return f"{self.method}-seed-{self.seed}.json"


@dataclass(frozen=True)
class Result:
    """What a study found.

    Attributes:
        study: what was run.
        outcomes: the outcomes of the finished jobs.
        seconds: wall clock, of all calls that computed something.
    """

    study: Study
    outcomes: dict[Job, Outcome] = field(default_factory=dict)
    seconds: float = 0.0

    @property
    def complete(self) -> bool:
        """Whether every job has finished (those of an interrupted study have not)."""
        return len(self.outcomes) == len(self.study.jobs())

    def of(self, method: str) -> list[tuple[int, Outcome]]:
        """(seed, outcome) of one method's finished jobs, in the order of the seeds."""
        found = [(job.seed, outcome) for job, outcome in self.outcomes.items() if job.method == method]
        return sorted(found, key=lambda pair: pair[0])

    def per_seed(self) -> dict[str, list[float]]:
        """METHOD/MEASURE -> one number a finished seed."""
        table: dict[str, list[float]] = {}
        for method in self.study.methods:
            for _, outcome in self.of(method):
                for measure, value in outcome.metrics.items():
                    table.setdefault(f"{method}/{measure}", []).append(value)
        return table

    def metrics(self) -> dict[str, float]:
        """METHOD/MEASURE -> the mean over the finished seeds."""
        return {name: statistics.fmean(values) for name, values in self.per_seed().items()}

    def as_json(self) -> dict[str, Any]:
        """The content of `results.json`."""
        study, metrics = self.study, self.metrics()
        tasks = study.methods
        return {
            "name": study.name,
            "title": study.title,
            "config": {"methods": {method: asdict(task) for method, task in tasks.items()}},  # type: ignore[call-overload]
            "seeds": list(study.seeds),
            "complete": self.complete,
            "seconds": self.seconds,
            "cpu_seconds": sum(outcome.metrics["cpu_seconds"] for outcome in self.outcomes.values()),
            "metrics": metrics,
            "per_seed": self.per_seed(),
            "published": {r.name: r.value for r in study.references if r.source == "published"},
            "references": held_against(study.references, metrics),
            "columns": list(study.columns),
            "facts": dict(study.facts),
            "details": {m: [{"seed": s, **outcome.details} for s, outcome in self.of(m)] for m in tasks},
        }


def run_study(
    study: Study,
    out: Path,
    *,
    workers: int,
    device: str = "cpu",
    on_done: Callable[[Job, Outcome, Result], None] | None = None,
    on_warning: Callable[[str], None] | None = None,
) -> Result:
    """Run what is not yet done, in `workers` processes of one thread each, and write `results.json`.

    Arguments:
        study: what to run.
        out: existing folder; finished jobs are kept in `out/jobs` and not run again.
        workers: processes, at least 1.
        device: the device of every process.
        on_done: called after every finished job.
        on_warning: called with a line for every kept job whose file is damaged, and which is run again.

    Returns:
        The result. It is written also when an interrupt (Ctrl-C) or an error ends the study early.
    """
    if workers < 1:
        raise ValueError(f"workers must be at least 1, got {workers}")
    started = time.perf_counter()
    kept = out / "jobs"
    kept.mkdir(exist_ok=True)
    place = Place(device, kept)
    done = _finished(study, place, on_warning)
    before = _seconds(out)
    waiting = [job for job in study.jobs() if job not in done]
    for job in waiting:
        task = study.task(job)
        if isinstance(task, Preparation):  # its own process writes the file
            announce(kept / task.file)

    def result() -> Result:
        return Result(study, dict(done), before + (time.perf_counter() - started if waiting else 0.0))

    def keep(job: Job, outcome: Outcome) -> None:
        write_json(kept / job.file, asdict(outcome))
        done[job] = outcome
        if on_done is not None:
            on_done(job, outcome, result())

    # Processes are spawned: a fork would inherit torch's thread pools in an unknown state.
    pool = ProcessPoolExecutor(
        min(workers, max(1, len(waiting))), multiprocessing.get_context("spawn"), initializer=one_thread
    )
    try:
        for stage in (study.prepare, {**study.once, **study.tasks}):
            _run_all(pool, {job: study.task(job) for job in waiting if job.method in stage}, place, keep)
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
        if len(done) < len(study.jobs()):  # interrupted: what still runs is of no use to anybody
            for process in multiprocessing.active_children():
                process.terminate()
        found = result()
        write_results(out, found.as_json())
        if not done:
            with suppress(OSError):  # not empty: what a preparation has left
                kept.rmdir()
    return found


def _run_all(
    pool: ProcessPoolExecutor, tasks: Mapping[Job, Task], place: Place, keep: Callable[[Job, Outcome], None]
) -> None:
    """Run the tasks in the pool; `keep` each outcome as it comes."""
    running: dict[Future[Outcome], Job] = {pool.submit(task.run, job.seed, place): job for job, task in tasks.items()}
    while running:
        ready: Sequence[Future[Outcome]] = list(wait(running, return_when=FIRST_COMPLETED).done)
        for future in ready:
            keep(running.pop(future), future.result())


def _finished(study: Study, place: Place, on_warning: Callable[[str], None] | None) -> dict[Job, Outcome]:
    """The outcomes that are kept; a job whose file, or what it has prepared, is damaged is run again."""
    found: dict[Job, Outcome] = {}
    for job in study.jobs():
        if (place.folder / job.file).exists():
            try:
                task = study.task(job)
                if isinstance(task, Preparation):
                    task.check(place)
                found[job] = read_job(place.folder / job.file)
            except ValueError as error:
                if on_warning is not None:
                    on_warning(f"{error}; that run is done again")
    return found


def _seconds(out: Path) -> float:
    """What earlier calls have taken, as their results say; 0 where these are missing or damaged."""
    try:
        return float(read_results(out).get("seconds") or 0.0)
    except (ValueError, TypeError):  # the results are written anew in any case
        return 0.0


def read_job(path: Path) -> Outcome:
    """A finished job's outcome, from its file.

    Raises:
        ValueError: if the file is not one of ours.
    """
    content = read_json(path)
    if set(content) != {"metrics", "details"} or not all(isinstance(part, dict) for part in content.values()):
        raise ValueError(f"{path} is not the outcome of a run: expected objects metrics and details")
    numbers = content["metrics"].values()
    if not all(value is None or (isinstance(value, int | float) and type(value) is not bool) for value in numbers):
        raise ValueError(f"{path} is not the outcome of a run: its metrics must be numbers")
    # null in the file: a number that was not finite
    metrics = {name: math.nan if value is None else value for name, value in content["metrics"].items()}
    return Outcome(metrics, content["details"])


def one_thread() -> None:
    """One thread for everything in this process: the studies run one process a core."""
    # A parent that is killed cannot tidy up.
    end_with_parent()
    # Ctrl-C reaches the whole process group: the parent tidies up, a worker just ends, without a traceback.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    torch.set_num_threads(1)
    threadpool_limits(1)
