"""What lightly's tests ask of its NTXentLoss, asked of InfoNCE with negatives from both views (SimCLR's Algorithm 1).

The cases are theirs, the code is not. Where the two differ: a batch of one has no negatives here and is refused (there
it has the loss 0); negative temperatures are refused; a memory bank is the user's, who passes it as explicit negatives.
"""

import math

import numpy as np
import pytest
import torch

from aninfonce import InfoNCE

pytestmark = pytest.mark.slow
SIZES = [2, 3, 4, 8, 16]
DIMENSIONS = [1, 2, 16, 64]
TEMPERATURES = [0.1, 0.5, 1.0, 7.0, 10.0]


def nt_xent(temperature, **options):
    return InfoNCE(temperature, negatives_from="both", **options)


def views(batch, dim, seed=0):
    rng = torch.Generator().manual_seed(seed)
    return torch.randn(batch, dim, generator=rng), torch.randn(batch, dim, generator=rng)


def algorithm_1(u, v, temperature):
    """arXiv 2002.05709, one pair at a time in float64."""
    z = np.concatenate([u.double().numpy(), v.double().numpy()])
    z /= np.linalg.norm(z, axis=1, keepdims=True)
    n, losses = len(u), []
    for i in range(2 * n):
        others = [math.exp(float(z[i] @ z[k]) / temperature) for k in range(2 * n) if k != i]
        losses.append(math.log(sum(others)) - float(z[i] @ z[(i + n) % (2 * n)]) / temperature)
    return sum(losses) / len(losses)


@pytest.mark.parametrize("batch", SIZES)
@pytest.mark.parametrize("dim", DIMENSIONS)
@pytest.mark.parametrize("temperature", TEMPERATURES)
@pytest.mark.parametrize("chunk", [None, 3])
def test_values(batch, dim, temperature, chunk):
    u, v = views(batch, dim)
    loss = nt_xent(temperature, chunk_size=chunk)
    expected = algorithm_1(u, v, temperature)
    assert loss(u, v).item() == pytest.approx(expected, abs=1e-5)
    assert loss(v, u).item() == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("batch", [2, 8, 16])
@pytest.mark.parametrize("temperature", [0.1, 1.0, 7.0])
@pytest.mark.parametrize("bank", [0, 1, 2, 8, 15, 16, 17])
def test_embeddings_that_are_all_alike(batch, temperature, bank):
    """Nothing tells the positive from n negatives: the loss is log(n + 1)."""
    rng = torch.Generator().manual_seed(0)
    line = torch.tensor([[1.0, 2.0]])
    u, v = (torch.rand(batch, 1, generator=rng) * line for _ in range(2))
    memory = torch.rand(bank, 1, generator=rng) * line if bank else None
    loss = InfoNCE(temperature)(u, v, memory) if bank else nt_xent(temperature)(u, v)
    assert loss.item() == pytest.approx(math.log((bank or 2 * batch - 2) + 1), abs=1e-6)


@pytest.mark.parametrize("temperature", TEMPERATURES)
@pytest.mark.parametrize("bank", [1, 5, 64])
def test_a_memory_bank_is_explicit_negatives(temperature, bank):
    u, v = views(9, 32)
    memory = views(bank, 32, seed=1)[0]
    a, b, m = (torch.nn.functional.normalize(x.double()) for x in (u, v, memory))
    logits = torch.cat([(a * b).sum(1, keepdim=True), a @ m.T], 1) / temperature
    expected = torch.nn.functional.cross_entropy(logits, torch.zeros(9, dtype=torch.long))
    assert InfoNCE(temperature)(u, v, memory).item() == pytest.approx(expected.item(), rel=1e-5)


@pytest.mark.parametrize("dim", [1, 32])
def test_every_batch_size_is_symmetric_in_the_views(dim):
    for batch in range(2, 20):
        u, v = views(batch, dim, seed=batch)
        assert nt_xent(0.5)(u, v).item() == pytest.approx(nt_xent(0.5)(v, u).item(), abs=1e-6)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("batch", SIZES)
def test_autocast(dtype, batch):
    u, v = views(batch, 16)
    with torch.autocast("cpu", dtype=dtype):
        assert nt_xent(0.1)(u, v).item() == pytest.approx(algorithm_1(u, v, 0.1), abs=1e-5)
        half = nt_xent(0.1)(u.to(dtype), v.to(dtype))
    assert half.item() == pytest.approx(algorithm_1(u.to(dtype).float(), v.to(dtype).float(), 0.1), abs=1e-4)


@pytest.mark.parametrize("gather", [True, False])
def test_gathering_in_one_process_changes_nothing(gather):
    """Several processes: `test_distributed`."""
    u, v = views(8, 16)
    assert nt_xent(0.3, gather=gather)(u, v).item() == pytest.approx(algorithm_1(u, v, 0.3), abs=1e-5)


def test_what_differs():
    with pytest.raises(ValueError, match="at least 2 samples"):
        nt_xent(0.5)(*views(1, 4))
    with pytest.raises(ValueError, match="temperature must be positive"):
        nt_xent(-1.0)


@pytest.mark.parametrize("batch", SIZES)
@pytest.mark.parametrize("dim", DIMENSIONS)
@pytest.mark.parametrize("temperature", TEMPERATURES)
def test_values_and_gradients_are_lightlys(batch, dim, temperature):
    theirs = pytest.importorskip("lightly.loss").NTXentLoss(temperature=temperature)
    u, v = (x.requires_grad_() for x in views(batch, dim))
    ours = nt_xent(temperature)
    assert ours(u, v).item() == pytest.approx(theirs(u, v).item(), abs=1e-5)
    for one, other in zip(
        torch.autograd.grad(ours(u, v), (u, v)), torch.autograd.grad(theirs(u, v), (u, v)), strict=True
    ):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-5)
