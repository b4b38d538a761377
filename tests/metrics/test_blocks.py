import numpy as np
import pytest
import torch
from scipy.linalg import block_diag
from scipy.stats import ortho_group

from aninfonce import metrics

BLOCKS = {"content": [0, 1], "style": [2, 3]}


def normal(rows, dim, seed=0):
    return np.random.default_rng(seed).normal(size=(rows, dim))


def on_sphere(rows, dim, seed=0):
    x = normal(rows, dim, seed)
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def block_orthogonal(*sizes, seed=0):
    return block_diag(*(ortho_group.rvs(size, random_state=seed + i) for i, size in enumerate(sizes)))


def across(angle):
    """Turn latents 1 and 2 of four into each other, of different blocks."""
    turn = np.eye(4)
    turn[1:3, 1:3] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    return turn


def outside(weights, found):
    """Share of the weights outside the matched blocks, not kept in [0, 1]."""
    inside = sum(weights[np.ix_(found.embedding_blocks[name], found.blocks[name])].sum() for name in found.blocks)
    return 1 - inside / weights.sum()


@pytest.mark.parametrize("fit", ["least-squares", "procrustes"])
class TestEveryFit:
    @pytest.mark.parametrize("seed", range(3))
    def test_block_orthogonal_maps_do_not_leak(self, fit, seed):
        z = on_sphere(500, 6, seed)
        order = np.random.default_rng(seed).permutation(6)
        z_hat = 3 * (z @ block_orthogonal(2, 4, seed=seed).T)[:, order] + 1.0
        found = metrics.block_leakage(z, z_hat, {"content": [0, 1], "style": range(2, 6)}, fit=fit)
        assert found.leakage == pytest.approx(0, abs=1e-12)
        assert found.standard_error == pytest.approx(0, abs=1e-12)
        assert found.orthogonality_error == pytest.approx(0, abs=1e-7)
        assert found.block_orthogonality_errors == pytest.approx({"content": 0, "style": 0}, abs=1e-7)
        assert found.explained == pytest.approx(1)
        assert found.embedding_blocks["content"] == np.flatnonzero(order < 2).tolist()
        assert found.blocks == {"content": [0, 1], "style": [2, 3, 4, 5]}
        np.testing.assert_allclose(found.block_matrix, np.diag([2, 4]) / 6, atol=1e-12)

    @pytest.mark.parametrize("angle", [0.1, 0.5, np.pi / 4])
    def test_rotation_across_blocks(self, fit, angle):
        z = normal(300, 4)
        found = metrics.block_leakage(z, z @ across(angle).T, BLOCKS, fit=fit)
        assert found.leakage == pytest.approx(np.sin(angle) ** 2 / 2)  # two of the four unit rows
        assert found.standard_error == pytest.approx(0, abs=1e-10)
        assert found.orthogonality_error == pytest.approx(0, abs=1e-7)
        np.testing.assert_allclose(found.matrix, across(angle) ** 2, atol=1e-12)

    def test_the_larger_share_decides_which_block_a_dimension_is_in(self, fit):
        z = normal(300, 4)
        found = metrics.block_leakage(z, z @ across(1.2).T, BLOCKS, fit=fit)
        assert found.leakage == pytest.approx(np.cos(1.2) ** 2 / 2)
        assert found.embedding_blocks == {"content": [0, 2], "style": [1, 3]}
        given = metrics.block_leakage(z, z @ across(1.2).T, BLOCKS, embedding_blocks=BLOCKS, fit=fit)
        assert given.leakage == pytest.approx(np.sin(1.2) ** 2 / 2)

    def test_noise_is_not_leakage(self, fit):
        a = block_orthogonal(2, 2)
        found = [
            metrics.block_leakage(z, z @ a.T + 0.5 * normal(120, 4, 100 + seed), BLOCKS, seed=seed, fit=fit)
            for seed in range(50)
            for z in [normal(120, 4, seed)]
        ]
        leakages, errors = np.array([outside(f.matrix, f) for f in found]), np.array([f.standard_error for f in found])
        noise = leakages.std() / np.sqrt(50)
        assert abs(leakages.mean()) < 3 * noise
        assert (abs(leakages) < 2 * errors).mean() > 0.9
        assert all(f.leakage < 3 * f.standard_error for f in found)
        assert errors.mean() < 0.02
        if fit == "least-squares":  # one map, squared, would show the noise
            assert np.mean([outside(f.linear_map**2, f) for f in found]) > 6 * noise

    def test_standard_error_covers_the_truth(self, fit):
        found = [
            metrics.block_leakage(
                *(z, z @ across(0.4).T + 0.3 * normal(200, 4, 100 + seed), BLOCKS),
                **{"embedding_blocks": BLOCKS, "seed": seed, "fit": fit},
            )
            for seed in range(60)
            for z in [normal(200, 4, seed)]
        ]
        leakages, errors = np.array([f.leakage for f in found]), np.array([f.standard_error for f in found])
        truth = np.sin(0.4) ** 2 / 2
        assert leakages.mean() == pytest.approx(truth, abs=3 * leakages.std() / np.sqrt(60))
        assert errors.mean() == pytest.approx(leakages.std(), rel=0.3)
        assert (abs(leakages - truth) < 2 * errors).mean() > 0.85


