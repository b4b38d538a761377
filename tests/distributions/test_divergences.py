"""Kullback–Leibler divergences against Monte Carlo, and what torch's tests ask of them: zero, infinity, shapes."""

from __future__ import annotations

import math

import pytest
import torch
from examples import EXAMPLES, seeded
from torch.distributions import Independent, Laplace, Normal, kl_divergence

from aninfonce.distributions import (
    AnisotropicSpherical,
    ContentStyleConditional,
    GeneralizedNormal,
    HypersphericalUniform,
    TruncatedGeneralizedNormal,
    UniformBox,
    VonMisesFisher,
)

F64 = torch.float64


def vector(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=F64)


Z, OTHER = vector(0.6, 0.0, 0.8), vector(0.0, -0.28, 0.96)
ON_THE_SPHERE = {
    "uniform": HypersphericalUniform(3, dtype=F64),
    "von Mises–Fisher": VonMisesFisher(Z, 5.0),
    "another": VonMisesFisher(OTHER, 2.0),
    "anisotropic": AnisotropicSpherical(Z, vector(0.5, 2.0, 6.0)),
    "another anisotropic": AnisotropicSpherical(OTHER, vector(3.0, -1.0, 1.0), signed=True),
}
LOW, HIGH = vector(-1.0, -1.0), vector(1.0, 2.0)
IN_SPACE = {
    "box in a box": (UniformBox(LOW, HIGH), UniformBox(LOW - 1, HIGH)),
    "truncated in a box": (TruncatedGeneralizedNormal(vector(0.5, 0.0), 2.0, 1.0, LOW, HIGH), UniformBox(LOW, HIGH)),
    "box, generalised normal": (UniformBox(LOW, HIGH), GeneralizedNormal(vector(0.5, 3.0), 0.7, 1.5)),
    "box, truncated": (UniformBox(LOW, HIGH), TruncatedGeneralizedNormal(vector(0.5, 0.0), 0.7, 3.0, LOW - 1, HIGH)),
    "Gaussians": (GeneralizedNormal(LOW, 2.0, 2.0), GeneralizedNormal(HIGH, vector(0.5, 1.0), 2.0)),
    "Laplace laws": (GeneralizedNormal(LOW, 2.0, 1.0), GeneralizedNormal(HIGH, vector(0.5, 1.0), 1.0)),
    "same location": (GeneralizedNormal(LOW, 2.0, 1.0), GeneralizedNormal(LOW, vector(0.5, 1.0), 3.0)),
    "truncated, Gaussian": (
        TruncatedGeneralizedNormal(vector(0.5, 0.0), 2.0, 1.0, LOW, HIGH),
        GeneralizedNormal(HIGH, 0.5, 2.0),
    ),
    "truncated at the same location": (
        TruncatedGeneralizedNormal(vector(0.5, 0.0), 2.0, 1.5, LOW, HIGH),
        TruncatedGeneralizedNormal(vector(0.5, 0.0), 0.5, 3.0, LOW, HIGH + 1),
    ),
    "truncated Gaussians": (
        TruncatedGeneralizedNormal(vector(0.5, 0.0), 2.0, 2.0, LOW, HIGH),
        TruncatedGeneralizedNormal(vector(-0.5, 1.0), 0.5, 2.0, LOW, HIGH + 1),
    ),
}


def by_sampling(p, q, n: int = 200_000) -> tuple[float, float]:
    u = p.sample((n,), generator=seeded())
    ratio = p.log_prob(u) - q.log_prob(u)
    return float(ratio.mean()), float(ratio.std()) / math.sqrt(n)


@pytest.mark.parametrize("p", ON_THE_SPHERE.values(), ids=ON_THE_SPHERE.keys())
@pytest.mark.parametrize("q", ON_THE_SPHERE.values(), ids=ON_THE_SPHERE.keys())
def test_on_the_sphere(p, q):
    mean, error = by_sampling(p, q)
    assert float(kl_divergence(p, q)) == pytest.approx(mean, abs=5 * error + 1e-12)
    if p is q:
        assert float(kl_divergence(p, q)) == pytest.approx(0, abs=1e-12)
    else:
        assert float(kl_divergence(p, q)) > 0.1


@pytest.mark.parametrize(("p", "q"), IN_SPACE.values(), ids=IN_SPACE.keys())
def test_in_space(p, q):
    mean, error = by_sampling(p, q)
    assert float(kl_divergence(p, q)) == pytest.approx(mean, abs=5 * error + 1e-12)
    assert float(kl_divergence(p, p)) == pytest.approx(0, abs=1e-12)


