"""What the paper's public code computes: its loss and its sampler against ours, with an oracle and trained."""

import math
from dataclasses import replace

import pytest
import torch

from aninfonce import AnInfoNCE
from aninfonce.data.latent_pairs import LatentPairs
from aninfonce.distributions import ApproximateAnisotropicSpherical
from aninfonce.experiments import Mixing, Place, Recipe
from aninfonce.experiments.bias import BiasTask, untransposed
from aninfonce.experiments.negatives_kind import LOSSES, NegativesKind
from aninfonce.experiments.oracle_bias import OracleTask, fit_concentration
from aninfonce.experiments.public_code import ApproximatePairs, UntransposedNTXent, nt_xent
from aninfonce.experiments.recipe import make_objective
from aninfonce.models.latent_encoder import LatentEncoder

PAPER = Mixing((12.5,) * 5 + (2.5,) * 5)
HALVES = {"content": list(range(5)), "style": list(range(5, 10))}
SMALL = Mixing((12.5, 12.5, 2.5, 2.5))
GROUPS = {"content": [0, 1], "style": [2, 3]}
NT_XENT = {"negatives_from": "both", "symmetric": True}


def views(batch=7, dim=4, seed=0):
    rng = torch.Generator().manual_seed(seed)
    u, v = torch.randn(2, batch, dim, generator=rng, dtype=torch.float64)
    return torch.nn.functional.normalize(u, dim=1), torch.nn.functional.normalize(v, dim=1)


def written_out(u, v, weights):
    """The public code's loss as it is published, one anchor after the other."""

    def s(a, b):
        return -(weights * (a - b) ** 2).sum()

    losses = []
    rows = range(len(u))
    for i in rows:
        cross = [s(u[i], v[j]) for j in rows if j != i]  # of both directions
        for own in (u, v):
            same = [s(own[i], own[j]) for j in rows if j != i]
            candidates = torch.stack([*same, *cross, s(u[i], v[i])])
            losses.append(candidates.logsumexp(0) - s(u[i], v[i]))
    return torch.stack(losses).mean()


@pytest.mark.parametrize("seed", range(3))
def test_transposed_it_is_our_loss_and_untransposed_the_published_one(seed):
    u, v = views(seed=seed)
    weights = torch.tensor([9.0, 4.0, 2.0, 0.5], dtype=torch.float64)
    ours = AnInfoNCE(4, init=weights, normalize=False, **NT_XENT).double()
    expected = ours(u, v).item()
    assert nt_xent(u, v, ours.concentration, transposed=True).item() == pytest.approx(expected, rel=1e-10)
    assert nt_xent(u, v, weights, transposed=False).item() == pytest.approx(written_out(u, v, weights).item())
    assert nt_xent(u, v, weights, transposed=False).item() != pytest.approx(expected, rel=1e-4)


def test_the_block_makes_no_difference_where_similarities_are_symmetric():
    u, _ = views()
    weights = torch.tensor([9.0, 4.0, 2.0, 0.5], dtype=torch.float64)
    both = [nt_xent(u, u, weights, transposed=transposed).item() for transposed in (True, False)]
    assert both[0] == pytest.approx(both[1], rel=1e-12)


def test_its_objective_trains_the_concentrations_of_normalised_embeddings():
    u, v = views()
    loss = UntransposedNTXent(4, init=[9.0, 4.0, 2.0, 0.5], negatives_from="both")
    value = loss(3 * u.float(), 0.2 * v.float())
    assert value.item() == pytest.approx(written_out(u, v, loss.concentration.detach()).item(), rel=1e-5)
    value.backward()
    assert loss.raw_concentration.grad.abs().min() > 0
    with pytest.raises(ValueError, match="explicit"):
        loss(u.float(), v.float(), negatives=v.float())


def test_a_trained_run_starts_where_our_loss_does():
    rng = torch.Generator().manual_seed(0)
    encoder = LatentEncoder(4, 8, torch.randn(50, 4, generator=rng), rng)
    objective = make_objective(Recipe(initial_spread=2.0, **NT_XENT), 4)
    model = untransposed(encoder, objective)
    assert isinstance(model.objective, UntransposedNTXent)
    assert model.objective.concentration.tolist() == pytest.approx(objective.concentration.tolist())
    with pytest.raises(TypeError, match="InfoNCE"):
        untransposed(encoder, make_objective(Recipe(objective="infonce"), 4))


def test_approximate_pairs_have_the_same_anchors_and_the_public_codes_positives():
    concentration = torch.tensor(SMALL.concentration)
    exact, approximate = LatentPairs(concentration, torch.tanh), ApproximatePairs(concentration, torch.tanh)
    (z, _), (anchors, positives) = (
        pairs.latent_pairs(50, torch.Generator().manual_seed(3)) for pairs in (exact, approximate)
    )
    assert torch.equal(z, anchors)
    rng = torch.Generator().manual_seed(3)
    exact.latents(50, rng)
    assert torch.equal(positives, ApproximateAnisotropicSpherical(z, concentration).sample(generator=rng))


def oracle(mixing=PAPER, groups=HALVES, **settings):
    return OracleTask(mixing, groups, **settings)


