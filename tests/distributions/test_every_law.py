"""What torch's own tests ask of every distribution (test/distributions/test_distributions.py), asked of every law here.

Not asked, since it is not there: `cdf`, `icdf` and quantiles (laws of vectors), `enumerate_support` (nothing discrete),
exponential families' Bregman divergences, scripting by torch.jit, and torch's process-wide default of `validate_args`,
which is left alone on purpose (`_validation.py`). The approximate sampler has no density, and a content–style law that
stays at times has none either: for them only samples, moments where there are any, shapes and arguments are checked.
"""

from __future__ import annotations

import contextlib
import copy
import math
import pickle

import pytest
import torch
from examples import EXAMPLES, Example, seeded
from torch import Tensor
from torch.distributions import Independent, constraints
from torch.distributions.utils import lazy_property

F64 = torch.float64
EVERY = pytest.mark.parametrize("example", EXAMPLES.values(), ids=EXAMPLES.keys())
DENSITIES = pytest.mark.parametrize(
    "example", [e for e in EXAMPLES.values() if e.density], ids=[name for name, e in EXAMPLES.items() if e.density]
)
SAMPLE_SHAPES = [(), (4,), (2, 3), (0,), (2, 0)]
VALUES = ("mean", "variance", "stddev", "mode", "log_normalizer", "loc", "concentration", "low", "high")


def values_of(law: torch.distributions.Distribution) -> dict[str, Tensor]:
    """Every attribute and method without arguments that gives a tensor."""
    found = {}
    for name in VALUES:
        try:
            value = getattr(law, name, None)
        except NotImplementedError:
            continue
        if isinstance(value, Tensor):
            found[name] = value
    with contextlib.suppress(NotImplementedError):
        found["entropy"] = law.entropy()
    return found


@EVERY
@pytest.mark.parametrize("sample_shape", SAMPLE_SHAPES)
def test_shapes_of_samples(example: Example, sample_shape):
    law = example.make(F64)
    assert law.batch_shape == example.batch
    samples = law.sample(sample_shape, generator=seeded())
    assert samples.shape == (*sample_shape, *law.batch_shape, *law.event_shape)
    if samples.numel() or law.support is not constraints.real_vector:  # which torch cannot check on nothing
        assert law.support.check(samples).shape == (*sample_shape, *law.batch_shape)
        assert bool(law.support.check(samples).all())
    if law.has_rsample:
        assert law.rsample(sample_shape, generator=seeded()).shape == samples.shape
    else:
        with pytest.raises(NotImplementedError):
            law.rsample(sample_shape)


@EVERY
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, F64])
def test_everything_is_in_the_dtype_of_the_parameters(example, dtype):
    law = example.make(dtype)
    samples = law.sample((5,), generator=seeded())
    assert samples.dtype == dtype
    assert bool(law.support.check(samples).all())
    for name, value in values_of(law).items():
        assert value.dtype == dtype, name
    if example.density:
        assert law.log_prob(samples).dtype == dtype
        if dtype.itemsize > 2:  # in half precision unit vectors are none by the standards of others
            assert law.log_prob(samples.double()).dtype == F64


@EVERY
def test_no_dimensions_are_lost_in_moments(example):
    law = example.make(F64)
    whole = law.batch_shape + law.event_shape
    expected = {"entropy": law.batch_shape, "log_normalizer": law.batch_shape}
    for name, value in values_of(law).items():
        own = law.batch_shape if type(law).__name__ == "VonMisesFisher" and name == "concentration" else whole
        assert value.shape == expected.get(name, own), name


@DENSITIES
def test_log_prob_broadcasts_values_against_the_batch(example):
    law = example.make(F64)
    one = law.sample(generator=seeded())
    wide = law.sample((4, 5), generator=seeded(1))
    assert law.log_prob(one).shape == law.batch_shape
    assert law.log_prob(wide).shape == (4, 5, *law.batch_shape)
    torch.testing.assert_close(law.log_prob(wide)[2, 3], law.log_prob(wide[2, 3]))
    if law.batch_shape and type(law).__name__ != "ContentStyleConditional":
        single = one.reshape(-1, *law.event_shape)[0]
        if bool(law.support.check(single).all()):
            assert law.log_prob(single).shape == law.batch_shape
    with pytest.raises(ValueError, match=r"shape|broadcast|event"):
        law.log_prob(torch.zeros(7, *law.batch_shape, law.event_shape[0] + 1, dtype=F64))
    with pytest.raises((ValueError, TypeError)):
        law.log_prob([0.0, 1.0])


