"""A word to whoever lets weight decay act on a loss's own parameters.

The logarithms of Λ̂ and τ are trained. Weight decay pulls them to 0, so Λ̂ and τ to 1: within 2,000 steps of AdamW with
its default decay and a rate of 0.1 from 12.5 to about 1.4, without any gradient. No other parametrisation would be left
alone, and a step cannot be undone afterwards without touching the optimiser's state. So every torch optimiser is looked
at before its first step, and again when its groups change; the check changes no number.
"""

from __future__ import annotations

import warnings
from typing import Any
from weakref import WeakKeyDictionary, WeakSet

from torch import nn
from torch.optim import Optimizer
from torch.optim.optimizer import register_optimizer_step_pre_hook

from aninfonce._eager import outside_graphs

__all__ = ["WeightDecayWarning", "watch"]

_objectives: WeakSet[nn.Module] = WeakSet()
_seen: WeakKeyDictionary[Optimizer, tuple[tuple[int, float], ...]] = WeakKeyDictionary()
_hooks: list[Any] = []


class WeightDecayWarning(UserWarning):
    """An optimiser decays the parameters of an objective."""


def watch(objective: nn.Module) -> None:
    """Have optimisers looked at that train a parameter of `objective`."""
    _objectives.add(objective)
    if not _hooks:
        _hooks.append(register_optimizer_step_pre_hook(_look_at))


@outside_graphs
def _look_at(optimizer: Optimizer, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """Warn, once for an optimiser and its groups, if weight decay acts on an objective."""
    groups = optimizer.param_groups
    state = tuple((len(group["params"]), float(group.get("weight_decay") or 0.0)) for group in groups)
    if _seen.get(optimizer) == state:
        return
    _seen[optimizer] = state
    decayed = {
        id(p): decay
        for group, (_, decay) in zip(groups, state, strict=True)
        for p in group["params"]
        if decay and p.requires_grad
    }
    for objective in list(_objectives) if decayed else []:
        for name, parameter in objective.named_parameters(recurse=False):
            if id(parameter) in decayed:
                warnings.warn(
                    f"weight decay {decayed[id(parameter)]:g} acts on {type(objective).__name__}.{name}, and pulls "
                    "what the loss learns to a constant; give the optimiser loss.param_groups(lr=0.1) for the loss's "
                    "parameters and only the network's own besides: "
                    "AdamW([{'params': network.parameters()}, *loss.param_groups(lr=0.1)])",
                    WeightDecayWarning,
                    stacklevel=2,
                )
