"""The encoder that has nothing left to learn: latents as embeddings, and the Λ̂ that a loss finds for them."""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from scipy.optimize import root
from torch import Tensor
from torch.func import functional_call

from aninfonce._typing import Float, FloatArray
from aninfonce.distributions import AnisotropicSpherical, HypersphericalUniform
from aninfonce.objectives import AnInfoNCE

__all__ = [
    "FEW",
    "Batch",
    "Draws",
    "Fit",
    "Objective",
    "concentrations",
    "cost",
    "fit",
    "losses",
    "objective",
    "rotation",
    "spread",
]

BATCHES = 64  # independent ones, from whose spread the standard errors are taken
FEW = 24  # enough of them for effects of tens of standard errors, and in quick runs
SOME = 6  # every sixth batch is enough to come near Λ̂
CHORDS = 12  # steps from there, at most
STEP, JUMP = 1e-4, 2e-2  # of the differences for the Jacobian, relative to Λ; across the jumps of a choice


def concentrations(*values: float) -> Tensor:
    """Λ as float64, shape (dim,)."""
    return torch.tensor(values, dtype=torch.float64)


class Batch(NamedTuple):
    """What a loss is called with; see `ContrastiveObjective.forward`."""

    u: Tensor
    v: Tensor
    negatives: Tensor | None = None
    log_q: tuple[Tensor, Tensor] | None = None

    def mapped(self, encoder: Callable[[Tensor], Tensor]) -> Batch:
        """The same samples as another encoder shows them."""
        negatives = None if self.negatives is None else encoder(self.negatives)
        return Batch(encoder(self.u), encoder(self.v), negatives, self.log_q)


@dataclass(frozen=True)
class Draws:
    """Randomness and sample sizes of one statement.

    Attributes:
        generator: the only source of randomness.
        scale: sample sizes as a fraction of the full ones.
    """

    generator: torch.Generator
    scale: float = 1.0

    @classmethod
    def of(cls, seed: int, name: str, scale: float = 1.0) -> Draws:
        """The draws of a statement: they depend on the seed and its name, not on which others are run."""
        return cls(torch.Generator().manual_seed(zlib.crc32(f"{seed} {name}".encode())), scale)

    def size(self, full: int, fewest: int = 1) -> int:
        """A sample size."""
        return max(fewest, round(self.scale * full))

    def seed(self) -> int:
        """A seed for what takes no generator."""
        return int(torch.randint(2**31, (), generator=self.generator))

    def uniform(self, *shape: int, dim: int) -> Tensor:
        """Latents from the marginal, shape (*shape, dim)."""
        return HypersphericalUniform(dim, dtype=torch.float64).sample(torch.Size(shape), generator=self.generator)

    def positives(self, z: Tensor, concentration: Tensor) -> Tensor:
        """One positive for each latent (rows, dim), from the exact conditional; Λ of shape (dim,) or (rows, dim)."""
        return AnisotropicSpherical(z, concentration, signed=True).sample(generator=self.generator)

    def pairs(self, rows: int, concentration: Tensor) -> tuple[Tensor, Tensor]:
        """Uniform latents and their positives, both (rows, dim)."""
        z = self.uniform(rows, dim=len(concentration))
        return z, self.positives(z, concentration)

    def in_batch(self, rows: int, concentration: Tensor) -> list[Batch]:
        """Batches whose samples are each other's negatives."""
        return [Batch(*self.pairs(rows, concentration)) for _ in range(self.size(BATCHES, FEW))]

    def rows(self, full: int, batches: int = BATCHES) -> list[int]:
        """Anchors of each batch: fewer batches in a smaller run, and smaller ones where they would get too few."""
        count = self.size(batches, FEW)
        return [max(1, round(self.scale * full * batches / count))] * count

    def explicit(
        self, rows: int, negatives: int, concentration: Tensor, *, shared: bool = False, batches: int = BATCHES
    ) -> list[Batch]:
        """Batches with uniform negatives, each anchor's own or shared by the batch.

        The anchors of a batch depend on each other if they share negatives; the batches never do.
        """
        dim = len(concentration)
        return [
            Batch(*self.pairs(n, concentration), self.uniform(*([] if shared else [n]), negatives, dim=dim))
            for n in self.rows(rows, batches)
        ]


Objective = Callable[[Tensor, Batch], Tensor]


def objective(dim: int, **options: Any) -> Objective:
    """AnInfoNCE with these options as a function of Λ̂, shape (dim,), and a batch; u alone are anchors by default."""
    loss = AnInfoNCE(dim, signed=True, **{"symmetric": False, **options}).double()

    def value(concentration: Tensor, batch: Batch) -> Tensor:
        found: Tensor = functional_call(
            loss,
            {"signed_concentration": concentration},
            batch[:2],
            {"negatives": batch.negatives, "log_q": batch.log_q},
        )
        return found

    return value


@dataclass(frozen=True, eq=False)
class Fit:
    """Λ̂ and how every batch moved it.

    Attributes:
        concentration: Λ̂, shape (dim,).
        influence: of each batch on Λ̂, up to a factor 1/batches, shape (batches, dim): differences of fits to the same
            batches, or functions of Λ̂, have standard errors through it.
    """

    concentration: FloatArray
    influence: FloatArray

    @property
    def dof(self) -> int:
        """Degrees of freedom of a standard error."""
        return len(self.influence) - 1

    @property
    def standard_error(self) -> FloatArray:
        """Of Λ̂, the sandwich, shape (dim,)."""
        return spread(self.influence)


