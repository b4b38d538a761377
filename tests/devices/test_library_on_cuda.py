"""Laws, objectives, metrics, data and models stay on the (pretended) graphics card that their arguments are on."""

from __future__ import annotations

import itertools

import pytest
import torch
from pretend_cuda import CUDA, pretend_cuda
from torch import Tensor
from torch.nn import functional as F

from aninfonce import AnInfoNCE, AnInfoNCEEnsemble, InfoNCE, metrics
from aninfonce.data import PRESETS, Augmentation, augment_images, read_batches
from aninfonce.data.box_pairs import BoxPairs
from aninfonce.data.generators import (
    FACTORS,
    ImageDecoder,
    InvertibleMLP,
    LatentsToFactors,
    SpriteGenerator,
    SpriteRenderer,
    separation,
    smallest_singular_value,
)
from aninfonce.data.latent_pairs import LatentPairs
from aninfonce.distributions import (
    AnisotropicSpherical,
    ApproximateAnisotropicSpherical,
    ContentStyleConditional,
    GeneralizedNormal,
    HypersphericalUniform,
    TruncatedGeneralizedNormal,
    UniformBox,
    VonMisesFisher,
    log_sphere_integral,
)
from aninfonce.models import VAE, ContrastiveModel, Projector, make_backbone
from aninfonce.models.image_latent_encoder import ImageLatentEncoder
from aninfonce.models.latent_encoder import LatentEncoder
from aninfonce.models.projected_encoder import ProjectedEncoder
from aninfonce.models.vae import active_units
from aninfonce.objectives import (
    AlignmentUniformity,
    Debiased,
    LpInfoNCE,
    Reweighted,
    Tilted,
    TopK,
    joint_level_sets,
)


@pytest.fixture(autouse=True)
def _pretend():
    with pretend_cuda():
        yield


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator("cuda").manual_seed(seed)


def sphere(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    return F.normalize(torch.randn(shape, device="cuda", generator=generator(seed), dtype=dtype), dim=-1)


def number(*values: float) -> Tensor:
    return torch.tensor(values if len(values) > 1 else values[0], device="cuda")


LAWS = {
    "uniform": lambda: HypersphericalUniform(3, device="cuda"),
    "von Mises–Fisher": lambda: VonMisesFisher(sphere(3), number(5.0)),
    "anisotropic": lambda: AnisotropicSpherical(sphere(3), number(1.0, 4.0, 9.0)),
    "anisotropic, a law each": lambda: AnisotropicSpherical(sphere(4, 3), 1 + torch.rand(4, 3, device="cuda")),
    "signed": lambda: AnisotropicSpherical(sphere(2, 3), number(1.0, -4.0, 9.0), signed=True),
    "approximate": lambda: ApproximateAnisotropicSpherical(sphere(3), number(3.0, 3.0, 9.0)),
    "box": lambda: UniformBox(-torch.ones(3, device="cuda"), torch.ones(3, device="cuda")),
    "generalised normal": lambda: GeneralizedNormal(sphere(2, 3), 4.0, exponent=1.5),
    "truncated": lambda: TruncatedGeneralizedNormal(sphere(2, 3), 4.0, exponent=1.0, low=-1.0, high=1.0),
    "truncated, p = 2": lambda: TruncatedGeneralizedNormal(sphere(2, 3), 4.0, exponent=2.0, low=-1.0, high=1.0),
    "truncated, p = 3": lambda: TruncatedGeneralizedNormal(sphere(2, 3), 4.0, exponent=3.0, low=-1.0, high=1.0),
    "content and style": lambda: ContentStyleConditional(
        sphere(3), [1, 2], GeneralizedNormal(sphere(3)[1:], 4.0, exponent=2.0), change_probability=1.0
    ),
}


@pytest.mark.parametrize("make", LAWS.values(), ids=LAWS.keys())
def test_laws(make):
    law = make()
    samples = law.sample((7,), generator=generator())
    assert samples.device == CUDA
    assert law.support.check(samples).device == CUDA
    if law.has_rsample:
        assert law.rsample((2,), generator=generator()).device == CUDA
    if type(law) is ApproximateAnisotropicSpherical:
        return
    assert law.log_prob(samples).device == CUDA
    assert law.expand((3, *law.batch_shape)).sample(generator=generator()).device == CUDA
    for name in ("entropy", "mean", "variance", "stddev", "mode", "log_normalizer"):
        value = getattr(law, name, None)
        if value is not None:
            assert (value() if callable(value) else value).device == CUDA
    with pytest.raises(RuntimeError, match="device"):
        law.sample((7,), generator=torch.Generator())


def test_the_derivatives_of_laws():
    z, values = sphere(4, 3).requires_grad_(), number(1.0, 4.0, 9.0).requires_grad_()
    law = AnisotropicSpherical(z, values)
    (law.log_prob(law.sample(generator=generator())).sum() + law.entropy().sum()).backward()
    assert z.grad.device == values.grad.device == CUDA
    low = (-torch.ones(3, device="cuda")).requires_grad_()
    truncated = TruncatedGeneralizedNormal(torch.zeros(3, device="cuda"), 4.0, 3.0, low, 1.0)
    truncated.entropy().backward()
    assert low.grad.device == CUDA
    assert law.log_normalizer_from_acceptance(100, generator=generator()).estimate.device == CUDA
    assert log_sphere_integral(number(1.0, 2.0, 3.0), number(1.0, 2.0, 3.0)).device == CUDA


RULES = (None, Reweighted(1.0), TopK(2), Debiased(0.1))
OPTIONS = {
    f"{source}{' symmetric' if symmetric else ''}{f' chunks of {chunk}' if chunk else ''}, {rule}": {
        "negatives_from": source,
        "symmetric": symmetric,
        "chunk_size": chunk,
        "hard_negatives": rule,
    }
    for source, symmetric, chunk, rule in itertools.product(
        ("positives", "anchors", "both"), (True, False), (None, 3), RULES
    )
}


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS.keys())
@pytest.mark.parametrize("make", [lambda **o: AnInfoNCE(4, **o), lambda **o: InfoNCE(learnable=True, **o)])
def test_objectives(make, options):
    u, v = sphere(9, 4).requires_grad_(), sphere(9, 4, seed=1).requires_grad_()
    loss = make(**options).to("cuda")
    loss(u, v).backward()
    assert u.grad.device == v.grad.device == CUDA
    assert all(p.grad.device == CUDA for p in loss.parameters())


