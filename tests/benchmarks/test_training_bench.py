"""`benchmarks/training.py`: the parts of a step add up, and no bar is met by accident."""

import importlib
import time

import pytest
import torch


@pytest.fixture(scope="module")
def parts():
    return importlib.import_module("_training_parts")


@pytest.fixture(scope="module")
def module():
    return importlib.import_module("_training_bars")


class Time:
    """A clock that is set by hand."""

    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


def test_every_moment_belongs_to_the_innermost_part(parts):
    clock = Time()
    watch = parts.Stopwatch(clock)
    clock.now += 1
    with watch.part("forward"):
        clock.now += 2
        with watch.part("loss"):
            clock.now += 4
        clock.now += 8
    clock.now += 16
    assert watch.stop() == 31
    expected = dict.fromkeys(parts.PARTS, 0.0) | {"forward": 10.0, "loss": 4.0, "rest": 17.0}
    assert watch.seconds == expected


def test_a_part_ends_when_it_fails(parts):
    clock = Time()
    watch = parts.Stopwatch(clock)

    def fail():
        clock.now += 1
        raise RuntimeError("no")

    with pytest.raises(RuntimeError, match="no"):
        watch.around("loss", fail)()
    clock.now += 2
    watch.stop()
    assert (watch.seconds["loss"], watch.seconds["rest"]) == (1, 2)


def test_an_iterator_is_timed_while_it_works_and_not_while_it_waits(parts):
    clock = Time()
    watch = parts.Stopwatch(clock)

    def items():
        for i in range(3):
            clock.now += 1
            yield i

    seen = []
    for item in watch.around_items("data", items)():
        seen.append(item)
        clock.now += 10
    assert watch.stop() == 33
    assert (seen, watch.seconds["data"], watch.seconds["rest"]) == ([0, 1, 2], 3, 30)


def test_a_real_run_is_covered_and_its_parts_add_up(parts, tmp_path):
    from aninfonce.data import Augmentation
    from aninfonce.training import TrainConfig, fit

    images = torch.randint(256, (24, 1, 16, 16), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    config = TrainConfig(epochs=1, batch_size=8, projector_hidden=8, projector_dim=4, device="cpu")
    before = Augmentation.apply, torch.autograd.backward
    watch = parts.Stopwatch()
    started = time.perf_counter()
    with parts.watching(watch):
        fit(config, images, tmp_path)
    found = parts.shares(watch)
    assert sum(found.values()) == pytest.approx(1)
    assert min(found[part] for part in parts.PARTS) > 0
    assert sum(watch.seconds.values()) <= time.perf_counter() - started + 1e-3
    assert watch.calls["optimiser"] == watch.calls["backward"] == watch.calls["forward"] == 3
    assert (Augmentation.apply, torch.autograd.backward) == before


def test_a_part_that_is_never_seen_is_an_error(parts):
    watch = parts.Stopwatch()
    with watch.part("data"):
        pass
    with pytest.raises(RuntimeError, match="never came to augmentation, forward, loss, backward, optimiser"):
        parts.shares(watch)


PEERS = ("fast", "slow")


def speeds(ours, fast, slow):
    return {"grey": {"aninfonce": ours, "fast": fast, "slow": slow, "fast, 1 worker": [1e9] * len(ours)}}


def test_the_ratio_is_to_the_fastest_peer_of_each_round(module):
    rounds = speeds([200.0, 300.0, 90.0], [100.0, 100.0, 10.0], [50.0, 200.0, 30.0])["grey"]
    assert module.ratio(rounds, PEERS) == 2.0  # of 2, 1.5 and 3


@pytest.mark.parametrize("missing", ["aninfonce", "fast", "slow"])
def test_without_a_peer_the_speed_is_not_measured(module, missing):
    rounds = speeds([200.0], [100.0], [50.0])["grey"]
    del rounds[missing]
    found = module.bars({"grey": rounds}, {"grey": {"augmentation": 0.1, "data": 0.01}}, PEERS)
    assert [bar["verdict"] for bar in found] == ["NOT MEASURED", "PASS", "PASS"]


@pytest.mark.parametrize(
    ("ours", "augmentation", "data", "verdicts"),
    [
        (130.0, 0.25, 0.05, ["PASS", "PASS", "PASS"]),  # the bars themselves
        (129.0, 0.26, 0.06, ["MISSED", "MISSED", "MISSED"]),
        (float("nan"), float("nan"), float("nan"), ["MISSED", "MISSED", "MISSED"]),
    ],
)
def test_a_bar_is_met_at_its_limit_and_not_beyond(module, ours, augmentation, data, verdicts):
    shares = {"grey": {"augmentation": augmentation, "data": data}}
    found = module.bars(speeds([ours], [100.0], [1.0]), shares, PEERS)
    assert [bar["verdict"] for bar in found] == verdicts
