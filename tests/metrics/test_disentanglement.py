import numpy as np
import pytest

from aninfonce import metrics


def normal(rows, dim, seed=0):
    return np.random.default_rng(seed).normal(size=(rows, dim))


def rotation(angle, dim, first, second):
    """In the plane of two of the axes."""
    turn = np.eye(dim)
    turn[np.ix_([first, second], [first, second])] = [
        [np.cos(angle), -np.sin(angle)],
        [np.sin(angle), np.cos(angle)],
    ]
    return turn


def summary(scores):
    return [scores.disentanglement, scores.completeness, scores.informativeness]


@pytest.mark.parametrize(("regressor", "tolerance"), [("lasso", 1e-3), ("forest", 0.02)])
class TestEveryRegressor:
    def test_permutation_signs_and_scales(self, regressor, tolerance):
        z = normal(600, 3)
        scores = metrics.dci(z, z[:, [2, 0, 1]] * [1e-3, -2.0, 1e3] + 5.0, regressor=regressor)
        assert summary(scores) == pytest.approx([1, 1, 1], abs=tolerance)
        assert scores.importance.argmax(axis=0).tolist() == [1, 2, 0]
        assert scores.importance.shape == (3, 3)
        np.testing.assert_allclose(scores.disentanglements, 1, atol=tolerance)
        np.testing.assert_allclose(scores.completenesses, 1, atol=tolerance)
        np.testing.assert_allclose(scores.informativenesses, 1, atol=tolerance)

    def test_collapsed_embedding(self, regressor, tolerance):
        scores = metrics.dci(normal(400, 2), np.full((400, 3), 0.1), regressor=regressor)
        assert summary(scores)[:2] == [0.0, 0.0]
        assert scores.informativeness == pytest.approx(0, abs=0.03)
        assert not scores.importance.any()

    def test_uninformative_embedding(self, regressor, tolerance):
        scores = metrics.dci(normal(1000, 2), normal(1000, 3, 1), regressor=regressor)
        assert scores.informativeness == pytest.approx(0, abs=0.05)

    def test_a_dimension_for_one_latent_of_two(self, regressor, tolerance):
        z = normal(600, 2)
        scores = metrics.dci(z, z[:, :1], regressor=regressor)
        np.testing.assert_allclose(scores.informativenesses, [1, 0], atol=0.05)
        assert scores.completenesses[0] == 1  # one dimension only: nothing to be spread over


class TestLasso:
    @pytest.mark.parametrize("angle", [np.pi / 4, np.pi / 6])
    def test_rotation_of_all_latents(self, angle):
        z = normal(2000, 2)
        scores = metrics.dci(z, z @ rotation(angle, 2, 0, 1).T)
        share = np.cos(angle) / (np.cos(angle) + np.sin(angle))  # the importances are |cos| and |sin|
        expected = 1 + share * np.log2(share) + (1 - share) * np.log2(1 - share)
        assert summary(scores) == pytest.approx([expected, expected, 1], abs=0.01)

    def test_rotation_of_two_latents_of_four(self):
        z = normal(2000, 4)
        scores = metrics.dci(z, z @ rotation(np.pi / 4, 4, 0, 2).T)
        # Two dimensions with entropy log 2 of log 4 and weight 2/√2, two without and of weight 1: 1/√2 in all.
        assert summary(scores) == pytest.approx([np.sqrt(0.5), np.sqrt(0.5), 1], abs=0.01)
        np.testing.assert_allclose(scores.disentanglements, [0.5, 1, 0.5, 1], atol=0.01)
        np.testing.assert_allclose(scores.completenesses, [0.5, 1, 0.5, 1], atol=0.01)

    def test_a_dimension_that_mixes_two_latents(self):
        z = normal(4000, 2)
        scores = metrics.dci(z, z @ [[1.0], [1.0]])
        assert summary(scores) == pytest.approx([0, 1, 0.5], abs=0.03)

    def test_noise_of_known_size(self):
        z = normal(20_000, 2)
        assert metrics.dci(z, z + normal(20_000, 2, 1)).informativeness == pytest.approx(0.5, abs=0.02)

    def test_informativeness_is_held_out(self):
        z, test_z = normal(300, 2), normal(300, 2, 1)
        assert metrics.dci(z, z, test_z=test_z, test_z_hat=test_z).informativeness == pytest.approx(1, abs=1e-3)
        assert metrics.dci(z, z, test_z=test_z, test_z_hat=-test_z).informativeness < -1
        assert metrics.dci(normal(60, 2), normal(60, 29, 1)).informativeness < 0.1  # in sample it would be near 1


