from __future__ import annotations

import dataclasses
import math

import pytest
import torch
from torch.nn import functional as F

from aninfonce.experiments.dimensions import recipe_for
from aninfonce.experiments.muon import Float32Muon, orthogonalized
from aninfonce.experiments.recipe import Mixing, Recipe, RecoveryModel, make_objective, make_optimizers
from aninfonce.experiments.recovery import recover
from aninfonce.experiments.uniformity import moment_penalty
from aninfonce.models.latent_encoder import LatentEncoder


def sphere(n: int, dim: int, seed: int = 0) -> torch.Tensor:
    return F.normalize(torch.randn(n, dim, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)), dim=1)


@pytest.mark.parametrize("dim", [3, 10])
def test_the_penalty_is_zero_in_expectation_for_uniform_embeddings(dim):
    n, repeats = 64, 400
    drawn = torch.stack([moment_penalty(sphere(n, dim, seed)) for seed in range(repeats)])
    standard_error = float(drawn.std()) / math.sqrt(repeats)
    assert abs(float(drawn.mean())) < 4 * standard_error
    assert standard_error < 0.05 * (dim - 1) / n


def test_folding_and_stretching_are_penalised_and_turning_is_not():
    u = sphere(4096, 6)
    rotation = torch.linalg.qr(sphere(6, 6, 1)).Q
    assert float(moment_penalty(u @ rotation)) == pytest.approx(float(moment_penalty(u)), abs=1e-12)
    stretched = F.normalize(u * torch.tensor([2.0, 2.0, 2.0, 1.0, 1.0, 1.0]).to(u), dim=1)
    # A map of degree 0: of z_1 its modulus is known and not its sign.
    modulus = u[:, :1].abs()
    folded = F.normalize(torch.cat([modulus - modulus.mean(), u[:, 1:]], dim=1), dim=1)
    for wrong in (stretched, folded):
        assert float(moment_penalty(wrong)) > 10 * abs(float(moment_penalty(u)))


def test_the_penalty_fades_and_leaves_the_loss_alone():
    recipe = Recipe(steps=100, uniformity_weight=0.5, uniformity_until=0.6)
    weights = [recipe.uniformity_at(step) for step in range(1, 101)]
    assert weights == sorted(weights, reverse=True)
    assert 0 < weights[0] < 0.5
    assert weights[59:] == [0.0] * 41
    assert Recipe().uniformity_at(1) == 0


def test_the_penalty_is_added_to_the_loss_of_the_anchors():
    model = RecoveryModel(LatentEncoder(4, 8, torch.randn(50, 4)), make_objective(Recipe(), 4))
    x, x_positive = torch.randn(2, 32, 4)
    with torch.no_grad():
        expected = model(x, x_positive) + 0.5 * moment_penalty(model.encoder(x))
        model.uniformity_weight = 0.5
        assert float(model(x, x_positive)) == pytest.approx(float(expected), rel=1e-5)


@pytest.mark.parametrize("shape", [(8, 5), (5, 8), (6, 6)])
def test_orthogonalising_keeps_the_singular_vectors(shape):
    matrix = torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    left, _, right = torch.linalg.svd(matrix, full_matrices=False)
    inner = left.T @ orthogonalized(matrix, 5) @ right.T
    assert torch.allclose(inner, inner.diagonal().diag(), atol=1e-9)
    assert ((inner.diagonal() > 0.5) & (inner.diagonal() < 1.5)).all()


def test_both_precisions_take_the_same_steps():
    weights = [torch.nn.Parameter(torch.ones(12, 7)) for _ in range(2)]
    ours = Float32Muon(weights[:1], lr=0.05, ns_steps=2)
    theirs = torch.optim.Muon(weights[1:], lr=0.05, weight_decay=0.0, ns_steps=2)
    rng = torch.Generator().manual_seed(0)
    for _ in range(10):
        weights[0].grad = torch.randn(12, 7, generator=rng)
        weights[1].grad = weights[0].grad.clone()
        ours.step()
        theirs.step()
    first, second = (weight.detach() for weight in weights)
    assert float((first - second).norm() / (second - 1).norm()) < 0.02


def test_what_is_no_matrix_or_out_of_range_is_refused():
    vector, matrix = torch.nn.Parameter(torch.ones(3)), torch.nn.Parameter(torch.ones(3, 3))
    with pytest.raises(ValueError, match="matrix"):
        Float32Muon([vector], lr=0.1)
    for setting in ({"lr": 0.0}, {"lr": 0.1, "momentum": 1.0}, {"lr": 0.1, "ns_steps": 0}):
        with pytest.raises(ValueError, match="expected lr > 0"):
            Float32Muon([matrix], **setting)


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("hidden_layers", 0),
        ("uniformity_weight", -0.1),
        ("uniformity_weight", math.inf),
        ("uniformity_until", 0.0),
        ("uniformity_until", 1.5),
    ],
)
def test_settings_out_of_range_are_refused(setting, value):
    with pytest.raises(ValueError, match=setting):
        Recipe(**{setting: value})


def test_recipes_grow_with_the_dimension():
    recipes = [recipe_for(dim) for dim in range(2, 70)]
    for setting in ("width", "batch_size", "steps"):
        values = [getattr(recipe, setting) for recipe in recipes]
        assert values == sorted(values)
        assert values[0] < values[-1]
    assert recipe_for(3) == recipe_for(5)
    assert recipe_for(500) == recipe_for(50)
    with pytest.raises(ValueError, match="dim"):
        recipe_for(1)


def test_every_parameter_is_optimised_once_by_the_recipes_of_this_experiment():
    recipe = recipe_for(5)
    encoder = LatentEncoder(5, 8, torch.randn(50, 5), hidden_layers=recipe.hidden_layers)
    assert len(encoder.linear_layers) == recipe.hidden_layers + 1
    model = RecoveryModel(encoder, make_objective(recipe, 5))
    groups = [group for optimizer in make_optimizers(model, recipe) for group in optimizer.param_groups]
    optimised = [parameter for group in groups for parameter in group["params"]]
    assert len(optimised) == len(set(optimised))
    assert set(optimised) == set(model.parameters())


def test_a_run_without_the_penalty_does_not_depend_on_its_other_setting():
    mixing = Mixing((12.5, 12.5, 2.5, 2.5))
    short = Recipe(steps=5, batch_size=32, width=8, evaluations=1)
    first, second = (recover(mixing, dataclasses.replace(short, uniformity_until=until), 0) for until in (0.1, 1.0))
    assert first.concentration == second.concentration


@pytest.mark.slow
def test_ten_latents_are_recovered():
    mixing = Mixing((12.5,) * 5 + (2.5,) * 5)
    numbers = recover(mixing, recipe_for(10), 2000, {"content": range(5), "style": range(5, 10)}).metrics
    assert min(numbers["r2_content"], numbers["r2_style"]) >= 0.99
    assert numbers["concentration_error"] <= 0.06
