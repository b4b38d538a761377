import math

import numpy as np
import pytest
import torch
from scipy.stats import binom, chi2, ortho_group

from aninfonce import metrics
from aninfonce.distributions import AnisotropicSpherical, HypersphericalUniform
from aninfonce.metrics import _anisotropy, _posterior
from aninfonce.metrics._posterior import deal, evaluate, maximum_likelihood

BIMODAL = [12.5] * 5 + [2.5] * 5
SPREAD = [20.0, 10.0, 5.0]


def pairs(rows, concentration, seed=0):
    """Latents as a perfect encoder gives them; `concentration` (dim,), or a function of the anchors."""
    generator = torch.Generator().manual_seed(seed)
    dim = 3 if callable(concentration) else len(concentration)
    u = HypersphericalUniform(dim, dtype=torch.float64).sample((rows,), generator=generator)
    precision = concentration(u, generator) if callable(concentration) else torch.tensor(concentration)
    v = AnisotropicSpherical(u, precision.double()).sample(generator=generator)
    return u.numpy(), v.numpy()


def heavy_tailed(u, generator):
    narrow = torch.rand(len(u), 1, generator=generator) < 0.5
    return torch.where(narrow, 3.0, 1 / 3) * torch.tensor(SPREAD)


def depends_on_the_anchor(u, generator):
    return torch.where(u[:, :1] > 0, 2.0, 0.5) * torch.tensor(SPREAD)


def plausible_count(hits, trials, probability):
    """Whether that many hits are no surprise, at 1 in 1,000 on either side."""
    return binom.ppf(0.001, trials, probability) <= hits <= binom.ppf(0.999, trials, probability)


def replicates(number, rows, concentration, **options):
    return [metrics.anisotropy(*pairs(rows, concentration, seed), **options) for seed in range(number)]


def dealt(u, v, negatives=4, negatives_from="anchors", seed=0):
    return deal(u, v, negatives=negatives, negatives_from=negatives_from, normalize=True, seed=seed)


def loop_loss(choices, concentration):
    """The loss, written out anchor by anchor."""
    losses = []
    for i in choices.anchors:
        group = i // choices.size
        others = [j for j in range(group * choices.size, (group + 1) * choices.size) if j != i]
        candidates = [choices.v[i], *(choices.negatives_of[j] for j in others)]
        logits = [-sum(concentration * (choices.u[i] - c) ** 2) for c in candidates]
        losses.append(math.log(sum(math.exp(s) for s in logits)) - logits[0])
    return float(np.mean(losses))


class TestLikelihood:
    @pytest.mark.parametrize("negatives_from", ["anchors", "positives"])
    def test_against_finite_differences_of_a_loop(self, negatives_from):
        choices = dealt(*pairs(150, SPREAD), negatives=3, negatives_from=negatives_from)
        at, step, axes = np.array([8.0, 3.0, -1.0]), 1e-3, np.eye(3)
        here = evaluate(choices, at)
        assert here.loss == pytest.approx(loop_loss(choices, at), abs=1e-12)
        gradient = [(loop_loss(choices, at + step * e) - loop_loss(choices, at - step * e)) / (2 * step) for e in axes]
        np.testing.assert_allclose(here.gradient, gradient, atol=1e-7)
        shifted = [(evaluate(choices, at + step * e), evaluate(choices, at - step * e)) for e in axes]
        hessian = [(plus.gradient - minus.gradient) / (2 * step) for plus, minus in shifted]
        np.testing.assert_allclose(here.hessian, hessian, atol=1e-7)
        np.testing.assert_allclose(here.group_scores.sum(axis=0) / len(choices.anchors), here.gradient, atol=1e-14)

    def test_the_maximum_has_no_gradient(self):
        fit = maximum_likelihood(dealt(*pairs(1000, SPREAD)))
        standard_error = np.sqrt(np.diag(np.linalg.inv(fit.hessian)) / 1000)
        assert (np.abs(np.linalg.solve(fit.hessian, fit.gradient)) < 1e-4 * standard_error).all()

    def test_chunks_do_not_matter(self, monkeypatch):
        u, v = pairs(600, SPREAD)
        whole = metrics.anisotropy(u, v, negatives=4)
        monkeypatch.setattr(_posterior, "_CHUNK", 100)  # one to six anchors, across the bounds of groups
        parts = metrics.anisotropy(u, v, negatives=4)
        np.testing.assert_allclose(parts.concentration, whole.concentration, rtol=1e-9)
        np.testing.assert_allclose(parts.covariance, whole.covariance, rtol=1e-9)
        assert parts.information_matrix.p_value == pytest.approx(whole.information_matrix.p_value)
        assert parts.cross_terms.p_value == pytest.approx(whole.cross_terms.p_value)
        assert (parts.hit_at_1, parts.n) == (whole.hit_at_1, whole.n)

    def test_negatives_are_others_of_the_own_group_only(self):
        u, v = pairs(100, SPREAD)
        choices = dealt(u, v, negatives=2)
        assert len(set(choices.order)) == len(choices.u) == 99
        np.testing.assert_allclose(choices.u, u[choices.order], atol=1e-15)
        for part in _posterior.posteriors(choices, np.zeros(3)):
            rows, place = part.positive
            anchors = part.groups * 3 + place
            np.testing.assert_allclose(part.difference[rows, place], choices.u[anchors] - choices.v[anchors])
            for other in (1, 2):
                negative = part.groups * 3 + (place + other) % 3
                difference = part.difference[rows, (place + other) % 3]
                np.testing.assert_allclose(difference, choices.u[anchors] - choices.u[negative])


