import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import ortho_group
from sklearn.linear_model import LinearRegression

from aninfonce import metrics


def normal(rows, dim, seed=0):
    return np.random.default_rng(seed).normal(size=(rows, dim))


def on_sphere(rows, dim, seed=0):
    x = normal(rows, dim, seed)
    return x / np.linalg.norm(x, axis=1, keepdims=True)


class TestLinearR2:
    def test_affine_bijection_is_one(self):
        z = on_sphere(1000, 5)
        assert metrics.linear_r2(z, z @ normal(5, 5, 1) + 3.0) == pytest.approx(1.0, abs=1e-12)

    def test_independent_embedding_is_zero(self):
        assert abs(metrics.linear_r2(normal(4000, 5), normal(4000, 5, 1))) < 0.05

    @pytest.mark.parametrize("sigma", [0.3, 1.0, 2.0])
    def test_noise_of_known_size(self, sigma):
        z = normal(20_000, 3)
        noisy = z + sigma * normal(20_000, 3, 1)
        assert metrics.linear_r2(z, noisy) == pytest.approx(1 / (1 + sigma**2), abs=0.02)

    def test_latents_count_equally_whatever_their_scale(self):
        z = normal(4000, 2)
        assert metrics.linear_r2(z * [1e4, 1e-4], z[:, :1]) == pytest.approx(0.5, abs=0.02)

    def test_groups_read_the_whole_embedding(self):
        z = normal(4000, 5)
        z_hat = np.c_[z[:, :3] @ ortho_group.rvs(3, random_state=0), normal(4000, 2, 1)]
        groups = {"content": [0, 1, 2], "style": np.array([3, 4]), "mixed": torch.tensor([2, 3]), "run": range(1, 3)}
        scores = metrics.linear_r2(z, z_hat, groups=groups)
        expected = {"content": 1.0, "style": 0.0, "mixed": 0.5, "run": 1.0}
        assert list(scores) == list(groups)
        assert scores == pytest.approx(expected, abs=0.02)
        whole = metrics.linear_r2(z, z_hat, {"all": range(5)})
        assert whole["all"] == metrics.linear_r2(z, z_hat)

    @settings(max_examples=25, deadline=None)
    @given(seed=st.integers(0, 2**31), stretch=st.floats(1.0, 1e4), shift=st.floats(-100, 100))
    def test_invertible_affine_maps_of_the_embedding_do_not_matter(self, seed, stretch, shift):
        z, z_hat = normal(200, 3), normal(200, 4, 1)
        z_hat[:, :2] += z[:, :2]
        left, right = (ortho_group.rvs(4, random_state=seed + i) for i in range(2))
        moved = z_hat @ (left * np.geomspace(1, stretch, 4)) @ right + shift
        assert metrics.linear_r2(z, moved) == pytest.approx(metrics.linear_r2(z, z_hat), abs=1e-8)

    def test_scales_of_the_dimensions_do_not_matter(self):
        z = normal(1000, 3)
        assert metrics.linear_r2(z, z * [1e-20, 1.0, 1e20]) == pytest.approx(1.0)

    def test_overfitting_does_not_pay(self):
        z, z_hat = normal(80, 2), normal(80, 39, 1)
        in_sample = LinearRegression().fit(z_hat[:40], z[:40]).score(z_hat[:40], z[:40])
        assert in_sample == pytest.approx(1.0)  # 40 coefficients, 40 rows
        assert metrics.linear_r2(z, z_hat) < 0.0

    def test_explicit_test_set(self):
        z, test_z = normal(500, 3), normal(500, 3, 1)
        assert metrics.linear_r2(z, 2 * z, test_z=test_z, test_z_hat=2 * test_z) == pytest.approx(1.0)
        assert metrics.linear_r2(z, 2 * z, test_z=test_z, test_z_hat=-2 * test_z) < -1.0

    def test_seed_draws_the_split(self):
        z, z_hat = normal(60, 2), normal(60, 3, 1)
        scores = [metrics.linear_r2(z, z_hat, seed=seed) for seed in (0, 0, 1)]
        assert scores[0] == scores[1] != scores[2]

    def test_collapsed_dimensions_are_harmless(self):
        z = normal(1000, 2)
        assert metrics.linear_r2(z, np.c_[z, np.full(1000, 0.1), z[:, 0]]) == pytest.approx(1.0)


