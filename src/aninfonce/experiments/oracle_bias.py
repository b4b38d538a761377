"""The Λ̂ that a loss finds if the encoder has nothing left to learn: what is the loss's own, and not the training's."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from scipy.optimize import minimize
from torch import Tensor, nn

from aninfonce._checks import nearest_name
from aninfonce._typing import FloatArray
from aninfonce.data.latent_pairs import LatentPairs
from aninfonce.experiments.bias import SAMPLERS, concentration_bias
from aninfonce.experiments.public_code import UntransposedNTXent
from aninfonce.experiments.recipe import Mixing
from aninfonce.experiments.task import Outcome, Place
from aninfonce.objectives import AnInfoNCE

__all__ = ["OracleTask", "fit_concentration"]

Pair = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class OracleTask:
    """The latents themselves as embeddings (f = identity): the Λ̂ of the lowest loss, and the loss at the true Λ.

    The metrics are `loss`, the mean loss of a batch at Λ̂ = Λ in nats, with `loss_error`, its standard error; the bias
    of Λ̂ (see `concentration_bias`), averaged over independent groups of batches, with `error_<group>`, the standard
    error of concentration_<group>; and `shift_<group>`, by how much it lies above the mean Λ̂ that the theorem's loss
    (other anchors, one direction) finds on the same pairs, with `error_shift_<group>`: the noise of the pairs, which
    both share, is not in it.

    Attributes:
        mixing: the latents' law; its g does not count.
        groups: names for groups of latents (their indices, from 0).
        negatives_from: see `AnInfoNCE`.
        symmetric: see `AnInfoNCE`.
        transposed: False for the public code's loss, see `nt_xent`; takes negatives from both views, both directions.
        sampler: the sampler of the positives, "exact" or "approximate" (the public code's).
        batch_size: pairs in a batch, at least 2.
        fits: groups of batches, each of which gives a Λ̂, at least 2.
        batches: in each of them, at least 1.

    Raises:
        ValueError: if the sampler is unknown, a number is out of range, or `transposed` does not fit the negatives.
    """

    mixing: Mixing
    groups: Mapping[str, Sequence[int]]
    negatives_from: str = "anchors"
    symmetric: bool = False
    transposed: bool = True
    sampler: str = "exact"
    batch_size: int = 1000
    fits: int = 6
    batches: int = 4

    def __post_init__(self) -> None:
        nearest_name("sampler", self.sampler, SAMPLERS)
        if self.batch_size < 2 or self.fits < 2 or self.batches < 1:
            raise ValueError(
                "expected a batch of at least 2 pairs, at least 2 fits and at least 1 batch for each, got "
                f"{self.batch_size}, {self.fits} and {self.batches}"
            )
        if not self.transposed and (self.negatives_from, self.symmetric) != ("both", True):
            raise ValueError("the untransposed block is one of negatives from both views in both directions")

    def run(self, seed: int, place: Place) -> Outcome:
        """Draw the pairs, and find the Λ̂ of every group of batches."""
        started = time.process_time()
        true = torch.tensor(self.mixing.concentration, dtype=torch.float64, device=place.device)
        pairs: LatentPairs = SAMPLERS[self.sampler](true, nn.Identity())
        rng = torch.Generator(place.device).manual_seed(seed)
        objective = self._objective(true)
        plain = replace(self, negatives_from="anchors", symmetric=False, transposed=True)._objective(true)
        losses: list[float] = []
        found: list[FloatArray] = []
        theorem: list[FloatArray] = []
        for _ in range(self.fits):
            drawn = [pairs.latent_pairs(self.batch_size, rng) for _ in range(self.batches)]
            with torch.no_grad():
                losses += [float(objective(*pair)) for pair in drawn]
            found.append(fit_concentration(objective, true, drawn))
            theorem.append(fit_concentration(plain, true, drawn))
        numbers = {"loss": statistics.fmean(losses), "loss_error": _error(losses)}
        each, others = ([self._bias(fit) for fit in fits] for fits in (found, theorem))
        numbers |= {name: statistics.fmean(fit[name] for fit in each) for name in each[0]}
        for name in self.groups:
            means, plainly = ([fit[f"concentration_{name}"] for fit in fits] for fits in (each, others))
            shifts = [a - b for a, b in zip(means, plainly, strict=True)]
            numbers[f"error_{name}"] = _error(means)
            numbers[f"shift_{name}"], numbers[f"error_shift_{name}"] = statistics.fmean(shifts), _error(shifts)
        numbers["cpu_seconds"] = time.process_time() - started
        return Outcome(numbers, {"concentration": np.mean(found, axis=0).tolist()})

    def _bias(self, found: FloatArray) -> dict[str, float]:
        return concentration_bias(found.tolist(), self.mixing.concentration, self.groups)

    def _objective(self, true: Tensor) -> AnInfoNCE:
        kind = AnInfoNCE if self.transposed else UntransposedNTXent
        made = kind(len(true), init=true.float(), negatives_from=self.negatives_from, symmetric=self.symmetric)
        made = made.to(true.device, true.dtype)  # double precision
        with torch.no_grad():
            made.raw_concentration.copy_(true.log())
        return made


def fit_concentration(objective: AnInfoNCE, start: Tensor, batches: Sequence[Pair]) -> FloatArray:
    """The Λ̂ with the lowest mean loss over batches of embedded pairs, by L-BFGS on its logarithm.

    Arguments:
        objective: with a positive Λ̂ of shape (dim,), in double precision; it keeps its Λ̂.
        start: the first Λ̂, shape (dim,), > 0.
        batches: batches of (u, v), each of shape (batch, dim).

    Raises:
        ArithmeticError: if no minimum is found.
    """
    parameter = objective.raw_concentration
    before = parameter.detach().clone()

    def value(log_concentration: FloatArray) -> tuple[float, FloatArray]:
        with torch.no_grad():
            parameter.copy_(torch.as_tensor(log_concentration))
        total, gradient = 0.0, torch.zeros_like(parameter)
        for u, v in batches:
            loss = objective(u, v)
            gradient += torch.autograd.grad(loss, parameter)[0]
            total += loss.item()
        return total / len(batches), np.asarray(gradient.cpu().numpy() / len(batches))

    options: Any = {"ftol": 1e-12, "gtol": 1e-6}
    result = minimize(value, start.log().cpu().numpy(), jac=True, method="L-BFGS-B", options=options)
    with torch.no_grad():
        parameter.copy_(before)
    if not result.success:
        raise ArithmeticError(
            f"the loss has no minimum near Λ̂ = {np.exp(result.x).round(3).tolist()}: {result.message}"
        )
    return np.asarray(np.exp(result.x), dtype=np.float64)


def _error(values: Sequence[float]) -> float:
    """The standard error of a mean of independent numbers."""
    return statistics.stdev(values) / math.sqrt(len(values))
