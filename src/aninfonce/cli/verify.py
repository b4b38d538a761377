"""`aninfonce verify`."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from aninfonce import report, verification
from aninfonce._extras import require
from aninfonce._folder import claimed
from aninfonce._progress import Progress
from aninfonce._runs import write_results
from aninfonce.cli._common import FailedError, finish

__all__ = ["verify"]


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
        seed: seed of all samples.
        quick: use a quarter of the sample sizes, which takes about half a minute.
        only: names of the statements to check; by default all.
        overwrite: replace the run that is in the output folder.
    """
    chosen = verification.select(only)
    config = {"command": "verify", "seed": seed, "quick": quick, "only": list(only)}
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
    with claimed(out, config, overwrite=overwrite, resume=None) as folder:
        folder.begin()
        try:
            with single_thread(), Progress(title, total=len(chosen)) as progress:
                for finding in verification.run(seed, quick=quick, statements=only):
                    findings.append(finding)
                    folder.commit()
                    progress.step(len(findings), f"{finding.statement.name}: {'holds' if finding.holds else 'FAILS'}")
        finally:  # also what an interrupted run has found
            write_results(out, results())
    finish(out, report.verification_table(results()), [])
    failed = [finding.statement.name for finding in findings if not finding.holds]
    if failed:
        raise FailedError(f"{len(failed)} of {len(findings)} statements fail: {', '.join(failed)}")


@contextmanager
def single_thread() -> Iterator[None]:
    """One thread for many small operations: more would mostly wait for each other, on a busy machine for minutes."""
    import torch  # here: the command's help does without

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with require("threadpoolctl", "app").threadpool_limits(1):
            yield
    finally:
        torch.set_num_threads(threads)