@EVERY
def test_a_batch_is_its_members(example):
    law = example.make(F64).expand((2, *example.batch))
    assert law.sample((3,), generator=seeded()).shape == (3, *law.batch_shape, *law.event_shape)
    if example.density:
        value = example.make(F64).sample(generator=seeded())
        torch.testing.assert_close(law.log_prob(value)[1], example.make(F64).log_prob(value))


@EVERY
def test_expansion_keeps_everything(example):
    law = example.make(F64)
    wide = law.expand((3, *law.batch_shape))
    assert type(wide) is type(law)
    assert wide.batch_shape == (3, *law.batch_shape)
    assert wide.event_shape == law.event_shape
    assert wide._validate_args == law._validate_args
    assert wide.expand((2, 3, *law.batch_shape)).batch_shape == (2, 3, *law.batch_shape)
    assert law.expand(law.batch_shape).batch_shape == law.batch_shape
    for name, value in values_of(law).items():
        torch.testing.assert_close(
            getattr(wide, name) if name != "entropy" else wide.entropy(),
            value.expand((3, *value.shape)),
            equal_nan=True,
        )
    with pytest.raises(RuntimeError, match="expand"):
        law.expand((3, *(size + 1 for size in law.batch_shape), 4)) if law.batch_shape else wide.expand((2,))
    assert law.batch_shape == example.batch, "the law itself stays what it is"


@EVERY
def test_subclasses_stay_subclasses_in_expansion(example):
    law = example.make(F64)

    class Named(type(law)):
        """A law with an attribute of its own, a value that it keeps, and a method."""

        def hello(self) -> str:
            return self.name

        @lazy_property
        def kept(self) -> Tensor:
            return self.sample(generator=seeded())

    law.__class__ = Named
    law.name = "mine"
    assert law.kept.shape == law.batch_shape + law.event_shape
    wide = law.expand((3, *law.batch_shape))
    assert type(wide) is Named
    assert wide.hello() == "mine"
    assert wide.kept.shape == wide.batch_shape + wide.event_shape
    own = wide.expand((2, *wide.batch_shape), _instance=Named.__new__(Named))
    assert own.sample().shape == (2, *wide.batch_shape, *law.event_shape)
    assert own.hello() == "mine"


@EVERY
def test_subclasses_with_another_constructor_can_be_expanded(example):
    law = example.make(F64)

    class Other(type(law)):
        def __init__(self) -> None:
            vars(self).update(vars(example.make(F64)))

    assert type(Other().expand((3, *law.batch_shape))) is Other


@EVERY
def test_copies_and_pickles_draw_the_same(example):
    law = example.make(F64)
    samples = law.sample((3,), generator=seeded())
    for other in (copy.copy(law), copy.deepcopy(law), pickle.loads(pickle.dumps(law))):  # noqa: S301 (our own)
        assert torch.equal(other.sample((3,), generator=seeded()), samples)
        assert repr(other) == repr(law)


@EVERY
def test_the_same_generator_gives_the_same_numbers_and_none_is_the_global_one(example):
    law = example.make(F64)
    assert torch.equal(law.sample((3,), generator=seeded()), law.sample((3,), generator=seeded()))
    assert not torch.equal(law.sample((3,), generator=seeded()), law.sample((3,), generator=seeded(1)))
    state = torch.get_rng_state()
    law.sample((3,), generator=seeded())
    assert torch.equal(torch.get_rng_state(), state)
    with torch.random.fork_rng():
        torch.manual_seed(3)
        first = law.sample((3,))
        torch.manual_seed(3)
        assert torch.equal(law.sample((3,)), first)


@EVERY
def test_arguments_are_not_changed(example):
    law = example.make(F64)
    before = {name: value.clone() for name, value in vars(law).items() if isinstance(value, Tensor)}
    samples = law.sample((3,), generator=seeded())
    kept = samples.clone()
    values_of(law)
    if example.density:
        law.log_prob(samples)
    assert torch.equal(samples, kept)
    for name, value in before.items():
        assert torch.equal(getattr(law, name), value), name


