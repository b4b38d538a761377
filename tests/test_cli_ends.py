"""Ends from outside and from inside: signals, once and twice; no memory left; processes that are killed."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from concurrent.futures.process import BrokenProcessPool

import pytest
import torch

from aninfonce import verification
from aninfonce.cli import run
from aninfonce.cli._failures import told
from aninfonce.cli._signals import asked_to_end, interruptible

SMALL = ["--backbone", "small:4", "--projector-dim", "8", "--projector-hidden", "16", "--device", "cpu"]
TRAIN = ["train", "--limit", "256", "--epochs", "2", *SMALL]
ASKING = [signal.SIGTERM, signal.SIGHUP]


@pytest.fixture(autouse=True)
def not_ignored():
    """Under nohup SIGHUP is ignored, in a shell's background SIGINT, and they stay so in our commands; here not."""
    defaults = {signal.SIGINT: signal.default_int_handler, **dict.fromkeys(ASKING, signal.SIG_DFL)}
    before = {number: signal.signal(number, handler) for number, handler in defaults.items()}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("sent", [signal.SIGINT, *ASKING])
@pytest.mark.parametrize("times", [1, 2])
def test_verify_keeps_what_it_has_found(tmp_path, monkeypatch, capsys, sent, times):
    real = verification.run

    def interrupted(*arguments, **settings):
        yield next(iter(real(*arguments, **settings)))
        try:
            signal.raise_signal(sent)
        finally:
            for _ in range(times - 1):
                signal.raise_signal(sent)

    monkeypatch.setattr(verification, "run", interrupted)
    before = signal.getsignal(sent)
    assert run(["verify", "--quick", "--out", str(tmp_path / "out")]) == 130
    assert signal.getsignal(sent) is before
    assert capsys.readouterr().err == "interrupted; results.json has what was found so far\n"
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    assert (results["complete"], len({row["name"] for row in results["rows"]})) == (False, 1)


def test_a_signal_that_is_ignored_stays_ignored():
    """As under nohup."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with interruptible(), asked_to_end(lambda: pytest.fail("was told")):
            signal.raise_signal(signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "unbroken"
    assert run([*TRAIN, "--readout-every", "1", "--out", str(out)]) == 0
    return out


def content(out):
    results = json.loads((out / "results.json").read_text())
    timeless = [{**record, "images_per_second": 0} for record in results["history"]]
    metrics = {name: value for name, value in results["metrics"].items() if name != "images_per_second"}
    return timeless, metrics


@pytest.mark.parametrize(
    ("sent", "where", "epoch", "said"),
    [
        (signal.SIGTERM, "aninfonce.training.run._load", 1, "stopped while the data were loaded"),
        (
            signal.SIGTERM,
            "aninfonce.training.online.read_out",
            1,
            r"stopped after step 2 of 4, where its checkpoint is",
        ),
        (signal.SIGHUP, "aninfonce.training.online.read_out", 2, "stopped after step 4 of 4, where"),
        (signal.SIGTERM, "aninfonce.training.run.read_out", 1, "the training is finished, its weights are in"),
        (signal.SIGHUP, "aninfonce.report.training_figure", 1, "results.json and the weights are in"),
        (signal.SIGTERM, "aninfonce.report.write_training_page", 1, "results.json and the weights are in"),
    ],
)
def test_a_training_stops_at_once_wherever_it_is_and_goes_on_to_the_same_end(
    tmp_path, monkeypatch, capsys, finished, sent, where, epoch, said
):
    module, _, name = where.rpartition(".")
    real, calls = getattr(sys.modules[module], name), []

    def interrupted(*arguments, **settings):
        calls.append(name)
        if len(calls) == epoch:
            try:
                signal.raise_signal(sent)
            finally:
                signal.raise_signal(sent)  # a second one disturbs nothing
            pytest.fail("went on")
        return real(*arguments, **settings)

    out = tmp_path / "out"
    command = [*TRAIN, "--readout-every", "1", "--out", str(out)]
    monkeypatch.setattr(where, interrupted)
    assert run(command) == 75
    error = capsys.readouterr().err
    assert re.fullmatch(f".*{said}.*; continue with --resume\n", error)
    monkeypatch.undo()
    assert run([*command, "--resume"]) == 0
    assert content(out) == content(finished)
    assert (out / "report.html").is_file()
    log = [line for line in map(json.loads, (out / "log.jsonl").read_text().splitlines()) if "epoch" in line]
    assert all("backbone/class_accuracy" in line["readouts"] for line in log)


@pytest.mark.parametrize("sent", [signal.SIGINT, *ASKING])
def test_embed_and_export_leave_no_half_file(tmp_path, monkeypatch, capsys, finished, sent):
    def interrupted(*_, **__):
        signal.raise_signal(sent)

    monkeypatch.setattr("aninfonce.training.feature_file.np.savez", interrupted)
    assert run(["embed", str(finished), str(tmp_path / "f.npz")]) == 130
    monkeypatch.setattr("aninfonce.training.export._write_program", interrupted)
    assert run(["export", str(finished), "--format", "torch-export", "--out", str(tmp_path / "e.pt2")]) == 130
    assert capsys.readouterr().err == 2 * "interrupted; no file was written\n"
    assert not list(tmp_path.iterdir())


CPU = (
    "[enforce fail at alloc_cpu.cpp:118] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to allocate "
    "4096000000000 bytes. Error code 12 (Cannot allocate memory)\nException raised from alloc at …"
)


@pytest.mark.parametrize(
    ("error", "asked"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB. GPU 0 …"), "CUDA out of memory"),
        (RuntimeError(CPU), "can't allocate memory: you tried to allocate 4096000000000 bytes"),
        (RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 9 bytes."), "allocate 9 bytes"),
        (RuntimeError("MPS backend out of memory (MPS allocated: 17 GB)"), "MPS backend out of memory"),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate`"), "CUBLAS_STATUS_ALLOC"),
        (MemoryError("Unable to allocate 7 TiB for an array"), "Unable to allocate 7 TiB"),
        (MemoryError(), "no more is available"),
    ],
)
def test_out_of_memory_is_one_line_that_names_remedies(tmp_path, monkeypatch, capsys, error, asked):
    def fails(*_, **__):
        raise error

    monkeypatch.setattr("aninfonce.training.loop._backward", fails)
    assert run([*TRAIN, "--out", str(tmp_path / "out")]) == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert said.startswith("error: out of memory (")
    for part in (asked, "--batch-size", "--accumulate", "--precision"):
        assert part in said


def test_real_memory_that_is_not_there():
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**50, dtype=torch.uint8)
    assert "allocate 1125899906842624 bytes)" in told(caught.value, "train")


def test_killed_workers_are_told_and_faults_of_the_program_are_not():
    assert "fewer --workers" in told(BrokenProcessPool("abruptly"), "reproduce")
    assert "--decode-workers" in told(RuntimeError("DataLoader worker (pid 7) is killed by signal: Killed."), "train")
    assert told(RuntimeError("shape mismatch"), "train") is None
    assert told(ValueError("out of memory"), "train") is None, "a message of ours that happens to say so"


def test_a_fault_of_the_program_keeps_its_traceback(monkeypatch, tmp_path):
    def fails(*_, **__):
        raise RuntimeError("shape mismatch")

    monkeypatch.setattr("aninfonce.training.loop._backward", fails)
    with pytest.raises(RuntimeError, match="shape mismatch"):
        run([*TRAIN, "--out", str(tmp_path / "out")])


# A parent with one worker that says its number and then waits for ever.
PARENT = """
import multiprocessing, sys, time
from aninfonce._parent import end_with_parent
def wait(pipe):
    end_with_parent()
    pipe.send(multiprocessing.current_process().pid)
    time.sleep(1000)
