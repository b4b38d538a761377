"""The check of devices can fail: faults of every kind that a real card refuses are refused here, and only these."""

import copy

import numpy as np
import pytest
import torch
from pretend_cuda import CUDA, MPS, pretend_cuda
from torch import Tensor, nn
from torch.nn import functional as F


@pytest.fixture(autouse=True)
def _pretend():
    with pretend_cuda():
        yield


def on_card(*shape: int) -> Tensor:
    return torch.rand(shape, device="cuda")


FAULTS = {
    "a draw on the CPU with the card's generator": lambda: torch.randn(3, generator=torch.Generator("cuda")),
    "a draw on the card with the CPU's generator": lambda: torch.randn(3, generator=torch.Generator(), device="cuda"),
    "an order drawn on the CPU": lambda: torch.randperm(5, generator=torch.Generator("cuda")),
    "integers drawn on the CPU": lambda: torch.randint(0, 2, (3,), generator=torch.Generator("cuda")),
    "a fill with the other's generator": lambda: on_card(3).normal_(generator=torch.Generator()),
    "Gamma with the other's generator": lambda: torch._standard_gamma(on_card(3), generator=torch.Generator()),
    "choices with the other's generator": lambda: torch.multinomial(on_card(3), 2, generator=torch.Generator()),
    "a sum": lambda: on_card(3) + torch.ones(3),
    "a sum in place": lambda: torch.ones(3).add_(on_card(3)),
    "a number of the card added in place": lambda: torch.ones(()).add_(on_card()),
    "a product of matrices": lambda: on_card(3, 3) @ torch.eye(3),
    "a concatenation": lambda: torch.cat([on_card(3), torch.ones(3)]),
    "a stack of numbers": lambda: torch.stack([on_card(), torch.ones(())]),
    "a choice": lambda: torch.where(torch.ones(3, dtype=torch.bool), on_card(3), 0.0),
    "the card's indices of a tensor on the CPU": lambda: torch.ones(3)[torch.zeros(2, dtype=torch.long, device="cuda")],
    "index_select by the CPU": lambda: on_card(3).index_select(0, torch.zeros(2, dtype=torch.long)),
    "rows set from the CPU": lambda: on_card(3).__setitem__(torch.tensor([0, 1]), torch.ones(2)),
    "a layer that stayed behind": lambda: nn.Linear(3, 2)(on_card(4, 3)),
    "a hard-coded mask": lambda: on_card(3, 3)[None].masked_fill(torch.eye(3, dtype=torch.bool), 0.0),
    "NumPy": lambda: on_card(3).numpy(),
    "NumPy's own way": lambda: np.asarray(on_card(3)),
    "a gradient from elsewhere": lambda: setattr(nn.Parameter(on_card(3)), "grad", torch.ones(3)),
    "pinning": lambda: on_card(3).pin_memory(),
    "in the backward pass": lambda: _Careless.apply(on_card(3).requires_grad_()).sum().backward(),
    "in the backward pass of autograd.grad": lambda: torch.autograd.grad(
        _Careless.apply(x := on_card(3).requires_grad_()).sum(), x
    ),
    "under vmap": lambda: torch.vmap(lambda x: x + torch.ones(3))(on_card(2, 3)),
}

SOUND = {
    "numbers of the CPU": lambda: on_card(3) * torch.tensor(2.0) + 1,
    "a draw": lambda: torch.randn(3, generator=torch.Generator("cuda"), device="cuda"),
    "another draw": lambda: torch.rand_like(on_card(3)) + torch.randperm(3, device="cuda"),
    "moved": lambda: on_card(3) + torch.ones(3).to("cuda") + torch.ones(3).to(on_card(1)) + torch.ones(3).cuda(),
    "made like it": lambda: on_card(3) + on_card(3).new_ones(3) + torch.zeros_like(on_card(3)),
    "made there": lambda: on_card(3) + torch.tensor([1.0] * 3, device=on_card(1).device) + torch.arange(3, device=CUDA),
    "data put there": lambda: on_card(3) + torch.as_tensor(np.ones(3), device="cuda") + torch.as_tensor(1.0),
    "a new tensor": lambda: on_card(3) + on_card(1).new_tensor([1.0, 2.0, 3.0]),
    "indices on the CPU": lambda: on_card(3)[torch.tensor([0, 1])],
    "a copy between devices": lambda: on_card(3).copy_(torch.ones(3)),
    "a slice set from the CPU": lambda: (x := on_card(3), x.__setitem__(slice(0, 2), torch.ones(2)))[0],
    "a layer": lambda: nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2)).to("cuda")(on_card(4, 3)),
    "a layer's copy": lambda: copy.deepcopy(nn.Linear(3, 2).to("cuda"))(on_card(4, 3)),
    "one-hot": lambda: F.one_hot(torch.zeros(3, dtype=torch.long, device="cuda"), 2) * on_card(3, 2),
    "the backward pass": lambda: (x := on_card(3).requires_grad_(), x.square().sum().backward(), x.grad + on_card(3))[
        2
    ],
}


class _Careless(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x * 2

    @staticmethod
    def backward(ctx, grad):
        return grad * torch.ones(3)


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS.keys())
def test_faults_of_devices_are_refused(fault):
    with pytest.raises((RuntimeError, TypeError), match=r"device|NumPy|numpy|pin"):
        fault()


@pytest.mark.parametrize("sound", SOUND.values(), ids=SOUND.keys())
def test_what_a_card_allows_is_allowed_and_stays_there(sound):
    assert sound().device == CUDA


def test_values_are_real():
    x = on_card(1000)
    assert 0.4 < x.mean().item() < 0.6
    assert x.cpu().device.type == "cpu"
    np.testing.assert_array_equal(x.cpu().numpy(), np.array(x.tolist(), dtype=np.float32))


def test_a_step_of_an_optimizer_stays_on_the_card():
    layer = nn.Linear(3, 2).to("cuda")
    for kind in (torch.optim.Adam, torch.optim.SGD, torch.optim.AdamW):
        optimizer = kind(layer.parameters(), lr=0.1)
        layer(on_card(4, 3)).square().sum().backward()
        optimizer.step()
        states = [x for state in optimizer.state.values() for x in state.values() if isinstance(x, Tensor) and x.ndim]
        assert all(x.device == CUDA for x in states)
    assert layer.weight.device == CUDA


def test_generators_say_where_they_are():
    assert torch.Generator("cuda").device == CUDA
    assert torch.Generator().device.type == "cpu"
    assert isinstance(torch.Generator("cuda"), torch.Generator)
    one, other = (torch.rand(3, generator=torch.Generator("cuda").manual_seed(1), device="cuda") for _ in range(2))
    assert torch.equal(one, other)


def test_an_mps_card_knows_no_double_precision():
    with pretend_cuda(MPS):
        x = torch.ones(3, device="mps")
        assert (x + 1).device == MPS
        for fault in (x.double, lambda: torch.zeros(3, dtype=torch.float64, device="mps"), lambda: x.to(torch.float64)):
            with pytest.raises(TypeError, match="float64"):
                fault()
        with pytest.raises(TypeError, match="float64"):
            torch.ones(3, dtype=torch.float64).to("mps")
