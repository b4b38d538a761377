"""Weights of others' backbones: found in every wrapping, all of them or a clear error."""

from __future__ import annotations

import os
import pickle

import pytest
import timm
import torch
import torchvision
from safetensors.torch import save_file

from aninfonce.models import load_pretrained, make_backbone

SIZE = 72  # above 64 pixels a ResNet has the stem of the libraries, which their own weights fit


def theirs(name, channels=3, seed=1):
    """A whole model of a library, with its classifier and with weights of its own."""
    torch.manual_seed(seed)
    library, _, rest = name.rpartition(":")
    model = timm.create_model(rest, in_chans=channels) if library == "timm" else torchvision.models.get_model(rest)
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_()
    return model.eval()


def features_of(model, name, images):
    if name.startswith("timm:"):
        model.reset_classifier(0)
    elif name == "resnet18":
        model.fc = torch.nn.Identity()
    else:
        model.classifier[-1] = torch.nn.Identity()
    with torch.no_grad():
        return model(images)


def images(channels=3, size=SIZE):
    return torch.rand(2, channels, size, size, generator=torch.Generator().manual_seed(0))


WRAPPINGS = {
    "plain": lambda state: state,
    "lightning": lambda state: {"epoch": 3, "state_dict": {f"backbone.{n}": t for n, t in state.items()}},
    "data parallel": lambda state: {"model": {f"module.{n}": t for n, t in state.items()}, "optimizer": {"lr": 0.1}},
    "model.": lambda state: {f"model.{n}": t for n, t in state.items()},
    "encoder.": lambda state: {"state_dict": {f"encoder.{n}": t for n, t in state.items()}},
    "moco": lambda state: {
        "state_dict": {
            **{f"module.encoder_k.{n}": torch.zeros_like(t) for n, t in state.items()},
            **{f"module.encoder_q.{n}": t for n, t in state.items()},
            "module.queue": torch.zeros(3),
        }
    },
    "dino": lambda state: {
        "student": {f"module.backbone.{n}": torch.zeros_like(t) for n, t in state.items()},
        "teacher": {
            **{f"backbone.{n}": t for n, t in state.items()},
            "head.mlp.0.weight": torch.zeros(3),
        },
    },
    "byol": lambda state: {
        "state_dict": {
            **{f"momentum_backbone.{n}": torch.zeros_like(t) for n, t in state.items()},
            **{f"backbone.{n}": t for n, t in state.items()},
            "projector.0.weight": torch.zeros(3, 3),
        }
    },
    "half": lambda state: {n: t.half() if t.is_floating_point() else t for n, t in state.items()},
}


@pytest.mark.parametrize("wrapping", WRAPPINGS)
@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_every_wrapping(tmp_path, wrapping, suffix):
    name = "timm:test_efficientnet"
    model = theirs(name)
    content = WRAPPINGS[wrapping](model.state_dict())
    if suffix == ".safetensors":  # flat by nature
        flat = next((content[key] for key in ("state_dict", "model", "teacher") if key in content), content)
        save_file({n: t.clone() for n, t in flat.items()}, tmp_path / "w.safetensors")
    else:
        torch.save(content, tmp_path / "w.pth")
    backbone = make_backbone(name, channels=3, image_size=SIZE).eval()
    load_pretrained(backbone, tmp_path / f"w{suffix}")
    tolerance = 1e-2 if wrapping == "half" else 1e-6
    torch.testing.assert_close(
        backbone(images()), features_of(model, name, images()), atol=tolerance, rtol=tolerance, msg=wrapping
    )


@pytest.mark.parametrize(
    "name",
    ["resnet18", "timm:resnet18", "mobilenet_v3_small", "timm:test_vit", "timm:test_convnext", "timm:test_byobnet"],
)
def test_the_libraries_own_files(tmp_path, name):
    size = 160 if name == "timm:test_vit" else SIZE
    model = theirs(name)
    torch.save(model.state_dict(), tmp_path / "w.pt")
    backbone = make_backbone(name, channels=3, image_size=size).eval()
    before = torch.get_rng_state()
    load_pretrained(backbone, tmp_path / "w.pt")
    assert torch.equal(before, torch.get_rng_state())
    torch.testing.assert_close(
        backbone(images(size=size)), features_of(model, name, images(size=size)), atol=1e-6, rtol=1e-5
    )


def test_timm_and_torchvision_name_resnets_alike(tmp_path):
    torch.save(theirs("resnet18").state_dict(), tmp_path / "w.pt")
    load_pretrained(make_backbone("timm:resnet18", channels=3, image_size=SIZE), tmp_path / "w.pt")


