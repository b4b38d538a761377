"""The bars of `benchmarks/losses.py` cannot be met by accident: by a missing peer, a failed reading, or a mix-up."""

import importlib

import pytest


@pytest.fixture(scope="module")
def module():
    return importlib.import_module("_losses_bars")


def row(contender, value, batch=4096, negatives="both", field="seconds_min"):
    return {"contender": contender, "negatives": negatives, "batch": batch, field: value}


@pytest.fixture
def bar(module):
    """Ours at most half of the fastest of two peers, better a quarter."""
    readings = [module.Reading("seconds_min", name, "both", 4096) for name in ("ours", "fast", "slow")]
    return module.Bar("time", 0.5, 0.25, readings[0], tuple(readings[1:]))


@pytest.mark.parametrize(
    ("ours", "met", "verdict"),
    [
        (1.0, True, "met, and the aim"),  # the aim itself
        (1.01, True, "met"),
        (2.0, True, "met"),  # the bar itself
        (2.01, False, "missed"),
        (30.0, False, "missed"),  # faster than the slow peer only
    ],
)
def test_the_ratio_is_taken_to_the_fastest_reference(bar, ours, met, verdict):
    found = bar.evaluate([row("slow", 100.0), row("ours", ours), row("fast", 4.0)])
    assert found["measured"] == pytest.approx(ours / 4)
    assert found["met"] is met
    assert found["verdict"] == verdict


@pytest.mark.parametrize("broken", [None, float("nan"), float("inf"), 0.0, -1.0, "0.1", True])
@pytest.mark.parametrize("which", ["ours", "fast", "slow"])
def test_an_unusable_reading_is_not_measured_and_not_met(bar, which, broken):
    values = {"ours": 1.0, "fast": 4.0, "slow": 100.0, which: broken}
    found = bar.evaluate([row(name, value) for name, value in values.items()])
    assert found["measured"] is None
    assert found["met"] is False
    assert found["aim_reached"] is False
    assert found["verdict"] == "not measured"


@pytest.mark.parametrize(
    "other",
    [
        row("ours", 1.0, batch=256),
        row("ours", 1.0, negatives="positives"),
        row("ours", 1.0, field="seconds_median"),
        row("ours, trainable τ", 1.0),
        {"contender": "ours", "negatives": "both", "batch": None, "note": "not installed"},
    ],
)
def test_a_neighbouring_row_does_not_stand_in(bar, other):
    found = bar.evaluate([other, row("fast", 4.0), row("slow", 100.0)])
    assert found["verdict"] == "not measured"


def test_two_rows_for_one_reading_are_an_error(bar):
    with pytest.raises(ValueError, match="2 rows for"):
        bar.evaluate([row("ours", 1.0), row("ours", 9.0), row("fast", 4.0), row("slow", 100.0)])


def test_an_error_may_be_zero_but_not_nan(module):
    bar = module.Bar("error", 1e-4, 2e-6, module.Reading("largest_error", "ours", "both", 1500))
    verdicts = [
        bar.evaluate([row("ours", value, 1500, field="largest_error")])["verdict"]
        for value in (0.0, 1e-5, 2e-4, float("nan"))
    ]
    assert verdicts == ["met, and the aim", "met", "missed", "not measured"]


def test_without_rows_no_bar_is_met(module):
    found = [bar.evaluate([]) for bar in module.bars(1500)]
    assert len(found) == len({bar["name"] for bar in found}) == 12
    assert not any(bar["met"] for bar in found)
    assert {bar["verdict"] for bar in found} == {"not measured"}
    assert all(bar["aim"] < bar["bar"] for bar in found)