def spread(influence: Float[FloatArray, "batches ..."]) -> FloatArray:
    """Standard error of a mean over batches."""
    return np.asarray(influence.std(axis=0, ddof=1) / np.sqrt(len(influence)))


def losses(value: Objective, concentration: Tensor, batches: Sequence[Batch]) -> Float[FloatArray, " batches"]:
    """The loss of every batch at one Λ̂."""
    with torch.no_grad():
        return np.array([value(concentration, batch).item() for batch in batches])


def _scores(value: Objective, batches: Sequence[Batch], concentration: FloatArray) -> Float[FloatArray, "batches dim"]:
    """The gradient of every batch."""
    at = torch.tensor(concentration, dtype=torch.float64, requires_grad=True)
    return np.stack([torch.autograd.grad(value(at, batch), at)[0].numpy() for batch in batches])


def _jacobian(
    value: Objective, batches: Sequence[Batch], at: FloatArray, scores: FloatArray, relative_step: float
) -> Float[FloatArray, "dim dim"]:
    """The derivative of the mean gradient, by differences; `scores` are the gradients at `at`."""
    step = relative_step * max(1.0, float(np.abs(at).max()))
    moved = [_scores(value, batches, at + axis) for axis in step * np.eye(len(at))]
    return np.stack([(there - scores).mean(axis=0) for there in moved], axis=1) / step


def _root(value: Objective, batches: Sequence[Batch], start: FloatArray, noise: float) -> FloatArray:
    """The Λ̂ at which the mean gradient vanishes, by Powell's hybrid method; `noise`: relative, of the gradient."""

    def gradient(x: FloatArray) -> FloatArray:
        return np.asarray(_scores(value, batches, x).mean(axis=0))

    options: Any = {"eps": noise, "xtol": 1e-4}
    return np.asarray(root(gradient, start, options=options).x)


def _solve(value: Objective, batches: Sequence[Batch], start: Tensor, smooth: bool) -> FloatArray:
    """The Λ̂ at which the mean gradient over all batches vanishes."""
    if not smooth:
        return _root(value, batches, start.numpy(), 1e-3)
    # Some of the batches lead close to it, and their Jacobian is good enough for the steps that are left.
    some = batches[::SOME]
    near = found = _root(value, some, start.numpy(), 1e-8)
    jacobian = _jacobian(value, some, near, _scores(value, some, near), STEP)
    if np.linalg.cond(jacobian) < 1e6:
        for _ in range(CHORDS):
            step = np.linalg.solve(jacobian, _scores(value, batches, found).mean(axis=0))
            found = found - step
            if np.abs(step).max() <= 1e-4 * np.abs(found).max():
                return found
    return _root(value, batches, start.numpy(), 1e-8)


def fit(value: Objective, batches: Sequence[Batch], start: Tensor, *, smooth: bool = True) -> Fit:
    """The Λ̂ at which the mean gradient over the batches vanishes, with the sandwich J⁻¹ S J⁻ᵀ as its covariance.

    A root and not a minimum: where weights are detached, the gradient is that of no function.

    Arguments:
        value: the loss.
        batches: independent ones.
        start: the first Λ̂, shape (dim,).
        smooth: False if the gradient jumps, as where a choice of negatives depends on Λ̂.

    Raises:
        ArithmeticError: if no root is found, or it is not stable (no minimum, where the gradient is one).
    """
    found = _solve(value, batches, start, smooth)
    at_end = _scores(value, batches, found)
    jacobian = _jacobian(value, batches, found, at_end, STEP if smooth else JUMP)
    if not (np.isfinite(jacobian).all() and (np.linalg.eigvals(jacobian).real > 0).all()):
        raise ArithmeticError(f"the loss has no minimum at the Λ̂ that was found, {np.round(found, 3).tolist()}")
    result = Fit(found, np.asarray(-np.linalg.solve(jacobian, at_end.T).T, dtype=np.float64))
    if (np.abs(result.influence.mean(axis=0)) > 0.1 * result.standard_error).any():
        raise ArithmeticError(f"no Λ̂ with a vanishing gradient was found; the last was {np.round(found, 3).tolist()}")
    return result


def rotation(dim: int, i: int, j: int, degrees: float) -> Callable[[Tensor], Tensor]:
    """The encoder that turns the plane of two latents."""
    turn = torch.eye(dim, dtype=torch.float64)
    c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    turn[[i, i, j, j], [i, j, i, j]] = torch.tensor([c, -s, s, c], dtype=torch.float64)
    return lambda z: z @ turn


def cost(
    value: Objective, batches: Sequence[Batch], encoder: Callable[[Tensor], Tensor], concentration: Tensor
) -> tuple[float, float, int]:
    """How much more an encoder loses than the identity with `concentration`, given the Λ̂ that suits it best.

    Returns:
        The mean over the batches, its standard error and its degrees of freedom.
    """
    mapped = [batch.mapped(encoder) for batch in batches]
    best = torch.from_numpy(_solve(value, mapped, concentration, smooth=True))
    difference = losses(value, best, mapped) - losses(value, concentration, batches)
    return float(difference.mean()), float(spread(difference)), len(batches) - 1
