from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from aninfonce.experiments import EXPERIMENTS, Mixing, Place, Recipe, Result
from aninfonce.experiments.batch_size import BatchSize
from aninfonce.experiments.bias import BiasTask, FewNegatives, concentration_bias
from aninfonce.experiments.blocks import Blocks, BlocksTask
from aninfonce.experiments.mixing_depth import MixingDepth
from aninfonce.experiments.negatives_kind import NegativesKind
from aninfonce.experiments.negatives_number import NegativesNumber
from aninfonce.experiments.oracle_bias import OracleTask
from aninfonce.experiments.ratio_temperature import AgreementTask, RatioTemperature
from aninfonce.experiments.recipe import RecoveryModel
from aninfonce.experiments.recovery import recover
from aninfonce.experiments.study import Job
from aninfonce.models.latent_encoder import LatentEncoder
from aninfonce.objectives import AnInfoNCE
from aninfonce.report import study_figures, study_table

SWEEPS = (Blocks, RatioTemperature, NegativesKind, NegativesNumber, BatchSize, MixingDepth)
TINY = Recipe(steps=3, batch_size=32, width=8, evaluations=1)
MIXING = Mixing((12.5, 12.5, 2.5, 2.5))
GROUPS = {"content": [0, 1], "style": [2, 3]}


@pytest.mark.parametrize("experiment", SWEEPS)
def test_the_studies_are_well_formed(experiment):
    assert EXPERIMENTS[experiment.name] is experiment
    full, quick = experiment().study(), experiment().quick().study()
    assert len(quick.jobs()) <= len(full.jobs())
    assert len(quick.seeds) == 1
    assert experiment.core_seconds[1] < experiment.core_seconds[0]
    for reference in full.references:
        method, _, _ = reference.name.rpartition("/")
        assert method in full.tasks, f"{reference.name} is held against a run that there is not"
    for study in (full, quick):
        named = [method for key in ("points", "cells", "rows", "oracle_rows") for method in study.facts.get(key, ())]
        for method in named:
            assert method in study.tasks or method in ("label", "names", "apart")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: MixingDepth(depths=(0, 1)), "depths of at least 1"),
        (lambda: BatchSize(sizes=(1,)), "at least 2 pairs"),
        (lambda: RatioTemperature(ratios=(0.5,)), "ratios of at least 1"),
        (lambda: Blocks(largest=2.0, smallest=3.0), "0 < smallest < largest"),
        (lambda: NegativesNumber(numbers=(512,)).study(), "from 1 to 511, got 512"),
        (lambda: BiasTask(MIXING, replace(TINY, objective="infonce"), GROUPS), "AnInfoNCE"),
        (lambda: AgreementTask(MIXING, TINY), "isotropic"),
        (lambda: replace(TINY, centring=-1.0), "centring must be at least 0"),
        (lambda: FewNegatives(encoder(), AnInfoNCE(4), 0), "at least 1 negative"),
        (lambda: few(8)(torch.randn(8, 4), torch.randn(8, 4)), "batch of more than that"),
    ],
)
def test_settings_that_cannot_be_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def encoder() -> LatentEncoder:
    rng = torch.Generator().manual_seed(0)
    return LatentEncoder(4, 8, torch.randn(50, 4, generator=rng), rng)


def few(count: int) -> FewNegatives:
    return FewNegatives(encoder(), AnInfoNCE(4, init=torch.tensor([4.0, 3.0, 2.0, 1.0]), normalize=False), count)


