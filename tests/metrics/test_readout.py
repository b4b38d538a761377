import numpy as np
import pytest
import torch

from aninfonce import metrics


def normal(rows, dim, seed=0):
    return np.random.default_rng(seed).normal(size=(rows, dim))


def clusters(rows, classes, dim, distance, seed=0):
    rng = np.random.default_rng(seed)
    labels = rng.integers(classes, size=rows)
    return distance * rng.normal(size=(classes, dim))[labels] + rng.normal(size=(rows, dim)), labels


class TestCategories:
    @pytest.mark.parametrize("distance", [10.0, 1e4])
    def test_separable(self, distance):
        features, labels = clusters(1000, 5, 8, distance)
        assert metrics.readout(features, labels) == 1.0

    def test_chance(self):
        labels = np.random.default_rng(1).integers(4, size=8000)
        assert metrics.readout(normal(8000, 5), labels) == pytest.approx(0.25, abs=0.03)

    def test_known_bayes_accuracy(self):
        labels = np.random.default_rng(1).integers(2, size=20_000)
        features = normal(20_000, 1) + 2 * labels[:, None]  # P(N(0, 1) < 1) = 0.8413
        assert metrics.readout(features, labels) == pytest.approx(0.8413, abs=0.01)

    def test_every_kind_of_category_is_the_same(self):
        features, labels = clusters(600, 2, 3, 0.5)
        expected = metrics.readout(features, labels)
        assert 0.5 < expected < 1
        names = np.array(["cat", "dog"])[labels]
        for same in (labels.astype(bool), labels.astype(np.uint8), names, names.astype(object)):
            assert metrics.readout(features, same) == expected
        assert metrics.readout(features, torch.tensor(labels)) == expected
        assert metrics.readout(features, torch.tensor(labels).bool()) == expected

    def test_scale_of_the_features_does_not_matter(self):
        features, labels = clusters(600, 3, 4, 0.5)
        scaled = features * [1e-6, 1.0, 1e6, 1e3] + 5
        assert metrics.readout(scaled, labels) == pytest.approx(metrics.readout(features, labels), abs=0.01)

    def test_memorising_does_not_pay(self):
        labels = np.random.default_rng(1).integers(2, size=400)  # 200 rows to train on are separable in 300 dimensions
        assert metrics.readout(normal(400, 300), labels) == pytest.approx(0.5, abs=0.12)

    def test_rare_class_balanced(self):
        rare = np.random.default_rng(1).random(10_000) < 0.05
        noise = normal(10_000, 3)
        assert metrics.readout(noise, rare) > 0.93  # the majority's share
        assert metrics.readout(noise, rare, balanced=True) == pytest.approx(0.5, abs=0.06)
        weak = noise + rare[:, None] * [2.0, 0, 0]  # each class: P(N(0, 1) < 1) = 0.8413
        assert metrics.readout(weak, rare, balanced=True) == pytest.approx(0.8413, abs=0.03)

    @pytest.mark.parametrize(("balanced", "expected"), [(False, 0.8), (True, 0.5)])
    def test_class_that_training_lacks(self, balanced, expected):
        x = np.array([[-1.0], [-1.1], [1.0], [1.1]])
        test_x = np.array([[-1.0]] * 8 + [[1.0]] * 2)
        test_labels = np.array(["a"] * 8 + ["new"] * 2)
        labels = np.array(["a", "a", "b", "b"])
        score = metrics.readout(x, labels, test_features=test_x, test_targets=test_labels, balanced=balanced)
        assert score == pytest.approx(expected)


class TestNumbers:
    def test_linear_function(self):
        features = normal(500, 6)
        targets = features @ normal(6, 3, 1) + 2.0
        assert metrics.readout(features, targets) == pytest.approx(1.0, abs=1e-6)
        assert metrics.readout(features, targets[:, 0]) == pytest.approx(1.0, abs=1e-6)

    def test_noise_of_known_size(self):
        features = normal(20_000, 4)
        targets = features[:, 0] + 0.5 * normal(20_000, 1, 1)[:, 0]
        assert metrics.readout(features, targets) == pytest.approx(0.8, abs=0.01)

    def test_columns_are_averaged(self):
        features = normal(4000, 4)
        targets = np.c_[1e3 * features[:, 0], normal(4000, 1, 1)]
        assert metrics.readout(features, targets) == pytest.approx(0.5, abs=0.01)

    @pytest.mark.parametrize("dim", [5, 150, 400])
    def test_noise_is_zero_even_with_more_features_than_rows(self, dim):
        assert metrics.readout(normal(400, dim), normal(400, 1, 1)) == pytest.approx(0.0, abs=0.1)

    def test_explicit_test_set(self):
        x, test_x = normal(200, 2), normal(100, 2, 1)
        score = metrics.readout(x, x[:, 0], test_features=test_x, test_targets=-test_x[:, 0])
        assert score == pytest.approx(-3.0, abs=0.2)


def test_seed_draws_the_split():
    features, labels = clusters(300, 3, 4, 0.5)
    scores = [metrics.readout(features, labels, seed=seed) for seed in (0, 0, 1)]
    assert scores[0] == scores[1] != scores[2]


class TestErrors:
    def test_single_class(self):
        with pytest.raises(ValueError, match=r"at least 2 classes .* got only 3"):
            metrics.readout(normal(20, 2), np.full(20, 3))

    def test_numbers_passed_as_integers(self):
        with pytest.raises(ValueError, match=r"too many classes \(50\)"):
            metrics.readout(normal(100, 2), np.arange(100))

    @pytest.mark.parametrize("part", ["training", "test"])
    def test_constant_number(self, part):
        x = normal(20, 2)
        targets, test_targets = normal(20, 2), normal(20, 2)
        (targets if part == "training" else test_targets)[:, 1] = 0.3
        with pytest.raises(ValueError, match=rf"constant columns \[1\] in the {part} rows"):
            metrics.readout(x, targets, test_features=x, test_targets=test_targets)

    def test_balanced_numbers(self):
        with pytest.raises(ValueError, match="balanced"):
            metrics.readout(normal(20, 2), normal(20, 1), balanced=True)

    def test_kinds_differ(self):
        x, labels = normal(20, 2), np.arange(20) % 2
        for other in (labels.astype(float), labels.astype(str), labels.astype(bool)):
            with pytest.raises(TypeError, match="one kind"):
                metrics.readout(x, labels, test_features=x, test_targets=other)

    def test_shapes(self):
        x, labels = normal(20, 2), np.arange(20) % 2
        with pytest.raises(ValueError, match=r"shapes \(20, 2\) and \(19,\)"):
            metrics.readout(x, labels[:19])
        with pytest.raises(ValueError, match=r"features and test_features .* \(20, 2\) and \(20, 1\)"):
            metrics.readout(x, labels, test_features=x[:, :1], test_targets=labels)
        with pytest.raises(ValueError, match="test_features needs test_targets"):
            metrics.readout(x, labels, test_features=x)
        with pytest.raises(ValueError, match=r"categories and must have shape \(rows,\)"):
            metrics.readout(x, labels[:, None])
        with pytest.raises(ValueError, match="too few rows"):
            metrics.readout(x[:3], labels[:3])
