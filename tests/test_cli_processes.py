"""`aninfonce train` in several processes, as a user starts it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from aninfonce.cli._processes import counted
from aninfonce.training import TrainConfig
from aninfonce.training.store import CheckpointStore

SMALL = "--data digits --backbone small:4 --projector-dim 8 --projector-hidden 16 --limit 256 --batch-size 128"
FLAGS = ["train", *SMALL.split(), *["--test-images", "100", "--readout-images", "200", "--device", "cpu"]]


def started(command, folder, *flags):
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [*command, *FLAGS, "--out", str(folder), *flags],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def test_two_processes_stop_together(tmp_path):
    folder = tmp_path / "run"
    process = started([sys.executable, "-m", "aninfonce"], folder, "--epochs", "100000", "--devices", "2")
    deadline = time.monotonic() + 200
    log = folder / "log.jsonl"
    while not (log.is_file() and log.read_text()) and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.2)
    process.send_signal(signal.SIGTERM)
    said, _ = process.communicate(timeout=100)
    assert process.returncode == 75, said
    assert said.count("--resume") == 1, "the first process alone speaks"
    stopped = CheckpointStore(folder / "checkpoints").latest()
    assert stopped is not None
    assert f"stopped after step {stopped.step} of" in said


# `aninfonce train`, in which the process of one rank ends at its fifth step in one way.
FAILING = """
import os, signal
from aninfonce.training import loop
real = loop._backward
def broken(config, processes, wrapped, augment, batch, step):
    if step == 4 and str(processes.rank) == os.environ["FAILING_RANK"]:
        if os.environ["FAILING_HOW"] == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        raise ValueError("the disk is on fire")
    return real(config, processes, wrapped, augment, batch, step)
loop._backward = broken
from aninfonce.cli import main
main()
"""


@pytest.mark.parametrize(
    ("rank", "how", "code", "said"),
    [
        ("1", "failed", 2, "error: the disk is on fire"),
        pytest.param("0", "failed", 2, "error: the disk is on fire", marks=pytest.mark.slow),
        pytest.param(
            "1", "killed", 1, "error: another process of the run was ended by SIGKILL", marks=pytest.mark.slow
        ),
        pytest.param("0", "killed", -signal.SIGKILL, "", marks=pytest.mark.slow),
    ],
)
def test_one_process_tells_of_its_failure_and_the_others_end_quietly(tmp_path, monkeypatch, rank, how, code, said):
    script = tmp_path / "failing.py"
    script.write_text(FAILING)
    monkeypatch.setenv("FAILING_RANK", rank)
    monkeypatch.setenv("FAILING_HOW", how)
    process = started([sys.executable, str(script)], tmp_path / "run", "--epochs", "1000", "--devices", "2")
    printed, _ = process.communicate(timeout=200)  # the end of the output is that of all who hold it
    assert process.returncode == code, printed
    errors = [line for line in printed.splitlines() if "error" in line.lower()]
    assert len(errors) == bool(said), printed
    assert all(line.startswith(said) for line in errors)
    assert "Traceback" not in printed
    assert "terminate called" not in printed


@pytest.mark.slow
def test_torchrun_is_found(tmp_path):
    folder = tmp_path / "run"
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    process = started([*torchrun, "-m", "aninfonce"], folder, "--epochs", "2")
    said, _ = process.communicate(timeout=300)
    assert process.returncode == 0, said
    results = json.loads((folder / "results.json").read_text())
    assert (results["config"]["devices"], results["config"]["nodes"]) == (2, 1)
    assert len(results["history"]) == 2
    assert said.count("results.json") == 1, "the first process alone speaks"


def test_slurm_is_counted(monkeypatch):
    slurm = {"SLURM_NTASKS": "8", "SLURM_NNODES": "2", "SLURM_JOB_NAME": "train", "SLURM_PROCID": "3"}
    for name, value in slurm.items():
        monkeypatch.setenv(name, value)
    config = counted(TrainConfig())
    assert (config.nodes, config.devices) == (2, 4)
    assert counted(TrainConfig(nodes=2, devices=4)) == config
    with pytest.raises(ValueError, match="SLURM has started 2 × 4 processes, but --nodes 1 --devices 3"):
        counted(TrainConfig(devices=3))


def test_without_either_the_flags_count():
    assert counted(TrainConfig(devices=3)) == TrainConfig(devices=3)