def test_it_agrees_with_torch():
    p, q = IN_SPACE["Gaussians"]
    theirs = (Independent(Normal(law.loc, (2 * law.concentration) ** -0.5), 1) for law in (p, q))
    torch.testing.assert_close(kl_divergence(p, q), kl_divergence(*theirs))
    p, q = IN_SPACE["Laplace laws"]
    theirs = (Independent(Laplace(law.loc, 1 / law.concentration), 1) for law in (p, q))
    torch.testing.assert_close(kl_divergence(p, q), kl_divergence(*theirs))


@pytest.mark.parametrize(
    ("p", "q"),
    [
        (UniformBox(LOW, HIGH), UniformBox(LOW, HIGH - 0.1)),
        (TruncatedGeneralizedNormal(vector(0.5, 0.0), 2.0, 1.0, LOW, HIGH), UniformBox(LOW + 0.1, HIGH)),
        (GeneralizedNormal(LOW, 1.0, 2.0), UniformBox(LOW, HIGH)),
        (GeneralizedNormal(LOW, 1.0, 2.0), TruncatedGeneralizedNormal(LOW, 1.0, 2.0, LOW, HIGH)),
        (UniformBox(LOW, HIGH), TruncatedGeneralizedNormal(vector(0.5, 0.0), 2.0, 1.0, LOW, HIGH - 0.5)),
    ],
)
def test_mass_outside_the_other_support_is_infinitely_far(p, q):
    assert float(kl_divergence(p, q)) == math.inf
    assert kl_divergence(p.expand((3,)), q).shape == (3,)


def test_content_and_style():
    def law(z: torch.Tensor, concentration: float) -> ContentStyleConditional:
        return ContentStyleConditional(z, [1, 2], GeneralizedNormal(z[..., 1:], concentration, 2.0))

    p, q = law(vector(0.5, 0.0, 1.0), 2.0), law(vector(0.5, 1.0, 1.0), 1.0)
    torch.testing.assert_close(kl_divergence(p, q), kl_divergence(p.style_law, q.style_law))
    assert float(kl_divergence(p, law(vector(0.6, 1.0, 1.0), 1.0))) == math.inf
    other = ContentStyleConditional(q.loc, [0, 1], q.style_law)
    with pytest.raises(ValueError, match="same style coordinates"):
        kl_divergence(p, other)
    with pytest.raises(NotImplementedError, match="change_probability"):
        kl_divergence(p, ContentStyleConditional(q.loc, [1, 2], q.style_law, 0.5))


def test_what_has_no_closed_form_says_so():
    p, q = GeneralizedNormal(LOW, 1.0, 1.5), GeneralizedNormal(HIGH, 1.0, 3.0)
    with pytest.raises(NotImplementedError, match=r"exponents 1.5 and 3 around different loc"):
        kl_divergence(p, q)


def test_dimensions_must_agree():
    for p, q in (
        (HypersphericalUniform(3), HypersphericalUniform(4)),
        (HypersphericalUniform(4, dtype=F64), VonMisesFisher(Z, 1.0)),
        (UniformBox(LOW, HIGH), GeneralizedNormal(Z, 1.0, 2.0)),
    ):
        with pytest.raises(ValueError, match="dimension"):
            kl_divergence(p, q)


@pytest.mark.parametrize(
    ("p", "q"), [*IN_SPACE.values(), *((p, q) for p in ON_THE_SPHERE.values() for q in ON_THE_SPHERE.values())]
)
def test_batches_broadcast_and_gradients_are_finite(p, q):
    one = kl_divergence(p, q)
    torch.testing.assert_close(kl_divergence(p.expand((4, 1)), q.expand((3,))), one.expand(4, 3))
    torch.testing.assert_close(kl_divergence(p.expand((3,)), q), one.expand(3))
    leaf = getattr(q, "concentration", getattr(q, "high", None))
    if leaf is not None and p is not q:
        leaf = leaf.clone().requires_grad_()
        moved = q.expand(())
        setattr(moved, "concentration" if hasattr(q, "concentration") else "high", leaf)
        (gradient,) = torch.autograd.grad(kl_divergence(p, moved).sum(), leaf)
        assert bool(gradient.isfinite().all())


def test_the_divergence_of_a_law_from_itself_is_zero():
    for name, example in EXAMPLES.items():
        if example.density:
            law = example.make(F64)
            torch.testing.assert_close(
                kl_divergence(law, law), torch.zeros(law.batch_shape, dtype=F64), rtol=0, atol=1e-11, msg=name
            )