def test_the_logs_loss_is_that_of_both_views_and_not_of_the_other_positives(tmp_path):
    place = Place("cpu", tmp_path)
    small = {"fits": 2, "batches": 2}
    losses = {
        kind: oracle(negatives_from=kind, symmetric=True, **small).run(0, place).metrics["loss"]
        for kind in ("anchors", "positives", "both")
    }
    public = oracle(transposed=False, sampler="approximate", **NT_XENT, **small).run(0, place).metrics["loss"]
    log = 4.35  # of the public code, near its end, in batches of 1000
    assert losses["both"] == pytest.approx(log, abs=0.1)
    assert public == pytest.approx(log, abs=0.1)
    assert losses["positives"] == pytest.approx(3.67, abs=0.05)
    # Twice the negatives: log 2 more, less what the positive itself has in the sum.
    assert 0.6 < losses["both"] - losses["anchors"] < math.log(2)


def test_the_oracle_finds_the_truth_by_the_theorems_loss_and_the_exact_sampler_only(tmp_path):
    exact, approximate = (
        oracle(sampler=sampler, batches=2).run(1, Place("cpu", tmp_path)).metrics
        for sampler in ("exact", "approximate")
    )
    for group, true in {"content": 12.5, "style": 2.5}.items():
        assert abs(exact[f"concentration_{group}"] - true) < 4 * exact[f"error_{group}"] < 0.1 * true
    assert approximate["concentration_content"] - 12.5 > 2 * approximate["error_content"], "its pairs are tighter"
    assert exact["shift_content"] == exact["shift_style"] == 0, "it is the theorem's loss itself"
    assert exact["bias_content"] == pytest.approx(exact["concentration_content"] / 12.5 - 1)


def test_the_shift_is_the_difference_on_the_same_pairs(tmp_path):
    settings = {"mixing": SMALL, "groups": GROUPS, "batch_size": 64, "fits": 3, "batches": 2}
    place = Place("cpu", tmp_path)
    plain = oracle(**settings).run(5, place).metrics
    both = oracle(**settings, **NT_XENT).run(5, place).metrics
    for group in GROUPS:
        difference = both[f"concentration_{group}"] - plain[f"concentration_{group}"]
        assert both[f"shift_{group}"] == pytest.approx(difference, abs=1e-4)
        assert both[f"error_shift_{group}"] < both[f"error_{group}"], "what both share is not in it"


def test_the_fit_is_the_minimum_and_leaves_the_objective_as_it_was():
    rng = torch.Generator().manual_seed(0)
    true = torch.tensor(SMALL.concentration, dtype=torch.float64)
    batches = [LatentPairs(true, torch.tanh).latent_pairs(128, rng) for _ in range(3)]
    objective = AnInfoNCE(4, init=3.0, negatives_from="anchors", symmetric=False).double()
    before = objective.raw_concentration.detach().clone()
    found = fit_concentration(objective, true, batches)
    assert torch.equal(objective.raw_concentration, before)

    def cost(concentration):
        with torch.no_grad():
            objective.raw_concentration.copy_(torch.as_tensor(concentration).log())
            return sum(objective(*pair).item() for pair in batches)

    assert all(cost(found) < cost(found * factor) for factor in (0.97, 1.03))
    for i in range(4):
        moved = found.copy()
        moved[i] *= 1.05
        assert cost(found) < cost(moved)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: oracle(transposed=False), "both views in both directions"),
        (lambda: oracle(transposed=False, negatives_from="both"), "both views in both directions"),
        (lambda: oracle(sampler="exakt"), "sampler"),
        (lambda: oracle(batch_size=1), "at least 2 pairs"),
        (lambda: oracle(fits=1), "at least 2 fits"),
        (lambda: oracle(batches=0), "at least 1 batch"),
        (lambda: BiasTask(SMALL, Recipe(), GROUPS, transposed=False), "both views in both directions"),
        (lambda: BiasTask(SMALL, Recipe(**NT_XENT), GROUPS, 3, transposed=False), "both views in both directions"),
        (lambda: BiasTask(SMALL, Recipe(), GROUPS, sampler="exakt"), "sampler"),
    ],
)
def test_settings_that_cannot_be_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_a_trained_run_takes_the_loss_and_the_pairs_it_is_told_to(tmp_path):
    recipe = Recipe(steps=3, batch_size=32, width=8, evaluations=1, **NT_XENT)
    plain = BiasTask(SMALL, recipe, GROUPS)
    found = {
        name: task.run(1000, Place("cpu", tmp_path)).metrics
        for name, task in {
            "plain": plain,
            "untransposed": replace(plain, transposed=False),
            "approximate": replace(plain, sampler="approximate"),
        }.items()
    }
    content = {name: numbers["concentration_content"] for name, numbers in found.items()}
    assert len(set(content.values())) == 3
    assert found["untransposed"]["loss"] != found["plain"]["loss"]


def test_the_design_changes_each_factor_alone():
    tasks = NegativesKind().study().tasks
    oracles = {name for name in tasks if name.startswith("oracle-")}
    assert oracles == {f"oracle-{v.name}{s}" for v in LOSSES for s in ("", "-approximate")}
    theorem = tasks["oracle-anchors"]
    changed = {
        "oracle-anchors-approximate": {"sampler": "approximate"},
        "oracle-positives": {"negatives_from": "positives"},
        "oracle-both": {"negatives_from": "both"},
        "oracle-anchors-symmetric": {"symmetric": True},
    }
    for name, change in changed.items():
        assert tasks[name] == replace(theorem, **change)
    assert tasks["oracle-both-untransposed"] == replace(tasks["oracle-both-symmetric"], transposed=False)
    public = tasks["both-untransposed-approximate"]
    assert (public.sampler, public.transposed, public.recipe.negatives_from) == ("approximate", False, "both")
    assert public.recipe == tasks["both-symmetric"].recipe == tasks["both-untransposed"].recipe
