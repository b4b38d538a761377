"""Ensembles of losses, and which latents they can tell apart."""

import math

import pytest
import torch
from loss_reference import make_views

from aninfonce import AnInfoNCE, AnInfoNCEEnsemble, AnisotropicSpherical, HypersphericalUniform
from aninfonce.objectives import joint_level_sets


def test_it_is_the_weighted_mean_of_its_members():
    pairs = [make_views(batch=10, seed=1), make_views(batch=7, seed=2)]
    init = torch.tensor([[4.0, 3.0, 2.0, 1.0], [1.0, 1.0, 5.0, 5.0]])
    ensemble = AnInfoNCEEnsemble(4, 2, init, weights=[1.0, 3.0], negatives_from="both").double()
    torch.testing.assert_close(ensemble.concentration, init.double(), rtol=1e-6, atol=0)
    alone = [AnInfoNCE(4, row, negatives_from="both").double()(u, v) for row, (u, v) in zip(init, pairs, strict=True)]
    assert ensemble(pairs).item() == pytest.approx((alone[0] + 3 * alone[1]).item() / 4, rel=1e-6)


def test_every_member_trains_its_own_concentration():
    ensemble = AnInfoNCEEnsemble(4, 2, weights=[1.0, 0.0]).double()
    ensemble([make_views(seed=1), make_views(seed=2)]).backward()
    first, second = (member.raw_concentration.grad for member in ensemble.members)
    assert first.abs().min() > 0
    assert second.abs().max() == 0
    copy = AnInfoNCEEnsemble(4, 2, init=1.0)
    copy.load_state_dict(ensemble.state_dict())
    torch.testing.assert_close(copy.concentration, ensemble.concentration.float())


def test_families_that_leave_blocks_alone_identify_together():
    """At d = 4, no family tells the latents of a block apart; a rotation outside the joint blocks costs something."""
    families = torch.tensor([[10.0, 10.0, 2.0, 2.0], [10.0, 2.0, 10.0, 2.0]])
    assert [len(joint_level_sets(family)) for family in families] == [2, 2]
    assert joint_level_sets(families) == [[0], [1], [2], [3]]
    rng = torch.Generator().manual_seed(0)
    pairs = []
    for family in families:
        z = HypersphericalUniform(4).sample((4000,), generator=rng)
        pairs.append((z, AnisotropicSpherical(z, family).sample(generator=rng)))
    ensemble = AnInfoNCEEnsemble(4, 2, families, negatives_from="anchors", symmetric=False)

    def cost(i, j, members):
        """How much a turn by 45° in the plane of two latents raises the losses of the given members."""
        turn = torch.eye(4)
        turn[[i, i, j, j], [i, j, i, j]] = torch.tensor([1.0, -1.0, 1.0, 1.0]) / math.sqrt(2)
        return sum(
            (ensemble.members[k](u @ turn, v @ turn) - ensemble.members[k](u, v)).item()
            for k, (u, v) in enumerate(pairs)
            if k in members
        )

    assert cost(0, 1, [0]) == pytest.approx(0, abs=1e-5)  # one block of the first family
    assert cost(0, 2, [1]) == pytest.approx(0, abs=1e-5)  # one block of the second
    for i in range(4):
        for j in range(i):
            assert cost(i, j, [0, 1]) > 0.05


def test_joint_level_sets_by_tolerance():
    spectrum = [10.0, 9.7, 5.0, 4.9]
    assert joint_level_sets(spectrum) == [[0, 1], [2, 3]]
    assert joint_level_sets(spectrum, relative_tolerance=0.0) == [[0], [1], [2], [3]]
    assert joint_level_sets([1.0, 1.04, 1.08, 3.0]) == [[0, 1, 2], [3]]  # linked through the middle one
    assert joint_level_sets([-1.0, 1.0, 0.0, 0.0]) == [[0], [1], [2, 3]]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: AnInfoNCEEnsemble(4, 0), "members must be at least 1"),
        (lambda: AnInfoNCEEnsemble(4, 2, init=torch.ones(3, 4)), r"\(4,\) or \(2, 4\)"),
        (lambda: AnInfoNCEEnsemble(4, 2, weights=[1.0]), r"shape \(2,\)"),
        (lambda: AnInfoNCEEnsemble(4, 2, weights=[0.0, 0.0]), "not all 0"),
        (lambda: AnInfoNCEEnsemble(4, 2, weights=[1.0, math.nan]), "finite"),
        (lambda: AnInfoNCEEnsemble(4, 2)([make_views()]), "each of the 2 members, got 1"),
        (lambda: joint_level_sets(torch.ones(2, 2, 2)), r"\(members, dim\)"),
        (lambda: joint_level_sets([math.inf, 1.0]), "finite"),
        (lambda: joint_level_sets([1.0], relative_tolerance=1.0), r"\[0, 1\)"),
    ],
)
def test_bad_arguments_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