class TestMeanCorrelation:
    @pytest.mark.parametrize("kind", ["pearson", "spearman"])
    def test_permutation_signs_and_scales(self, kind):
        z = on_sphere(500, 6)
        permuted = z[:, [3, 0, 5, 1, 2, 4]] * [1, -2, 3, -4, 5, -6] + 1.0
        assert metrics.mean_correlation(z, permuted, kind=kind) == pytest.approx(1.0)

    def test_rotation_by_45_degrees(self):
        z = normal(5000, 2)
        turned = z @ np.array([[1.0, 1.0], [-1.0, 1.0]]) / np.sqrt(2)
        assert metrics.linear_r2(z, turned) == pytest.approx(1.0)
        assert metrics.mean_correlation(z, turned) == pytest.approx(np.sqrt(0.5), abs=0.03)

    @pytest.mark.parametrize("sigma", [0.5, 1.0])
    def test_noise_of_known_size(self, sigma):
        z = normal(20_000, 3)
        noisy = -z + sigma * normal(20_000, 3, 1)
        assert metrics.mean_correlation(z, noisy) == pytest.approx(1 / np.sqrt(1 + sigma**2), abs=0.01)

    def test_spearman_sees_through_monotone_maps(self):
        z = normal(500, 2)
        assert metrics.mean_correlation(z, -np.exp(3 * z), kind="spearman") == pytest.approx(1.0)
        assert metrics.mean_correlation(z, -np.exp(3 * z)) < 0.7

    def test_chance_correlations_do_not_pay(self):
        z, z_hat = normal(24, 3), normal(24, 200, 1)
        assert np.abs(metrics.match_dimensions(z, z_hat).correlations).mean() > 0.5
        held_out = [metrics.mean_correlation(z, z_hat, seed=seed) for seed in range(50)]
        assert abs(np.mean(held_out)) < 0.3

    def test_collapsed_and_missing_dimensions_count_as_zero(self):
        z = normal(500, 4)
        assert metrics.mean_correlation(z, np.c_[z[:, :3], np.full(500, 0.1)]) == pytest.approx(0.75)
        assert metrics.mean_correlation(z, z[:, :3]) == pytest.approx(0.75)
        assert metrics.mean_correlation(z, np.zeros((500, 4))) == 0.0
        rounding = 1.0 + np.finfo(float).eps * (z > 0)
        assert metrics.mean_correlation(z, rounding) == 0.0

    def test_dimensions_left_over_do_not_count(self):
        z = normal(500, 2)
        assert metrics.mean_correlation(z, np.c_[normal(500, 3, 1), z]) == pytest.approx(1.0)

    def test_explicit_test_set(self):
        z, test_z = normal(500, 3), normal(500, 3, 1)
        assert metrics.mean_correlation(z, z, test_z=test_z, test_z_hat=-test_z) == pytest.approx(-1.0)


class TestMatchDimensions:
    def test_permutation_reorders_the_embedding(self):
        z = normal(300, 5)
        order, signs = np.array([4, 2, 0, 1, 3]), np.array([1, -1, 1, -1, -1])
        z_hat = np.empty_like(z)
        z_hat[:, order] = z * signs
        matching = metrics.match_dimensions(z, z_hat)
        assert matching.permutation.tolist() == order.tolist()
        assert matching.signs.tolist() == signs.tolist()
        np.testing.assert_allclose(matching.correlations, signs)
        np.testing.assert_allclose(z_hat[:, matching.permutation] * matching.signs, z)

    def test_each_dimension_serves_once(self):
        shared = normal(1000, 1)
        z = shared + normal(1000, 2, 1) * [0.1, 0.5]
        matching = metrics.match_dimensions(z, np.c_[shared, normal(1000, 1, 2)])
        assert matching.permutation.tolist() == [0, 1]

    def test_fewer_dimensions_than_latents(self):
        z = normal(100, 3)
        matching = metrics.match_dimensions(z, z[:, [2, 0]])
        assert matching.permutation.tolist() == [1, -1, 0]
        np.testing.assert_allclose(matching.correlations, [1, 0, 1])
        assert matching.signs.tolist() == [1, 0, 1]


