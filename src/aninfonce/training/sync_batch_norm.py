"""Batch normalisation over the batch of all processes, also where torch's own, which needs a GPU, cannot run."""

from __future__ import annotations

from typing import Any, cast

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

__all__ = ["SynchronizedBatchNorm", "synchronize_batch_norm"]


class _SumOverProcesses(torch.autograd.Function):
    """Σ over the processes; as every process's loss depends on every one's summand, so does the gradient."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        x = x.clone()
        dist.all_reduce(x)
        return x

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        grad = grad.clone()
        dist.all_reduce(grad)
        return grad


class SynchronizedBatchNorm(_BatchNorm):
    """Batch normalisation whose mean and variance are those of the rows of all processes together.

    In training with several processes: x ↦ (x - m) / √(s + eps) · weight + bias, with m the mean and s the variance
    over all rows and places, which every process learns by two sums (the second of squares around m, for accuracy).
    The running variance takes the unbiased one, as torch does. Otherwise as `nn.BatchNorm1d` and `nn.BatchNorm2d`.
    """

    def _check_input_dim(self, input: Tensor) -> None:
        if input.ndim < 2:
            raise ValueError(f"expected at least 2 dimensions, got {input.ndim}")

    def forward(self, input: Tensor) -> Tensor:
        """Shape (batch, features, …) to the same."""
        if not self.training or not dist.is_initialized() or dist.get_world_size() == 1:
            return super().forward(input)
        self._check_input_dim(input)
        axes = [0, *range(2, input.ndim)]
        shape = [1, -1] + [1] * (input.ndim - 2)
        x = input.float() if input.dtype in (torch.float16, torch.bfloat16) else input
        rows = torch.tensor([x.numel() / x.shape[1]], dtype=x.dtype, device=x.device)
        count_and_sum = cast(Tensor, _SumOverProcesses.apply(torch.cat([rows, x.sum(axes)])))
        count, mean = count_and_sum[0].detach(), count_and_sum[1:] / count_and_sum[0].detach()
        centred = x - mean.view(shape)
        variance = cast(Tensor, _SumOverProcesses.apply(centred.square().sum(axes))) / count
        if self.track_running_stats and self.running_mean is not None and self.running_var is not None:
            assert self.num_batches_tracked is not None
            self.num_batches_tracked.add_(1)
            momentum = 1 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
            unbiased = variance.detach() * (count / (count - 1).clamp_min(1))
            self.running_mean.lerp_(mean.detach().to(self.running_mean), momentum)
            self.running_var.lerp_(unbiased.to(self.running_var), momentum)
        x = centred * (variance + self.eps).rsqrt().view(shape)
        if self.weight is not None:
            x = x * self.weight.view(shape) + self.bias.view(shape)
        return x.to(input.dtype)


def synchronize_batch_norm(module: nn.Module, device: torch.device) -> nn.Module:
    """The module with every batch normalisation synchronised over the processes: on a GPU by torch's own.

    Parameters and buffers are taken over as they are.
    """
    if device.type == "cuda":
        return cast(nn.Module, nn.SyncBatchNorm.convert_sync_batchnorm(module))  # type: ignore[no-untyped-call]
    if isinstance(module, _BatchNorm) and not isinstance(module, SynchronizedBatchNorm):
        same = SynchronizedBatchNorm(
            module.num_features, module.eps, module.momentum, module.affine, module.track_running_stats
        )
        same.load_state_dict(module.state_dict())
        same.to(next(iter(module.state_dict().values()), torch.empty(0)).device).train(module.training)
        return same
    for name, child in module.named_children():
        setattr(module, name, synchronize_batch_norm(child, device))
    return module
