"""Who competes in `losses.py`: our losses, dense forms in plain PyTorch, peers from PyPI, and the hardware floor."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib.metadata import PackageNotFoundError, distribution, version

import torch
from torch import Tensor
from torch.nn import functional as F

DIM = 128
TEMPERATURE = 0.1
FLOOR_BLOCKS = (256, 512)

Loss = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Contender:
    """A loss of two views: `make(temperature)` gives a function (u, v) -> scalar that normalises u and v itself."""

    name: str
    negatives: str  # "positives": the other view's; "both": also the anchor's own view (NT-Xent)
    make: Callable[[float], Loss]
    package: str | None = None  # on PyPI, if it is neither ours nor PyTorch's
    concentration: float | None = None  # Λ̂ that the temperature does not give: 1/(2τ) otherwise
    cubic: bool = False  # memory grows with the cube of the batch
    accuracy: bool = True  # takes part in the comparison of errors

    @property
    def key(self) -> str:
        return f"{self.negatives}/{self.name}"

    @property
    def missing(self) -> bool:
        try:
            return self.package is not None and not version(self.package)
        except PackageNotFoundError:
            return True


def contenders() -> list[Contender]:
    """All contenders, whether installed or not; their packages are imported only when they are made."""
    rows = []
    for negatives in ("positives", "both"):
        rows += [
            Contender("aninfonce InfoNCE", negatives, partial(infonce, negatives, False)),
            Contender("aninfonce InfoNCE, trainable τ", negatives, partial(infonce, negatives, True)),
            Contender("aninfonce AnInfoNCE", negatives, lambda t, n=negatives: aninfonce(n, 0.5 / t)),
        ]
    rows += [
        # exp(-100·|u - v|²) underflows in float32: what the loss does then is measured too.
        Contender(
            "aninfonce AnInfoNCE, Λ̂ = 100",
            "positives",
            lambda t: aninfonce("positives", 100.0),
            concentration=100.0,
            accuracy=False,  # its Λ̂ is that of all contenders there
        ),
        Contender("dense cross-entropy", "positives", dense_cross_view),
        Contender("dense cross-entropy, trainable Λ̂", "positives", DenseAnisotropic, accuracy=False),
        Contender("dense cross-entropy", "both", dense_same_view),
        Contender("info-nce-pytorch, both ways", "positives", info_nce_pytorch, "info-nce-pytorch"),
        Contender("lightly NTXentLoss", "both", lightly_ntxent, "lightly"),
        Contender("solo-learn simclr_loss_func", "both", solo_learn, "solo-learn"),
    ]
    package = "pytorch-metric-learning"
    for negatives in ("positives", "both"):
        make = partial(metric_learning, "NTXentLoss", negatives)
        # Too large a batch for it: it has no errors to show.
        rows.append(Contender(f"{package} NTXentLoss", negatives, make, package, cubic=True, accuracy=False))
        make = partial(metric_learning, "SupConLoss", negatives)
        rows.append(Contender(f"{package} SupConLoss", negatives, make, package))
    return rows


def two_views(batch: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Embeddings of two views as leaf tensors, not normalised."""
    generator = torch.Generator().manual_seed(seed)
    u = torch.randn(batch, DIM, generator=generator)
    v = u + 0.5 * torch.randn(batch, DIM, generator=generator)
    return u.requires_grad_(), v.requires_grad_()


def infonce(negatives: str, learnable: bool, temperature: float) -> Loss:
    from aninfonce.objectives import InfoNCE

    return InfoNCE(temperature, learnable=learnable, negatives_from=negatives)


def aninfonce(negatives: str, concentration: float | Tensor) -> Loss:
    from aninfonce.objectives import AnInfoNCE

    return AnInfoNCE(DIM, concentration, negatives_from=negatives)


def _both_directions(rows: Tensor, columns: Tensor) -> Tensor:
    """Mean cross-entropy of the anchors u (rows) and v (columns); the positive stands on the diagonal."""
    labels = torch.arange(len(rows))
    return (F.cross_entropy(rows, labels) + F.cross_entropy(columns, labels)) / 2


def dense_cross_view(temperature: float) -> Loss:
    """Two-way cross-entropy as in CLIP."""

    def loss(u: Tensor, v: Tensor) -> Tensor:
        logits = F.normalize(u, dim=-1) @ F.normalize(v, dim=-1).T / temperature
        return _both_directions(logits, logits.T)

    return loss