def test_every_anchor_is_told_apart_from_the_anchors_that_follow_it():
    model, batch, count = few(3), 7, 3
    x, y = torch.randn(2, batch, 4, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        u, v = model.encoder(x), model.encoder(y)
        weights = torch.tensor([4.0, 3.0, 2.0, 1.0])
        losses = []
        for i in range(batch):
            candidates = [v[i], *(u[(i + k) % batch] for k in range(1, count + 1))]
            logits = -torch.stack([(weights * (c - u[i]) ** 2).sum() for c in candidates])
            losses.append(logits.logsumexp(0) - logits[0])
        assert model(x, y).item() == pytest.approx(float(torch.stack(losses).mean()), rel=1e-5)


def test_all_other_anchors_are_the_plain_loss():
    model = few(9)
    plain = RecoveryModel(
        model.encoder,
        AnInfoNCE(
            4, init=model.objective.concentration.detach(), normalize=False, negatives_from="anchors", symmetric=False
        ),
    )
    x, y = torch.randn(2, 10, 4, generator=torch.Generator().manual_seed(2))
    assert model(x, y).item() == pytest.approx(plain(x, y).item(), rel=1e-5)


def test_centring_adds_the_squared_norm_of_the_mean_embedding_of_the_anchors():
    plain = RecoveryModel(encoder(), AnInfoNCE(4, normalize=False))
    centred = RecoveryModel(plain.encoder, plain.objective)
    centred.centring = 3.0
    x, y = torch.randn(2, 10, 4, generator=torch.Generator().manual_seed(3))
    mean = plain.encoder(x).mean(0)
    assert mean.norm() > 0.05
    assert centred(x, y).item() - plain(x, y).item() == pytest.approx(3 * mean.square().sum().item(), rel=1e-3)


def test_the_recipe_says_whether_runs_are_centred():
    plain, centred = (recover(MIXING, replace(TINY, centring=c), 1000).metrics["r2"] for c in (0.0, 50.0))
    assert plain != centred


def test_the_bias_is_that_of_each_group():
    found = concentration_bias([11.0, 13.0, 2.0, 4.0], [10.0, 10.0, 2.5, 2.5], GROUPS)
    assert found == pytest.approx(
        {"concentration_content": 12.0, "bias_content": 0.2, "concentration_style": 3.0, "bias_style": 0.2}
    )


def test_measurements_at_the_end_see_the_trained_encoder():
    seen = {}

    def measure(z, z_hat):
        seen.update(z=z, z_hat=z_hat)
        return {"rows": float(len(z))}

    found = recover(MIXING, TINY, 1000, measure=measure)
    assert found.metrics["rows"] == len(seen["z"]) > 1000
    assert torch.allclose(seen["z_hat"].norm(dim=1), torch.ones(len(seen["z"])), atol=1e-5)
    plain = recover(MIXING, TINY, 1000)
    assert plain.metrics["r2"] == found.metrics["r2"], "measuring must not change the run"


def test_a_trained_encoder_keeps_the_blocks_apart(tmp_path):
    recipe = Recipe(steps=150, batch_size=256, width=32, evaluations=1)
    found = BlocksTask(MIXING, recipe, GROUPS).run(1000, Place("cpu", tmp_path))
    numbers = found.metrics
    assert numbers["leakage"] < 0.1 < numbers["leakage_chance"]
    assert numbers["leakage_over_chance"] == pytest.approx(numbers["leakage"] / numbers["leakage_chance"])
    matrix = torch.tensor(found.details["matrix"])
    assert found.details["sizes"] == [2, 2]
    outside = matrix[:2, 2:].sum() + matrix[2:, :2].sum()
    assert float(outside / matrix.sum()) == pytest.approx(numbers["leakage"], abs=1e-5)


def test_a_single_negative_tells_content_from_style(tmp_path):
    recipe = Recipe(steps=150, batch_size=256, width=32, evaluations=1)
    found = BiasTask(MIXING, recipe, GROUPS, negatives=1).run(1000, Place("cpu", tmp_path)).metrics
    assert found["concentration_content"] > 2 * found["concentration_style"]
    assert found["bias_content"] == pytest.approx(found["concentration_content"] / 12.5 - 1, rel=1e-5)


def test_without_anisotropy_both_objectives_agree(tmp_path):
    recipe = Recipe(steps=120, batch_size=256, width=32, evaluations=1)
    found = AgreementTask(Mixing((5.0,) * 4), recipe).run(1000, Place("cpu", tmp_path)).metrics
    assert abs(found["r2_difference"]) < 0.02
    assert abs(found["concentration_difference"]) < 0.15
    assert 1 <= found["concentration_range"] < 1.6


@pytest.mark.parametrize("experiment", SWEEPS)
def test_each_draws_its_figure_and_table(experiment, tmp_path):
    study = experiment().quick().study()
    # One real run of each kind of task, as short as can be; it stands in for all of its kind.
    ran, outcomes = {}, {}
    for job in study.jobs():
        task = study.task(job)
        kind = (type(task), task.recipe.objective if hasattr(task, "recipe") else "")
        if kind not in ran:
            if isinstance(task, OracleTask):
                short = replace(task, batch_size=32, batches=1)
            else:
                short = replace(task, recipe=replace(task.recipe, steps=2, batch_size=128, width=8))
            ran[kind] = short.run(job.seed, Place("cpu", tmp_path))
        outcomes[Job(job.method, job.seed)] = ran[kind]
    results = Result(study, outcomes).as_json()
    assert all(math.isfinite(v) for values in results["per_seed"].values() for v in values)
    pictures = study_figures(results, tmp_path)
    assert [p.name for p in pictures] == [f"{experiment.name}.png", f"{experiment.name}.svg"]
    assert all(p.stat().st_size > 5000 for p in pictures)
    assert study_table(results).row_count == len(study.tasks)
