import math

import numpy as np
import pytest
from scipy.spatial.distance import pdist
from scipy.special import hyp0f1

from aninfonce import metrics
from aninfonce.metrics import _arrays


def normal(rows, dim, seed=0):
    return np.random.default_rng(seed).normal(size=(rows, dim))


def on_sphere(rows, dim, seed=0):
    x = normal(rows, dim, seed)
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def with_spectrum(spectrum, rows=50):
    left = np.linalg.qr(normal(rows, len(spectrum)))[0]
    right = np.linalg.qr(normal(len(spectrum), len(spectrum), 1))[0]
    return (left * spectrum) @ right


class TestEffectiveRank:
    @pytest.mark.parametrize("dim", [1, 4, 20])
    def test_equal_singular_values_give_the_dimension(self, dim):
        assert metrics.effective_rank(3.0 * with_spectrum(np.ones(dim))) == pytest.approx(dim)

    def test_geometric_spectrum(self):
        ratio, dim = 0.5, 40  # long enough for the infinite series: entropy = h(ratio) / (1 - ratio)
        entropy = -(ratio * math.log(ratio) + (1 - ratio) * math.log(1 - ratio)) / (1 - ratio)
        assert metrics.effective_rank(with_spectrum(ratio ** np.arange(dim))) == pytest.approx(math.exp(entropy))

    @pytest.mark.parametrize("value", [1.0, 0.1, 1e6])
    def test_collapse_to_a_point(self, value):
        h = np.full((300, 8), value) * np.arange(1, 9)
        assert metrics.effective_rank(h) == pytest.approx(1.0)
        assert metrics.effective_rank(h, center=True) == 0.0

    def test_zero(self):
        assert metrics.effective_rank(np.zeros((5, 3))) == 0.0

    def test_centring_removes_a_large_mean(self):
        h = on_sphere(5000, 6) + 100.0
        assert metrics.effective_rank(h) < 1.1
        assert metrics.effective_rank(h, center=True) == pytest.approx(6.0, abs=0.01)

    def test_collapse_onto_a_plane(self):
        h = on_sphere(2000, 2) @ np.linalg.qr(normal(10, 2, 1))[0].T
        assert metrics.effective_rank(h) == pytest.approx(2.0, abs=0.01)


class TestAlignment:
    def test_known_values(self):
        u = on_sphere(10, 3)
        assert metrics.alignment(u, 2 * u) == pytest.approx(0.0, abs=1e-12)
        assert metrics.alignment(u, -u, alpha=1.0) == pytest.approx(2.0)
        assert metrics.alignment(u, -u, alpha=3.0) == pytest.approx(8.0)
        assert metrics.alignment(u, 3 * u, normalize=False) == pytest.approx(4.0)

    def test_independent_directions(self):
        assert metrics.alignment(on_sphere(20_000, 5), on_sphere(20_000, 5, 1)) == pytest.approx(2.0, abs=0.03)


class TestUniformity:
    @pytest.mark.parametrize(("dim", "t"), [(2, 2.0), (3, 2.0), (10, 2.0), (3, 0.5), (3, 8.0)])
    def test_uniform_sphere_against_its_closed_form(self, dim, t):
        # E exp(2t u·v) over the uniform sphere is 0F1(; dim/2; t²).
        expected = -2 * t + math.log(hyp0f1(dim / 2, t * t))
        assert metrics.uniformity(on_sphere(4000, dim), t) == pytest.approx(expected, abs=0.02)

    @pytest.mark.parametrize("rows", [2, 5, 6, 7, 10, 11, 40])
    def test_blocks_equal_the_dense_computation(self, rows, monkeypatch):
        u = normal(rows, 3)
        dense = math.log(np.exp(-1.5 * pdist(u, "sqeuclidean")).mean())
        for block in (1, 5, 512):
            monkeypatch.setattr(_arrays, "_BLOCK", block)
            assert metrics.uniformity(u, 1.5, normalize=False) == pytest.approx(dense)

    def test_collapse_is_zero(self):
        assert metrics.uniformity(np.full((50, 4), 0.3)) == pytest.approx(0.0, abs=1e-12)

    def test_large_t_does_not_underflow(self):
        assert metrics.uniformity(np.array([[1.0], [-1.0]]), 1000.0) == pytest.approx(-4000.0)

    def test_translation_does_not_matter(self):
        u = normal(30, 3)
        far = metrics.uniformity(u + 1e6, normalize=False)
        assert far == pytest.approx(metrics.uniformity(u, normalize=False), abs=1e-6)


