"""Every kind of run of every experiment trains and measures on a (pretended) graphics card."""

import math

import pytest
from pretend_cuda import pretend_cuda
from small_tasks import ON_CPU, fewer_rows, small_tasks

from aninfonce.experiments import Place

TASKS = dict(small_tasks())
DECODERS = {name: task for name, task in TASKS.items() if type(task).__name__ == "DecoderTask"}
OF_DECODERS = {name: task for name, task in TASKS.items() if type(task).__name__ == "DecodedRecoveryTask"}
TRAININGS = {name: task for name, task in TASKS.items() if type(task).__name__ == "TrainingTask"}
OTHERS = {name: task for name, task in TASKS.items() if name not in {**DECODERS, **OF_DECODERS, **TRAININGS}}


@pytest.fixture(autouse=True)
def _few_rows(monkeypatch):
    fewer_rows(monkeypatch)


def run(task, folder) -> None:
    with pretend_cuda() as labels:
        found = task.run(1000, Place("cuda", folder))
    assert type(task).__name__ in ON_CPU or labels.operators > 500
    assert found.metrics
    assert not any(math.isnan(value) for name, value in found.metrics.items() if "loss" in name)


@pytest.mark.parametrize("task", OTHERS.values(), ids=OTHERS.keys())
def test_a_run_stays_on_its_device(task, tmp_path):
    run(task, tmp_path)


def test_decoders_and_the_runs_that_use_them_stay_on_their_device(tmp_path):
    for task in (*DECODERS.values(), *OF_DECODERS.values()):
        run(task, tmp_path)
