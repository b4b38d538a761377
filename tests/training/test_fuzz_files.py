"""Whatever the bytes: a file loads and is right, or is refused by a ValueError or TypeError that names it.

A minute of it is in `make test-slow`; a few seconds here.
"""

from __future__ import annotations

import dataclasses
import json
import random
import resource
import shutil
import time
import warnings
from pathlib import Path

import pytest
import torch
from jaxtyping import TypeCheckError

import aninfonce
from aninfonce._folder import claimed
from aninfonce._runs import read_results, write_results
from aninfonce.models import load_pretrained, make_backbone
from aninfonce.report import compare_table, summarize
from aninfonce.training import TrainConfig, train
from aninfonce.training.checksums import digest
from aninfonce.training.encoder import MODEL, WEIGHTS
from aninfonce.training.module import build_task
from aninfonce.training.store import CheckpointStore

WILD = (
    *(None, True, False, 0, 1, -1, 2, 10**6, 10**12, -(10**12), 2**63, 10**400, 0.5, 1e-300, -0.0, 1e300),
    *(float("nan"), float("inf"), -float("inf"), "", "nan", "small:0", "small:-1", "small:4", "timm:", "\0", "\ud800"),
    *("small:99999999999", "infonce", "x" * 1000, [], [1], {}, {"a": 1}, ["small"], b"small", 1j),
)


def damaged(content, rng):
    """Bytes with some of them flipped, cut off, repeated, or replaced by others; at times nothing but random ones."""
    kind = rng.randrange(7)
    at, end = sorted(rng.randrange(len(content) + 1) for _ in range(2))
    if kind == 0:
        return content[:at]
    if kind == 1:
        return rng.randbytes(rng.randrange(200))
    if kind == 2:
        return content[:at] + rng.randbytes(rng.randrange(1, 20)) + content[at:]
    if kind == 3:
        return content[:at] + content[end:]
    if kind == 4:
        return content[:end] + content[at:]
    changed = bytearray(content)
    # The first bytes are the headers, where damage has the most to break.
    reach = len(content) if kind == 5 else min(len(content), 600)
    for _ in range(rng.randrange(1, 4)):
        changed[rng.randrange(reach)] ^= 1 << rng.randrange(8)
    return bytes(changed)


def seconds(n):
    """Cases for that long, at least ten, each with a generator of its own: the case of an assertion can be repeated."""
    started, case = time.monotonic(), 0
    while case < 10 or time.monotonic() - started < n:
        yield case, random.Random(case)
        case += 1


def attempt(function, *arguments, **settings):
    """(what it returns, None), or (None, its error): of the kinds that are an answer to a user."""
    try:
        return function(*arguments, **settings), None
    except TypeCheckError:  # of the test suite's import hook: our own code let a wrong value through
        raise
    except (ValueError, TypeError) as error:
        return None, error