SCORES = [metrics.linear_r2, metrics.mean_correlation]


@pytest.mark.parametrize("score", SCORES)
class TestErrors:
    @pytest.mark.parametrize("half", [slice(None), slice(0, 100), slice(100, 200)])
    def test_constant_latent(self, score, half):
        z, test_z = normal(100, 3), normal(100, 3, 1)
        both = np.r_[z, test_z]
        both[half, 1] = 0.7
        with pytest.raises(ValueError, match=r"constant columns \[1\]"):
            score(both[:100], both[:100], test_z=both[100:], test_z_hat=test_z)

    def test_rows_differ(self, score):
        with pytest.raises(ValueError, match=r"\(10, 2\) and \(11, 3\)"):
            score(normal(10, 2), normal(11, 3))

    def test_columns_differ(self, score):
        z = normal(10, 2)
        with pytest.raises(ValueError, match=r"z_hat and test_z_hat .* \(10, 2\) and \(10, 1\)"):
            score(z, z, test_z=z, test_z_hat=z[:, :1])

    @pytest.mark.parametrize("given", ["test_z", "test_z_hat"])
    def test_half_a_test_set(self, score, given):
        z = normal(10, 2)
        with pytest.raises(ValueError, match="beside it"):
            score(z, z, **{given: z})

    @pytest.mark.parametrize("fraction", [0.0, 1.0, -0.5])
    def test_fraction(self, score, fraction):
        with pytest.raises(ValueError, match="test_fraction"):
            score(normal(10, 2), normal(10, 2), test_fraction=fraction)

    def test_too_few_rows(self, score):
        with pytest.raises(ValueError, match="too few rows"):
            score(normal(3, 1), normal(3, 1))
        with pytest.raises(ValueError, match="at least 2 rows"):
            score(normal(3, 1), normal(3, 1), test_z=normal(1, 1), test_z_hat=normal(1, 1))


def test_too_few_rows_for_the_map():
    with pytest.raises(ValueError, match=r"41 coefficients .* got 40"):
        metrics.linear_r2(normal(80, 2), normal(80, 40))


@pytest.mark.parametrize("group", [[], [0, 3], [-1], [1, 1], [[0]]])
def test_bad_group(group):
    with pytest.raises(ValueError, match="group 'content'"):
        metrics.linear_r2(normal(20, 3), normal(20, 3), {"content": np.array(group, dtype=int)})


def test_group_of_other_things_than_integers():
    with pytest.raises(TypeError, match="group 'content'"):
        metrics.linear_r2(normal(20, 3), normal(20, 3), {"content": np.array([True, False, True])})


def test_unknown_kind():
    z = normal(20, 3)
    for function in (metrics.mean_correlation, metrics.match_dimensions):
        with pytest.raises(ValueError, match="did you mean 'spearman'"):
            function(z, z, kind="spearmann")


def test_match_dimensions_checks_rows_and_constants():
    with pytest.raises(ValueError, match="same number of rows"):
        metrics.match_dimensions(normal(10, 2), normal(11, 2))
    with pytest.raises(ValueError, match="at least 2 rows"):
        metrics.match_dimensions(normal(1, 2), normal(1, 2))
    with pytest.raises(ValueError, match=r"constant columns \[0\]"):
        metrics.match_dimensions(np.ones((10, 1)), normal(10, 2))
