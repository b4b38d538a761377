"""Ensembles: one encoder, several known families of augmentations, a concentration for each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from aninfonce.objectives._arguments import check_count, numbers
from aninfonce.objectives._objective import Objective
from aninfonce.objectives.aninfonce import AnInfoNCE

__all__ = ["AnInfoNCEEnsemble", "joint_level_sets"]


class AnInfoNCEEnsemble(Objective):
    """The weighted mean of K AnInfoNCE losses, one for every family of augmentations.

        loss = Σ_k w_k AnInfoNCE_{Λ̂^(k)}(u_k, v_k) / Σ_k w_k

    Identifiability: if the pairs of family k follow p_k(z⁺|z) ∝ exp(-(z⁺-z)ᵀΛ^(k)(z⁺-z)) and the family of every pair
    is known, the minimisers are those that minimise every single loss. What remains undetermined is block-orthogonal,
    with the blocks of `joint_level_sets`: latents whose concentrations agree in all families. If no two latents agree
    in all of them, they are identified up to signs and one permutation for all families, even if no single family
    suffices.

    Arguments:
        dim: the number of embedding dimensions, at least 1.
        members: K, the number of families, at least 1.
        init: the initial Λ̂: a number, one for each dimension, shape (dim,), or one row for each family, shape (K, dim).
        normalize: project the embeddings onto the unit sphere first.
        weights: w_k ≥ 0, one for each family, not all zero; equal if None.
        options: the keyword options of `AnInfoNCE`, the same for all members.

    Raises:
        TypeError: if an option is of another type.
        ValueError: if `members` is below 1, `init` or `weights` have another shape, or the weights are negative, not
            finite or all zero; besides the errors of `AnInfoNCE`.

    See also: `AnInfoNCE`, `joint_level_sets`.

    References:
        Rusak et al., "InfoNCE: Identifying the Gap Between Theory and Practice", arXiv 2407.00143, the ensemble of
        AnInfoNCE losses; the statement on blocks is derived for this library and checked by `aninfonce verify`.

    Example:
        >>> import torch
        >>> from aninfonce import AnInfoNCEEnsemble
        >>> loss = AnInfoNCEEnsemble(dim=3, members=2)
        >>> crops, colors = (torch.eye(3), torch.eye(3)), (torch.eye(3), -torch.eye(3))
        >>> loss([crops, colors]).backward()
        >>> loss.concentration.shape
        torch.Size([2, 3])
    """

    def __init__(
        self,
        dim: int,
        members: int,
        init: float | Sequence[float] | Sequence[Sequence[float]] | Tensor = 5.0,
        *,
        normalize: bool = True,
        weights: Sequence[float] | Tensor | None = None,
        **options: Any,
    ) -> None:
        super().__init__()
        members, dim = check_count("members", members), check_count("dim", dim)
        initial = numbers("init", init)
        if initial.ndim == 2 and initial.shape != (members, dim):
            raise ValueError(f"init must be a number or have shape ({dim},) or ({members}, {dim}), got {initial.shape}")
        rows = initial if initial.ndim == 2 else [initial] * members
        self.members = nn.ModuleList(AnInfoNCE(dim, row, normalize=normalize, **options) for row in rows)
        exact = (
            torch.ones(members, dtype=torch.float64, device="cpu") if weights is None else numbers("weights", weights)
        )
        values = exact.to(torch.get_default_dtype())
        if values.shape != (members,):
            raise ValueError(f"weights must have shape ({members},), one for each member, got {tuple(values.shape)}")
        if not bool(values.isfinite().all() and (values >= 0).all() and values.sum() > 0):
            raise ValueError(f"weights must be finite, at least 0 and not all 0, got {values.tolist()}")
        self.weights: Tensor
        self._begin("weights", values / values.sum(), exact / exact.sum(), trainable=False)

    @property
    def concentration(self) -> Tensor:
        """Λ̂^(k), shape (members, dim); differentiable."""
        return torch.stack([self._member(k).concentration for k in range(len(self.members))])

    def _member(self, k: int) -> AnInfoNCE:
        member = self.members[k]
        assert isinstance(member, AnInfoNCE)  # as built above
        return member

    def forward(self, pairs: Sequence[tuple[Tensor, Tensor]]) -> Tensor:
        """The weighted mean of the members' losses, in nats.

        Arguments:
            pairs: the two views (u_k, v_k) under family k, both of shape (batch_k, dim), one pair for each member in
                their order. A family contrasts with its own batch only.

        Returns:
            A scalar tensor, at least float32.

        Raises:
            ValueError: if there are not as many pairs as members; besides the errors of `AnInfoNCE`.
        """
        if len(pairs) != len(self.members):
            raise ValueError(f"expected one pair (u, v) for each of the {len(self.members)} members, got {len(pairs)}")
        losses = [member(u, v) for member, (u, v) in zip(self.members, pairs, strict=True)]
        return torch.stack([weight.to(loss) * loss for weight, loss in zip(self.weights, losses, strict=True)]).sum()


def joint_level_sets(
    concentrations: Tensor | Sequence[Sequence[float]] | Sequence[float], *, relative_tolerance: float = 0.05
) -> list[list[int]]:
    """The blocks of latents that a set of augmentation families cannot tell apart.

    Two latents i, j belong together if their concentrations agree in every family,
    |Λ_i^(k) - Λ_j^(k)| ≤ tolerance · max(|Λ_i^(k)|, |Λ_j^(k)|) for all k (or are linked by latents that do). Only
    blocks of one latent are identified up to sign; larger ones up to an orthogonal map of the block.

    Arguments:
        concentrations: Λ^(k), shape (members, dim), or (dim,) for a single family.
        relative_tolerance: from what relative difference on two concentrations count as different, in [0, 1).

    Returns:
        The blocks, each sorted, in the order of their first latent; every latent is in exactly one.

    Raises:
        ValueError: if the shape is another, an entry is not finite, or the tolerance is outside [0, 1).

    Example:
        >>> from aninfonce.objectives import joint_level_sets
        >>> joint_level_sets([[12.5, 12.5, 2.5, 2.5]])
        [[0, 1], [2, 3]]
        >>> joint_level_sets([[12.5, 12.5, 2.5, 2.5], [12.5, 2.5, 12.5, 2.5]])  # together they suffice
        [[0], [1], [2], [3]]
    """
    values = torch.as_tensor(concentrations, dtype=torch.float64).detach()
    values = values[None] if values.ndim == 1 else values
    if values.ndim != 2 or values.numel() == 0:
        raise ValueError(f"concentrations must have shape (members, dim) or (dim,), got {tuple(values.shape)}")
    if not bool(values.isfinite().all()):
        raise ValueError("concentrations must be finite")
    if not 0 <= relative_tolerance < 1:
        raise ValueError(f"relative_tolerance must lie in [0, 1), got {relative_tolerance}")
    a, b = values[:, :, None], values[:, None, :]
    agree = ((a - b).abs() <= relative_tolerance * torch.maximum(a.abs(), b.abs())).all(0)
    blocks: list[list[int]] = []
    unseen = list(range(values.shape[1]))
    while unseen:
        block = [unseen.pop(0)]
        for i in block:  # grows while it is walked through
            linked = [j for j in unseen if agree[i, j]]
            block += linked
            unseen = [j for j in unseen if j not in linked]
        blocks.append(sorted(block))
    return blocks
