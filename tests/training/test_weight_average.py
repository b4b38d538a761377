"""The moving average of the weights."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from aninfonce.training.weight_average import WeightAverage


@pytest.fixture
def module():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))


def test_the_average_is_the_weighted_sum_of_all_values(module):
    average = WeightAverage(module, 0.8)
    seen = [module[0].weight.detach().clone()]
    for step in range(1, 6):
        with torch.no_grad():
            module[0].weight.add_(torch.randn(4, 3, generator=torch.Generator().manual_seed(step)))
        average.update()
        seen.append(module[0].weight.detach().clone())
    weights = [0.8**5, *(0.2 * 0.8 ** (5 - k) for k in range(1, 6))]
    assert sum(weights) == pytest.approx(1)
    expected = sum(w * value for w, value in zip(weights, seen, strict=True))
    torch.testing.assert_close(average.values["0.weight"], expected)


def test_applied_lends_the_average_and_gives_the_weights_back(module):
    average = WeightAverage(module, 0.5)
    with torch.no_grad():
        module[0].weight.add_(1)
    before = module[0].weight.detach().clone()
    with average.applied():
        assert torch.equal(module[0].weight, average.values["0.weight"])
        assert not torch.equal(module[0].weight, before)
    assert torch.equal(module[0].weight, before)
    average.apply()
    assert torch.equal(module[0].weight, average.values["0.weight"])


def test_statistics_of_batch_normalisation_are_left_alone(module):
    average = WeightAverage(module, 0.5)
    module(torch.randn(8, 3))
    moved = module[1].running_mean.clone()
    assert moved.any()
    average.update()
    average.apply()
    assert torch.equal(module[1].running_mean, moved)


def test_saved_averages_are_gone_on_from(module):
    average = WeightAverage(module, 0.5)
    saved = {name: value + 1 for name, value in average.values.items()}
    other = WeightAverage(module, 0.5)
    other.load(saved)
    for name, value in saved.items():
        assert torch.equal(other.values[name], value)