@pytest.mark.parametrize("n", [9, 700])
def test_objectives_of_small_and_large_batches(n):
    u, v = sphere(n, 4).requires_grad_(), sphere(n, 4, seed=1)
    for loss in (AnInfoNCE(4).to("cuda"), AnInfoNCE(4, normalize=False, signed=True).to("cuda")):
        loss(u, v).backward()
    assert u.grad.device == CUDA


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("rule", [*RULES, Tilted([1.0, 2.0, 3.0, 4.0])])
def test_objectives_with_negatives_of_their_own(rule, shared):
    u, v = sphere(9, 4).requires_grad_(), sphere(9, 4, seed=1)
    negatives = sphere(*([] if shared else [9]), 5, 4, seed=2)
    loss = AnInfoNCE(4, hard_negatives=rule).to("cuda")
    loss(u, v, negatives=negatives).backward()
    log_q = torch.zeros(9, device="cuda"), torch.zeros(negatives.shape[:-1], device="cuda")
    loss(u, v, negatives=negatives, log_q=log_q).backward()
    assert u.grad.device == CUDA


def test_the_other_objectives():
    u, v = sphere(9, 4).requires_grad_(), sphere(9, 4, seed=1)
    losses = (LpInfoNCE(1.0, dim=4, learnable=True), LpInfoNCE(2.0, negatives_from="both"), AlignmentUniformity())
    for loss in losses:
        loss.to("cuda")(u, v).backward()
    LpInfoNCE(3.0).to("cuda")(u, v, negatives=sphere(5, 4, seed=2)).backward()
    ensemble = AnInfoNCEEnsemble(4, members=2, weights=[1.0, 2.0]).to("cuda")
    ensemble([(u, v), (v, u)]).backward()
    assert u.grad.device == CUDA
    assert joint_level_sets(ensemble.concentration) == [[0, 1, 2, 3]]


def test_views_on_two_devices_are_refused_in_words():
    u, v = sphere(9, 4), sphere(9, 4).cpu()
    for loss in (AnInfoNCE(4), InfoNCE(), AlignmentUniformity(), LpInfoNCE(1.0)):
        with pytest.raises(ValueError, match="one device, got cuda:0 and cpu"):
            loss.to("cuda")(u, v)


def test_metrics_take_tensors_of_any_device():
    z, turned = sphere(300, 4), sphere(300, 4).flip(1).requires_grad_()
    near = F.normalize(z + 0.6 * sphere(300, 4, seed=1))
    half, other = z[:150], turned[150:]
    assert metrics.linear_r2(z, turned) > 0.99
    assert metrics.mean_correlation(z, turned) > 0.99
    assert metrics.match_dimensions(z, turned).permutation.tolist() == [3, 2, 1, 0]
    assert metrics.block_leakage(z, turned, {"a": [0, 1], "b": [2, 3]}).leakage < 0.1
    assert metrics.kernel_r2(z, turned, max_rows=100) > 0.9
    assert metrics.dci(z, turned).disentanglement > 0.9
    assert metrics.effective_rank(turned) > 3
    assert metrics.alignment(z, near) < metrics.alignment(z, turned)
    assert metrics.uniformity(z) < 0
    assert metrics.hit_at_k(z, z) == 1
    assert metrics.readout(z, z[:, 0] > 0) > 0.9
    assert metrics.readout(z, z[:, 0]) > 0.9
    for test in (metrics.rayleigh_test, metrics.bingham_test):
        assert 0 <= test(z).p_value <= 1
    assert 0 <= metrics.energy_test(half, other, permutations=19).p_value <= 1
    assert 0 <= metrics.symmetry_test(half, near[:150], permutations=19).p_value <= 1
    assert metrics.anisotropy(z, near).concentration.min() > 0


