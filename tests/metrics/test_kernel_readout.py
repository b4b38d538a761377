import numpy as np
import pytest
from sklearn.kernel_ridge import KernelRidge
from sklearn.metrics.pairwise import rbf_kernel

from aninfonce import metrics
from aninfonce.metrics._kernel import _RIDGES, _leave_one_out


def normal(rows, dim, seed=0):
    return np.random.default_rng(seed).normal(size=(rows, dim))


def uniform(rows, dim, seed=0):
    return np.random.default_rng(seed).uniform(-1, 1, size=(rows, dim))


class TestKnownAnswers:
    def test_linear_maps_are_recovered(self):
        z = normal(1000, 5)
        assert metrics.kernel_r2(z, z @ normal(5, 5, 1) + 3.0) == pytest.approx(1, abs=2e-3)

    def test_cubes(self):
        z = uniform(1000, 2)
        assert metrics.linear_r2(z, z**3) == pytest.approx(0.84, abs=0.03)  # of a uniform latent: 21/25
        assert metrics.kernel_r2(z, z**3) > 0.96

    def test_angle_of_a_circle(self):
        angle = np.random.default_rng(0).uniform(-0.9 * np.pi, 0.9 * np.pi, size=(1000, 1))
        circle = np.c_[np.cos(angle), np.sin(angle)]
        assert metrics.linear_r2(angle, circle) < 0.8
        assert metrics.kernel_r2(angle, circle) == pytest.approx(1, abs=1e-3)
        assert abs(metrics.kernel_r2(angle, circle[:, :1])) < 0.02  # the cosine alone has lost the sign

    def test_squares_say_nothing_about_symmetric_latents(self):
        z = uniform(1200, 2)
        assert metrics.kernel_r2(z, z**2) == pytest.approx(0, abs=0.03)
        assert metrics.kernel_r2(z**2, z) > 0.99

    @pytest.mark.parametrize("sigma", [0.5, 1.0])
    def test_noise_of_known_size(self, sigma):
        z = normal(1500, 2)
        noisy = z + sigma * normal(1500, 2, 1)
        assert metrics.kernel_r2(z, noisy) == pytest.approx(1 / (1 + sigma**2), abs=0.06)

    @pytest.mark.parametrize("seed", range(4))
    def test_independent_embedding_is_zero(self, seed):
        assert metrics.kernel_r2(normal(800, 4, seed), normal(800, 6, 100 + seed)) == pytest.approx(0, abs=0.03)

    def test_outliers_are_no_reason_to_extrapolate(self):
        z = normal(400, 2)
        bent = np.c_[z[:, 0] + z[:, 1] ** 2, z[:, 1] ** 3]  # a far point, predicted without bounds, costs R² of -2
        assert metrics.kernel_r2(z, bent) > 0.7

    @pytest.mark.parametrize("z_hat", [np.full((200, 3), 0.1), np.arange(200)[:, None] % 2.0], ids=["dead", "binary"])
    def test_embeddings_of_few_values(self, z_hat):
        assert metrics.kernel_r2(normal(200, 2), z_hat) == pytest.approx(0, abs=0.1)
        assert metrics.kernel_r2(np.arange(200)[:, None] % 2.0, np.c_[np.arange(200) % 2]) == pytest.approx(1)


class TestGroups:
    def test_semantics_of_the_linear_readout(self):
        z = uniform(800, 3)
        z_hat = np.c_[z[:, 0] ** 3, z[:, 0], normal(800, 1, 1)]
        groups = {"content": [0], "style": np.array([1, 2]), "all": range(3)}
        scores = metrics.kernel_r2(z, z_hat, groups)
        assert list(scores) == list(groups)
        assert scores == pytest.approx({"content": 1, "style": 0, "all": 1 / 3}, abs=0.06)
        assert scores["all"] == metrics.kernel_r2(z, z_hat)

    def test_a_latent_is_read_alike_whatever_stands_beside_it(self):
        z = normal(300, 3)
        z_hat = np.tanh(z @ normal(3, 3, 1))
        alone = [metrics.kernel_r2(z[:, [column]], z_hat) for column in range(3)]
        together = metrics.kernel_r2(z, z_hat, {str(column): [column] for column in range(3)})
        assert list(together.values()) == pytest.approx(alone, abs=1e-6)


