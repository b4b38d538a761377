"""How `losses.py` measures: CPU time interleaved, peak memory in fresh processes, errors against float64."""

from __future__ import annotations

import argparse
import copy
import ctypes
import json
import multiprocessing
import os
import random
import re
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from multiprocessing.connection import Connection
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from _losses_contenders import DIM, TEMPERATURE, Contender, Loss, contenders, two_views

SLICE = 0.04  # seconds of CPU time that a contender gets in a round, at least one call
TIMEOUT = 300  # seconds for one step, where memory is measured
ACCURACY_BATCH = 1500  # no multiple of a block
ACCURACY_CONCENTRATION = 100.0


def make_step(loss: Loss, batch: int) -> Callable[[], None]:
    """A function that does one forward and one backward pass; the gradients of the step before are dropped."""
    u, v = two_views(batch)
    leaves = [u, v, *_parameters(loss)]

    def step() -> None:
        for leaf in leaves:
            leaf.grad = None
        loss(u, v).backward()

    return step


def _parameters(loss: object) -> list[Tensor]:
    return list(loss.parameters()) if isinstance(loss, torch.nn.Module) else []


def time_interleaved(
    steps: Mapping[str, Callable[[], object]], rounds: int, seconds: float
) -> dict[str, tuple[float, float, int]]:
    """Minimum and median CPU seconds of a call, and the number of calls.

    Every round goes through all contenders, so that a busy moment of the machine hits all of them alike, each time in
    another order, since a contender leaves caches and allocator to the next in its own state. A contender that has used
    up its `seconds` drops out.
    """
    order = random.Random(0)
    calls, times = {}, {}
    for name, step in steps.items():
        once = _time(step)
        calls[name] = max(1, round(SLICE / max(once, 1e-5)))
        times[name] = [once] if once > 1 else []  # first calls of short ones are not representative
    for _ in range(rounds):
        for name, step in order.sample(list(steps.items()), len(steps)):
            if sum(times[name]) < seconds:
                times[name] += [_time(step) for _ in range(calls[name])]
    return {name: (min(t), statistics.median(t), len(t)) for name, t in times.items()}


def _time(step: Callable[[], object]) -> float:
    start = time.process_time()
    step()
    return time.process_time() - start


