import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist
from scipy.stats import binom, kstest, ortho_group

from aninfonce import metrics
from aninfonce.distributions import AnisotropicSpherical, HypersphericalUniform, VonMisesFisher

SPREAD = torch.tensor([20.0, 10.0, 5.0])


def normal(rows, dim, seed=0):
    return np.random.default_rng(seed).normal(size=(rows, dim))


def uniform(rows, dim, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return HypersphericalUniform(dim, dtype=torch.float64).sample((rows,), generator=generator)


def positives(u, concentration, seed=0):
    generator = torch.Generator().manual_seed(1000 + seed)
    return AnisotropicSpherical(u, concentration.double()).sample(generator=generator)


def rejections(results):
    return sum(result.p_value < 0.05 for result in results)


def plausible_size(results):
    """Whether the number rejected at 5 % is no surprise, at 1 in 1,000."""
    return rejections(results) <= binom.ppf(0.999, len(results), 0.05)


@pytest.mark.parametrize("test", [metrics.rayleigh_test, metrics.bingham_test])
class TestUniformMarginal:
    @pytest.mark.parametrize(("rows", "dim"), [(200, 2), (50, 3), (200, 10), (300, 100)])
    def test_p_values_are_uniform_under_uniformity(self, test, rows, dim):
        p_values = [test(uniform(rows, dim, seed)).p_value for seed in range(300)]
        assert kstest(p_values, "uniform").pvalue > 0.001

    def test_a_rotation_and_the_lengths_do_not_matter(self, test):
        u = normal(100, 4) + np.array([0.3, 0, 0, 0])
        lengths = np.random.default_rng(1).uniform(0.1, 10, size=(100, 1))
        same = test(lengths * u @ ortho_group.rvs(4, random_state=0))
        assert same.statistic == pytest.approx(test(u).statistic)

    def test_too_little(self, test):
        with pytest.raises(ValueError, match="at least 2 rows, got 1"):
            test(np.ones((1, 3)))
        with pytest.raises(ValueError, match="at least 2 dimensions, got 1"):
            test(np.ones((3, 1)))
        with pytest.raises(ValueError, match="direction in every row"):
            test(np.eye(3) - np.diag([1.0, 0, 0]))
        with pytest.raises(TypeError, match="u must"):
            test(np.ones((3, 3)) * 1j)


class TestNonUniformMarginal:
    def test_one_side(self):
        loc = torch.tensor([0.0, 0.0, 1.0])
        u = VonMisesFisher(loc, torch.tensor(0.7)).sample((500,), generator=torch.Generator().manual_seed(0))
        assert metrics.rayleigh_test(u).p_value < 1e-6

    def test_both_sides_of_an_axis(self):
        u = normal(500, 3) * [1.5, 1.0, 1.0]
        u = np.concatenate([u, -u])
        assert metrics.bingham_test(u).p_value < 1e-6
        assert metrics.rayleigh_test(u).p_value == pytest.approx(1.0)  # blind to it

    def test_known_statistics(self):
        # All on one line: ū = 0 and T = diag(1, 0, 0); all at one point: |ū| = 1.
        line, point = np.array([[1.0, 0, 0], [-1.0, 0, 0]] * 5), np.array([[1.0, 0, 0]] * 10)
        assert metrics.rayleigh_test(line).statistic == pytest.approx(0.0)
        assert metrics.rayleigh_test(point).statistic == pytest.approx(0.95 * 30 + 900 / 100)
        assert metrics.bingham_test(line).statistic == pytest.approx(10 * 15 / 2 * 2 / 3)
        assert metrics.rayleigh_test(point).dof == (3,)
        assert metrics.bingham_test(line).dof == (5,)


class TestEnergy:
    def test_the_statistic_by_its_definition(self):
        x, y = normal(30, 3), normal(40, 3, 1) + 0.5
        distance = 2 * cdist(x, y).mean() - cdist(x, x).mean() - cdist(y, y).mean()
        assert metrics.energy_test(x, y, permutations=1).statistic == pytest.approx(30 * 40 / 70 * distance)

    def test_size(self):
        assert plausible_size([metrics.energy_test(normal(40, 3, s), normal(60, 3, 500 + s)) for s in range(100)])

    def test_power(self):
        shifted = [metrics.energy_test(normal(100, 3, s), normal(100, 3, 500 + s) + 0.5) for s in range(10)]
        wider = [metrics.energy_test(normal(150, 3, s), 2 * normal(150, 3, 500 + s)) for s in range(10)]
        assert rejections(shifted) == rejections(wider) == 10

    def test_a_sample_and_itself(self):
        x = normal(50, 2)
        result = metrics.energy_test(x, x)
        assert result.statistic == pytest.approx(0.0, abs=1e-9)
        assert result.p_value == 1.0
        assert metrics.energy_test(np.ones((20, 2)), np.ones((10, 2))).p_value == 1.0

    def test_the_smallest_p_value(self):
        assert metrics.energy_test(normal(50, 2), 9 + normal(50, 2), permutations=19).p_value == 0.05
        with pytest.raises(ValueError, match="permutations must be at least 1, got 0"):
            metrics.energy_test(normal(5, 2), normal(5, 2), permutations=0)

    def test_columns(self):
        with pytest.raises(ValueError, match=r"same columns, got shapes \(5, 2\) and \(6, 3\)"):
            metrics.energy_test(normal(5, 2), normal(6, 3))

    def test_the_seed_draws_the_permutations(self):
        x, y = normal(50, 2), normal(50, 2, 1)
        p_values = [metrics.energy_test(x, y, seed=seed).p_value for seed in (0, 0, 1)]
        assert p_values[0] == p_values[1] != p_values[2]


class TestSymmetry:
    def test_size(self):
        def isotropic(seed):
            u = uniform(60, 3, seed)
            return u, positives(u, torch.full((3,), 5.0), seed)

        assert plausible_size([metrics.symmetry_test(*isotropic(seed)) for seed in range(100)])

    def test_positives_of_another_marginal(self):
        for seed in range(5):
            u = uniform(200, 3, seed)
            v = positives(u, torch.full((3,), 5.0), seed) + torch.tensor([0.2, 0.0, 0.0])
            assert metrics.symmetry_test(u, v).p_value < 0.05

    def test_the_statistic_by_its_definition(self):
        u, v = normal(30, 2), normal(30, 2, 1) + 1.0
        pairs, swapped = np.c_[u, v], np.c_[v, u]
        expected = metrics.energy_test(pairs, swapped).statistic
        assert metrics.symmetry_test(u, v, normalize=False).statistic == pytest.approx(expected)

    def test_equal_views(self):
        u = normal(20, 3)
        assert metrics.symmetry_test(u, u).p_value == 1.0
        with pytest.raises(ValueError, match="same shape"):
            metrics.symmetry_test(u, u[:-1])


class TestConditionalShape:
    def test_size(self):
        def result(seed):
            u = uniform(80, 3, seed)
            return metrics.conditional_shape_test(u, positives(u, SPREAD, seed), SPREAD, seed=seed)

        assert plausible_size([result(seed) for seed in range(100)])

    def test_holds_for_any_marginal_of_the_anchors(self):
        def result(seed):
            u = torch.nn.functional.normalize(uniform(60, 3, seed) + 1.0, dim=1)
            return metrics.conditional_shape_test(u, positives(u, SPREAD, seed), SPREAD, seed=seed)

        assert plausible_size([result(seed) for seed in range(60)])

    def test_wrong_shapes(self):
        def narrow_and_wide(u, seed):
            narrow = torch.rand(len(u), 1, generator=torch.Generator().manual_seed(77 + seed)) < 0.5
            return torch.where(narrow, 4.0, 0.4) * SPREAD

        heavy, flat, turned = [], [], []
        for seed in range(8):
            u = uniform(1000, 3, seed)
            v = positives(u, SPREAD, seed)
            wrong = positives(u, narrow_and_wide(u, seed), seed)
            heavy.append(metrics.conditional_shape_test(u, wrong, SPREAD, seed=seed))
            flat.append(metrics.conditional_shape_test(u, v, SPREAD * torch.tensor([0.4, 1, 1]), seed=seed))
            turned.append(metrics.conditional_shape_test(u, v, SPREAD.flip(0), seed=seed))
        assert min(rejections(heavy), rejections(flat)) >= 6
        assert rejections(turned) == 8

    def test_with_an_estimate_from_other_rows(self):
        u = uniform(6000, 3)
        v = positives(u, SPREAD)
        fitted = metrics.anisotropy(u[:5000], v[:5000]).concentration
        assert metrics.conditional_shape_test(u[5000:], v[5000:], fitted).p_value > 0.01

    def test_bad_concentration(self):
        u = uniform(20, 3)
        with pytest.raises(
            ValueError, match=r"concentration must have shape \(3,\), one entry a dimension, got \(2,\)"
        ):
            metrics.conditional_shape_test(u, u, np.ones(2))
        with pytest.raises(ValueError, match=r"got \(\)"):
            metrics.conditional_shape_test(u, u, np.array(1.0))
        with pytest.raises(ValueError, match="concentration must be finite"):
            metrics.conditional_shape_test(u, u, np.array([1.0, np.nan, 1.0]))
        with pytest.raises(TypeError, match="concentration"):
            metrics.conditional_shape_test(u, u, [1.0, 1.0, 1.0])


class TestStationarity:
    @staticmethod
    def clustered(seed, rows, factor=1.0):
        u = uniform(rows, 3, seed)
        clusters = (u[:, 0] > 0.3).long() + (u[:, 0] > -0.3).long()
        return u, positives(u, torch.where(clusters[:, None] == 2, factor, 1.0) * SPREAD, seed), clusters

    @pytest.mark.parametrize(("rows", "number"), [(1000, 50), pytest.param(3000, 300, marks=pytest.mark.slow)])
    def test_size(self, rows, number):
        results = [metrics.stationarity_test(*self.clustered(s, rows), negatives=8).test for s in range(number)]
        assert rejections(results) <= binom.ppf(0.999, number, 0.06)

    def test_power(self):
        for seed in range(3):
            result = metrics.stationarity_test(*self.clustered(seed, 3000, factor=2.0))
            assert result.test.p_value < 0.001

    def test_the_estimates_of_each_cluster(self):
        u, v, clusters = self.clustered(0, 6000, factor=2.0)
        names = np.array(["a", "b", "c"])[clusters]
        result = metrics.stationarity_test(u, v, names)
        assert result.labels.tolist() == ["a", "b", "c"]
        truth = np.outer([1, 1, 2], SPREAD)
        assert (np.abs(result.concentration - truth) < 3.5 * result.standard_error).all()
        assert result.test.dof == (6, 6000 // 17 - 6)

    def test_one_cluster_only(self):
        u, v, _ = self.clustered(0, 1000)
        with pytest.raises(ValueError, match="at least 2 categories, got only 7"):
            metrics.stationarity_test(u, v, np.full(1000, 7))

    def test_random_labels_hold_it(self):
        u, v, _ = self.clustered(0, 3000)
        labels = np.random.default_rng(0).integers(2, size=3000).astype(bool)
        assert metrics.stationarity_test(u.requires_grad_(), v, labels).test.p_value > 0.01

    def test_refusals(self):
        u, v, clusters = self.clustered(0, 600)
        with pytest.raises(ValueError, match="same number of rows"):
            metrics.stationarity_test(u, v, clusters[:-1])
        with pytest.raises(TypeError, match="clusters must hold categories"):
            metrics.stationarity_test(u, v, clusters.double())
        with pytest.raises(ValueError, match="20 clusters in 3 dimensions need more than 57 groups of rows, got 35"):
            metrics.stationarity_test(u, v, np.arange(600) % 20)
        lone = clusters.clone()
        lone[:2] = 5
        with pytest.raises(ValueError, match="at least 30 anchors, got 2 in 5"):
            metrics.stationarity_test(u, v, lone)
        v = torch.where(clusters[:, None] == 1, u, v)
        with pytest.raises(ValueError, match=r"cluster 1: .* no finite maximum"):
            metrics.stationarity_test(u, v, clusters)
