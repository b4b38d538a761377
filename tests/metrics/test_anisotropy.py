import math

import numpy as np
import pytest
import torch
from scipy.stats import binom, chi2, ortho_group
from scipy.stats import t as student

from aninfonce import metrics
from aninfonce.distributions import AnisotropicSpherical, HypersphericalUniform
from aninfonce.metrics import _posterior
from aninfonce.metrics._leave_out import jackknife
from aninfonce.metrics._posterior import deal, evaluate, maximum_likelihood
from aninfonce.metrics._summaries import summaries

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


def interval_of(concentration, standard_error, **options):
    """The three summaries of a Λ̂ with independent errors."""
    lam = np.array(concentration)
    covariance = np.diag(np.broadcast_to(standard_error, lam.shape) ** 2)
    defaults = {"dof": np.full(len(lam), 1e6), "groups": 1000, "level": 0.95, "seed": 0}
    return summaries(lam, covariance, **(defaults | options))


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
            assert summary.reason.startswith("entry 0 of Λ is below zero: -")

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
        np.testing.assert_allclose(result.high - result.low, 2 * student.ppf(0.95, result.dof) * result.standard_error)
        assert (result.dof > 40).all()
        assert (result.dof < 100).all()
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

    def test_leaving_out_a_group_is_a_fit_without_it(self):
        choices = dealt(*pairs(400, SPREAD), negatives=9)
        fit = maximum_likelihood(choices)
        found = jackknife(choices, fit)
        for group in (0, 7, 39):
            refitted = maximum_likelihood(choices.only(np.flatnonzero(choices.anchors // 10 != group)))
            moved = refitted.concentration - fit.concentration
            np.testing.assert_allclose(found.influence[group], moved, atol=0.1 * np.abs(moved).max())

    def test_the_jackknife_is_the_sandwich_in_large_samples_and_wider_in_small_ones(self):
        for rows, low, high in ((20_000, 1.0, 1.01), (300, 1.02, 2.0)):
            choices = dealt(*pairs(rows, SPREAD), negatives=4)
            fit = maximum_likelihood(choices)
            influence = np.linalg.solve(fit.hessian, fit.group_scores.T) / rows
            wider = np.diag(jackknife(choices, fit).covariance) / (influence**2).sum(axis=1)
            assert (low - 1e-3 < wider).all()
            assert (wider < high).all()

    def test_easy_anchors_leave_few_degrees_of_freedom(self):
        plain, easy = (metrics.anisotropy(*pairs(900, lam), negatives=4) for lam in ([2.0, 1.0], [60.0, 40.0]))
        assert (plain.dof > 100).all()  # of 180 groups
        assert (easy.dof < 70).all()

    def test_blocks_of_groups_do_not_matter(self, monkeypatch):
        choices = dealt(*pairs(300, SPREAD), negatives=4)
        fit = maximum_likelihood(choices)
        whole = jackknife(choices, fit)
        monkeypatch.setattr(_posterior, "_CHUNK", 63)  # seven groups at a time
        for part, expected in zip(jackknife(choices, fit), whole, strict=True):
            np.testing.assert_allclose(part, expected, rtol=1e-9)

    @pytest.mark.slow
    @pytest.mark.parametrize(
        ("concentration", "rows", "negatives"),
        [([100.0, 50.0, 10.0], 540, 16), ([3.0, 1.0], 100, 2), ([10.0, 10.0, 10.0, 0.05], 1000, 16)],
    )
    def test_coverage_in_small_samples(self, concentration, rows, negatives):
        number = 400
        results = replicates(number, rows, concentration, negatives=negatives)
        share = np.array(concentration) / sum(concentration)
        truth = {
            "ratio": max(concentration) / min(concentration),
            "participation": 1 / (share**2).sum(),
            "effective_dimensions": math.exp(-(share * np.log(share)).sum()),
        }
        for summary, value in truth.items():
            intervals = [getattr(r, summary) for r in results if not math.isnan(getattr(r, summary).low)]
            assert len(intervals) > 0.95 * number, summary
            covered = sum(i.low <= value <= i.high for i in intervals)
            assert covered >= binom.ppf(0.001, len(intervals), 0.94), summary
        covered = sum((r.low <= concentration) & (concentration <= r.high) for r in results)
        assert covered.min() >= binom.ppf(0.001, number, 0.93)

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
        assert 2 <= result.cross_terms.dof[0] < 40, "a tenth of the anchors that are not sure, of 800 and 190 pairs"
        assert result.information_matrix.dof == (20,)


class TestNearZero:
    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
    def test_an_entry_far_below_its_standard_error(self, dtype):
        generator = torch.Generator().manual_seed(17)
        u = HypersphericalUniform(4, dtype=dtype).sample((1000,), generator=generator)
        v = AnisotropicSpherical(u, torch.tensor([10, 10, 10, 0.05], dtype=dtype)).sample(generator=generator)
        result = metrics.anisotropy(u, v, negatives=16)
        assert 0 < result.concentration[3] < 1.5 * result.standard_error[3]
        assert 1 < result.ratio.low < 200
        assert (result.ratio.high, result.ratio.reason) == (math.inf, "entry 3 of Λ may be zero")
        assert 2.9 < result.participation.low < 3.01 < result.participation.high < 3.2
        assert 2.9 < result.effective_dimensions.low < 3.03 < result.effective_dimensions.high < 3.2

    @pytest.mark.parametrize("smallest", [1e-300, 1e-9, -1e-9])
    def test_whatever_the_smallest_entry_is(self, smallest):
        found = interval_of([10.0, 9.0, smallest], 0.5)
        for one, top in zip(found, (math.inf, 3, 3), strict=True):
            assert 1 <= one.low < one.estimate <= one.high <= top
        assert found[0].high == math.inf

    def test_entries_near_zero_bound_the_curves(self):
        # At an entry of zero the entropy has an infinite slope, which a correlated error must not lead up.
        covariance = np.diag([0.5, 0.5, 0.3, 0.005]) + 0.01
        lam = np.array([9.6, 10.0, 9.8, 0.03])
        for one in summaries(lam, covariance, np.full(4, 50.0), 1000, 0.95, 0)[1:]:
            assert 2.8 < one.low < one.estimate < one.high < 3.2

    def test_no_entry_above_zero(self):
        (u, _), (v, _) = pairs(600, SPREAD), pairs(600, SPREAD, 1)
        result = metrics.anisotropy(u, v)
        assert result.ratio.reason.startswith("no entry of Λ is above zero beyond its error")
        assert math.isnan(result.participation.high)

    def test_fewer_groups_than_dimensions(self):
        result = metrics.anisotropy(*pairs(600, [10.0] * 40), negatives=16)
        assert math.isnan(result.participation.estimate)
        assert result.participation.reason.startswith("35 groups of rows do not tell how the errors of 40 entries")
        assert np.isfinite(result.standard_error).all()


class TestNotIdentified:
    def test_a_dimension_that_varies_in_one_group_only(self):
        rng = np.random.default_rng(0)
        u, v = rng.normal(size=(2, 300, 3))
        inside = dealt(u, v).order[:5]
        outside = np.setdiff1d(np.arange(300), inside)
        u[outside, 2] = v[outside, 2] = 0.0
        with pytest.raises(ValueError, match="one of 60 groups of 5 rows alone determines some of it"):
            metrics.anisotropy(u, v, normalize=False, negatives=4)

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

    @pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
    def test_entries_that_are_not_finite(self, value):
        u, v = pairs(300, SPREAD)
        v[7, 1] = value
        with pytest.raises(ValueError, match="v must be finite, got 1 NaN or infinite entries, the first in row 7"):
            metrics.anisotropy(u, v)

    def test_single_precision(self):
        u, v = pairs(600, SPREAD)
        whole, single = (metrics.anisotropy(u.astype(kind), v.astype(kind)) for kind in (np.float64, np.float32))
        np.testing.assert_allclose(single.concentration, whole.concentration, rtol=1e-4)
        np.testing.assert_allclose(single.standard_error, whole.standard_error, rtol=1e-4)
        assert single.participation.high == pytest.approx(whole.participation.high, rel=1e-3)

    def test_every_pair_twice(self):
        u, v = (np.concatenate([x, x]) for x in pairs(300, SPREAD))
        result = metrics.anisotropy(u, v)
        assert np.isfinite(result.standard_error).all()
        assert result.participation.low <= result.participation.estimate <= result.participation.high

    def test_default_number_of_negatives(self):
        assert metrics.anisotropy(*pairs(2000, SPREAD)).negatives == 16
        assert metrics.anisotropy(*pairs(300, SPREAD)).negatives == 9

    def test_the_more_anchors_are_sure_the_fewer_pairs_are_tested(self):
        dof = [metrics.anisotropy(*pairs(800, [size] * 8), negatives=4).cross_terms.dof[0] for size in (2.0, 6.0, 18.0)]
        assert dof == sorted(dof, reverse=True)
        assert dof[0] == 28, "all pairs, where few anchors are sure"
        assert dof[-1] < 28

    @pytest.mark.slow
    def test_size_where_most_anchors_are_sure(self):
        """With a tenth of all anchors, not of the undecided ones, it rejected a true model in a tenth of the runs."""
        results = replicates(300, 540, [10.0] * 20, negatives=16)
        rejected = sum(result.cross_terms.p_value < 0.05 for result in results)
        assert 1 <= rejected <= binom.ppf(0.99, 300, 0.05)
