"""How often the checks ring by themselves: on the true latents, with nothing broken and with one thing broken."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from scipy.stats import binomtest
from torch import Tensor

from aninfonce.experiments.experiment import Experiment
from aninfonce.experiments.gap.checks import CHECKS, LEVEL, fitted, p_values, rejection_rates
from aninfonce.experiments.gap.world import World
from aninfonce.experiments.reference import Reference
from aninfonce.experiments.study import Study
from aninfonce.experiments.task import Outcome, Place

__all__ = ["AssumptionChecks", "PowerTask", "repetitions_of"]

# How often each family runs, relative to the others: the slow ones less often.
SHARES: Mapping[str, float] = {"marginal": 2.0, "shape": 1.0, "symmetry": 1.0, "first_side": 1.0, "odds": 0.6}
FAMILY_OF = {
    "rayleigh": "marginal",
    "bingham": "marginal",
    "conditional_shape": "shape",
    "symmetry": "symmetry",
    "stationarity": "first_side",
    "information_matrix": "odds",
    "cross_terms": "odds",
}

PLAIN = 1500  # pairs in a sample, from which on the plain degrees are to be noticed

# Violation -> its label, the check that is meant for it, and its degrees from slight to plain.
VIOLATIONS: Mapping[str, tuple[str, str, tuple[float, ...]]] = {
    "lean": ("marginal: one side, κ", "rayleigh", (0.5, 1.0)),
    "axes": ("marginal: two axes, stretch", "bingham", (1.1, 1.3)),
    "tails": ("heavier tails, ν", "information_matrix", (16.0, 4.0)),
    "drift": ("Λ by the side, ratio", "stationarity", (1.3, 2.0)),
    "push": ("positives pushed, by", "symmetry", (0.05, 0.15)),
    "turn": ("axes turned, degrees", "cross_terms", (10.0, 30.0)),
}


def repetitions_of(family: str, rows: int, repetitions: int, fewest_rows: int) -> int:
    """How often a family of checks runs on samples of so many rows: what takes time with the rows, less often."""
    scale = 1.0 if family == "marginal" else fewest_rows / rows
    return max(1, round(repetitions * SHARES[family] * scale))


@dataclass(frozen=True)
class PowerTask:
    """Rejection rates at level .05 of every check on pairs of latents, as a perfect encoder would return them.

    Measures of the outcome: "CHECK_ROWS". Details: "intervals", exact 95 % confidence intervals, and "repetitions".

    Attributes:
        world: what the pairs are drawn from.
        turn: angle in degrees by which the first content axis is turned towards the first style axis.
        sizes: numbers of pairs in a sample, ascending.
        repetitions: number of repetitions of a check of average cost at the smallest size, see `repetitions_of`.
        fit_rows: other pairs, that Λ̂ is fitted to.
    """

    world: World
    turn: float = 0.0
    sizes: tuple[int, ...] = (500, 1500)
    repetitions: int = 80
    fit_rows: int = 10_000

    def run(self, seed: int, place: Place) -> Outcome:
        """Draw, check, count; on the CPU, wherever the place is."""
        started = time.process_time()
        rng = torch.Generator().manual_seed(seed)
        fit = fitted(*self._draw(self.fit_rows, rng))
        concentration = None if fit is None else fit.concentration
        numbers: dict[str, float] = {}
        intervals: dict[str, list[float]] = {}
        counts: dict[str, int] = {}
        for n in self.sizes:
            often = {family: repetitions_of(family, n, self.repetitions, self.sizes[0]) for family in SHARES}
            samples = [
                p_values(*self._draw(n, rng), concentration, number, [f for f in SHARES if number < often[f]])
                for number in range(max(often.values()))
            ]
            for check, rate in rejection_rates(samples).items():
                known = sum(not math.isnan(sample.get(check, math.nan)) for sample in samples)
                name = f"{check}_{n}"
                numbers[name], counts[name] = rate, known
                if known:
                    interval = binomtest(round(rate * known), known).proportion_ci(0.95)
                    intervals[name] = [float(interval.low), float(interval.high)]
        numbers["cpu_seconds"] = time.process_time() - started
        return Outcome(numbers, {"intervals": intervals, "repetitions": counts})

    def _draw(self, n: int, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        """n pairs of latents, turned."""
        u, v = self.world.pairs(torch.nn.Identity(), dtype=torch.float64).latent_pairs(n, rng)
        return self._turned(u), self._turned(v)

    def _turned(self, z: Tensor) -> Tensor:
        content, style = self.world.singled
        angle, turned = math.radians(self.turn), z.clone()
        turned[:, content] = math.cos(angle) * z[:, content] - math.sin(angle) * z[:, style]
        turned[:, style] = math.sin(angle) * z[:, content] + math.cos(angle) * z[:, style]
        return turned


@dataclass(frozen=True, kw_only=True)
class AssumptionChecks(Experiment):
    """The experiment's settings.

    The latents themselves are the embedding, so that only what is broken on purpose can ring. The test of stationarity
    is told which side to compare.

    Attributes:
        sizes: numbers of pairs in a sample, ascending, at least one.
        repetitions: number of repetitions of a check of average cost at the smallest size, at least 10; twice as many
            where nothing is
            broken.
        slight: whether to run the slight degrees too, or the plain ones only.

    Raises:
        ValueError: if there is no size, the sizes do not ascend, or there are too few repetitions.
    """

    name: ClassVar[str] = "assumption-checks"
    shows: ClassVar[str] = "power and false alarms of the checks of the theory's assumptions"
    core_seconds: ClassVar[tuple[float, float]] = (350.0, 25.0)

    sizes: tuple[int, ...] = (500, 1500)
    repetitions: int = 80
    slight: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.sizes or list(self.sizes) != sorted(set(self.sizes)):
            raise ValueError(f"sizes must ascend and hold at least one number of pairs, got {self.sizes}")
        if self.repetitions < 10:
            raise ValueError(f"repetitions must be at least 10, got {self.repetitions}")

    def quick(self) -> AssumptionChecks:
        """The smaller samples only, the plain violations only, fewer repetitions."""
        return replace(self, sizes=self.sizes[:1], slight=False, repetitions=min(20, self.repetitions))

    def study(self) -> Study:
        """Nothing broken, twice; then every violation at every degree."""
        quiet = PowerTask(World(), sizes=self.sizes, repetitions=2 * self.repetitions)
        isotropic = replace(quiet, world=World(concentration=(5.0,) * 10))
        tasks, columns = {"none": quiet, "none-isotropic": isotropic}, [["none", "nothing"]]
        columns.append(["none-isotropic", "nothing, Λ isotropic"])
        for violation, (label, _, degrees) in VIOLATIONS.items():
            for degree in degrees if self.slight else degrees[-1:]:
                method = f"{violation}-{degree:g}"
                tasks[method] = replace(_broken(quiet, violation, degree), repetitions=self.repetitions)
                columns.append([method, f"{label} {degree:g}"])
        return Study(
            name=self.name,
            title=self.shows,
            tasks=tasks,
            seeds=self.all_seeds,
            references=self._references(),
            columns=(*(f"{check}_{self.sizes[-1]}" for check in CHECKS), "cpu_seconds"),
            facts={"checks": list(CHECKS), "violations": columns, "sizes": list(self.sizes)},
        )

    def _references(self) -> tuple[Reference, ...]:
        """False alarms at the level, within a 99 % interval of the repetitions; alarms at the plain violations."""
        found = []
        for n in self.sizes:
            for check in CHECKS:
                # Pairs with an anisotropic Λ are not quite exchangeable, see `metrics.symmetry_test`.
                method = "none-isotropic" if check == "symmetry" else "none"
                count = repetitions_of(FAMILY_OF[check], n, 2 * self.repetitions, self.sizes[0]) * self.seeds
                tolerance = round(2.576 * math.sqrt(LEVEL * (1 - LEVEL) / count), 3)
                note = f"the level; 99 % of {count} repetitions"
                found.append(Reference(f"{method}/{check}_{n}", LEVEL, tolerance, source="theory", note=note))
        for violation, (_, check, degrees) in VIOLATIONS.items() if self.sizes[-1] >= PLAIN else ():
            name = f"{violation}-{degrees[-1]:g}/{check}_{self.sizes[-1]}"
            found.append(Reference(name, 0.8, relation=">=", source="aim", note="power of the check meant for it"))
        return tuple(found)


def _broken(task: PowerTask, violation: str, degree: float) -> PowerTask:
    if violation == "turn":
        return replace(task, turn=degree)
    if violation == "tails":
        return replace(task, world=World(degrees_of_freedom=int(degree)))
    return replace(task, world=World(**{violation: degree}))  # type: ignore[arg-type]