@EVERY
def test_parameters_satisfy_their_constraints_and_the_support_is_described(example):
    law = example.make(F64)
    for name, constraint in law.arg_constraints.items():
        assert isinstance(constraint, constraints.Constraint)
        assert bool(constraint.check(getattr(law, name)).all()), name
    for support in (law.support, type(law).support):
        assert not support.is_discrete
        assert support.event_dim == 1


@EVERY
def test_the_text_names_the_law_and_all_of_its_settings(example):
    law = example.make(F64)
    text = repr(law)
    assert text.startswith(f"{type(law).__name__}(")
    assert text.endswith(")")
    for name in (*law.arg_constraints, *law._settings):
        assert f"{name}: " in text
    assert "dim: " in repr(EXAMPLES["HypersphericalUniform"].make(F64))


@EVERY
def test_what_a_law_has_not_says_so(example):
    law = example.make(F64)
    for name in ("cdf", "icdf"):
        with pytest.raises(NotImplementedError):
            getattr(law, name)(law.sample())
    with pytest.raises(NotImplementedError):
        law.enumerate_support()
    if not example.density:
        with pytest.raises(NotImplementedError):
            law.log_prob(law.sample())
        with pytest.raises(NotImplementedError):
            law.entropy()
        with pytest.raises(NotImplementedError):
            _ = law.mode


@DENSITIES
def test_nan_is_refused_or_stays_nan(example):
    value = example.make(F64).sample(generator=seeded())
    value[..., 0] = math.nan
    with pytest.raises(ValueError, match=r"NaN|within the support"):
        example.make(F64, validate_args=True).log_prob(value)
    assert bool(example.make(F64, validate_args=False).log_prob(value).isnan().all())


@DENSITIES
def test_infinity_is_refused_or_has_no_density(example):
    law = example.make(F64, validate_args=False)
    value = law.sample(generator=seeded())
    value[..., -1] = math.inf
    assert not bool((law.log_prob(value) > 10).any())


@DENSITIES
def test_values_outside_are_refused_or_have_no_density(example):
    law = example.make(F64)
    far = torch.full(law.batch_shape + law.event_shape, 37.0, dtype=F64)
    try:
        assert bool((law.log_prob(far) < -30).all())
    except ValueError as error:
        assert "within the support" in str(error)  # noqa: PT017 (one of the two)


@DENSITIES
def test_the_mode_is_the_likeliest_point(example):
    law = example.make(F64)
    if not example.single_mode:
        assert bool(law.mode.isnan().all())
        return
    assert bool(law.support.check(law.mode).all())
    best = law.log_prob(law.mode)
    assert bool((best >= law.log_prob(law.sample((5000,), generator=seeded())) - 1e-9).all())


@EVERY
def test_samples_have_no_gradient_and_reparametrised_ones_have(example):
    law = example.make(F64)
    leaves = []
    for name in law._batched:
        leaf = getattr(law, name).clone().requires_grad_()
        setattr(law, name, leaf)
        leaves.append(leaf)
    if hasattr(law, "_given"):
        law._given = law.concentration
    assert not law.sample((2,), generator=seeded()).requires_grad
    if law.has_rsample and leaves:
        samples = law.rsample((2,), generator=seeded())
        assert samples.requires_grad
        gradients = torch.autograd.grad(samples.sum(), leaves)
        assert all(bool(g.isfinite().all()) and bool((g != 0).any()) for g in gradients)
    if example.density and leaves:
        value = law.sample((2,), generator=seeded())
        total = (law.log_prob(value) + law.entropy()).sum()
        if total.requires_grad:  # not with a style law of its own
            gradients = torch.autograd.grad(total, leaves, allow_unused=True)
            assert all(g is None or bool(g.isfinite().all()) for g in gradients)


@DENSITIES
def test_it_is_a_law_of_vectors_for_torch_too(example):
    law = example.make(F64).expand((2, *example.batch))
    joint = Independent(law, 1)
    samples = joint.sample((3,))
    assert joint.event_shape == (law.batch_shape[-1], *law.event_shape)
    torch.testing.assert_close(joint.log_prob(samples), law.log_prob(samples).sum(-1))
    torch.testing.assert_close(joint.entropy(), law.entropy().sum(-1))
    assert joint.expand((5, *joint.batch_shape)).sample().shape == (5, *law.batch_shape, *law.event_shape)