class TestEstimate:
    @pytest.mark.parametrize("negatives", [1, 16])
    def test_is_right_for_every_number_of_negatives(self, negatives):
        result = metrics.anisotropy(*pairs(8000, SPREAD), negatives=negatives)
        assert (np.abs(result.concentration - SPREAD) < 3.5 * result.standard_error).all()
        assert (result.standard_error < 0.12 * np.array(SPREAD)).all()

    def test_more_negatives_say_more(self):
        few, many = (metrics.anisotropy(*pairs(4000, SPREAD), negatives=m) for m in (1, 16))
        assert (many.standard_error < 0.6 * few.standard_error).all()

    def test_embedding_without_information(self):
        (u, _), (v, _) = pairs(3000, SPREAD), pairs(3000, SPREAD, 1)
        result = metrics.anisotropy(u, v)
        assert (np.abs(result.concentration) < 3.5 * result.standard_error).all()
        assert result.loss == pytest.approx(result.chance_loss, abs=0.01)
        assert result.effective_candidates == pytest.approx(17, abs=0.2)
        assert result.hit_at_1 == pytest.approx(1 / 17, abs=0.04)

    def test_negative_concentration(self):
        # Negatives nearer than the positives along the first axis: what hard negatives leave of Λ can be below 0.
        u, _ = pairs(3000, [1.0, 1.0, 1.0])
        v = AnisotropicSpherical(torch.from_numpy(u), torch.tensor([-2.0, 3.0, 3.0]).double(), signed=True)
        result = metrics.anisotropy(u, v.sample(generator=torch.Generator().manual_seed(1)).numpy())
        assert (np.abs(result.concentration - [-2, 3, 3]) < 3.5 * result.standard_error).all()
        for summary in (result.ratio, result.participation, result.effective_dimensions):
            assert np.isnan([summary.estimate, summary.low, summary.high]).all()

    def test_scales_of_the_dimensions(self):
        u, v = pairs(1000, SPREAD)
        scale = np.array([1e-4, 1.0, 1e4])
        plain, scaled = (metrics.anisotropy(u * s, v * s, normalize=False) for s in (np.ones(3), scale))
        np.testing.assert_allclose(scaled.concentration * scale**2, plain.concentration, rtol=1e-6)
        np.testing.assert_allclose(scaled.standard_error * scale**2, plain.standard_error, rtol=1e-6)
        assert scaled.information_matrix.statistic == pytest.approx(plain.information_matrix.statistic, rel=1e-4)
        assert scaled.cross_terms.statistic == pytest.approx(plain.cross_terms.statistic, rel=1e-4)

    def test_input_kinds_and_normalisation(self):
        u, v = pairs(600, SPREAD)
        expected = metrics.anisotropy(u, v).concentration
        tensors = [torch.tensor(3 * x, requires_grad=True) for x in (u, v)]
        np.testing.assert_allclose(metrics.anisotropy(*tensors).concentration, expected, rtol=1e-9)

    def test_what_comes_out(self):
        result = metrics.anisotropy(*pairs(1000, SPREAD), negatives=9, level=0.9)
        assert (result.n, result.negatives, result.level) == (1000, 9, 0.9)
        assert result.chance_loss == math.log(10)
        assert result.loss < result.chance_loss
        assert 1 < result.effective_candidates < 10
        np.testing.assert_allclose(result.standard_error**2, np.diag(result.covariance))
        np.testing.assert_allclose(result.high - result.low, 2 * 1.6448536 * result.standard_error)
        lam, share = result.concentration, result.concentration / result.concentration.sum()
        assert result.ratio.estimate == pytest.approx(lam.max() / lam.min())
        assert result.participation.estimate == pytest.approx(1 / (share**2).sum())
        assert result.effective_dimensions.estimate == pytest.approx(math.exp(-(share * np.log(share)).sum()))
        for summary in (result.ratio, result.participation, result.effective_dimensions):
            assert 1 <= summary.low < summary.estimate < summary.high
        assert all(type(value) is float for value in (result.loss, result.hit_at_1, result.effective_candidates))

    def test_the_seed_deals_the_groups(self):
        u, v = pairs(400, SPREAD)
        first, again, other = (metrics.anisotropy(u, v, seed=seed) for seed in (0, 0, 1))
        np.testing.assert_array_equal(first.concentration, again.concentration)
        assert first.ratio == again.ratio != other.ratio


