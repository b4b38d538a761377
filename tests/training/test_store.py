"""Checkpoints: whole or not there, verified, and a damaged one never costs the run."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import time

import pytest
import torch
from saving_processes import fill_up, save_forever, tensors

from aninfonce.training.store import CheckpointStore


@pytest.fixture(scope="module")
def context():
    """Processes forked off a clean one: torch's threads do not survive a fork."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["aninfonce.training.store"])
    return context


def filled(folder, steps=(10, 20), keep=2):
    store = CheckpointStore(folder, keep=keep)
    for step in steps:
        store.save(step, tensors(step), {"epoch": step, "history": [{"loss": 0.1 + step}]})
    return store


def test_what_is_saved_is_read(tmp_path):
    shared = torch.arange(6.0).reshape(2, 3)
    store = CheckpointStore(tmp_path / "a" / "b")
    assert store.latest() is None
    store.save(
        7, {"x": shared, "transposed": shared.T, "half": shared.bfloat16(), "flag": torch.tensor(True)}, {"e": 1}
    )
    found = CheckpointStore(tmp_path / "a" / "b").latest()
    assert found.step == 7
    assert found.progress == {"e": 1}
    assert torch.equal(found.tensors["transposed"], shared.T)
    assert found.tensors["half"].dtype == torch.bfloat16
    assert found.tensors["flag"].item() is True


def test_only_the_newest_are_kept(tmp_path):
    store = filled(tmp_path, steps=(5, 100, 20, 1000), keep=2)
    assert store.steps == [100, 1000]
    assert sorted(p.suffix for p in tmp_path.iterdir()) == [".json", ".json", ".safetensors", ".safetensors"]
    assert store.latest().step == 1000


def test_what_a_killed_process_left_half_written_goes(tmp_path):
    store = filled(tmp_path)
    whole = sorted(tmp_path.iterdir())
    half = tmp_path / ".aninfonce-0123456789abcdef.partial"
    half.mkdir()
    for name in ("step-000000030.json", ".tmpAb3dEf"):  # ours, and the file that safetensors writes into
        (half / name).write_bytes(b"half")
    (tmp_path / "step-000000030.safetensors").write_bytes(b"killed before its JSON file was there")
    store.sweep()
    assert sorted(tmp_path.iterdir()) == whole
    assert store.latest().step == 20
    CheckpointStore(tmp_path, keep=9).save(25, tensors(25), {})  # as if killed before it removed the oldest
    store.sweep()
    assert store.steps == [20, 25]


@pytest.mark.parametrize("damage", ["truncate", "flip", "empty", "remove", "progress", "json", "swap"])
def test_a_damaged_checkpoint_is_passed_over_and_named(tmp_path, damage):
    store = filled(tmp_path)
    data, text = (tmp_path / f"step-000000020.{kind}" for kind in ("safetensors", "json"))
    if damage == "truncate":
        data.write_bytes(data.read_bytes()[:-1])
    elif damage == "flip":
        content = bytearray(data.read_bytes())
        content[-3] ^= 1
        data.write_bytes(content)
    elif damage == "empty":
        data.write_bytes(b"")
    elif damage == "remove":
        data.unlink()
    elif damage == "progress":
        text.write_text(json.dumps(json.loads(text.read_text()) | {"progress": {"epoch": 99}}))
    elif damage == "json":
        text.write_text(text.read_text()[:-5])
    else:  # a whole checkpoint under another step's name
        text.write_text((tmp_path / "step-000000010.json").read_text())
        data.write_bytes((tmp_path / "step-000000010.safetensors").read_bytes())
    found = store.latest()
    assert found.step == 10
    assert torch.equal(found.tensors["weight"], tensors(10)["weight"])
    (reason,) = store.damaged.values()
    assert "step-000000020" in reason


def test_when_all_are_damaged_each_is_named(tmp_path):
    store = filled(tmp_path)
    for path in tmp_path.glob("*.safetensors"):
        path.write_bytes(b"\x00" * 10)
    with pytest.raises(ValueError, match=r"every checkpoint.*step-000000020.*step-000000010"):
        store.latest()


def test_the_next_save_replaces_what_a_crash_left(tmp_path):
    """A crash between the two writes leaves tensors without their JSON file: no checkpoint, and no obstacle."""
    store = filled(tmp_path)
    (tmp_path / "step-000000030.safetensors").write_bytes(b"half")
    assert store.latest().step == 20
    store.save(30, tensors(30), {})
    assert store.latest().step == 30


def test_a_full_disk_is_one_clear_error_and_costs_nothing(tmp_path, context):
    filled(tmp_path)
    queue = context.Queue()
    process = context.Process(target=fill_up, args=(tmp_path, queue))
    process.start()
    message = queue.get(timeout=60)
    process.join()
    assert "cannot write the checkpoint of step 30" in message
    assert "that of step 20 is intact" in message
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]
    assert CheckpointStore(tmp_path).latest().step == 20


def test_a_folder_that_cannot_be_written_is_an_error(tmp_path):
    (tmp_path / "file").write_text("")
    store = CheckpointStore(tmp_path / "file" / "checkpoints")
    assert store.steps == []
    with pytest.raises(OSError, match=r"cannot write the checkpoint of step 1 to .*; there is none before it"):
        store.save(1, {}, {})
    with pytest.raises(ValueError, match="keep must be at least 1"):
        CheckpointStore(tmp_path, keep=0)


def test_a_killed_process_leaves_a_whole_checkpoint(tmp_path, context):
    """SIGKILL at random moments of continuous saving: what is left is always whole and consistent."""
    generator = torch.Generator().manual_seed(0)
    for attempt in range(10):
        folder = tmp_path / str(attempt)
        process = context.Process(target=save_forever, args=(folder,))
        process.start()
        deadline = time.monotonic() + 60
        while not list(folder.glob("*.json")):
            assert time.monotonic() < deadline
            time.sleep(0.001)
        time.sleep(0.1 * torch.rand((), generator=generator).item())
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        store = CheckpointStore(folder)
        found = store.latest()
        assert not store.damaged
        assert found.progress == {"epoch": found.step}
        assert torch.equal(found.tensors["weight"], tensors(found.step, size=200_000)["weight"])
