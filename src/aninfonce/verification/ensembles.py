"""What several augmentation families identify together: the intersection of what each leaves undetermined."""

from __future__ import annotations

from itertools import combinations

import torch

from aninfonce.objectives import AnInfoNCEEnsemble, joint_level_sets
from aninfonce.verification._check import Measurement, Statement, above, equal
from aninfonce.verification._oracle import (
    FEW,
    Batch,
    Draws,
    concentrations,
    cost,
    fit,
    losses,
    objective,
    rotation,
    spread,
)

__all__ = ["STATEMENTS"]

SECTION = "ensembles"
# No two latents agree in both, though each family by itself has two blocks of two.
APART = (concentrations(12.5, 12.5, 2.5, 2.5), concentrations(12.5, 2.5, 12.5, 2.5))
# The first two agree in both.
TOGETHER = (concentrations(12.5, 12.5, 2.5, 2.5), concentrations(8.0, 8.0, 8.0, 2.0))
DEGREES = 45.0


def _families(draws: Draws, spectra: tuple[torch.Tensor, ...]) -> list[list[Batch]]:
    return [draws.explicit(600, 64, spectrum, shared=True, batches=FEW) for spectrum in spectra]


def _plane_costs(draws: Draws, spectra: tuple[torch.Tensor, ...]) -> list[Measurement]:
    """For every plane of two latents, what a turn by 45° costs the mean of the losses.

    Within a joint block the turn leaves every similarity as it is, at Λ̂ = Λ; elsewhere each member may take the Λ̂ that
    suits the turned embedding best.
    """
    families = _families(draws, spectra)
    blocks = joint_level_sets(torch.stack(spectra))
    value = objective(4)
    rows = []
    for i, j in combinations(range(4), 2):
        turn = rotation(4, i, j, DEGREES)
        plane = f"({i + 1}, {j + 1})"
        if any({i, j} <= set(block) for block in blocks):
            change = [
                abs(losses(value, at, [b.mapped(turn) for b in batches]) - losses(value, at, batches)).max()
                for at, batches in zip(spectra, families, strict=True)
            ]
            rows.append(equal(f"largest cost, plane {plane} of one joint block", max(change), 0.0, allowance=1e-10))
        else:
            found = [cost(value, batches, turn, at) for at, batches in zip(spectra, families, strict=True)]
            # The mean of the members' standard errors is an upper bound of the mean's own.
            mean, error, dof = (sum(x) / len(x) for x in zip(*found, strict=True))
            rows.append(above(f"cost, plane {plane}", mean, 0.0, error, dof=dof))
    return rows


def blocks(draws: Draws) -> list[Measurement]:
    """Two families that share a block."""
    return _plane_costs(draws, TOGETHER)


def identified(draws: Draws) -> list[Measurement]:
    """Two families without a joint block, and each of them alone in the planes that it leaves free."""
    rows = _plane_costs(draws, APART)
    value = objective(4)
    for number, (at, batches) in enumerate(zip(APART, _families(draws, APART), strict=True), 1):
        for block in joint_level_sets(at):
            i, j = block
            turn = rotation(4, i, j, DEGREES)
            change = losses(value, at, [b.mapped(turn) for b in batches]) - losses(value, at, batches)
            plane = f"({i + 1}, {j + 1})"
            rows.append(equal(f"largest cost, {plane}, family {number} alone", abs(change).max(), 0.0, allowance=1e-10))
    return rows


def every_member(draws: Draws) -> list[Measurement]:
    """Λ̂^(k) of each family by itself, and that the gradient of the ensemble's loss vanishes there, too."""
    batches = [draws.in_batch(128, spectrum) for spectrum in APART]
    found = [fit(objective(4, negatives_from="anchors"), family, torch.full((4,), 4.0).double()) for family in batches]
    ensemble = AnInfoNCEEnsemble(
        4,
        2,
        torch.stack([torch.from_numpy(f.concentration) for f in found]),
        negatives_from="anchors",
        symmetric=False,
    ).double()
    gradients = []
    for first, second in zip(*batches, strict=True):
        loss = ensemble([(first.u, first.v), (second.u, second.v)])
        gradients.append(torch.stack(torch.autograd.grad(loss, list(ensemble.parameters()))).flatten())
    gradient = torch.stack(gradients)
    scores = gradient.numpy()
    rows = [
        equal(f"Λ̂^({k})", f.concentration, at, f.standard_error, dof=f.dof)
        for k, (f, at) in enumerate(zip(found, APART, strict=True), 1)
    ]
    return [
        *rows,
        equal("gradient of the ensemble there", scores.mean(axis=0), 0.0, spread(scores), dof=len(scores) - 1),
    ]


STATEMENTS = (
    Statement(
        "joint-blocks",
        SECTION,
        "Only turns within a joint level set of all Λ^(k) cost nothing",
        blocks,
    ),
    Statement(
        "identified-together",
        SECTION,
        "Two families without a joint level set of two latents leave no turn free, though each alone does",
        identified,
    ),
    Statement("every-member", SECTION, "Each member's Λ̂^(k) is its family's Λ^(k)", every_member),
)
