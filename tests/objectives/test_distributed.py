"""Two and three processes (gloo) against one that holds the global batch: values, gradients, refusals."""

import json
import multiprocessing

import distributed_worker
import pytest

TOLERANCE = 1e-6


@pytest.fixture(scope="module", params=[2, 3], ids=["2 processes", "3 processes"])
def reports(request, tmp_path_factory):
    """One run of all cases: rank -> case -> errors."""
    folder = tmp_path_factory.mktemp("ranks")
    spawn = multiprocessing.get_context("spawn")
    ranks = range(request.param)
    processes = [
        spawn.Process(target=distributed_worker.run, args=(rank, request.param, str(folder))) for rank in ranks
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(timeout=240)
    hung = [process for process in processes if process.is_alive()]
    for process in hung:
        process.kill()
    assert not hung, "a process waited for ever"
    results = [json.loads((folder / f"rank{rank}.json").read_text()) for rank in ranks]
    for result in results:
        assert "error" not in result, result["error"]
    return results


def test_values_and_gradients_equal_one_process(reports):
    compared = 0
    for report in reports:
        for case, errors in report.items():
            if isinstance(errors, dict) and "gradient" in errors:
                compared += 1
                assert errors["value"] < TOLERANCE, case
                assert errors["gradient"] < TOLERANCE, case
    assert compared == len(reports) * (2 * len(list(distributed_worker.losses())) + 5)


def test_without_gathering_every_process_has_its_own_loss(reports):
    values = [report["not gathered"] for report in reports]
    assert len({round(value, 6) for value in values}) == len(values)


def test_a_refused_batch_is_refused_by_all_and_nobody_waits(reports):
    refused, others = reports[1]["refusals"], [r["refusals"] for i, r in enumerate(reports) if i != 1]
    assert "ValueError: u must be finite" in refused["not finite"]
    assert "at least 1 row" in refused["no batch"]
    for other in others:
        assert other["not finite"] == "RuntimeError: the batch of rank 1 was refused; see its own error"
        assert "rank 1 was refused" in other["no batch"]
    for everyone in [refused, *others]:
        assert "same embedding dimensions, got different ones: [5, 6" in everyone["other dim"]
        assert "same dtypes, got different ones: [torch.float32, torch.float64" in everyone["other dtype"]
        assert "same settings of the loss" in everyone["other settings"]
        assert "same settings of the loss" in everyone["other blocks"]
        assert isinstance(everyone["afterwards"], float)
        assert everyone["afterwards"] == refused["afterwards"]


def test_a_second_derivative_across_processes_is_refused(reports):
    for report in reports:
        messages = report["second derivatives"]
        assert len(messages) == 7
        assert "do not reach other processes: use gather=False" in messages.pop("transformed")
        for case, message in messages.items():
            assert "cannot be differentiated again (create_graph=True): use gather=False" in message, case
        assert report["second derivative without gathering"]