class TestInvariances:
    def test_scales_of_the_columns(self):
        z = normal(300, 2)
        z_hat = np.sinh(z @ normal(2, 2, 1))
        moved = metrics.kernel_r2(z * [1e-8, 1e8] - 2, z_hat * [1e6, -1e-6] + 1)
        assert moved == pytest.approx(metrics.kernel_r2(z, z_hat), abs=1e-5)

    def test_order_of_the_rows(self):
        z, test_z = normal(200, 2), normal(200, 2, 1)
        order, test_order = (np.random.default_rng(seed).permutation(200) for seed in (2, 3))
        plain = metrics.kernel_r2(z, np.sinh(z), test_z=test_z, test_z_hat=np.sinh(test_z))
        moved = metrics.kernel_r2(
            z[order], np.sinh(z[order]), test_z=test_z[test_order], test_z_hat=np.sinh(test_z[test_order])
        )
        assert moved == pytest.approx(plain, abs=1e-5)


def test_scored_on_other_rows():
    z, test_z = normal(200, 2), normal(200, 2, 1)
    assert metrics.kernel_r2(z, z, test_z=test_z, test_z_hat=test_z) > 0.99
    assert metrics.kernel_r2(z, z, test_z=test_z, test_z_hat=-test_z) < -1


def test_more_rows_than_the_cap_are_thinned():
    z = uniform(1000, 2)
    few, many = (metrics.kernel_r2(z, z**3, max_rows=rows) for rows in (20, 400))
    assert few < 0.95 < many
    assert metrics.kernel_r2(z, z**3, max_rows=500) == metrics.kernel_r2(z, z**3)


def test_seed_draws_the_rows():
    z, z_hat = normal(100, 2), normal(100, 2) + normal(100, 2, 1)
    scores = [metrics.kernel_r2(z, z_hat, seed=seed) for seed in (0, 0, 1)]
    assert scores[0] == scores[1] != scores[2]


def test_leave_one_out_is_that_of_refitting():
    x, y = uniform(30, 2), normal(30, 1, 1)  # pure noise, so that the predictions stay within the range
    kernel = rbf_kernel(x, gamma=0.5)
    errors, weights = _leave_one_out(kernel.copy(), y)
    refitted = []
    for ridge in _RIDGES[6:] * 30:
        model = KernelRidge(alpha=ridge, kernel="precomputed")
        left_out = [
            model.fit(kernel[np.ix_(rest, rest)], y[rest]).predict(kernel[[row]][:, rest])[0]
            for row in range(30)
            for rest in [np.delete(np.arange(30), row)]
        ]
        refitted.append(np.mean((y - np.clip(left_out, y.min(), y.max())) ** 2))
    assert errors.mean() == pytest.approx(min(refitted))
    best = KernelRidge(alpha=30 * _RIDGES[6 + int(np.argmin(refitted))], kernel="precomputed").fit(kernel, y)
    np.testing.assert_allclose(weights, best.dual_coef_)


def test_bad_arguments():
    z = normal(40, 2)
    with pytest.raises(ValueError, match="max_rows must be at least 2, got 1"):
        metrics.kernel_r2(z, z, max_rows=1)
    with pytest.raises(ValueError, match=r"\(40, 2\) and \(39, 2\)"):
        metrics.kernel_r2(z, z[1:])
    with pytest.raises(ValueError, match=r"constant columns \[1\]"):
        metrics.kernel_r2(z * [1, 0], z)
    with pytest.raises(ValueError, match="group 'content'"):
        metrics.kernel_r2(z, z, {"content": [2]})
    with pytest.raises(TypeError, match="group 'content'"):
        metrics.kernel_r2(z, z, {"content": np.array([0.5])})