class TestForest:
    def test_copies_lower_completeness_only(self):
        z = normal(600, 2)
        once = metrics.dci(z, z, regressor="forest")
        twice = metrics.dci(z, np.repeat(z, 2, axis=1), regressor="forest")
        assert twice.disentanglement == pytest.approx(once.disentanglement, abs=0.02)
        assert once.completeness == pytest.approx(1, abs=0.02)
        assert twice.completeness == pytest.approx(0.5, abs=0.03)  # entropy log 2 of log 4

    def test_sees_what_is_not_linear(self):
        z = np.random.default_rng(0).uniform(-1, 1, size=(1000, 2))
        z_hat = z + np.sign(z) * (np.abs(z) < 0.5)  # one to one, not monotone
        assert metrics.dci(z, z_hat, regressor="forest").informativeness > 0.98
        assert metrics.dci(z, z_hat).informativeness < 0.8

    def test_importances_of_a_latent_sum_to_one(self):
        scores = metrics.dci(normal(200, 2), normal(200, 3, 1), regressor="forest")
        np.testing.assert_allclose(scores.importance.sum(axis=0), 1)


@pytest.mark.parametrize("regressor", ["lasso", "forest"])
def test_scales_of_the_columns_do_not_matter(regressor):
    z = normal(300, 3)
    z_hat = z @ normal(3, 3, 1)
    plain = metrics.dci(z, z_hat, regressor=regressor)
    scaled = metrics.dci(z * [1.0, 1e6, 1e-6], z_hat * [-4.0, 0.5, 1024.0] + 1.0, regressor=regressor)
    assert summary(scaled) == pytest.approx(summary(plain), abs=0.01)


def test_permutations_of_the_columns_permute_the_importances():
    z, order = normal(500, 3), [2, 0, 1]
    z_hat = z @ normal(3, 3, 1)
    plain, permuted = metrics.dci(z, z_hat), metrics.dci(z, z_hat[:, order])
    assert summary(permuted) == pytest.approx(summary(plain), abs=0.01)
    np.testing.assert_allclose(permuted.importance, plain.importance[order], atol=0.01)


def test_order_of_the_rows_hardly_matters():
    z = normal(4000, 3)
    z_hat, order = z @ normal(3, 3, 1) + 0.1 * normal(4000, 3, 2), np.random.default_rng(3).permutation(4000)
    assert summary(metrics.dci(z[order], z_hat[order])) == pytest.approx(summary(metrics.dci(z, z_hat)), abs=0.03)


@pytest.mark.parametrize("regressor", ["lasso", "forest"])
def test_seed_draws_everything(regressor):
    z, z_hat = normal(100, 2), normal(100, 3, 1)
    scores = [summary(metrics.dci(z, z_hat, regressor=regressor, seed=seed)) for seed in (0, 0, 1)]
    assert scores[0] == scores[1] != scores[2]


def test_bad_arguments():
    z = normal(40, 2)
    with pytest.raises(ValueError, match="unknown regressor 'laso'; did you mean 'lasso'"):
        metrics.dci(z, z, regressor="laso")
    with pytest.raises(ValueError, match=r"at least 10 rows .* got 9"):
        metrics.dci(z[:18], z[:18])
    with pytest.raises(ValueError, match=r"\(40, 2\) and \(39, 2\)"):
        metrics.dci(z, z[1:])
    with pytest.raises(ValueError, match=r"constant columns \[1\]"):
        metrics.dci(z * [1, 0], z)