def dense_same_view(temperature: float) -> Loss:
    """Two-way cross-entropy over the other view and, without the anchor itself, its own view: NT-Xent."""

    def loss(u: Tensor, v: Tensor) -> Tensor:
        u, v = F.normalize(u, dim=-1), F.normalize(v, dim=-1)
        across = u @ v.T / temperature
        within_u = (u @ u.T / temperature).fill_diagonal_(-torch.inf)
        within_v = (v @ v.T / temperature).fill_diagonal_(-torch.inf)
        return _both_directions(torch.cat([across, within_u], 1), torch.cat([across.T, within_v], 1))

    return loss


class DenseAnisotropic(torch.nn.Module):
    """Two-way cross-entropy of the similarity -(u-v)ᵀΛ̂(u-v), Λ̂ trained through its logarithm."""

    def __init__(self, temperature: float) -> None:
        super().__init__()
        self.log_concentration = torch.nn.Parameter(torch.full((DIM,), 0.5 / temperature).log())

    def forward(self, u: Tensor, v: Tensor) -> Tensor:
        concentration = self.log_concentration.exp()
        u, v = F.normalize(u, dim=-1), F.normalize(v, dim=-1)
        squares_u, squares_v = (u * u) @ concentration, (v * v) @ concentration
        logits = 2 * (u * concentration) @ v.T - squares_u[:, None] - squares_v
        return _both_directions(logits, logits.T)


def info_nce_pytorch(temperature: float) -> Loss:
    from info_nce import InfoNCE as PeerInfoNCE

    peer = PeerInfoNCE(temperature)
    return lambda u, v: (peer(u, v) + peer(v, u)) / 2


def lightly_ntxent(temperature: float) -> Loss:
    from lightly.loss.ntx_ent_loss import NTXentLoss

    return NTXentLoss(temperature)


def solo_learn(temperature: float) -> Loss:
    """The loss's own file: `import solo` asks for dependencies of 2021, which the loss does not need."""
    path = distribution("solo-learn").locate_file("solo/losses/simclr.py")
    spec = importlib.util.spec_from_file_location("solo_learn_simclr", str(path))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return lambda u, v: module.simclr_loss_func(u, v, temperature)


def metric_learning(name: str, negatives: str, temperature: float) -> Loss:
    from pytorch_metric_learning import losses

    peer = getattr(losses, name)(temperature=temperature)
    if negatives == "both":
        return losses.SelfSupervisedLoss(peer)

    def loss(u: Tensor, v: Tensor) -> Tensor:
        # Two objects: labels that are the reference's own would exclude the diagonal, where the positives are.
        labels, others = torch.arange(len(u)), torch.arange(len(u))
        return (peer(u, labels, ref_emb=v, ref_labels=others) + peer(v, labels, ref_emb=u, ref_labels=others)) / 2

    return loss


def floor(negatives: str, batch: int, block: int) -> Callable[[], None]:
    """The work that no algorithm with memory O(batch) avoids, and nothing else.

    For each block: the product of the forward pass and its exponentials, both again in the backward pass, and two
    products with the gradient's block. With same-view negatives the blocks are those on and above the diagonal of the
    stacked views; each serves both of its sides.
    """
    generator = torch.Generator().manual_seed(0)
    scale = (1.4427 / TEMPERATURE) ** 0.5  # exp2 of realistic exponents, no denormal numbers

    def draw(rows: int) -> Tensor:
        return scale * F.normalize(torch.randn(rows, DIM, generator=generator), dim=1)

    same = negatives == "both"
    x = draw(2 * batch if same else batch)
    y = x if same else draw(batch)
    xs, ys = x.split(block), y.split(block)
    gradient_x, gradient_y = torch.zeros_like(x), torch.zeros_like(y)
    gradients_x, gradients_y = gradient_x.split(block), gradient_y.split(block)
    pairs = [(i, j) for i in range(len(xs)) for j in range(i if same else 0, len(ys))]
    scratch = torch.empty(block, block)

    @torch.no_grad()
    def step() -> None:
        kernels = [scratch[: len(xs[i]), : len(ys[j])] for i, j in pairs]
        for (i, j), K in zip(pairs, kernels, strict=True):
            torch.mm(xs[i], ys[j].T, out=K).exp2_()
        gradient_x.zero_()
        gradient_y.zero_()
        for (i, j), K in zip(pairs, kernels, strict=True):
            torch.mm(xs[i], ys[j].T, out=K).exp2_()
            gradients_x[i].addmm_(K, ys[j])
            if not (same and i == j):  # there K is symmetric: one product serves both sides
                gradients_y[j].addmm_(K.T, xs[i])

    return step
