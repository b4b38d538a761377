"""An exported file computes what the encoder computes, for any batch; one that does not is never left behind."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from aninfonce.cli import run
from aninfonce.training import TrainConfig, export, export_encoder, load
from aninfonce.training.encoder import Encoder, save_model
from aninfonce.training.module import build_task

READERS = {"onnx": export._read_onnx, "torch-export": export._read_program}


def encoder_of(backbone, channels=1, size=16, **settings):
    config = TrainConfig(backbone=backbone, projector_dim=8, projector_hidden=16, **settings)
    task = build_task(config, channels, size, torch.full((channels,), 0.3), torch.full((channels,), 0.2))
    for module in task.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            module.running_mean.normal_(generator=torch.Generator().manual_seed(0)).mul_(0.1)
    return Encoder(task, config, channels, size)


def images(n, channels=1, size=16):
    return torch.randint(
        0, 256, (n, channels, size, size), dtype=torch.uint8, generator=torch.Generator().manual_seed(9)
    )


@pytest.mark.parametrize(
    ("format", "backbone", "channels", "size", "layer"),
    [
        ("onnx", "small:4", 1, 16, "backbone"),
        ("onnx", "timm:test_vit", 3, 32, "projector"),
        ("torch-export", "small:4", 1, 16, "projector"),
        ("torch-export", "timm:test_resnet", 3, 32, "backbone"),
    ],
)
def test_the_file_equals_the_encoder(tmp_path, format, backbone, channels, size, layer):
    encoder = encoder_of(backbone, channels, size)
    path = tmp_path / f"encoder{export.FORMATS[format]}"
    assert export_encoder(encoder, path, format=format, layer=layer) <= 1e-5
    assert list(tmp_path.iterdir()) == [path]  # all of it in one file
    exported = READERS[format](path)
    for n in (1, 2, 3, 17):
        batch = images(n, channels, size)
        expected = encoder(batch, layer)
        torch.testing.assert_close(exported(batch), expected, rtol=0, atol=1e-5 * expected.abs().max().item())


def test_a_file_that_differs_is_an_error_and_replaces_nothing(tmp_path, monkeypatch):
    encoder = encoder_of("small:4", projector_layers=0)
    path = tmp_path / "encoder.pt2"
    export_encoder(encoder, path, format="torch-export")
    before = path.read_bytes()
    read = export._read_program
    monkeypatch.setattr(export, "_read_program", lambda file: lambda images: read(file)(images) * (1 + 1e-4))
    with pytest.raises(ArithmeticError, match=r"differs from the encoder's by 1\.0e-04"):
        export_encoder(encoder, path, format="torch-export")
    monkeypatch.setattr(export, "_read_program", lambda file: lambda images: read(file)(images) * float("nan"))
    with pytest.raises(ArithmeticError, match="differs from the encoder's by inf"):
        export_encoder(encoder, path, format="torch-export")
    assert list(tmp_path.iterdir()) == [path]
    assert path.read_bytes() == before


def test_the_command(tmp_path, capsys):
    encoder = encoder_of("small:4")
    save_model(tmp_path, encoder.task, encoder.config, 1, 16)
    assert run(["export", str(tmp_path), "--format", "torch-export", "--layer", "projector"]) == 0
    assert str(tmp_path / "encoder.pt2") in capsys.readouterr().out
    torch.testing.assert_close(
        READERS["torch-export"](tmp_path / "encoder.pt2")(images(4)), load(tmp_path)(images(4), "projector")
    )
    for arguments, message in (
        (["--format", "torch-export"], "is there already; pass --overwrite"),
        (["--format", "torchscript"], "did you mean 'torch-export'"),
        (["--out", str(tmp_path / "a.pt2")], "must end in .onnx"),
        (["--out", str(tmp_path / "no" / "a.onnx")], "does not exist"),
        (["--layer", "head"], "unknown layer"),
    ):
        assert run(["export", str(tmp_path), *arguments]) == 2
        assert message in capsys.readouterr().err