class TestStandardErrors:
    @pytest.mark.parametrize(("concentration", "rows"), [(SPREAD, 900), ([5.0, 5.0, 5.0], 900)])
    def test_standardised_errors_have_variance_one(self, concentration, rows):
        results = replicates(40, rows, concentration, negatives=8)
        z = np.concatenate([(r.concentration - concentration) / r.standard_error for r in results])
        low, high = chi2.ppf([0.001, 0.999], len(z))
        assert low < (z**2).sum() < high

    def test_isotropic_ratio_covers_one(self):
        results = replicates(25, 600, [5.0] * 6, negatives=8)
        for summary, value in (("ratio", 1.0), ("participation", 6.0), ("effective_dimensions", 6.0)):
            intervals = [getattr(r, summary) for r in results]
            covered = sum(i.low <= value * (1 + 1e-9) and value * (1 - 1e-9) <= i.high for i in intervals)
            assert covered >= binom.ppf(0.001, 25, 0.95), summary

    @pytest.mark.slow
    @pytest.mark.parametrize(
        ("concentration", "rows", "negatives"), [(SPREAD, 2000, 16), (SPREAD, 10_000, 1), (BIMODAL, 2000, 16)]
    )
    def test_coverage_and_size(self, concentration, rows, negatives):
        number = 150
        results = replicates(number, rows, concentration, negatives=negatives)
        z = np.array([(r.concentration - concentration) / r.standard_error for r in results])
        assert np.mean(z**2) == pytest.approx(1.0, abs=0.2)
        assert np.mean(np.abs(z) < 1.96) == pytest.approx(0.95, abs=0.03)
        share = np.array(concentration) / sum(concentration)
        truth = {
            "ratio": max(concentration) / min(concentration),
            "participation": 1 / (share**2).sum(),
            "effective_dimensions": math.exp(-(share * np.log(share)).sum()),
        }
        for summary, value in truth.items():
            covered = sum(getattr(r, summary).low <= value <= getattr(r, summary).high for r in results)
            assert covered >= binom.ppf(0.001, number, 0.93), summary
        for test in ("information_matrix", "cross_terms"):
            rejected = sum(getattr(r, test).p_value < 0.05 for r in results)
            assert rejected <= binom.ppf(0.999, number, 0.07), test
            assert rejected >= 1, test

    def test_ignoring_the_shared_candidates_would_not_do(self):
        # Each pair of a group is a candidate twice, so the scores of a group sum to more variance than they have.
        choices = dealt(*pairs(20_000, SPREAD), negatives=4)
        fit = maximum_likelihood(choices)
        together = fit.group_scores.T @ fit.group_scores / len(choices.anchors)
        assert (np.diag(together) > 1.05 * np.diag(fit.hessian)).all()