def peak_memory(contender: Contender, batches: Sequence[int], limit_gb: float) -> Iterator[dict[str, object]]:
    """For each batch `{"peak_mb": …}` of one step beyond what was held before it, or with `{"note": why not}`."""
    # A process for the contender, which forks one for each batch: the peak of a shared one would be the largest.
    command = [sys.executable, __file__, contender.key, str(limit_gb), *map(str, batches)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        for batch in batches:
            line = process.stdout.readline()
            yield json.loads(line) if line else {"batch": batch, "peak_mb": None, "note": "fails: see the error above"}


def available_gb() -> float:
    """Free memory in GB where the system says; otherwise unlimited."""
    try:
        kilobytes = re.search(r"MemAvailable:\s+(\d+) kB", Path("/proc/meminfo").read_text()).group(1)
    except OSError:
        return float("inf")
    return int(kilobytes) / 1e6


def _status(field: str) -> int:
    """A field of /proc/self/status, in bytes."""
    return int(re.search(rf"{field}:\s+(\d+) kB", Path("/proc/self/status").read_text()).group(1)) * 1024


def peak_of(step: Callable[[], object]) -> int:
    """Peak resident bytes during `step` minus those before it."""
    if not Path("/proc/self/clear_refs").exists():  # not Linux: the peak of the whole process so far
        unit = 1 if sys.platform == "darwin" else 1024
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        step()
        return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * unit
    # Memory that the allocator keeps for reuse would hide what the step needs.
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
    before = _status("VmRSS")
    step()
    return _status("VmHWM") - before


def _measure_memory(loss: Loss, batch: int, limit_gb: float, result: Connection) -> None:
    """Send what `peak_memory` gives for one batch; runs in a process of its own."""
    make_step(loss, 64)()
    step = make_step(loss, batch)
    if Path("/proc/self/status").exists():
        limit = _status("VmSize") + int(limit_gb * 1e9)
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    try:
        result.send({"peak_mb": peak_of(step) / 1e6})
    except (MemoryError, RuntimeError) as error:
        if "alloc" not in str(error).lower() and not isinstance(error, MemoryError):
            raise
        asked = re.search(r"tried to allocate (\d+) bytes", str(error))
        detail = f", one tensor of {int(asked.group(1)) / 1e9:.0f} GB" if asked else ""
        result.send({"peak_mb": None, "note": f"fails: out of memory{detail}"})


def _measure_batches(key: str, batches: Sequence[int], limit_gb: float) -> None:
    """Print a line of JSON for each batch; what would take more than the limit is not run."""
    torch.set_num_threads(1)
    contender = next(c for c in contenders() if c.key == key)
    loss = contender.make(TEMPERATURE)
    fork = multiprocessing.get_context("fork")  # the children share the imports, which take seconds
    last: tuple[int, float] | None = None
    for batch in batches:
        expected = last[1] / 1e3 * (batch / last[0]) ** (3 if contender.cubic else 2) if last else 0.0
        # Trying would take the memory from whatever else runs here, before it fails.
        found: dict[str, object] = {"peak_mb": None, "note": f"needs about {expected:,.0f} GB"}
        if expected <= limit_gb:
            ours, theirs = fork.Pipe(duplex=False)
            child = fork.Process(target=_measure_memory, args=(loss, batch, limit_gb, theirs))
            child.start()
            theirs.close()
            try:
                found = ours.recv() if ours.poll(TIMEOUT) else {"peak_mb": None, "note": f"over {TIMEOUT} s"}
            except EOFError:
                child.join()
                found = {"peak_mb": None, "note": f"fails: exit code {child.exitcode}"}
            child.kill()
            child.join()
        if found["peak_mb"] is not None:
            last = (batch, found["peak_mb"])
        print(json.dumps({"batch": batch, **found}), flush=True)


def _cap(seed: int = 0) -> tuple[Tensor, Tensor]:
    """Two views on a cap of about 11 degrees around one direction, on the sphere up to rounding."""
    generator = torch.Generator().manual_seed(seed)

    def noise(*shape: int) -> Tensor:
        return torch.randn(*shape, DIM, generator=generator) / DIM**0.5

    u = F.normalize(F.normalize(noise(), dim=-1) + 0.2 * noise(ACCURACY_BATCH), dim=-1)
    return u, F.normalize(u + 0.1 * noise(ACCURACY_BATCH), dim=-1)


def _reference(u: Tensor, v: Tensor, concentration: Tensor, negatives: str) -> Tensor:
    """The loss from the differences of all pairs and logsumexps, as in the definition."""
    root = concentration.sqrt()
    x, y = F.normalize(u, dim=-1) * root, F.normalize(v, dim=-1) * root

    def similarities(a: Tensor, b: Tensor) -> Tensor:
        return -torch.cdist(a, b, compute_mode="donot_use_mm_for_euclid_dist").square()

    across = similarities(x, y)
    rows, columns = [across], [across.T]
    if negatives == "both":
        own = torch.eye(len(u), dtype=torch.bool)
        rows.append(similarities(x, x).masked_fill(own, -torch.inf))
        columns.append(similarities(y, y).masked_fill(own, -torch.inf))
    positive = across.diagonal()
    return sum((torch.cat(s, 1).logsumexp(1) - positive).mean() for s in (rows, columns)) / 2


def what_is_wrong(contender: Contender) -> str | None:
    """Why the contender cannot be compared, or None: it must import, and compute the same loss as the others."""
    try:
        loss = contender.make(TEMPERATURE)
    except ImportError as error:
        return f"does not import: {error}"
    u, v = two_views(64)
    concentration = contender.concentration or 0.5 / TEMPERATURE
    expected = _reference(u.double(), v.double(), u.new_full((DIM,), concentration).double(), contender.negatives)
    found = loss(u, v)
    if abs(found.item() - expected.item()) <= 1e-4 * abs(expected.item()):
        return None
    return f"computes another loss: {found.item():.5g}, expected {expected.item():.5g}"


def errors(contender: Contender) -> dict[str, float | None]:
    """Largest relative errors in float32 of the value and the gradients: max |g - g64| / max |g64| a tensor."""
    from aninfonce.objectives import AnInfoNCE, InfoNCE  # not where a peer's memory is measured

    loss = contender.make(0.5 / ACCURACY_CONCENTRATION)
    if isinstance(loss, AnInfoNCE):  # no two values of Λ̂ alike
        loss = AnInfoNCE(
            DIM, torch.linspace(0.5, 1.5, DIM) * ACCURACY_CONCENTRATION, negatives_from=contender.negatives
        )
    u, v = (view.requires_grad_() for view in _cap())
    value = loss(u, v)
    value.backward()

    # The same numbers in float64: what the rounding of τ or Λ̂ itself does is no error of the loss.
    exact_u, exact_v = (view.detach().double().requires_grad_() for view in (u, v))
    exact = copy.deepcopy(loss).double() if isinstance(loss, AnInfoNCE | InfoNCE) else None
    for parameter in _parameters(exact):
        parameter.grad = None
    if isinstance(exact, AnInfoNCE):
        concentration = exact.concentration
    elif isinstance(exact, InfoNCE):
        concentration = (0.5 / exact.temperature).expand(DIM)
    else:
        concentration = torch.full((DIM,), ACCURACY_CONCENTRATION, dtype=torch.float64)
    expected = _reference(exact_u, exact_v, concentration, contender.negatives)
    expected.backward()

    def relative(found: Tensor, right: Tensor) -> float:
        return float((found.detach().double() - right.detach()).abs().max() / right.detach().abs().max())

    result: dict[str, float | None] = {
        "value_error": relative(value, expected),
        "u_error": relative(u.grad, exact_u.grad),
        "v_error": relative(v.grad, exact_v.grad),
        "parameter_error": None,
    }
    pairs = list(zip(_parameters(loss), _parameters(exact), strict=True)) if exact is not None else []
    if pairs:
        result["parameter_error"] = max(relative(p.grad, e.grad) for p, e in pairs)
    found = [error for error in result.values() if error is not None]
    result["largest_error"] = max(found) if all(error == error for error in found) else float("nan")
    return result


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Peak memory of one contender, as JSON; `losses.py` calls this.")
    parser.add_argument("key")
    parser.add_argument("limit_gb", type=float)
    parser.add_argument("batches", type=int, nargs="+")
    arguments = parser.parse_args()
    _measure_batches(arguments.key, arguments.batches, arguments.limit_gb)