@pytest.fixture(autouse=True)
def _bounded_memory():
    """Settings that ask for 8 GB more than is in use get an error from the allocator; the machine is left alone."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    most = used + (8 << 30)
    if before[0] == resource.RLIM_INFINITY or most < before[0]:
        resource.setrlimit(resource.RLIMIT_AS, (most, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, before)


def resume(folder):
    with claimed(folder, {"command": "train"}, resume=True) as run:
        run.begin()


LONG = pytest.param(15, marks=pytest.mark.slow)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    config = TrainConfig(backbone="small:2", projector_dim=4, projector_hidden=4, epochs=2, limit=128, device="cpu")
    result = train(config, folder)
    assert CheckpointStore(folder / "checkpoints").steps == [1, 2]
    with claimed(folder / "again", {"command": "train"}) as again:
        again.begin()
    return folder, result


@pytest.mark.parametrize("duration", [2, LONG])
def test_damaged_checkpoints(trained, tmp_path, duration):
    """The newest one as it was written, or the one before; never another."""
    source = trained[0] / "checkpoints"
    expected = {step: CheckpointStore(source)._read(step) for step in (1, 2)}
    for case, rng in seconds(duration):
        shutil.rmtree(tmp_path, ignore_errors=True)
        shutil.copytree(source, tmp_path)
        file = tmp_path / f"step-000000002.{rng.choice(['json', 'safetensors'])}"
        file.write_bytes(damaged(file.read_bytes(), rng))
        for name in rng.choices(["step-x.json", "step-000000003.json", "step-٠٠٠٠٠٠٠٠٣.json", ".step-1.json"], k=2):
            (tmp_path / name).write_bytes(rng.randbytes(10))
        store = CheckpointStore(tmp_path)
        found = store.latest()
        want = expected[found.step]
        assert found.progress == want.progress, case
        assert found.tensors.keys() == want.tensors.keys(), case
        assert all(torch.equal(tensor, want.tensors[name]) for name, tensor in found.tensors.items()), case
        for path, reason in store.damaged.items():
            assert path.stem in reason, case
        if found.step == 1:
            store.save(2, expected[2].tensors, expected[2].progress)
            assert CheckpointStore(tmp_path).latest().step == 2, case


@pytest.mark.parametrize("duration", [2, LONG])
def test_damaged_models(trained, tmp_path, duration):
    folder, _ = trained
    weights = aninfonce.load(folder).state_dict()
    for case, rng in seconds(duration):
        for name in (MODEL, WEIGHTS):
            shutil.copyfile(folder / name, tmp_path / name)
        file = tmp_path / rng.choice([MODEL, WEIGHTS])
        file.write_bytes(damaged(file.read_bytes(), rng))
        encoder, error = attempt(aninfonce.load, tmp_path)
        if error:
            assert str(tmp_path) in str(error), case
        else:
            assert (encoder.channels, encoder.image_size) == (1, 16), case
            assert encoder.config == trained[1].config, case
            assert all(torch.equal(tensor, weights[name]) for name, tensor in encoder.state_dict().items()), case


@pytest.mark.parametrize("duration", [2, LONG])
def test_models_of_wild_settings(trained, tmp_path, duration):
    """What model.json may say, with a right digest: as if another program had written it."""
    folder, _ = trained
    shutil.copyfile(folder / WEIGHTS, tmp_path / WEIGHTS)
    content = json.loads((folder / MODEL).read_text())
    del content["digest"]
    values = [value for value in WILD if not isinstance(value, bytes | complex)]
    for case, rng in seconds(duration):
        body = json.loads(json.dumps(content))
        place = body if rng.random() < 0.2 else body["config"]
        place[rng.choice([*place, "unheard_of"])] = rng.choice(values)
        (tmp_path / MODEL).write_text(json.dumps({**body, "digest": digest(body)}))
        encoder, error = attempt(aninfonce.load, tmp_path)
        if error:
            assert str(tmp_path) in str(error), case
        else:
            assert encoder(torch.zeros(2, encoder.channels, 16, 16)).shape == (2, encoder.feature_dim), case


def settings(**changed):
    """The settings as they are made outside the test suite, whose import hook checks types before we do."""
    config = object.__new__(TrainConfig)
    values = {field.name: field.default for field in dataclasses.fields(TrainConfig)} | changed
    for name, value in values.items():
        object.__setattr__(config, name, value)
    config.__post_init__()
    return config


@pytest.mark.parametrize("duration", [2, LONG])
def test_wild_settings(duration):
    """A setting is refused with its name, or it is a setting from which a network can be built or is refused."""
    names = [field.name for field in dataclasses.fields(TrainConfig)]
    for case, rng in seconds(duration):
        changed = {rng.choice(names): rng.choice(WILD) for _ in range(rng.choice([1, 1, 1, 2]))}
        config, error = attempt(settings, **{"backbone": "small:2", **changed})
        if error:
            assert any(name in str(error) for name in changed), (case, error)
            continue
        assert json.loads(json.dumps(dataclasses.asdict(config), default=str)) is not None
        task, error = attempt(build_task, config, 1, 16, torch.zeros(1), torch.ones(1))
        if error:
            assert "backbone" in str(error) or "cannot build" in str(error), (case, error)
        else:
            assert all(bool(parameter.isfinite().all()) for parameter in task.parameters()), case


@pytest.mark.parametrize("duration", [2, LONG])
@pytest.mark.parametrize("suffix", [".safetensors", ".pt", "-old.pt"])
def test_damaged_pretrained_files(trained, tmp_path, suffix, duration):
    """Either all weights are there and finite, or the file is refused and the backbone is as it was."""
    backbone = make_backbone("small:2", channels=1, image_size=16)
    state = {f"backbone.{name}": tensor for name, tensor in backbone.state_dict().items()}
    file = tmp_path / f"weights{suffix}"
    if suffix == ".safetensors":
        shutil.copyfile(trained[0] / WEIGHTS, file)
    else:
        torch.save({"state_dict": state, "epoch": 3}, file, _use_new_zipfile_serialization=suffix == ".pt")
    content = file.read_bytes()
    for case, rng in seconds(duration / 2):
        file.write_bytes(damaged(content, rng))
        before = {name: tensor.clone() for name, tensor in backbone.state_dict().items()}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch's own, about what its file seems to be
            _, error = attempt(load_pretrained, backbone, file)
        if error:
            assert str(file) in str(error), case
            assert all(torch.equal(tensor, before[name]) for name, tensor in backbone.state_dict().items()), case
        assert all(bool(tensor.isfinite().all()) for tensor in backbone.state_dict().values()), case


@pytest.mark.parametrize("duration", [2, LONG])
def test_damaged_results(trained, tmp_path, duration):
    """They are read as results that can be compared, or refused by name; a broken marker stops no run silently."""
    folder, result = trained
    write_results(tmp_path, result.as_json())
    content = (tmp_path / "results.json").read_bytes()
    marker = (folder / "again" / "run.json").read_bytes()
    for case, rng in seconds(duration):
        (tmp_path / "results.json").write_bytes(damaged(content, rng))
        found, error = attempt(read_results, tmp_path)
        if not error:
            summary, error = attempt(summarize, [found])
        if error:
            assert str(tmp_path) in str(error) or "only training runs" in str(error), (case, error)
        else:
            compare_table(summary)
        (tmp_path / "run.json").write_bytes(damaged(marker, rng))
        _, error = attempt(resume, tmp_path)
        assert not error or str(tmp_path) in str(error), case