def test_another_number_of_channels_and_another_stem_are_named_with_both_shapes(tmp_path):
    torch.save(theirs("resnet18").state_dict(), tmp_path / "w.pt")
    for channels, size, words in (
        (
            1,
            SIZE,
            r"conv1.weight \(64, 3, 7, 7\) in the file, \(64, 1, 7, 7\) in the backbone.*3 channels, these have 1",
        ),
        (3, 32, r"conv1.weight \(64, 3, 7, 7\) in the file, \(64, 3, 3, 3\) in the backbone.*stem for large images"),
    ):
        backbone = make_backbone("resnet18", channels=channels, image_size=size)
        before = {name: tensor.clone() for name, tensor in backbone.state_dict().items()}
        with pytest.raises(ValueError, match=words):
            load_pretrained(backbone, tmp_path / "w.pt")
        assert all(torch.equal(tensor, before[name]) for name, tensor in backbone.state_dict().items())
    small = make_backbone("resnet18", channels=3, image_size=32)
    torch.save(small.state_dict(), tmp_path / "small.pt")
    with pytest.raises(ValueError, match="stem for small images"):
        load_pretrained(make_backbone("resnet18", channels=3, image_size=SIZE), tmp_path / "small.pt")


def test_a_part_of_a_larger_network_is_refused(tmp_path):
    """All of ResNet-18's tensors are in ResNet-34, with the same shapes."""
    torch.save(theirs("resnet34").state_dict(), tmp_path / "w.pt")
    with pytest.raises(ValueError, match=r"larger network; it also has layer1\.2\.conv1\.weight"):
        load_pretrained(make_backbone("resnet18", channels=3, image_size=SIZE), tmp_path / "w.pt")


def test_missing_tensors_are_listed(tmp_path):
    state = theirs("resnet18").state_dict()
    del state["layer4.1.bn2.running_var"], state["bn1.num_batches_tracked"]
    torch.save(state, tmp_path / "w.pt")
    backbone = make_backbone("resnet18", channels=3, image_size=SIZE)
    with pytest.raises(ValueError, match=r"missing: layer4\.1\.bn2\.running_var$"):
        load_pretrained(backbone, tmp_path / "w.pt")
    with pytest.raises(ValueError, match="has 0 of the"):
        load_pretrained(make_backbone(channels=3, image_size=32), tmp_path / "w.pt")


@pytest.mark.parametrize("bad", ["nan", "int", "complex"])
def test_numbers_that_are_no_weights_are_refused(tmp_path, bad):
    backbone = make_backbone("small:4", channels=1, image_size=16)
    state = {name: tensor.clone() for name, tensor in backbone.state_dict().items()}
    name = "convolutions.1.weight"
    if bad == "nan":
        state[name][0, 0, 0, 0] = float("nan")
    else:
        state[name] = state[name].to(torch.int64 if bad == "int" else torch.complex64)
    torch.save(state, tmp_path / "w.pt")
    with pytest.raises(ValueError, match=rf"{name} (has entries that are NaN|must be of torch.float32)"):
        load_pretrained(backbone, tmp_path / "w.pt")


class Malicious:
    """A pickle that runs a command of its author's."""

    def __init__(self, place):
        self.place = place

    def __reduce__(self):
        return os.mkdir, (str(self.place),)


def test_code_in_a_pickle_is_refused_and_not_run(tmp_path):
    backbone = make_backbone("small:4", channels=1, image_size=16)
    content = {"state_dict": backbone.state_dict(), "extra": Malicious(tmp_path / "ran")}
    torch.save(content, tmp_path / "zip.pt")
    torch.save(content, tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    (tmp_path / "plain.pt").write_bytes(pickle.dumps(Malicious(tmp_path / "ran")))
    for name in ("zip.pt", "old.pt", "plain.pt"):
        with pytest.raises(ValueError, match=rf"{name} is not a file of tensors"):
            load_pretrained(backbone, tmp_path / name)
    assert not (tmp_path / "ran").exists()


def test_other_files_are_refused(tmp_path):
    backbone = make_backbone("small:4", channels=1, image_size=16)
    with pytest.raises(ValueError, match="no pretrained weights at"):
        load_pretrained(backbone, tmp_path / "none.pt")
    (tmp_path / "w.npz").write_bytes(b"")
    with pytest.raises(ValueError, match=r"must be \.safetensors or \.pt"):
        load_pretrained(backbone, tmp_path / "w.npz")
    torch.save([torch.zeros(3)], tmp_path / "list.pt")
    with pytest.raises(ValueError, match="must hold tensors by name, got list"):
        load_pretrained(backbone, tmp_path / "list.pt")