class TestHitAtK:
    def test_identical_views(self):
        u = normal(1300, 8)  # more than two blocks
        assert metrics.hit_at_k(u, u) == 1.0
        assert metrics.hit_at_k(u, 5 * u) == 1.0

    @pytest.mark.parametrize("k", [1, 20, 200])
    def test_independent_views_are_at_chance(self, k):
        rows = 2000
        chance = k / rows
        tolerance = 5 * math.sqrt(chance * (1 - chance) / rows)
        assert metrics.hit_at_k(normal(rows, 5), normal(rows, 5, 1), k) == pytest.approx(chance, abs=tolerance)

    @pytest.mark.parametrize("k", [1, 3])
    def test_blocks_equal_the_dense_computation(self, k, monkeypatch):
        u = on_sphere(33, 4)
        v = u + 1.5 * on_sphere(33, 4, 1)
        similarity = u @ (v / np.linalg.norm(v, axis=1, keepdims=True)).T
        ranks = (similarity > np.diag(similarity)[:, None]).sum(axis=1)
        dense = float((ranks < k).mean())
        assert 0 < dense < 1
        for block in (1, 8, 512):
            monkeypatch.setattr(_arrays, "_BLOCK", block)
            assert metrics.hit_at_k(u, v, k) == pytest.approx(dense)

    def test_ties_count_against(self):
        # One direction; the lengths make the normalised rows differ by rounding.
        collapsed = on_sphere(1, 77) * np.linspace(0.1, 7.0, 600)[:, None]
        assert metrics.hit_at_k(collapsed, collapsed) == 0.0
        assert metrics.hit_at_k(collapsed, collapsed, 599) == 0.0
        assert metrics.hit_at_k(collapsed, collapsed, 600) == 1.0
        twins = np.repeat(on_sphere(100, 77), 2, axis=0)
        assert metrics.hit_at_k(twins, twins) == 0.0
        assert metrics.hit_at_k(twins, twins, 2) == 1.0

    def test_zero_rows_miss(self):
        u = np.eye(4)
        u[2] = 0.0
        assert metrics.hit_at_k(u, np.eye(4)) == 0.75


class TestErrors:
    @pytest.mark.parametrize("function", [metrics.alignment, metrics.hit_at_k])
    def test_shapes_differ(self, function):
        with pytest.raises(ValueError, match=r"\(10, 2\) and \(10, 3\)"):
            function(normal(10, 2), normal(10, 3))

    @pytest.mark.parametrize("value", [0.0, -1.0, math.inf, math.nan])
    def test_exponents(self, value):
        u = normal(10, 2)
        with pytest.raises(ValueError, match="alpha must be positive"):
            metrics.alignment(u, u, value)
        with pytest.raises(ValueError, match="t must be positive"):
            metrics.uniformity(u, value)

    def test_rows_without_direction(self):
        u = normal(10, 2)
        u[[3, 7]] = 0.0
        with pytest.raises(ValueError, match="2 rows of zeros, the first is row 3"):
            metrics.uniformity(u)
        with pytest.raises(ValueError, match="v must have a direction"):
            metrics.alignment(normal(10, 2), u)
        assert math.isfinite(metrics.uniformity(u, normalize=False))

    def test_a_single_row_has_no_pairs(self):
        with pytest.raises(ValueError, match="at least 2 rows, got 1"):
            metrics.uniformity(normal(1, 2))

    @pytest.mark.parametrize("k", [0, 11, -1])
    def test_k(self, k):
        with pytest.raises(ValueError, match="k must be from 1"):
            metrics.hit_at_k(normal(10, 2), normal(10, 2), k)
