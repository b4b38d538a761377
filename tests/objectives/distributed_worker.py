"""What every process of `test_distributed` runs: each case against one process that holds the global batch."""

import copy
import json
import traceback
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from aninfonce.objectives import AnInfoNCE, Debiased, InfoNCE, Reweighted, TopK

DIM = 5


class Model(nn.Module):
    """A network and its loss in one module, so that data-parallel training sees both."""

    def __init__(self, loss):
        super().__init__()
        rng = torch.Generator().manual_seed(3)
        self.network = nn.Linear(7, DIM)
        with torch.no_grad():
            self.network.weight.copy_(torch.randn(DIM, 7, generator=rng))
            self.network.bias.zero_()
        self.loss = loss

    def forward(self, x, y, negatives=None):
        negatives = None if negatives is None else self.network(negatives)
        return self.loss(self.network(x), self.network(y), negatives=negatives)


def losses():
    init = torch.linspace(0.5, 4.0, DIM)
    for negatives_from in ("positives", "anchors", "both"):
        for symmetric in (True, False):
            yield AnInfoNCE(DIM, init, negatives_from=negatives_from, symmetric=symmetric)
    yield AnInfoNCE(DIM, 300 * init, negatives_from="both")  # sums relative to the largest term
    yield AnInfoNCE(DIM, init, negatives_from="both", chunk_size=3)
    yield AnInfoNCE(DIM, init, hard_negatives=Reweighted(0.5))
    yield AnInfoNCE(DIM, init, hard_negatives=Debiased(0.05))
    yield AnInfoNCE(DIM, init, hard_negatives=TopK(3), negatives_from="both")
    yield InfoNCE(0.3, learnable=True)


def views(sizes, dtype):
    """The global batch, its split over the ranks, and explicit negatives."""
    rng = torch.Generator().manual_seed(5)
    x = torch.randn(sum(sizes), 7, generator=rng, dtype=dtype)
    y = x + 0.3 * torch.randn(sum(sizes), 7, generator=rng, dtype=dtype)
    return x, y, torch.randn(6, 7, generator=rng, dtype=dtype)


def gradients(model):
    return {name.removeprefix("module."): p.grad.double() for name, p in model.named_parameters()}


def largest_error(got, wanted):
    return max(((got[name] - wanted[name]).abs().max() / wanted[name].abs().max()).item() for name in wanted)


def compare(loss, sizes, dtype, rank, *, explicit=False, wrapped=True):
    """The largest relative errors of the value and of the averaged gradients."""
    x, y, w = views(sizes, dtype)
    w = w if explicit else None
    one = Model(copy.deepcopy(loss)).to(dtype)
    one.loss.gather = False
    expected = one(x, y, w)
    expected.backward()
    wanted = gradients(one)

    many = Model(copy.deepcopy(loss)).to(dtype)
    own_x, own_y = x.split(sizes)[rank], y.split(sizes)[rank]
    if wrapped:
        many = DistributedDataParallel(many)
        value = many(own_x, own_y, w)
        value.backward()
        got = gradients(many)
    else:  # only the network is wrapped, as where the loss lives apart
        network = DistributedDataParallel(many.network)
        value = many.loss(network(own_x), network(own_y))
        value.backward()
        got = gradients(many)
    return {"value": abs(value.item() / expected.item() - 1), "gradient": largest_error(got, wanted)}


def refusals(rank):
    """Each rank's error for a batch that cannot be contrasted, and that the group still works afterwards."""
    loss = AnInfoNCE(DIM)
    good = torch.eye(DIM)
    other = {
        "not finite": lambda: loss(good * torch.nan, good),
        "other dim": lambda: InfoNCE()(torch.eye(DIM + 1), torch.eye(DIM + 1)),
        "other dtype": lambda: loss(good.double(), good.double()),
        "other settings": lambda: AnInfoNCE(DIM, negatives_from="both")(good, good),
        "other blocks": lambda: AnInfoNCE(DIM, chunk_size=2)(good, good),
        "no batch": lambda: loss(good[:0], good[:0]),
    }
    messages = {}
    for name, call in other.items():
        usual = InfoNCE() if name == "other dim" else loss
        try:
            call() if rank == 1 else usual(good, good)
            messages[name] = "no error"
        except (ValueError, TypeError, RuntimeError) as error:
            messages[name] = f"{type(error).__name__}: {error}"
    messages["afterwards"] = loss(good, good).item()
    return messages


def second_derivatives(rank):
    """What several processes say when their common loss is differentiated twice, transformed, or given forward."""
    messages = {}
    for name, negatives_from, explicit, options in [
        ("in batch", "both", None, {}),
        ("hardest", "both", None, {"hard_negatives": TopK(2)}),
        ("explicit", "positives", torch.ones(4, DIM), {}),
    ]:
        loss = AnInfoNCE(DIM, negatives_from=negatives_from, **options)
        u = (torch.eye(DIM) + 0.1 * rank).requires_grad_()
        v = torch.eye(DIM) - 0.1
        (gradient,) = torch.autograd.grad(loss(u, v, explicit), u, create_graph=True)
        for way, inputs in [("embeddings", u), ("parameters", loss.raw_concentration)]:
            try:
                torch.autograd.grad(gradient.square().sum(), inputs, retain_graph=True)
                messages[f"{name}, {way}"] = "no error"
            except RuntimeError as error:
                messages[f"{name}, {way}"] = str(error)
    try:
        torch.func.grad(AnInfoNCE(DIM))(torch.eye(DIM), torch.eye(DIM))
        messages["transformed"] = "no error"
    except RuntimeError as error:
        messages["transformed"] = str(error)
    loss = AnInfoNCE(DIM, gather=False)
    u = torch.eye(DIM, requires_grad=True)
    (gradient,) = torch.autograd.grad(loss(u, torch.eye(DIM) - 0.1), u, create_graph=True)
    (second,) = torch.autograd.grad(gradient.square().sum(), u)
    return messages, bool(second.isfinite().all() and second.abs().max() > 0)


def run(rank, world, folder):
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=world, timeout=timedelta(seconds=60)
    )
    report = {}
    try:
        even, uneven = [6] * world, [7, 2, 4][:world]
        for number, loss in enumerate(losses()):
            for sizes in (even, uneven):
                report[f"{number} {loss} {sizes}"] = compare(loss, sizes, torch.float64, rank)
        loss = AnInfoNCE(DIM, torch.linspace(0.5, 4.0, DIM), negatives_from="both")
        report["one row a rank"] = compare(loss, [1] * world, torch.float64, rank)
        report["float32"] = compare(loss, [40] * world, torch.float32, rank)
        report["more than is kept"] = compare(loss, [700, 500, 400][:world], torch.float64, rank)
        report["explicit"] = compare(loss, uneven, torch.float64, rank, explicit=True)
        report["loss outside the wrapped module"] = compare(loss, uneven, torch.float64, rank, wrapped=False)
        x, y, _ = views(even, torch.float64)
        alone = Model(AnInfoNCE(DIM, gather=False)).double()
        report["not gathered"] = alone(x.split(even)[rank], y.split(even)[rank]).item()
        report["refusals"] = refusals(rank)
        report["second derivatives"], report["second derivative without gathering"] = second_derivatives(rank)
    except Exception:  # noqa: BLE001  # whatever it is, the test shows it
        report["error"] = traceback.format_exc()
    with open(f"{folder}/rank{rank}.json", "w") as file:
        json.dump(report, file)
    dist.destroy_process_group()
