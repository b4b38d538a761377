"""`benchmarks/scaling.py`: what is counted is what the formulas say, and the arithmetic keeps its laws."""

import importlib
import re
from pathlib import Path

import pytest
import torch
from torch import nn


@pytest.fixture(scope="module")
def traffic():
    return importlib.import_module("_scaling_traffic")


@pytest.fixture(scope="module")
def memory():
    return importlib.import_module("_scaling_memory")


@pytest.fixture(scope="module")
def planning():
    return importlib.import_module("_scaling_plan")


def test_counted_bytes_equal_the_formula(traffic):
    """Two processes on gloo, a step of network and loss."""
    found = traffic.measure_traffic(world=2, rows=5, dim=6)
    assert found["counted"] == found["formula"]
    assert min(found["counted"].values()) > 0


def test_the_loss_has_as_many_operations_as_the_formula_says(memory):
    for batch, dim, chunk in ((64, 5, 16), (64, 5, 64), (48, 3, 8)):
        assert memory.count_loss_flops(batch, dim, chunk) == memory.loss_flops(batch, dim, chunk)


def test_many_chunks_come_to_the_planned_operations(memory, planning):
    batch, dim = 2**20, 128
    assert memory.loss_flops(batch, dim, 4096) == pytest.approx(planning.loss_flops(batch, dim), rel=0.01)


def test_kept_bytes_are_those_of_a_network_that_can_be_counted_by_hand(memory):
    network = nn.Sequential(nn.Linear(10, 20), nn.ReLU(), nn.Linear(20, 5))
    # The ReLU's output serves itself and the second layer: one storage of 20 numbers a row. The input is not counted.
    assert memory.kept_bytes(network, torch.rand(7, 10)) == 7 * 20 * 4


def test_kept_bytes_grow_with_the_images(memory):
    found = memory.measure_backbone("small", 1, 28)
    assert found["activation_bytes"] > 4 * 24 * 14 * 14  # the first stage alone
    assert 2 * found["forward_flops"] < found["step_flops"] < 3 * found["forward_flops"] + 1


@pytest.mark.parametrize("world", [2, 8, 512])
def test_a_ring_sends_less_than_twice_what_is_reduced(traffic, world):
    assert traffic.wire({"all_gather": 1000}, world) == pytest.approx(1000 * (world - 1) / world)
    both = traffic.wire({"all_gather": 1000, "reduce_scatter": 1000}, world)
    assert traffic.wire({"gradients": 1000}, world) == pytest.approx(both)


@pytest.fixture
def backbone():
    return {"parameters": 10**6, "activation_bytes": 10**6, "forward_flops": 1e9, "step_flops": 3e9}


def test_more_gpus_share_the_work_but_not_the_embeddings(planning, backbone):
    few, many = (planning.plan(backbone, 12.0, gpus, 32_768) for gpus in (8, 64))
    assert few["loss_flops"] == pytest.approx(8 * many["loss_flops"])
    assert few["network_flops"] == pytest.approx(8 * many["network_flops"])
    assert few["loss_memory"] == many["loss_memory"]
    assert many["loss_bytes"] > few["loss_bytes"]


def test_cached_gradients_trade_memory_for_a_second_forward(planning, backbone):
    found = planning.plan(backbone, 12.0, 8, 131_072)
    assert found["cached_memory"] < found["memory"]
    assert found["cached_network_flops"] == pytest.approx(found["network_flops"] * 4 / 3)


def test_a_batch_that_does_not_divide_is_refused(planning, backbone):
    with pytest.raises(ValueError, match="multiple of the 8 GPUs, got 4097"):
        planning.plan(backbone, 12.0, 8, 4097)


def test_tables_go_to_their_places_only():
    pages = importlib.import_module("_pages")
    page = "before\n<!-- a -->\nold\n<!-- /a -->\nbetween\n<!-- b -->\n<!-- /b -->\nafter\n"
    once = pages.filled(page, {"a": "A", "b": "B"})
    assert once == "before\n<!-- a -->\nA\n<!-- /a -->\nbetween\n<!-- b -->\nB\n<!-- /b -->\nafter\n"
    assert pages.filled(once, {"a": "A", "b": "B"}) == once
    with pytest.raises(ValueError, match="one place <!-- c -->"):
        pages.filled(page, {"c": "C"})


@pytest.mark.parametrize(
    ("page", "names"),
    [("speed.md", {"training"}), ("objectives.md", {"anisotropy-coverage", "losses"}), ("scaling.md", None)],
)
def test_the_pages_have_a_place_for_every_table(page, names):
    """`None`: all that `scaling.py` writes, from results that stand for themselves."""
    pages = importlib.import_module("_pages")
    text = (Path(__file__).parents[2] / "docs" / page).read_text(encoding="utf-8")
    if names is None:
        names = {"traffic", "backbones", "loss-memory", "machine", "assumptions", "plan-resnet50", "plan-resnet18"}
    assert set(re.findall(r"<!-- ([\w-]+) -->", text)) == names
    assert pages.filled(text, dict.fromkeys(names, "table")).count("table\n<!-- /") == len(names)
