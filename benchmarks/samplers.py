"""CPU time of the samplers on the sphere, one thread: `python benchmarks/samplers.py`.

The repeats of all cases are interleaved, so that a busy moment of the machine hits all of them alike; the median over
the repeats is reported. Λ is the paper's, without a factor 1/2: "2.5 / 12.5" are noise precisions of 5 and 25.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from aninfonce.distributions import (
    AnisotropicSpherical,
    ApproximateAnisotropicSpherical,
    HypersphericalUniform,
    VonMisesFisher,
    _rejection,
)

LEVELS = ((2.5, 12.5), (5.0, 25.0))


@dataclass
class Case:
    sampler: str
    dim: int
    concentration: str
    batch: int
    draw: Callable[[], Tensor]
    acceptance: float | None
    calls: int = 1
    speeds: list[float] = field(default_factory=list)  # samples a second
    failure: str | None = None

    def time(self, calls: int) -> float:
        start = time.process_time()
        for _ in range(calls):
            self.draw()
        return time.process_time() - start

    def prepare(self, seconds: float) -> None:
        """Warm up, and choose how many calls make up `seconds` of CPU time."""
        try:
            self.draw()
            once = max(self.time(1), 1e-5)
        except RuntimeError as error:
            self.failure = str(error)
            return
        self.calls = max(1, round(seconds / once))

    def repeat(self) -> None:
        if self.failure is None:
            self.speeds.append(self.calls * self.batch / self.time(self.calls))


def exact_acceptance(z: Tensor, concentration: Tensor, generator: torch.Generator) -> float:
    row = concentration[None]
    envelope = _rejection._envelope(z, row, _rejection._typical_shift(row))
    log_accept = _rejection._propose(envelope, torch.arange(len(z)), 4, z.dtype, generator)[3]
    return float(log_accept.exp().mean())


def approximate_acceptance(z: Tensor, concentration: Tensor, tolerance: float, generator: torch.Generator) -> float:
    x = z + torch.randn(200, *z.shape, generator=generator) / torch.sqrt(2 * concentration)
    return float(((x.norm(dim=-1) - 1).abs() <= tolerance).double().mean())


def make_cases(batch: int, generator: torch.Generator) -> list[Case]:
    cases = []
    for dim in (3, 10, 20, 50):
        z = HypersphericalUniform(dim).sample((batch,), generator=generator)
        for low, high in LEVELS:
            concentration = torch.tensor([high] * (dim // 2) + [low] * (dim - dim // 2))
            name = f"{low:g} / {high:g}"
            # The distribution is built anew for every batch, as a training loop does.
            for rows in (512, batch):
                cases.append(
                    Case(
                        sampler="exact",
                        dim=dim,
                        concentration=name,
                        batch=rows,
                        draw=lambda z=z[:rows], c=concentration: AnisotropicSpherical(z, c).sample(generator=generator),
                        acceptance=exact_acceptance(z, concentration, generator),
                    )
                )
            few = z[:256]  # its acceptance may be tiny
            cases.append(
                Case(
                    sampler="approximate",
                    dim=dim,
                    concentration=name,
                    batch=256 if dim > 10 else batch,
                    draw=lambda z=few if dim > 10 else z, c=concentration: ApproximateAnisotropicSpherical(z, c).sample(
                        generator=generator
                    ),
                    acceptance=approximate_acceptance(few, concentration, 0.1, generator),
                )
            )
        cases.append(
            Case(
                sampler="von Mises–Fisher",
                dim=dim,
                concentration="κ = 10",
                batch=batch,
                draw=lambda z=z: VonMisesFisher(z, torch.tensor(10.0)).sample(generator=generator),
                acceptance=None,
            )
        )
    return cases


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=8192, help="rows of the large batches (default: %(default)s)")
    parser.add_argument("--repeats", type=int, default=5, help="interleaved repeats (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=0.1, help="CPU time of one repeat (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "samplers.json")
    arguments = parser.parse_args()

    torch.set_num_threads(1)
    cases = make_cases(arguments.batch, torch.Generator().manual_seed(arguments.seed))
    for case in cases:
        case.prepare(arguments.seconds)
    for _ in range(arguments.repeats):
        for case in cases:
            case.repeat()

    rows = []
    print(f"{'sampler':<18}{'d':>4}  {'Λ':<12}{'batch':>6}{'acceptance':>12}{'samples/s':>12}  (slowest to fastest)")
    for case in cases:
        speed = statistics.median(case.speeds) if case.speeds else None
        shown = "hopeless" if speed is None else f"{speed:,.0f}"
        span = f"{min(case.speeds):,.0f} to {max(case.speeds):,.0f}" if case.speeds else ""
        acceptance = "" if case.acceptance is None else f"{case.acceptance:.2g}"
        head = f"{case.sampler:<18}{case.dim:>4}  {case.concentration:<12}{case.batch:>6}"
        print(f"{head}{acceptance:>12}{shown:>12}  {span}")
        rows.append(
            {
                "sampler": case.sampler,
                "dim": case.dim,
                "concentration": case.concentration,
                "batch": case.batch,
                "acceptance": case.acceptance,
                "samples_per_second": speed,
                "repeats": case.speeds,
                "failure": case.failure,
            }
        )
    result = {
        "torch": torch.__version__,
        "python": platform.python_version(),
        "processor": platform.machine(),
        "threads": torch.get_num_threads(),
        "seed": arguments.seed,
        "cases": rows,
    }
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(result, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    print(f"written to {arguments.out}")


if __name__ == "__main__":
    main()