if __name__ == "__main__":
    context = multiprocessing.get_context(sys.argv[1])
    ours, theirs = context.Pipe()
    for _ in range(2):  # the later one holds the other end of the first one's pipe, if it is forked
        context.Process(target=wait, args=(theirs,)).start()
    print(ours.recv(), ours.recv(), flush=True)
    time.sleep(1000)
"""


def gone(numbers, seconds=60):
    """Whether these processes end in time."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if not any(alive(number) for number in numbers):
            return True
        time.sleep(0.1)
    return False


def alive(number):
    try:
        with open(f"/proc/{number}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


needs_proc = pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="needs /proc")


@needs_proc
@pytest.mark.parametrize("start", ["spawn", "fork"])
def test_workers_end_with_a_parent_that_is_killed(tmp_path, start):
    script = tmp_path / "parent.py"
    script.write_text(PARENT)
    with subprocess.Popen([sys.executable, str(script), start], stdout=subprocess.PIPE, text=True) as parent:
        workers = [int(number) for number in parent.stdout.readline().split()]
        assert len(workers) == 2
        assert all(map(alive, workers))
        parent.kill()
        parent.wait()
        assert gone(workers)
        assert parent.stdout.read() == "", "nobody holds the output any more"


@needs_proc
def test_the_workers_of_reproduce_end_with_it(tmp_path):
    command = ["reproduce", "content-style", "--steps", "100000", "--workers", "1", "--out", str(tmp_path / "out")]
    with subprocess.Popen([sys.executable, "-m", "aninfonce", *command], stdout=subprocess.PIPE) as parent:
        children = f"/proc/{parent.pid}/task/{parent.pid}/children"
        workers, until = [], time.monotonic() + 60
        while not workers and time.monotonic() < until:
            time.sleep(0.2)
            with open(children) as file:
                workers = [int(number) for number in file.read().split()]
        parent.kill()
        parent.wait()
        assert workers
        assert gone(workers)
        parent.stdout.read()  # ends, since nobody holds the pipe