def test_bimodal_indeterminacy_r2_high_and_correlation_low():
    z = on_sphere(2000, 10)
    blocks = {"content": range(5), "style": range(5, 10)}
    z_hat = z @ block_orthogonal(5, 5).T
    assert metrics.linear_r2(z, z_hat) == pytest.approx(1)
    assert metrics.mean_correlation(z, z_hat) < 0.8
    found = metrics.block_leakage(z, z_hat, blocks)
    assert found.leakage < 1e-12 < 0.2 < found.chance < 0.5
    mixed = metrics.block_leakage(z, z @ ortho_group.rvs(10, random_state=5).T, blocks)
    assert mixed.leakage == pytest.approx(mixed.chance, abs=0.1)
    assert mixed.orthogonality_error == pytest.approx(0, abs=1e-7)


class TestOrthogonalityError:
    @pytest.mark.parametrize("values", [(1.0, 2.0, 3.0, 4.0), (1.0, 1.0, 0.0, 0.0), (5.0, 0.0, 0.0, 0.0)])
    def test_singular_values_decide(self, values):
        z, squares = normal(300, 4), np.square(values)
        left, right = (ortho_group.rvs(4, random_state=i) for i in range(2))
        found = metrics.block_leakage(z, z @ (left * values @ right).T, BLOCKS)
        scales = np.linspace(1e-3, 40, 400_000)[:, None]  # s²
        brute = np.sqrt(((squares / scales - 1) ** 2).mean(axis=1)).min()
        assert found.orthogonality_error == pytest.approx(brute, abs=1e-5)

    def test_blocks_have_their_own_scales(self):
        z = normal(300, 4)
        found = metrics.block_leakage(z, z @ (block_orthogonal(2, 2).T * [1, 1, 3, 3]), BLOCKS)
        assert found.leakage == pytest.approx(0, abs=1e-12)
        assert found.block_orthogonality_errors == pytest.approx({"content": 0, "style": 0}, abs=1e-7)
        assert found.orthogonality_error == pytest.approx(np.sqrt(1 - 20**2 / (4 * 164)))  # of squares 1, 1, 9, 9

    def test_noise_counts_less_than_in_one_map_squared(self):
        z = normal(1000, 4)
        found = metrics.block_leakage(z, z @ block_orthogonal(2, 2).T + 0.5 * normal(1000, 4, 1), BLOCKS)
        gram = found.linear_map.T @ found.linear_map
        plain = np.sqrt(1 - np.trace(gram) ** 2 / (4 * (gram**2).sum()))
        assert found.orthogonality_error < plain < 0.1


class TestChance:
    def test_of_two_latents(self):
        z = normal(100, 2)
        found = metrics.block_leakage(z, z, {"a": [0], "b": [1]})
        assert found.chance == pytest.approx(0.5 - 1 / np.pi, abs=0.02)  # E min(sin², cos²)

    def test_of_given_blocks(self):
        z = normal(100, 4)
        found = metrics.block_leakage(z, z[:, :3], {"a": [0], "b": [1, 2, 3]}, embedding_blocks={"b": [0, 1], "a": [2]})
        assert found.chance == pytest.approx(1 - 1 / 3 * 1 / 4 - 2 / 3 * 3 / 4)

    def test_one_block_cannot_leak(self):
        z = normal(100, 3)
        found = metrics.block_leakage(z, z @ normal(3, 3, 1), {"all": [0, 1, 2]})
        assert (found.leakage, found.chance) == (0, 0)


def test_given_blocks_of_a_wider_embedding():
    z = normal(200, 3)
    z_hat = np.c_[z[:, :2] @ normal(2, 3, 1), 2 * z[:, 2], z[:, 2]]
    blocks = {"content": torch.tensor([0, 1]), "style": np.array([2])}
    found = metrics.block_leakage(z, z_hat, blocks, embedding_blocks={"style": [4, 3], "content": [0, 1, 2]})
    assert found.leakage == pytest.approx(0, abs=1e-12)
    assert found.embedding_blocks == {"content": [0, 1, 2], "style": [3, 4]}
    assert found.matrix.shape == found.linear_map.shape == (5, 3)


