"""InfoNCE with a fixed or trainable temperature: every embedding dimension has the same concentration 1/(2τ)."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from aninfonce.objectives._arguments import check_flag, check_number
from aninfonce.objectives._base import ContrastiveObjective
from aninfonce.objectives.hard_negatives import NegativesRule

__all__ = ["InfoNCE"]


class InfoNCE(ContrastiveObjective):
    """The isotropic contrastive loss; similarity -|u-v|²/(2τ), which on the sphere is (u·v - 1)/τ.

    It equals `AnInfoNCE` with Λ̂ = I/(2τ). If the latents of a positive pair vary to different extents, those that vary
    most collapse in the embedding; how far depends on τ.

    Arguments:
        temperature: τ > 0, the initial one if `learnable`.
        learnable: train τ, through its logarithm; give the optimiser `loss.param_groups(lr=0.1)`, since weight decay
            would pull τ to 1.
        normalize: project the embeddings onto the unit sphere first. Without it they are used as they are, and the
            similarity stays -|u-v|²/(2τ), which is not the inner product off the sphere.
        negatives_from: which other samples of the batch are an anchor's negatives: "positives" (the other view's, as
            in CLIP), "anchors" (the anchor's own view: draws from the marginal), or "both" (as NT-Xent in SimCLR).
        symmetric: average the loss over both views as anchors; otherwise u alone are anchors.
        hard_negatives: a rule of `aninfonce.objectives.hard_negatives` (`Tilted`, `Reweighted`, `TopK`, `Debiased`);
            with None all negatives have the same weight.
        chunk_size: number of rows and columns of the blocks of similarities that are in memory at a time; with None it
            is chosen automatically. It changes time and memory, not the result.
        gather: when torch.distributed is initialised, contrast with the samples of all processes.

    Raises:
        TypeError: if an option is of another type.
        ValueError: if the temperature is not positive and finite, `chunk_size` is below 1, or `negatives_from` is
            unknown.

    See also: `AnInfoNCE`.

    References:
        van den Oord, Li, Vinyals, "Representation Learning with Contrastive Predictive Coding", arXiv 1807.03748,
        Eq. 4.
        Rusak et al., "InfoNCE: Identifying the Gap Between Theory and Practice", arXiv 2407.00143, Eq. 2.

    Example:
        >>> import torch
        >>> from aninfonce import InfoNCE
        >>> u, v = torch.eye(3), torch.eye(3)
        >>> print(f"{InfoNCE(temperature=1.0)(u, v):.4f}")  # log(1 + 2/e)
        0.5514
    """

    def __init__(
        self,
        temperature: float = 0.1,
        *,
        learnable: bool = False,
        normalize: bool = True,
        negatives_from: str = "positives",
        symmetric: bool = True,
        hard_negatives: NegativesRule | None = None,
        chunk_size: int | None = None,
        gather: bool = True,
    ) -> None:
        super().__init__(
            normalize=normalize,
            negatives_from=negatives_from,
            symmetric=symmetric,
            hard_negatives=hard_negatives,
            chunk_size=chunk_size,
            gather=gather,
        )
        tau = check_number("temperature", temperature)
        if not (0 < tau < math.inf):
            raise ValueError(f"temperature must be positive and finite, got {temperature}")
        self.learnable = check_flag("learnable", learnable)
        exact = torch.tensor(math.log(tau), dtype=torch.float64, device="cpu")
        self.log_temperature: Tensor
        self._begin("log_temperature", exact.to(torch.get_default_dtype()), exact, trainable=learnable)

    @property
    def temperature(self) -> Tensor:
        """τ, a scalar tensor."""
        return self.log_temperature.exp()

    def _concentration(self, dim: int, like: Tensor) -> Tensor:
        return (0.5 * torch.exp(-self.log_temperature.to(like))).expand(dim)

    def extra_repr(self) -> str:
        """The settings, for `print(loss)`."""
        return f"temperature={self.temperature.item():.4g}, learnable={self.learnable}, {super().extra_repr()}"
