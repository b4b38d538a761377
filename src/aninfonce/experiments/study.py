"""Run many recoveries side by side, keep every finished one, and sum them up."""

from __future__ import annotations

import multiprocessing
import signal
import statistics
import time
from collections.abc import Callable, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from threadpoolctl import threadpool_limits

from aninfonce._runs import read_json, write_json, write_results
from aninfonce.experiments.recovery import Mixing, Recipe, Recovery, recover

__all__ = ["Job", "Result", "Study", "run_study"]


@dataclass(frozen=True)
class Study:
    """An experiment on known latents: one mixing law, several methods, several seeds.

    Attributes:
        name: as on the command line.
        title: one line on what it shows.
        mixing: the data-generating process.
        methods: name -> how it trains.
        groups: named groups of latents, for R² of each.
        published: METHOD/MEASURE -> the paper's figure.
        seeds: mixings; each is drawn from its seed.
    """

    name: str
    title: str
    mixing: Mixing
    methods: Mapping[str, Recipe]
    groups: Mapping[str, list[int]]
    published: Mapping[str, float]
    seeds: tuple[int, ...]

    def jobs(self) -> list[Job]:
        """Every (method, seed), seed by seed, so that an interrupted study has whole seeds."""
        return [Job(method, seed) for seed in self.seeds for method in self.methods]


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
        recoveries: the finished jobs.
        seconds: wall clock of this call.
        complete: whether every job is finished (an interrupted study is not).
    """

    study: Study
    recoveries: dict[Job, Recovery] = field(default_factory=dict)
    seconds: float = 0.0

    @property
    def complete(self) -> bool:
        """Whether every job has finished."""
        return len(self.recoveries) == len(self.study.jobs())

    def of(self, method: str) -> list[tuple[int, Recovery]]:
        """(seed, recovery) of one method's finished jobs, in the order of the seeds."""
        return [(job.seed, r) for job, r in sorted(self.recoveries.items(), key=_seed) if job.method == method]

    def per_seed(self) -> dict[str, list[float]]:
        """METHOD/MEASURE -> one number a finished seed."""
        table: dict[str, list[float]] = {}
        for method in self.study.methods:
            for _, recovery in self.of(method):
                for measure, value in recovery.metrics.items():
                    table.setdefault(f"{method}/{measure}", []).append(value)
        return table

    def metrics(self) -> dict[str, float]:
        """METHOD/MEASURE -> the mean over the finished seeds."""
        return {name: statistics.fmean(values) for name, values in self.per_seed().items()}

    def as_json(self) -> dict[str, Any]:
        """The content of `results.json`."""
        study = self.study
        return {
            "name": study.name,
            "config": {"mixing": asdict(study.mixing), "methods": {m: asdict(r) for m, r in study.methods.items()}},
            "seeds": list(study.seeds),
            "complete": self.complete,
            "seconds": self.seconds,
            "cpu_seconds": sum(r.metrics["cpu_seconds"] for r in self.recoveries.values()),
            "metrics": self.metrics(),
            "per_seed": self.per_seed(),
            "published": dict(study.published),
            "true_concentration": list(study.mixing.concentration),
            "curves": {m: [{"seed": s, **r.curve} for s, r in self.of(m)] for m in study.methods},
            "concentrations": {m: [r.matched for _, r in self.of(m)] for m in study.methods},
        }


def _seed(item: tuple[Job, Recovery]) -> int:
    return item[0].seed


def run_study(
    study: Study,
    out: Path,
    *,
    workers: int,
    device: str = "cpu",
    on_done: Callable[[Job, Recovery, Result], None] | None = None,
) -> Result:
    """Run what is not yet done, in `workers` processes of one thread each, and write `results.json`.

    Arguments:
        study: what to run.
        out: existing folder; finished jobs are kept in `out/jobs` and not run again.
        workers: processes, at least 1.
        device: of every process.
        on_done: called after every finished job.

    Returns:
        The result. It is written also when an interrupt (Ctrl-C) or an error ends the study early.
    """
    if workers < 1:
        raise ValueError(f"workers must be at least 1, got {workers}")
    started = time.perf_counter()
    kept = out / "jobs"
    kept.mkdir(exist_ok=True)
    done = {job: read_job(kept / job.file) for job in study.jobs() if (kept / job.file).exists()}
    # Processes are spawned: a fork would inherit torch's thread pools in an unknown state.
    pool = ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn"), initializer=one_thread)
    groups = {name: list(index) for name, index in study.groups.items()}

    def result() -> Result:
        return Result(study, dict(done), time.perf_counter() - started)

    try:
        waiting: dict[Future[Recovery], Job] = {
            pool.submit(recover, study.mixing, study.methods[job.method], job.seed, groups, None, device): job
            for job in study.jobs()
            if job not in done
        }
        while waiting:
            for future in wait(waiting, return_when=FIRST_COMPLETED).done:
                job = waiting.pop(future)
                done[job] = future.result()
                write_json(kept / job.file, asdict(done[job]))
                if on_done is not None:
                    on_done(job, done[job], result())
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
        if len(done) < len(study.jobs()):  # interrupted: what still runs is of no use to anybody
            for process in multiprocessing.active_children():
                process.terminate()
        write_results(out, result().as_json())
    return result()


def read_job(path: Path) -> Recovery:
    """A finished job's outcome, from its file."""
    return Recovery(**read_json(path))


def one_thread() -> None:
    """One thread for everything in this process: the studies run one process a core."""
    # Ctrl-C reaches the whole process group: the parent tidies up, a worker just ends, without a traceback.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    torch.set_num_threads(1)
    threadpool_limits(1)