class TestSpecification:
    def test_true_model(self):
        results = replicates(40, 600, SPREAD, negatives=4)
        for test in ("information_matrix", "cross_terms"):
            assert plausible_count(sum(getattr(r, test).p_value < 0.05 for r in results), 40, 0.05), test
            assert {getattr(r, test).dof for r in results} == {(3,)}

    @pytest.mark.parametrize("wrong", [heavy_tailed, depends_on_the_anchor])
    def test_other_tails_and_a_moving_concentration_ring(self, wrong):
        for result in replicates(3, 3000, wrong):
            assert result.information_matrix.p_value < 0.01

    def test_rotation_rings(self):
        turn = ortho_group.rvs(3, random_state=0)
        for seed in range(3):
            u, v = pairs(2000, SPREAD, seed)
            assert metrics.anisotropy(u @ turn, v @ turn).cross_terms.p_value < 1e-6

    def test_rotation_of_an_isotropic_model_changes_nothing(self):
        u, v = pairs(2000, [5.0] * 3)
        turn = ortho_group.rvs(3, random_state=0)
        assert metrics.anisotropy(u @ turn, v @ turn).cross_terms.p_value > 0.01

    def test_many_dimensions_test_some_of_the_pairs(self):
        result = metrics.anisotropy(*pairs(800, [10.0] * 20), negatives=4)
        assert result.cross_terms.dof == (80,)  # a tenth of the anchors, of 190 pairs
        assert result.information_matrix.dof == (20,)


class TestNotIdentified:
    def test_positives_found_without_an_error(self):
        u, v = pairs(600, [500.0] * 3)
        with pytest.raises(
            ValueError, match=r"no finite maximum of the likelihood \(Hit@1 1: the positives are too ea"
        ):
            metrics.anisotropy(u, v, negatives=1)

    def test_views_that_coincide(self):
        u, _ = pairs(600, SPREAD)
        with pytest.raises(ValueError, match="no finite maximum"):
            metrics.anisotropy(u, u)

    def test_one_dimension_that_is_always_right(self):
        # Quasi-separation: never larger for the positive, equal for every candidate in half the groups' rows.
        rng = np.random.default_rng(0)
        u, v = rng.normal(size=(2, 600, 2))
        u[:, 1] = v[:, 1] = rng.integers(2, size=600)
        with pytest.raises(ValueError, match="no finite maximum"):
            metrics.anisotropy(u, v, normalize=False, negatives=2)

    def test_dimension_that_does_not_vary(self):
        u, v = (np.insert(x, 1, 0.0, axis=1) for x in pairs(600, SPREAD))
        with pytest.raises(ValueError, match=r"every dimension of u and v must vary .* got 1 that do not: \[1\]"):
            metrics.anisotropy(u, v)

    def test_dimensions_that_vary_together(self):
        u, v = (np.c_[x, 2 * x[:, 1]] for x in pairs(600, SPREAD))
        with pytest.raises(ValueError, match=r"only vary together: \[1, 3\]"):
            metrics.anisotropy(u, v)

    def test_fewer_rows_than_it_takes(self):
        u, v = np.random.default_rng(0).normal(size=(2, 60, 100))
        with pytest.raises(ValueError, match="only vary together"):
            metrics.anisotropy(u, v)


class TestArguments:
    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"negatives": 0}, "negatives must be from 1 to 9, so that 300 rows make 30 groups"),
            ({"negatives": 10}, "negatives must be from 1 to 9, .* got 10"),
            ({"negatives_from": "anchor"}, "unknown source of negatives 'anchor'; did you mean 'anchors'"),
            ({"level": 1.0}, r"level must be in \(0, 1\), got 1.0"),
        ],
    )
    def test_out_of_range(self, options, message):
        with pytest.raises(ValueError, match=message):
            metrics.anisotropy(*pairs(300, SPREAD), **options)

    def test_shapes(self):
        u, v = pairs(300, SPREAD)
        with pytest.raises(ValueError, match="same shape"):
            metrics.anisotropy(u, v[:-1])
        with pytest.raises(ValueError, match="at least 60 rows, got 59"):
            metrics.anisotropy(u[:59], v[:59])
        with pytest.raises(ValueError, match="at least 2 dimensions, got 1"):
            metrics.anisotropy(u[:, :1], v[:, :1])
        with pytest.raises(TypeError, match="u must"):
            metrics.anisotropy(u * 1j, v)

    def test_default_number_of_negatives(self):
        assert metrics.anisotropy(*pairs(2000, SPREAD)).negatives == 16
        assert metrics.anisotropy(*pairs(300, SPREAD)).negatives == 9


def test_intervals_of_a_spread_that_is_known_exactly():
    lam = np.array([8.0, 4.0, 2.0])
    for summary in _anisotropy._summaries(lam, 1e-10 * np.eye(3), 0.95, 0):
        assert summary.low == pytest.approx(summary.estimate, rel=1e-4)
        assert summary.high == pytest.approx(summary.estimate, rel=1e-4)
