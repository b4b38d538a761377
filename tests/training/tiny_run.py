"""The smallest training that has everything: four steps an epoch, on digits."""

from __future__ import annotations

import torch
from torch import nn

from aninfonce.training import TrainConfig

TINY = TrainConfig(
    data="digits",
    objective="aninfonce",
    backbone="small:4",
    projector_dim=8,
    projector_hidden=16,
    epochs=3,
    batch_size=64,
    limit=256,
    device="cpu",
)


def same(a: nn.Module, b: nn.Module) -> bool:
    """Whether two modules hold the same tensors, bit for bit."""
    ours, theirs = a.state_dict(), b.state_dict()
    return ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)
