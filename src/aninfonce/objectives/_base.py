"""What the contrastive objectives share: checks, normalisation, precision, the negatives and the processes."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor

from aninfonce._eager import outside_graphs
from aninfonce._sphere import directions
from aninfonce.objectives._arguments import (
    check_count,
    check_flag,
    check_has_negatives,
    check_log_q,
    check_views,
)
from aninfonce.objectives._dense import Dense
from aninfonce.objectives._exchange import AverageGradient, Exchange, GlobalMean, Ranks, is_distributed
from aninfonce.objectives._fused import FusedContrast, suits
from aninfonce.objectives._gradient import transformed
from aninfonce.objectives._negatives import InBatch, Negatives, PerAnchor, Shared
from aninfonce.objectives._normalize import Normalize
from aninfonce.objectives._objective import Objective
from aninfonce.objectives._pairs import Layout
from aninfonce.objectives._similarity import check_negatives_from, plain_similarity, similarity
from aninfonce.objectives.hard_negatives import NegativesRule

__all__ = ["ContrastiveObjective"]

LogQ = tuple[Tensor, Tensor]


class ContrastiveObjective(Objective):
    """A contrastive loss whose similarity is -(u-v)ᵀ Λ (u-v); subclasses say what Λ is."""

    def __init__(
        self,
        *,
        normalize: bool,
        negatives_from: str,
        symmetric: bool,
        hard_negatives: NegativesRule | None,
        chunk_size: int | None,
        gather: bool,
    ) -> None:
        super().__init__()
        if not (hard_negatives is None or isinstance(hard_negatives, NegativesRule)):
            raise TypeError(
                f"hard_negatives must be a rule, such as Reweighted(beta=1.0), or None, got {hard_negatives!r}"
            )
        self.normalize = check_flag("normalize", normalize)
        self.negatives_from = check_negatives_from(negatives_from)
        self.symmetric = check_flag("symmetric", symmetric)
        self.hard_negatives = NegativesRule() if hard_negatives is None else hard_negatives
        self.chunk_size = None if chunk_size is None else check_count("chunk_size", chunk_size)
        self.gather = check_flag("gather", gather)

    def _check_dim(self, dim: int) -> None:
        """Raise ValueError unless the objective is made for embeddings of `dim` dimensions."""

    def _concentration(self, dim: int, like: Tensor) -> Tensor:
        """Λ of shape (dim,), in the dtype and on the device of `like`."""
        raise NotImplementedError  # every subclass defines it

    # The kernel chooses its path by the data, and its gradient is written by hand: there is nothing to compile.
    @outside_graphs
    def forward(self, u: Tensor, v: Tensor, negatives: Tensor | None = None, log_q: LogQ | None = None) -> Tensor:
        """The mean loss of the batch, in nats.

        It can be differentiated to any order, with memory O(batch · dim) at each. Under the transforms of torch.func
        and in forward-mode differentiation all similarities are held at once. Under torch.compile the loss runs
        uncompiled between the compiled parts.

        When torch.distributed is initialised and `gather` is true, every process passes its own rows (not necessarily
        equally many) and gets the loss of the global batch. Gradients are scaled so that their average over the
        processes, which data-parallel training takes, is that of the global loss. All processes must call the loss
        equally often.

        Arguments:
            u: embeddings of the first view (the anchors), shape (batch, dim).
            v: embeddings of the second view (the positives), row by row, shape (batch, dim).
            negatives: explicit negatives, shape (n, dim) if all anchors share them or (batch, n, dim) if each has its
                own. Then only u are anchors, exactly as in Eq. 4 of the paper, and the negatives are not gathered.
                Without them the other samples of the (global) batch are the negatives, as `negatives_from` says.
            log_q: for explicit negatives that were not drawn from the marginal: the log density, relative to the
                marginal's, with which the sampler would have drawn the positive, shape (batch,), and the negatives,
                shape (n,) or (batch, n), for this anchor. It is subtracted from all logits (the log-Q correction),
                after which Λ̂ = Λ is the optimum again.

        Returns:
            A scalar tensor, at least float32 (also under autocast).

        Raises:
            TypeError: if an argument is not a floating-point tensor, or dtypes differ.
            ValueError: if shapes or devices do not fit, an entry is NaN or infinite, the batch has one row and no
                explicit negatives, or dimensions, dtypes or settings differ between the processes.
            RuntimeError: if another process refused its batch; if the loss of several processes is differentiated
                twice or transformed by torch.func, or a batch of gradients is passed on as one (is_grads_batched).
        """
        together = self.gather and is_distributed()
        plainly = transformed()
        try:
            self._check(u, v, negatives, log_q)
            if together and plainly:
                raise RuntimeError(
                    "torch.func's transforms and forward-mode differentiation do not reach other processes: use "
                    "gather=False"
                )
        except (TypeError, ValueError, RuntimeError):
            if together:
                Ranks.agree(True, None, "")
            raise
        # Half precision has too few digits for a softmax over distances.
        with torch.autocast(u.device.type, enabled=False):
            u, v = self._promote(u), self._promote(v)
            exchange = Ranks.agree(False, u, self._settings(negatives)) if together else Exchange()
            if negatives is None:
                check_has_negatives(exchange.total(len(u)), explicit=", or pass negatives=")
            concentration = self._concentration(u.shape[1], u)
            if plainly:
                return self._compose_plainly(u, v, concentration, negatives, log_q)
            if negatives is None and not together and self._plain and suits(len(u), concentration):
                return cast(Tensor, FusedContrast.apply(u, v, concentration, self.negatives_from, self.symmetric))
            return self._compose(self._project(u), self._project(v), concentration, negatives, log_q, exchange)

    def _settings(self, negatives: Tensor | None) -> str:
        """What must be the same in all processes."""
        parts = (type(self), self.normalize, self.negatives_from, self.symmetric, self.hard_negatives, self.chunk_size)
        return repr((*parts, negatives is None))

    @property
    def _plain(self) -> bool:
        """Whether nothing but the sphere, the batch and the plain loss is asked for."""
        return self.normalize and self.chunk_size is None and type(self.hard_negatives) is NegativesRule

    def _compose(
        self,
        u: Tensor,
        v: Tensor,
        concentration: Tensor,
        negatives: Tensor | None,
        log_q: LogQ | None,
        exchange: Exchange,
    ) -> Tensor:
        """The loss from its parts: the negatives, the rule, the mean over the processes."""
        if exchange.world > 1 and concentration.requires_grad:
            concentration = AverageGradient.apply(concentration, exchange)
        concentration = self.hard_negatives.score_concentration(concentration)
        positive = similarity(u, v, concentration)
        if negatives is None:
            layout = Layout.in_batch(self.negatives_from, self.symmetric, self.chunk_size, exchange)
            rest: Negatives = InBatch(u, v, concentration, layout)
        else:
            rest = self._explicit(u, negatives, concentration, log_q)
            positive = positive if log_q is None else positive - log_q[0].to(positive)
        return self._mean_loss(rest, positive, exchange)

    def _compose_plainly(
        self, u: Tensor, v: Tensor, concentration: Tensor, negatives: Tensor | None, log_q: LogQ | None
    ) -> Tensor:
        """The same in one process, of operations that every transform knows."""
        if self.normalize:
            u, v = directions(u), directions(v)
        concentration = self.hard_negatives.score_concentration(concentration)
        positive = plain_similarity(u, v, concentration)
        if negatives is None:
            rest = Dense.in_batch(u, v, concentration, self.negatives_from, self.symmetric)
        else:
            negatives = self._promote(negatives)
            negatives = directions(negatives) if self.normalize else negatives
            offsets = None
            if log_q is not None:
                positive, offsets = positive - log_q[0].to(positive), -log_q[1].detach().to(u)
            rest = Dense.explicit(u, negatives, concentration, offsets)
        return self._mean_loss(rest, positive, Exchange())

    def _mean_loss(self, rest: Negatives, positive: Tensor, exchange: Exchange) -> Tensor:
        losses = self.hard_negatives.losses(rest, positive)
        ways = losses if isinstance(losses, list) else [losses.flatten()]
        means = [self._mean(way, exchange) for way in ways]
        return means[0] if len(means) == 1 else torch.stack(means).mean()

    @staticmethod
    def _mean(losses: Tensor, exchange: Exchange) -> Tensor:
        if isinstance(exchange, Ranks):
            return cast(Tensor, GlobalMean.apply(losses, exchange))
        return losses.mean() if len(losses) else losses.sum()

    def _explicit(self, u: Tensor, negatives: Tensor, concentration: Tensor, log_q: LogQ | None) -> Negatives:
        negatives = self._project(self._promote(negatives))
        if negatives.ndim == 2 and log_q is None:
            return Shared(u, negatives, concentration, self.chunk_size)
        shape = (len(u), negatives.shape[-2])
        offsets = None if log_q is None else -log_q[1].detach().to(u).expand(shape)
        return PerAnchor(u, negatives.expand(*shape, -1), concentration, offsets, self.chunk_size)

    @staticmethod
    def _promote(x: Tensor) -> Tensor:
        return x.to(torch.promote_types(x.dtype, torch.float32))

    def _project(self, x: Tensor) -> Tensor:
        return cast(Tensor, Normalize.apply(x)) if self.normalize else x

    def _check(self, u: Tensor, v: Tensor, negatives: Tensor | None, log_q: LogQ | None) -> None:
        """Refuse what cannot be contrasted; see `forward` for the errors."""
        check_views(u, v, negatives)
        if log_q is not None:
            check_log_q(len(u), negatives, log_q)
        self._check_dim(u.shape[1])
        self.hard_negatives.check(normalize=self.normalize, explicit=negatives is not None)

    def extra_repr(self) -> str:
        """The settings, for `print(loss)`."""
        text = f"normalize={self.normalize}, negatives_from={self.negatives_from!r}, symmetric={self.symmetric}"
        if type(self.hard_negatives) is not NegativesRule:
            text += f", hard_negatives={self.hard_negatives}"
        return text
