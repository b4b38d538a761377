"""On a real graphics card: the same losses and gradients, samples of the same law, a whole experiment, a training."""

from __future__ import annotations

import json
import math

import pytest
import torch
from torch.nn import functional as F

from aninfonce import AnInfoNCE, InfoNCE
from aninfonce.cli import run
from aninfonce.data.generators import InvertibleMLP
from aninfonce.data.latent_pairs import LatentPairs
from aninfonce.distributions import (
    AnisotropicSpherical,
    GeneralizedNormal,
    HypersphericalUniform,
    TruncatedGeneralizedNormal,
    UniformBox,
    VonMisesFisher,
)
from aninfonce.objectives import AlignmentUniformity, Debiased, LpInfoNCE, Reweighted, TopK

pytestmark = pytest.mark.gpu
F64 = torch.float64

LOSSES = {
    "InfoNCE": lambda: InfoNCE(0.2, learnable=True),
    **{
        f"AnInfoNCE, {source}, {rule}": lambda source=source, rule=rule: AnInfoNCE(
            8, negatives_from=source, hard_negatives=rule
        )
        for source in ("anchors", "positives", "both")
        for rule in (None, Reweighted(1.0), TopK(16), Debiased(0.1))
    },
    "off the sphere": lambda: AnInfoNCE(8, normalize=False, signed=True),
    "alignment and uniformity": AlignmentUniformity,
    "Lp": lambda: LpInfoNCE(1.5, dim=8, learnable=True),
}


@pytest.mark.parametrize("make", LOSSES.values(), ids=LOSSES.keys())
@pytest.mark.parametrize("rows", [64, 1500])
def test_losses_and_gradients_are_those_of_the_cpu(make, rows):
    rng = torch.Generator().manual_seed(0)
    u, v = F.normalize(torch.randn(2, rows, 8, generator=rng, dtype=F64), dim=-1)
    found = []
    for device in ("cpu", "cuda"):
        loss = make().double().to(device)
        x = u.to(device).requires_grad_()
        value = loss(x, v.to(device))
        value.backward()
        found.append([value.detach(), x.grad, *(p.grad for p in loss.parameters())])
    for here, there in zip(*found, strict=True):
        torch.testing.assert_close(there.cpu(), here, rtol=1e-7, atol=1e-10)


def laws(device: str):
    z = torch.tensor([0.6, 0.0, 0.8], dtype=F64, device=device)
    ones = torch.ones(3, dtype=F64, device=device)
    return (
        HypersphericalUniform(3, dtype=F64, device=device),
        VonMisesFisher(z, 5.0),
        AnisotropicSpherical(z, torch.tensor([1.0, 4.0, 12.0], dtype=F64, device=device)),
        AnisotropicSpherical(z, torch.tensor([1.0, -4.0, 2.0], dtype=F64, device=device), signed=True),
        UniformBox(-ones, ones),
        GeneralizedNormal(z, 2.0, 1.5),
        *(TruncatedGeneralizedNormal(z, 2.0, p, -1.0, 1.0) for p in (1.0, 2.0, 3.0)),
    )


@pytest.mark.parametrize("number", range(len(laws("cpu"))))
def test_laws_are_those_of_the_cpu(number):
    here, there = laws("cpu")[number], laws("cuda")[number]
    samples = there.sample((100_000,), generator=torch.Generator("cuda").manual_seed(0))
    assert samples.is_cuda
    torch.testing.assert_close(there.log_prob(samples).cpu(), here.log_prob(samples.cpu()), rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(there.mean.cpu(), here.mean, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(there.variance.cpu(), here.variance, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(there.entropy().cpu(), here.entropy(), rtol=1e-9, atol=1e-9)
    error = samples.std(0).cpu() / math.sqrt(len(samples))
    assert bool(((samples.mean(0).cpu() - here.mean).abs() <= 5 * error + 1e-12).all())


def test_pairs_are_drawn_on_the_card():
    pairs = LatentPairs(torch.tensor([8.0, 2.0, 2.0]), InvertibleMLP(3, generator=torch.Generator().manual_seed(0)))
    batches = pairs.to("cuda").batches(64, torch.Generator("cuda").manual_seed(0), reuse=3)
    for _ in range(40):
        assert all(x.is_cuda for x in next(batches))


def test_a_quick_experiment(tmp_path):
    out = tmp_path / "run"
    assert run(["reproduce", "content-style", "--quick", "--device", "cuda", "--out", str(out)]) == 0
    metrics = json.loads((out / "results.json").read_text())["metrics"]
    assert metrics["aninfonce/r2_content"] > 0.9


def test_a_training(tmp_path):
    out = tmp_path / "run"
    options = {"--data": "digits", "--objective": "aninfonce", "--epochs": "3", "--device": "cuda", "--out": str(out)}
    assert run(["train", *(word for option in options.items() for word in option)]) == 0
    metrics = json.loads((out / "results.json").read_text())["metrics"]
    assert metrics["backbone/class_accuracy"] > 0.5
