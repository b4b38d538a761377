"""What a training step holds and computes: activations kept for the backward pass, the loss's peak, operations."""

from __future__ import annotations

import multiprocessing
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from _losses_measure import peak_of
from aninfonce.models import make_backbone
from aninfonce.objectives import AnInfoNCE

# name, channels, side in pixels
BACKBONES = (("small", 1, 28), ("small", 3, 32), ("resnet18", 3, 32), ("resnet50", 3, 224))


def kept_bytes(module: nn.Module, images: Tensor) -> int:
    """Bytes that autograd keeps for the backward pass, every storage once; the module's own and the images excluded."""
    own = {x.untyped_storage().data_ptr() for x in (*module.parameters(), *module.buffers(), images)}
    kept: dict[int, int] = {}

    def pack(x: Tensor) -> Tensor:
        storage = x.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes()
        return x

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda x: x):
        output = module(images)  # alive until all is counted: no address is given out twice
    del output
    return sum(kept.values())


def measure_backbone(name: str, channels: int, size: int) -> dict[str, Any]:
    """Parameters; of an image: what is kept, operations of a forward, and of a forward and backward pass."""
    backbone = make_backbone(name, channels=channels, image_size=size)
    few, more = (kept_bytes(backbone, torch.rand(n, channels, size, size)) for n in (2, 4))
    image = torch.rand(2, channels, size, size)
    with FlopCounterMode(display=False) as forward:
        output = backbone(image)
    with FlopCounterMode(display=False) as backward:
        output.sum().backward()
    return {
        "name": name,
        "image": f"{channels}×{size}×{size}",
        "parameters": sum(p.numel() for p in backbone.parameters()),
        "activation_bytes": (more - few) / 2,
        "forward_flops": forward.get_total_flops() / 2,
        "step_flops": (forward.get_total_flops() + backward.get_total_flops()) / 2,
    }


class _Products(TorchDispatchMode):
    """Counts the operations of matrix products: 2·m·k·n."""

    def __init__(self) -> None:
        super().__init__()
        self.flops = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        packet = func.overloadpacket
        if packet in (torch.ops.aten.mm, torch.ops.aten.addmm, torch.ops.aten.addmm_):
            left, right = args[-2:]
            self.flops += 2 * left.shape[0] * left.shape[1] * right.shape[1]
        return func(*args, **(kwargs or {}))


def _views(batch: int, dim: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    u = torch.randn(batch, dim, generator=generator)
    return u.requires_grad_(), (u.detach() + 0.5 * torch.randn(batch, dim, generator=generator)).requires_grad_()


def count_loss_flops(batch: int, dim: int, chunk: int) -> int:
    """Counted operations of the streamed loss, forward and backward, negatives from both views."""
    u, v = _views(batch, dim)
    loss = AnInfoNCE(dim, init=1.0, negatives_from="both", chunk_size=chunk)
    with _Products() as products:
        loss(u, v).backward()
    return products.flops


def loss_flops(batch: int, dim: int, chunk: int) -> int:
    """The formula: batch a multiple of the chunk, n = batch / chunk chunks a view.

    n² blocks across the views and n (n + 1) / 2 within each, of chunk² similarities; each costs two products with
    dim + 2 columns (forward, and again backward) and one with dim columns for each side that it serves. For many chunks
    that is 16·batch²·dim.
    """
    n = batch // chunk
    blocks, diagonal = n * n + n * (n + 1), 2 * n
    return chunk**2 * (blocks * (4 * (dim + 2) + 2 * dim) + (blocks - diagonal) * 2 * dim)


def _peak(batch: int, dim: int, sender: Any) -> None:
    torch.set_num_threads(1)
    loss = AnInfoNCE(dim, init=1.0, negatives_from="both")

    def step(u: Tensor, v: Tensor) -> None:
        loss(u, v).backward()

    step(*_views(1100, dim))  # not the small batch's form, which is another
    views = _views(batch, dim)
    sender.send(peak_of(lambda: step(*views)))


def measure_loss_memory(batch: int, dim: int) -> dict[str, Any]:
    """Peak bytes of the loss beyond the embeddings it is given, gradients included, in a process of its own.

    Raises:
        RuntimeError: if the process ends without a reading.
    """
    fork = multiprocessing.get_context("fork")
    receiver, sender = fork.Pipe(duplex=False)
    child = fork.Process(target=_peak, args=(batch, dim, sender))
    child.start()
    sender.close()
    try:
        peak = receiver.recv()
    except EOFError as error:
        raise RuntimeError(f"the loss of {batch} × {dim} ended without a reading: its error is above") from error
    finally:
        child.join()
    return {"batch": batch, "dim": dim, "peak_bytes": peak, "matrices": peak / (4 * batch * dim)}