PAIRS = {
    "sphere": lambda g: LatentPairs(torch.tensor([8.0, 2.0, 2.0]), g),
    "box": lambda g: BoxPairs(torch.tensor([8.0, 2.0, 2.0]), g, exponent=3.0),
}


@pytest.mark.parametrize("make", PAIRS.values(), ids=PAIRS.keys())
def test_pairs_are_drawn_where_they_were_put(make):
    g = InvertibleMLP(3, generator=torch.Generator().manual_seed(0))
    here = make(g)
    there = here.to("cuda")
    assert (type(there), there.concentration.device) == (type(here), CUDA)
    assert here.concentration.device.type == "cpu"
    assert there.latents(5, generator()).device == CUDA
    for pair in itertools.islice(there.batches(4, generator(), pool=2, reuse=3), 6):
        assert all(x.device == CUDA for x in pair)
    with pytest.raises(RuntimeError, match="device"):
        there.latents(5, torch.Generator())


def test_generators_of_images_and_what_is_measured_of_them():
    renderer = SpriteRenderer(16)
    sprites = SpriteGenerator(LatentsToFactors(FACTORS[:3]), renderer)
    z = sphere(4, 3, dtype=torch.float64)
    assert sprites(z).device == CUDA
    assert LatentsToFactors(FACTORS[:3]).inverse(LatentsToFactors(FACTORS[:3])(z)).device == CUDA
    decoder = ImageDecoder(3, (1, 4, 4), (8, 12), generator=torch.Generator().manual_seed(0)).to("cuda").double()
    assert decoder.inverse(decoder(z)).device == CUDA
    mixing = InvertibleMLP(3, generator=torch.Generator().manual_seed(0)).to("cuda").double()
    assert mixing.inverse(mixing(z)).device == CUDA
    assert smallest_singular_value(mixing, z).device == CUDA
    assert separation(mixing, z, starts=2, steps=2).searched > 0


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("channels", [1, 3])
def test_augmentations(preset, channels):
    images = torch.randint(0, 256, (6, channels, 16, 16), dtype=torch.uint8, device="cuda")
    augment = Augmentation(preset, channels=channels, image_size=16)
    for source in (generator(), torch.Generator()):  # parameters of either device are taken
        augmented, parameters = augment(images, generator=source)
        assert augmented.device == CUDA
        assert parameters.to("cuda").values[parameters.names[0]].device == CUDA
        assert augment_images(images, parameters).device == CUDA


def test_batches_are_put_on_the_device():
    images = torch.zeros(10, 1, 4, 4, dtype=torch.uint8)
    places = [torch.arange(3), torch.arange(3, 6)]
    for stored in (images, images.to("cuda")):
        for _, batch in read_batches(stored, places, CUDA):
            assert batch.device == CUDA


def test_models():
    rng = torch.Generator().manual_seed(0)
    x = torch.randn(300, 3, generator=rng)
    images = torch.rand(300, 3, 16, 16, generator=rng)
    encoders = (
        (LatentEncoder(3, 8, x, rng), x),
        (LatentEncoder(3, 8, images, rng, components=5), images),
        (ProjectedEncoder(3, 8, x, rng, feature_dim=3, embedding_dim=2, layers=2), x),
        (ImageLatentEncoder(4, images, channels=4, width=8, components=16, generator=rng), images),
        (
            ContrastiveModel(make_backbone("small:4", channels=3, image_size=16), Projector(64, 8, 4), [0.5], [0.2]),
            images,
        ),
    )
    for encoder, inputs in encoders:
        out = encoder.to("cuda")(inputs.to("cuda"))
        for y in out if isinstance(out, tuple) else [out]:
            assert y.device == CUDA
            y.square().sum().backward(retain_graph=True)
        assert all(p.grad is None or p.grad.device == CUDA for p in encoder.parameters())
    decoder = ImageDecoder(3, (3, 16, 16), (8, 12), generator=rng)
    vae = VAE(decoder, 3 * 16 * 16, 8, generator=rng).to("cuda")
    error, divergence = vae(images.to("cuda"), torch.randn(300, 3, device="cuda"))
    (error.sum() + divergence.sum()).backward()
    assert active_units(vae, images.to("cuda")).device == CUDA
