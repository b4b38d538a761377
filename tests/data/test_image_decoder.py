from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from aninfonce._tensors import write_tensors
from aninfonce.data.generators import ImageDecoder, separation
from aninfonce.data.generators.image_decoder import leaky_squareplus, leaky_squareplus_inverse

SHAPE = (1, 5, 5)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def make(**settings) -> ImageDecoder:
    return ImageDecoder(**{"dim": 4, "shape": SHAPE, "widths": (8, 16), "generator": seeded()} | settings)


def sphere(n: int, dim: int) -> torch.Tensor:
    return F.normalize(torch.randn(n, dim, dtype=torch.float64, generator=seeded(1)))


@pytest.mark.parametrize("slope", [0.05, 0.3, 1.0])
def test_the_activation_rises_between_its_two_slopes_and_is_undone(slope):
    x = torch.linspace(-50, 50, 4001, dtype=torch.float64).requires_grad_()
    y = leaky_squareplus(x, slope)
    (derivative,) = torch.autograd.grad(y.sum(), x)
    assert derivative.min() >= slope
    assert derivative.max() <= 1
    assert derivative[[0, -1]].tolist() == pytest.approx([slope, 1.0], abs=1e-3)
    assert torch.allclose(leaky_squareplus_inverse(y, slope), x, atol=1e-9)


@pytest.mark.parametrize("widths", [(), (8,), (8, 16)])
def test_the_inverse_returns_the_latents(widths):
    g = make(widths=widths).double()
    z = 2 * torch.randn(100, 4, dtype=torch.float64, generator=seeded(1))
    images = g(z)
    assert images.shape == (100, *SHAPE)
    assert ((images > 0) & (images < 1)).all()
    assert torch.allclose(images.flatten(1).logit(), g.logits(z))
    assert torch.allclose(g.inverse(images), z, atol=1e-8)


@pytest.mark.parametrize(
    ("setting", "named"),
    [
        ({"widths": (4, 16)}, "wider"),
        ({"widths": (16, 8)}, "wider"),
        ({"widths": (8, 25)}, "wider"),
        ({"slope": 0.0}, "slope"),
        ({"slope": 1.1}, "slope"),
        ({"dim": 0}, "dim"),
        ({"shape": (5, 5)}, "shape"),
    ],
)
def test_a_decoder_that_could_lose_a_latent_is_refused(setting, named):
    with pytest.raises(ValueError, match=named):
        make(**setting)


def test_the_file_holds_the_decoder_and_where_it_comes_from(tmp_path):
    g, path = make(), tmp_path / "g.safetensors"
    g.save(path, {"trained_on": "nothing"})
    z = torch.randn(3, 4)
    assert torch.equal(ImageDecoder.load(path)(z), g(z))
    assert b"nothing" in path.read_bytes()
    assert [file.name for file in tmp_path.iterdir()] == ["g.safetensors"], "no temporary file is left"


def test_other_files_are_refused(tmp_path):
    path = tmp_path / "g.safetensors"
    with pytest.raises(ValueError, match="no weights"):
        ImageDecoder.load(path)
    path.write_text("nonsense")
    with pytest.raises(ValueError, match="not a readable safetensors file"):
        ImageDecoder.load(path)
    write_tensors(path, make().state_dict())
    with pytest.raises(ValueError, match="holds no decoder"):
        ImageDecoder.load(path)
    settings = '{"dim": 4, "shape": [1, 5, 5], "widths": [9, 16], "slope": 0.1}'
    write_tensors(path, make().state_dict(), {"decoder": settings})
    with pytest.raises(ValueError, match="another network"):
        ImageDecoder.load(path)


def test_separation_of_a_linear_map_is_its_smallest_singular_value():
    matrix = torch.randn(4, 7, dtype=torch.float64, generator=seeded(2))
    found = separation(lambda z: z @ matrix, sphere(200, 4), steps=200)
    singular = torch.linalg.svdvals(matrix)
    assert found.nearest.min() >= singular[-1] * (1 - 1e-9)
    assert found.searched == pytest.approx(float(singular[-1]), rel=0.01)
    assert found.searched <= found.nearest.min()
    assert singular[-1] <= found.median <= singular[0]


def test_separation_finds_a_fold_that_no_jacobian_shows():
    # z and -z look the same, though g moves at unit speed everywhere along the sphere but at no point stands still.
    def fold(z):
        return (z[:, :, None] * z[:, None, :]).flatten(1)

    found = separation(fold, sphere(100, 3), steps=200)
    assert found.searched < 0.02
    assert found.distance > 1.9
    sample = separation(fold, sphere(100, 3), steps=0)
    assert sample.searched == pytest.approx(float(sample.nearest.min()))
    assert sample.searched > found.searched


@pytest.mark.parametrize(
    ("settings", "message"), [({"starts": 0}, "starts"), ({"steps": -1}, "steps"), ({"apart": 0.0}, "apart")]
)
def test_separation_refuses_settings_out_of_range(settings, message):
    with pytest.raises(ValueError, match=message):
        separation(torch.sin, sphere(10, 3), **settings)


def test_separation_refuses_latents_off_the_sphere():
    with pytest.raises(ValueError, match="sphere"):
        separation(torch.sin, 2 * sphere(10, 3))
    with pytest.raises(ValueError, match="rows"):
        separation(torch.sin, sphere(1, 3))
