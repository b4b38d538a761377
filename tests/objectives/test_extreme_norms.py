"""Projection onto the sphere for embeddings of any size: zero, subnormal, beyond the squares' range."""

import math

import pytest
import torch
from loss_reference import make_views
from torch.nn import functional as F

from aninfonce._sphere import directions, unit_rows
from aninfonce.objectives import AlignmentUniformity, AnInfoNCE, InfoNCE

LOSSES = {
    "fused": InfoNCE(0.3),
    "streamed": InfoNCE(0.3, chunk_size=5),
    "both": AnInfoNCE(4, negatives_from="both"),
    "alignment": AlignmentUniformity(),
}
EACH = pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)


@EACH
@pytest.mark.parametrize("rows", [slice(None), slice(3, 4), slice(0, 6)])  # all, one, half of them
@pytest.mark.parametrize(
    ("dtype", "scale"),
    [(torch.float32, 1e30), (torch.float32, 1e-30), (torch.float32, 1e37), (torch.float32, 1e-14),
     (torch.float64, 1e200), (torch.float64, 1e-200), (torch.bfloat16, 1e30), (torch.bfloat16, 1e-30)],
)  # fmt: skip
def test_the_size_of_an_embedding_does_not_matter(loss, rows, dtype, scale):
    """The value stays, and the gradient goes with 1 / size."""
    u, v = (x.to(dtype) for x in make_views())
    sizes = torch.ones(12, 1, dtype=torch.float64)
    sizes[rows] = 2.0 ** round(math.log2(scale))  # exact in every format
    usual, scaled = u.clone().requires_grad_(), (u.double() * sizes).to(dtype).requires_grad_()
    found, wanted = loss(scaled, v), loss(usual, v)
    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-6)
    (gradient,) = torch.autograd.grad(found, scaled)
    (expected,) = torch.autograd.grad(wanted, usual)
    assert expected.abs().max() > 1e-3
    tolerance = 2e-2 if dtype == torch.bfloat16 else 1e-4
    torch.testing.assert_close(gradient.double() * sizes, expected.double(), rtol=tolerance, atol=tolerance / 100)


@EACH
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("row", [0.0, "subnormal"])
@pytest.mark.parametrize("both", [True, False])
def test_an_embedding_without_direction_gets_no_gradient_and_harms_no_other(loss, dtype, row, both):
    if row == "subnormal":
        if dtype == torch.float16:
            pytest.skip("single precision, in which the loss is computed, has its direction")
        row = torch.finfo(dtype).tiny / 4
    u, v = (x.to(dtype) for x in make_views())
    u[3] = row
    if both:
        v[3] = row
    u.requires_grad_()
    with pytest.warns(RuntimeWarning, match="1 of 12 embeddings are zero: they have no direction.*get no gradient"):
        value = loss(u, v)
    (gradient,) = torch.autograd.grad(value, u, create_graph=True)
    assert value.isfinite()
    assert gradient[3].abs().max() == 0
    others = torch.arange(12) != 3
    assert 0 < gradient[others].abs().max() < 10
    (second,) = torch.autograd.grad(gradient.square().sum(), u)
    assert second.isfinite().all()
    assert second[3].abs().max() == 0


def test_a_zero_row_counts_as_the_centre():
    u, v = make_views()
    u[3] = 0
    y, z = F.normalize(u), F.normalize(v)
    s = (y @ z.T - (y.square().sum(1)[:, None] + 1) / 2) / 0.3  # -|y - z|²/2τ
    own = torch.arange(12)
    expected = F.cross_entropy(s, own)
    with pytest.warns(RuntimeWarning, match="no direction"):
        found = InfoNCE(0.3, symmetric=False).double()(u, v)
    torch.testing.assert_close(found, expected)


def test_a_network_with_a_dead_image_trains_on():
    """One row of exactly zero used to make a step of 1e11."""
    rng = torch.Generator().manual_seed(0)
    x = torch.randn(16, 6, generator=rng)
    x[0] = 0
    network = torch.nn.Linear(6, 4, bias=False)
    with torch.no_grad():
        network.weight.copy_(torch.randn(4, 6, generator=rng))
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    values = []
    for _ in range(30):
        optimizer.zero_grad()
        with pytest.warns(RuntimeWarning, match="no direction"):
            value = InfoNCE(0.2)(network(x), network(x + 0.1))
        value.backward()
        assert network.weight.grad.abs().max() < 100
        optimizer.step()
        values.append(value.item())
    assert values[-1] < values[0]


def test_explicit_negatives_of_any_size():
    u, v = (x.float() for x in make_views())
    w = make_views(seed=4)[0].float()
    scale = torch.logspace(-30, 30, 12)[:, None]
    for negatives in (w, w.expand(12, 12, 4)):
        torch.testing.assert_close(InfoNCE(0.3)(u, v, negatives * scale), InfoNCE(0.3)(u, v, negatives))


def test_ordinary_embeddings_are_normalised_as_torch_does():
    x = make_views(batch=50, dim=9, dtype=torch.float32)[0]
    assert torch.equal(unit_rows(x), F.normalize(x, dim=-1))
    mixed = torch.cat([x, 1e-30 * x[:1], 1e30 * x[:1]])
    assert torch.equal(unit_rows(mixed)[:50], F.normalize(x, dim=-1))
    torch.testing.assert_close(unit_rows(mixed)[50:], F.normalize(x[:1], dim=-1).expand(2, 9))
    torch.testing.assert_close(directions(mixed), unit_rows(mixed))
    assert torch.autograd.gradcheck(directions, x[:3].double().requires_grad_())
    assert unit_rows(x[:0]).shape == (0, 9)
    torch.testing.assert_close(unit_rows(x.half()), F.normalize(x.half(), dim=-1))