def test_arranged_matrix_has_the_blocks_side_by_side():
    z = normal(200, 4)
    blocks = {"style": [0, 3], "content": [1, 2]}
    a = np.zeros((4, 4))
    a[np.ix_([0, 2], [0, 3])], a[np.ix_([1, 3], [1, 2])] = ortho_group.rvs(2, size=2, random_state=0)
    found = metrics.block_leakage(z, z @ a.T, blocks)
    np.testing.assert_allclose(found.arranged[:2, 2:], 0, atol=1e-12)
    np.testing.assert_allclose(found.arranged[2:, :2], 0, atol=1e-12)
    np.testing.assert_allclose(found.arranged[:2, :2], a[np.ix_([0, 2], [0, 3])] ** 2, atol=1e-12)


def test_embeddings_that_say_nothing():
    z = normal(200, 4)
    for z_hat in (np.zeros((200, 4)), np.full((200, 4), 0.5)):
        dead = metrics.block_leakage(z, z_hat, BLOCKS)
        assert np.isnan([dead.leakage, dead.standard_error, dead.orthogonality_error]).all()
        assert dead.explained == 0
    assert metrics.block_leakage(z, normal(200, 4, 1), BLOCKS).explained == pytest.approx(0, abs=0.1)


def test_order_of_rows_and_scale_of_the_embedding_do_not_matter():
    z, test_z = normal(200, 4), normal(200, 4, 1)
    a = normal(4, 4, 2)
    order = np.random.default_rng(3).permutation(200)
    plain = metrics.block_leakage(z, z @ a, BLOCKS, test_z=test_z, test_z_hat=test_z @ a)
    moved = metrics.block_leakage(z[order], 7 * z[order] @ a - 2, BLOCKS, test_z=test_z, test_z_hat=7 * test_z @ a - 2)
    assert moved.leakage == pytest.approx(plain.leakage)
    assert moved.orthogonality_error == pytest.approx(plain.orthogonality_error)


class TestErrors:
    @pytest.mark.parametrize(
        ("blocks", "message"),
        [
            ({"a": [0, 1], "b": [1, 2, 3]}, "blocks must not share columns"),
            ({"a": [0, 1], "b": [3]}, r"blocks must hold every column, got none for \[2\]"),
            ({"a": [0, 1], "b": [2, 4]}, "group 'b' must hold different columns"),
            ({}, "blocks must hold every column"),
        ],
    )
    def test_not_a_partition(self, blocks, message):
        z = normal(100, 4)
        with pytest.raises(ValueError, match=message):
            metrics.block_leakage(z, z, blocks)
        with pytest.raises(ValueError, match=message):
            metrics.block_leakage(z, z, BLOCKS, embedding_blocks=blocks)

    def test_names_differ(self):
        z = normal(100, 4)
        with pytest.raises(ValueError, match=r"names of blocks, \['content', 'style'\], got \['all'\]"):
            metrics.block_leakage(z, z, BLOCKS, embedding_blocks={"all": range(4)})

    def test_dimensions_differ(self):
        z, wide = normal(100, 4), normal(100, 5, 1)
        embedding_blocks = {"content": [0, 1], "style": [2, 3, 4]}
        with pytest.raises(ValueError, match=r"as many columns as z .* got 5 and 4"):
            metrics.block_leakage(z, wide, BLOCKS)
        with pytest.raises(ValueError, match=r"as many columns as z .* got 5 and 4"):
            metrics.block_leakage(z, wide, BLOCKS, embedding_blocks=embedding_blocks, fit="procrustes")

    def test_latents_that_do_not_determine_the_map(self):
        z = normal(100, 3)
        with pytest.raises(ValueError, match="linearly dependent, got 4 of rank 3"):
            metrics.block_leakage(np.c_[z, z.sum(axis=1)], normal(100, 4, 1), BLOCKS)

    def test_too_few_rows(self):
        with pytest.raises(ValueError, match="at least 10 rows, got 9 and 9"):
            metrics.block_leakage(normal(18, 4), normal(18, 4, 1), BLOCKS)

    def test_unknown_fit(self):
        z = normal(100, 4)
        with pytest.raises(ValueError, match="did you mean 'procrustes'"):
            metrics.block_leakage(z, z, BLOCKS, fit="procrustus")
