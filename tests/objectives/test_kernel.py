"""The streaming kernel against independent dense forms: both paths, all sizes of blocks, all kinds of negatives."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from loss_reference import KINDS, dense_logits, dense_loss, make_views, pairwise
from torch.nn import functional as F

from aninfonce.objectives import AnInfoNCE, InfoNCE
from aninfonce.objectives import _streaming as streaming
from aninfonce.objectives._exchange import Exchange
from aninfonce.objectives._fused import LARGEST_BATCH, suits
from aninfonce.objectives._pairs import CPU_CHUNK, Layout, Pairs
from aninfonce.objectives._per_anchor import LogOwnNegatives
from aninfonce.objectives._streaming import LogNegatives, plain_sums_suffice


def random_gradients(outputs, inputs, seed=0):
    """Of a random combination of the outputs, so that every entry's gradient counts."""
    rng = torch.Generator().manual_seed(seed)
    total = sum((torch.randn(o.shape, generator=rng, dtype=o.dtype) * o).sum() for o in outputs)
    gradients = torch.autograd.grad(total, inputs, allow_unused=True)
    return [torch.zeros_like(x) if g is None else g for x, g in zip(inputs, gradients, strict=True)]


@pytest.mark.parametrize("negatives_from", KINDS)
@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("chunk", [None, 1, 5, 64])
@pytest.mark.parametrize("scale", [1.0, 2000.0])  # plain sums, and sums relative to the largest term
def test_sums_and_gradients_equal_the_dense_form(negatives_from, symmetric, chunk, scale):
    u, v = (x.requires_grad_() for x in make_views(batch=13, dim=3))
    concentration = (scale * torch.tensor([1.0, 0.3, 0.0], dtype=torch.float64)).requires_grad_()
    layout = Layout.in_batch(negatives_from, symmetric, chunk, Exchange())
    assert plain_sums_suffice(Pairs((u.detach(), v.detach()), concentration.detach(), layout)) == (scale == 1.0)
    dense = [s.logsumexp(1) for s in dense_logits(u, v, concentration, negatives_from, symmetric)]
    streamed = LogNegatives.apply(u, v, concentration, layout)
    torch.testing.assert_close(streamed, torch.stack(dense), rtol=1e-10, atol=1e-9)
    inputs = (u, v, concentration)
    expected = random_gradients([torch.stack(dense)], inputs)
    for got, wanted in zip(random_gradients([streamed], inputs), expected, strict=True):
        torch.testing.assert_close(got, wanted, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("form", [streaming.PlainSums, streaming.ScaledSums])
def test_several_blocks_of_the_kernels_own_choice(form, monkeypatch):
    """With a ragged last block; each path forced in turn."""
    monkeypatch.setattr(streaming, "plain_sums_suffice", lambda *_: form is streaming.PlainSums)
    u, v = (F.normalize(x).requires_grad_() for x in make_views(batch=CPU_CHUNK + 77, dim=3))
    concentration = torch.tensor([4.0, 1.0, 0.2], dtype=torch.float64, requires_grad=True)
    layout = Layout.in_batch("both", True, None, Exchange())
    assert layout.chunk_for(len(u), u.device) < len(u)
    dense = torch.stack([s.logsumexp(1) for s in dense_logits(u, v, concentration, "both", True)])
    streamed = LogNegatives.apply(u, v, concentration, layout)
    torch.testing.assert_close(streamed, dense, rtol=1e-12, atol=1e-12)
    inputs = (u, v, concentration)
    for got, wanted in zip(random_gradients([streamed], inputs), random_gradients([dense], inputs), strict=True):
        torch.testing.assert_close(got, wanted, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("negatives_from", KINDS)
@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("chunk", [None, 4])
def test_losses_gradients_by_finite_differences(negatives_from, symmetric, chunk):
    u, v = (x.requires_grad_() for x in make_views(batch=6, dim=3))
    raw = torch.tensor([1.6, 0.0, -2.3], dtype=torch.float64, requires_grad=True)
    loss = AnInfoNCE(3, negatives_from=negatives_from, symmetric=symmetric, chunk_size=chunk).double()

    def value(u, v, raw):
        return torch.func.functional_call(loss, {"raw_concentration": raw}, (u, v))

    assert torch.autograd.gradcheck(value, (u, v, raw))


@pytest.mark.parametrize("shape", [(7, 3), (6, 7, 3)])
@pytest.mark.parametrize("chunk", [None, 2])
def test_explicit_negatives_by_finite_differences(shape, chunk):
    u, v = (x.requires_grad_() for x in make_views(batch=6, dim=3))
    w = torch.randn(shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64, requires_grad=True)
    loss = AnInfoNCE(3, init=[5.0, 1.0, 0.1], chunk_size=chunk).double()
    raw = loss.raw_concentration.detach().clone().requires_grad_()

    def value(u, v, w, raw):
        return torch.func.functional_call(loss, {"raw_concentration": raw}, (u, v, w))

    assert torch.autograd.gradcheck(value, (u, v, w, raw))


def test_negatives_of_each_anchor_equal_shared_ones():
    u, _ = make_views(batch=9, dim=3)
    w = torch.randn(20, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    concentration = torch.tensor([5.0, 1.0, -0.5], dtype=torch.float64)
    shared = LogNegatives.apply(u, w, concentration, Layout.explicit(None))[0]
    own = LogOwnNegatives.apply(u, w.expand(9, 20, 3), concentration, None, 2)
    torch.testing.assert_close(own, shared, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(own, pairwise(u, w, concentration).logsumexp(1), rtol=1e-12, atol=1e-12)


def test_the_fused_form_is_for_small_batches_and_mild_concentrations():
    assert suits(LARGEST_BATCH, torch.tensor([0.0, 15.0]))
    assert not suits(LARGEST_BATCH + 1, torch.tensor([0.0, 15.0]))
    assert not suits(2, torch.tensor([0.0, 15.1]))
    assert not suits(2, torch.tensor([-0.1, 1.0]))


@pytest.mark.parametrize("negatives_from", KINDS)
@pytest.mark.parametrize("symmetric", [True, False])
def test_fused_and_streamed_forms_agree_in_float32(negatives_from, symmetric, monkeypatch):
    u, v = (x.requires_grad_() for x in make_views(batch=200, dim=10, dtype=torch.float32))
    results = []
    for chunk in (None, 64):
        loss = AnInfoNCE(
            10, torch.linspace(0.1, 14, 10), negatives_from=negatives_from, symmetric=symmetric, chunk_size=chunk
        )
        value = loss(u, v)
        assert ("FusedContrast" in type(value.grad_fn).__name__) == (chunk is None)
        results.append((value, *torch.autograd.grad(value, (u, v, loss.raw_concentration))))
    for fused, streamed in zip(*results, strict=True):
        torch.testing.assert_close(fused, streamed, rtol=1e-4, atol=1e-7)


def test_frozen_sides_get_no_gradient_and_change_nothing():
    """A queue of negatives, or a target network's view, may be detached."""
    u, v = make_views(batch=9, dim=3)
    loss = AnInfoNCE(3, init=[5.0, 1.0, 0.1]).double().requires_grad_(False)
    a = u.clone().requires_grad_()
    (alone,) = torch.autograd.grad(loss(a, v), a)
    b = v.clone().requires_grad_()
    both, _ = torch.autograd.grad(loss(a, b), (a, b))
    torch.testing.assert_close(alone, both)


def cap(batch, dim, radius, seed=0):
    """Embeddings concentrated on a cap, as a trained encoder's views of similar images are."""
    rng = torch.Generator().manual_seed(seed)
    center = F.normalize(torch.randn(1, dim, generator=rng, dtype=torch.float64))
    u = F.normalize(center + radius / dim**0.5 * torch.randn(batch, dim, generator=rng, dtype=torch.float64))
    return u, F.normalize(u + 0.3 * radius / dim**0.5 * torch.randn(batch, dim, generator=rng, dtype=torch.float64))


@pytest.mark.parametrize("negatives_from", KINDS)
@pytest.mark.parametrize("radius", [0.05, 0.3, 1.0])
@pytest.mark.parametrize("chunk", [None, 100])
def test_float32_on_a_cap_with_large_concentrations(negatives_from, radius, chunk):
    """Largest relative error against float64: values 2e-6, gradients 1e-5."""
    u, v = cap(300, 32, radius)
    concentration = torch.linspace(50, 150, 32, dtype=torch.float64)
    inputs = [x.clone().requires_grad_() for x in (u, v, concentration)]
    exact = dense_loss(*inputs, negatives_from, True)
    wanted = torch.autograd.grad(exact, inputs)
    loss = AnInfoNCE(32, init=concentration, negatives_from=negatives_from, chunk_size=chunk, normalize=False)
    a, b = u.float().requires_grad_(), v.float().requires_grad_()
    value = loss(a, b)
    assert value.item() == pytest.approx(exact.item(), rel=2e-6)
    grad_a, grad_b, grad_raw = torch.autograd.grad(value, (a, b, loss.raw_concentration))
    grad_concentration = grad_raw.double() / concentration  # the parameter is the logarithm
    for got, expected in zip((grad_a, grad_b, grad_concentration), wanted, strict=True):
        assert ((got.double() - expected).abs().max() / expected.abs().max()).item() < 1e-5


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 1000),
    batch=st.integers(2, 24),
    dim=st.integers(1, 6),
    negatives_from=st.sampled_from(KINDS),
    symmetric=st.booleans(),
    chunks=st.tuples(st.integers(1, 30), st.integers(1, 30)),
    log_scale=st.floats(-6, 6),
)
def test_chunks_do_not_change_the_result(seed, batch, dim, negatives_from, symmetric, chunks, log_scale):
    u, v = make_views(batch, dim, seed=seed)
    results = []
    for chunk in (None, *chunks):
        loss = AnInfoNCE(
            dim, init=10**log_scale, negatives_from=negatives_from, symmetric=symmetric, chunk_size=chunk
        ).double()
        a = u.clone().requires_grad_()
        value = loss(a, v)
        results.append((value, *torch.autograd.grad(value, (a, loss.raw_concentration))))
    concentration = loss.concentration.detach()
    exact = dense_loss(F.normalize(u), F.normalize(v), concentration, negatives_from, symmetric)
    torch.testing.assert_close(results[0][0], exact, rtol=1e-7, atol=1e-7 * min(1.0, 10**log_scale))
    for other in results[1:]:
        for one, two in zip(results[0], other, strict=True):
            torch.testing.assert_close(two, one, rtol=1e-7, atol=1e-9 * (1 + 10**log_scale))


def test_a_chunk_far_larger_than_the_batch_takes_no_memory():
    """A square of the asked size would be four terabytes."""
    u, v = make_views(dtype=torch.float32)
    w = torch.ones(3, 4)
    for negatives in (None, w, w.expand(12, 3, 4)):
        whole, asked = (InfoNCE(chunk_size=chunk)(u, v, negatives) for chunk in (None, 1_000_000))
        torch.testing.assert_close(asked, whole)


@pytest.mark.parametrize("temperature", [1e-3, 1e-1, 1e3])
@pytest.mark.parametrize("batch", [2, 40])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_extreme_temperatures_stay_finite(temperature, batch, dtype):
    loss = InfoNCE(temperature, learnable=True).to(dtype)
    u, v = make_views(batch, 4, dtype=dtype)
    for a, b in [(u, v), (u, u), (u[:1].repeat(batch, 1), u[:1].repeat(batch, 1)), (u, -u)]:
        a = a.clone().requires_grad_()
        value = loss(a, b)
        assert value.isfinite()
        for gradient in torch.autograd.grad(value, (a, loss.log_temperature)):
            assert gradient.isfinite().all()


def test_negatives_beyond_the_range_of_numbers_count_for_nothing():
    """Positives near, negatives so far that e^s is zero in float32."""
    u = torch.eye(3).requires_grad_()
    value = InfoNCE(temperature=0.005)(u, torch.eye(3))  # s = -200 between the axes
    (gradient,) = torch.autograd.grad(value, u)
    assert 0 <= value.item() < 1e-15
    assert gradient.abs().max() < 1e-12


def test_subnormal_numbers_are_avoided():
    """The weights of the gradient's products: none between zero and the smallest normal number."""
    u, v = (F.normalize(x) for x in make_views(batch=300, dim=3, dtype=torch.float32))
    concentration = torch.full((3,), 60.0)
    pairs = Pairs((u, v), concentration, Layout.in_batch("both", True, None, Exchange()))
    form = streaming.ScaledSums(pairs)
    for block in pairs.blocks():
        form.add(block, form.prepare(block))
    log_r = form.finish(pairs)
    rng = torch.Generator().manual_seed(0)
    grads = {view: 10.0 ** (-40 * torch.rand(300, generator=rng)) for view in (0, 1)}
    for block in pairs.blocks():
        s = form.prepare(block)
        weights = form.weights(block, s, log_r, grads, torch.empty_like(s))
        assert not ((weights != 0) & (weights.abs() < torch.finfo(torch.float32).tiny)).any()


def test_the_graph_can_be_kept_and_used_twice():
    u, v = (x.requires_grad_() for x in make_views())
    value = InfoNCE().double()(u, v)
    first = torch.autograd.grad(value, (u, v), retain_graph=True)
    second = torch.autograd.grad(value, (u, v))
    for one, two in zip(first, second, strict=True):
        assert torch.equal(one, two)


@pytest.mark.parametrize("inside", [True, False])
def test_backward_under_autocast_keeps_single_precision(inside):
    u, v = (x.requires_grad_() for x in make_views(batch=50, dim=8, dtype=torch.float32))
    loss = AnInfoNCE(8)
    plain = torch.autograd.grad(loss(u, v), (u, v, loss.raw_concentration))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        value = loss(u, v)
        if inside:
            mixed = torch.autograd.grad(value, (u, v, loss.raw_concentration))
    if not inside:
        mixed = torch.autograd.grad(value, (u, v, loss.raw_concentration))
    for one, two in zip(plain, mixed, strict=True):
        assert torch.equal(one, two)


@pytest.mark.parametrize("negatives_from", KINDS)
def test_no_matrix_of_the_batch_is_held(negatives_from):
    """The largest tensor saved for the backward pass, and any made on the way, is far below batch × batch."""
    batch, dim = 4 * CPU_CHUNK, 4
    u, v = (x.requires_grad_() for x in make_views(batch, dim, dtype=torch.float32))
    loss = AnInfoNCE(dim, negatives_from=negatives_from)
    largest = 0

    class Watch(torch.utils._python_dispatch.TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            nonlocal largest
            result = func(*args, **(kwargs or {}))
            for x in result if isinstance(result, (tuple, list)) else [result]:
                if isinstance(x, torch.Tensor):
                    largest = max(largest, x.numel())
            return result

    with Watch():
        loss(u, v).backward()
    assert 0 < largest <= CPU_CHUNK**2


@pytest.mark.filterwarnings("ignore:The .grad attribute:UserWarning")  # torch's own tracing looks at it
def test_compiled_code_calls_the_loss_as_it_is():
    loss = AnInfoNCE(4)
    u, v = make_views(dtype=torch.float32)
    a = u.clone().requires_grad_()

    @torch.compile(backend="eager")
    def step(a, v):
        return loss(2 * a, v) * 3

    value = step(a, v)
    (compiled,) = torch.autograd.grad(value, a)
    (plain,) = torch.autograd.grad(loss(2 * a, v) * 3, a)
    torch.testing.assert_close(compiled, plain)
    torch.testing.assert_close(torch.compile(loss, backend="eager")(u, v), loss(u, v))
