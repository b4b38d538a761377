"""What every measure takes, and what it refuses."""

import inspect

import numpy as np
import pytest
import torch

from aninfonce import metrics
from aninfonce.metrics._arrays import as_matrix, as_targets, constant_columns

FUNCTIONS = [getattr(metrics, name) for name in metrics.__all__ if inspect.isfunction(getattr(metrics, name))]
FURTHER = {
    "blocks": {"content": [0, 1], "style": [2]},
    "clusters": np.arange(240) % 2,
    "concentration": np.array([3.0, 2.0, 1.0]),
}


def call(function, x, y):
    """Any of the functions, on one or two matrices; a flat result."""
    required = [p.name for p in inspect.signature(function).parameters.values() if p.default is p.empty]
    further = {name: FURTHER[name] for name in required if name in FURTHER}
    result = function(*(x, y)[: len(required) - len(further)], **further)
    if isinstance(result, metrics.Matching):
        return result.permutation.tolist()
    if isinstance(result, metrics.Stationarity):
        result = result.test
    if isinstance(result, metrics.TestResult):
        return [result.statistic, result.p_value]
    if isinstance(result, metrics.DCI):
        return [result.disentanglement, result.completeness, result.informativeness]
    if isinstance(result, metrics.BlockStructure):
        return [result.leakage, result.standard_error, result.chance, result.orthogonality_error, result.explained]
    return result.concentration.tolist() if isinstance(result, metrics.Anisotropy) else result


@pytest.fixture
def pair():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(240, 3)).astype(np.float32)
    return x, (x + 0.5 * rng.normal(size=(240, 3))).astype(np.float32)


@pytest.mark.parametrize("function", FUNCTIONS)
class TestEveryFunction:
    def test_tensors_and_arrays_give_equal_results(self, function, pair):
        expected = call(function, *pair)
        doubles = [x.astype(np.float64) for x in pair]
        tensors = [torch.tensor(x, requires_grad=True) for x in pair]
        strided = [torch.tensor(x.T.copy()).T for x in pair]
        for same in (doubles, tensors, strided, [pair[0], tensors[1]]):
            assert call(function, *same) == pytest.approx(expected, rel=1e-12)

    def test_half_precision(self, function, pair):
        halves = [torch.tensor(x).bfloat16() for x in pair]
        assert call(function, *halves) == call(function, *(x.float().numpy() for x in halves))

    def test_inputs_are_left_alone_and_nothing_is_seeded(self, function, pair):
        copies = [x.astype(np.float64) for x in pair]
        state, torch_state = np.random.get_state()[1].copy(), torch.get_rng_state()  # noqa: NPY002
        call(function, *copies)
        for x, copy in zip(pair, copies, strict=True):
            np.testing.assert_array_equal(x, copy)
        np.testing.assert_array_equal(state, np.random.get_state()[1])  # noqa: NPY002
        assert torch.equal(torch_state, torch.get_rng_state())

    def test_results_are_plain(self, function, pair):
        assert type(call(function, *pair)) in (float, list)

    @pytest.mark.parametrize("wrong", [[[1.0, 2.0]], "text", None, 3.0])
    def test_wrong_type(self, function, pair, wrong):
        with pytest.raises(TypeError):
            call(function, wrong, pair[1])

    @pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
    def test_not_finite(self, function, pair, bad):
        x = pair[0].copy()
        x[[7, 9], 1] = bad
        for broken in (x, torch.tensor(x)):
            with pytest.raises(ValueError, match="must be finite, got 2 NaN or infinite entries, the first in row 7"):
                call(function, broken, pair[1])

    def test_wrong_shape(self, function, pair):
        with pytest.raises(ValueError, match=r"must have shape \(rows, dim\) with dim ≥ 1, got \(240,\)"):
            call(function, pair[0][:, 0], pair[1])


@pytest.mark.parametrize("wrong", [[[1.0]], np.array([["a"]]), np.ones((2, 2), complex), torch.ones(2, 2) * 1j])
def test_matrix_of_other_things(wrong):
    with pytest.raises(TypeError, match=r"^h must"):
        as_matrix("h", wrong)


@pytest.mark.parametrize("shape", [(0, 2), (2, 0), (2, 2, 2), ()])
def test_matrix_of_wrong_shape(shape):
    with pytest.raises(ValueError, match=r"^h must have"):
        as_matrix("h", np.zeros(shape))


@pytest.mark.parametrize("wrong", [[1, 2], np.ones(2, complex), np.array([1, "a"], dtype=object), np.array([b"a"])])
def test_targets_of_other_things(wrong):
    with pytest.raises(TypeError, match=r"^targets must"):
        as_targets("targets", wrong)


@pytest.mark.parametrize("wrong", [np.ones((2, 2, 2)), np.ones(0), np.ones(()), np.ones(0, int), np.ones((2, 2), int)])
def test_targets_of_wrong_shape(wrong):
    with pytest.raises(ValueError, match=r"^targets .*must have shape"):
        as_targets("targets", wrong)


def test_targets_not_finite():
    with pytest.raises(ValueError, match="got 1 NaN or infinite entries, the first in row 1"):
        as_targets("targets", np.array([0.0, np.nan]))


def test_constant_columns_allow_for_rounding():
    x = np.c_[np.zeros(9), np.full(9, 0.1), 0.1 * 3 * (1 + np.arange(9) % 2 * 2e-16), 1 + np.arange(9) * 1e-9]
    assert constant_columns(x).tolist() == [True, True, True, False]
