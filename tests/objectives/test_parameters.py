"""The objectives' own parameters: their group, weight decay, precision, what is saved and loaded, options' types."""

import copy
import pickle
import subprocess
import sys
import textwrap
import warnings

import pytest
import torch
from loss_reference import make_views
from torch import nn

from aninfonce.objectives import AlignmentUniformity, AnInfoNCE, AnInfoNCEEnsemble, InfoNCE, LpInfoNCE
from aninfonce.objectives._arguments import check_count, check_number, numbers
from aninfonce.objectives._decay import WeightDecayWarning

TRAINABLE = {
    "temperature": lambda: InfoNCE(0.1, learnable=True),
    "concentration": lambda: AnInfoNCE(4, 12.5),
    "signed": lambda: AnInfoNCE(4, 12.5, signed=True),
    "ensemble": lambda: AnInfoNCEEnsemble(4, 2),
    "power": lambda: LpInfoNCE(1.0, 4, learnable=True),
}
FIXED = [InfoNCE(), LpInfoNCE(), AlignmentUniformity()]


@pytest.mark.parametrize("make", TRAINABLE.values(), ids=TRAINABLE)
@pytest.mark.parametrize("optimizer", [torch.optim.AdamW, torch.optim.SGD])
def test_the_group_keeps_decay_away(make, optimizer):
    loss, network = make(), nn.Linear(4, 4)
    groups = [{"params": network.parameters()}, *loss.param_groups(lr=0.3)]
    trainer = optimizer(groups, lr=1e-3, weight_decay=0.1)
    assert [group["lr"] for group in trainer.param_groups] == [1e-3, 0.3]
    assert [*map(id, trainer.param_groups[1]["params"])] == [*map(id, loss.parameters())]
    before = [p.detach().clone() for p in loss.parameters()]
    for p in (*loss.parameters(), *network.parameters()):
        p.grad = torch.zeros_like(p)
    for _ in range(20):
        trainer.step()  # without a warning
    for p, wanted in zip(loss.parameters(), before, strict=True):
        assert torch.equal(p, wanted)


@pytest.mark.parametrize("loss", FIXED, ids=lambda loss: type(loss).__name__)
def test_without_parameters_there_is_no_group(loss):
    assert loss.param_groups(lr=0.1) == []
    torch.optim.AdamW([*nn.Linear(2, 2).parameters(), *loss.parameters()]).step()


@pytest.mark.parametrize(("lr", "error"), [(0.0, ValueError), (float("nan"), ValueError), (-1, ValueError)])
def test_a_rate_that_is_none_is_refused(lr, error):
    with pytest.raises(error, match="lr must be positive and finite"):
        AnInfoNCE(3).param_groups(lr=lr)


def pickled(x):
    return pickle.loads(pickle.dumps(x))  # noqa: S301  # its own


@pytest.mark.parametrize("make", TRAINABLE.values(), ids=TRAINABLE)
@pytest.mark.parametrize("copied", [lambda x: x, copy.deepcopy, pickled])
@pytest.mark.parametrize("optimizer", [torch.optim.AdamW, torch.optim.SGD, torch.optim.Adam, torch.optim.RMSprop])
def test_decay_of_an_objective_is_heard(make, copied, optimizer):
    """In whatever trainer, wherever in a model the loss sits, in copies of it, too; and once, not at every step."""
    model = copied(nn.ModuleDict({"network": nn.Linear(4, 4), "loss": make()}))
    trainer = optimizer(model.parameters(), lr=0.1, weight_decay=0.01)
    for p in model.parameters():
        p.grad = torch.zeros_like(p)
    with pytest.warns(WeightDecayWarning, match=r"weight decay 0.01 acts on \w+\.\w+,.*loss\.param_groups\(lr=0.1\)"):
        trainer.step()
    trainer.step()
    trainer.param_groups[0]["weight_decay"] = 0.02
    with pytest.warns(WeightDecayWarning, match="weight decay 0.02"):
        trainer.step()


def test_a_look_at_the_optimiser_changes_no_number():
    found = []
    for kind in (AnInfoNCE, None):
        parameter = AnInfoNCE(4, 12.5).raw_concentration if kind else nn.Parameter(torch.full((4,), 12.5).log())
        trainer = torch.optim.AdamW([parameter], lr=0.1)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", WeightDecayWarning)
            for step in range(5):
                parameter.grad = torch.full((4,), float(step))
                trainer.step()
        found.append(parameter.detach())
    assert torch.equal(*found)


# Saved and loaded


@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize("wrap", [lambda loss: loss, lambda loss: nn.ModuleDict({"objective": loss})])
def test_logarithms_are_never_loaded_as_numbers(strict, wrap):
    signed, unsigned = (wrap(AnInfoNCE(2, [5.0, 3.0], signed=signed)) for signed in (True, False))
    with pytest.raises(RuntimeError, match=r"signed_concentration holds Λ̂ itself.*signed=True, .* signed=False"):
        unsigned.load_state_dict(signed.state_dict(), strict=strict)
    with pytest.raises(RuntimeError, match=r"raw_concentration holds the logarithms.*signed=False, .* signed=True"):
        signed.load_state_dict(unsigned.state_dict(), strict=strict)
    ensembles = [AnInfoNCEEnsemble(2, 2, signed=signed) for signed in (True, False)]
    with pytest.raises(RuntimeError, match="holds Λ̂ itself"):
        ensembles[1].load_state_dict(ensembles[0].state_dict(), strict=strict)


def test_states_of_earlier_versions_load():
    loss = AnInfoNCE(2)
    loss.load_state_dict({"raw_concentration": torch.tensor([5.0, 3.0]).log()})
    torch.testing.assert_close(loss.concentration, torch.tensor([5.0, 3.0]))
    for signed in (True, False):
        again = AnInfoNCE(2, 7.0, signed=signed)
        again.load_state_dict(AnInfoNCE(2, [5.0, 3.0], signed=signed).state_dict())
        torch.testing.assert_close(again.concentration, torch.tensor([5.0, 3.0]))


# Precision


@pytest.mark.parametrize("init", [12.5, 0.1, 1 / 3, 1e-5, 7e8])
def test_initial_values_are_those_of_the_precision_they_are_moved_to(init):
    wanted = torch.tensor(init, dtype=torch.float64)
    exact = {"rtol": 2e-14, "atol": 0.0}
    for move in (lambda x: x.double(), lambda x: x.to(torch.float64), lambda x: x.half().double()):
        for found in (
            move(AnInfoNCE(2, init)).concentration[1],
            move(AnInfoNCE(2, [1.0, init], signed=True)).concentration[1],
            move(AnInfoNCE(2, torch.tensor([1.0, init], dtype=torch.float64))).concentration[1],
            move(InfoNCE(init)).temperature,
            move(InfoNCE(init, learnable=True)).temperature,
            move(LpInfoNCE(1.0, init=init)).concentration,
            move(AnInfoNCEEnsemble(2, 2, init)).concentration[1, 1],
        ):
            torch.testing.assert_close(found.detach(), wanted, **exact)
    assert move(AnInfoNCEEnsemble(2, 3)).weights.tolist() == [1 / 3] * 3
    once = AnInfoNCE(2, init)
    assert torch.equal(AnInfoNCE(2, init).double().float().raw_concentration, once.raw_concentration)


def test_trained_values_are_converted_as_they_are():
    loss = AnInfoNCE(2, 12.5)
    with torch.no_grad():
        loss.raw_concentration[0] += 1e-6
    raw = loss.raw_concentration.detach().clone()
    assert torch.equal(loss.double().raw_concentration, raw.double())
    copied = copy.deepcopy(AnInfoNCE(2, 12.5))
    assert copied.double().concentration[0].item() == pytest.approx(12.5, rel=1e-14)


# The types of the options. In a process of its own: here the run-time checks of the tests would find them first.

REFUSED = """
InfoNCE(0.1, "none") :: positional
InfoNCE(0.1, True) :: positional
InfoNCE(0.1, learnable="none") :: learnable must be True or False, got 'none'
InfoNCE("0.1") :: temperature must be a number, got '0.1'
InfoNCE(True) :: temperature must be a number, got True
InfoNCE(0.1, normalize=None) :: normalize must be True or False, got None
InfoNCE(0.1, symmetric="no") :: symmetric must be True or False
InfoNCE(0.1, gather=1) :: gather must be True or False, got 1
InfoNCE(0.1, chunk_size=2.5) :: chunk_size must be an integer, got 2.5
InfoNCE(0.1, chunk_size=True) :: chunk_size must be an integer, got True
InfoNCE(0.1, negatives_from=None) :: negatives_from must be one of positives, anchors, both, got None
InfoNCE(0.1, hard_negatives=0.5) :: hard_negatives must be a rule
InfoNCE(0.1, hard_negatives=TopK) :: hard_negatives must be a rule
AnInfoNCE(3, 5.0, False) :: positional
AnInfoNCE(3.0) :: dim must be an integer, got 3.0
AnInfoNCE(3, "5") :: init must be a number or a sequence of numbers, got '5'
AnInfoNCE(3, True) :: init must be a number or a sequence of numbers, got True
AnInfoNCE(3, signed="yes") :: signed must be True or False, got 'yes'
AnInfoNCE(3).param_groups(lr="0.1") :: lr must be a number, got '0.1'
AnInfoNCEEnsemble(3, 2, 5.0, True) :: positional
AnInfoNCEEnsemble(3, 2.0) :: members must be an integer, got 2.0
AnInfoNCEEnsemble(3, 2, normalize=1) :: normalize must be True or False, got 1
AnInfoNCEEnsemble(3, 2, weights="ab") :: weights must be a number or a sequence of numbers
LpInfoNCE(1.0, 3, 1.0, True) :: positional
LpInfoNCE("1") :: exponent must be a number, got '1'
LpInfoNCE(1.0, 3.0) :: dim must be an integer, got 3.0
LpInfoNCE(1.0, learnable="none") :: learnable must be True or False
LpInfoNCE(1.0, symmetric=0) :: symmetric must be True or False, got 0
AlignmentUniformity(2.0, 2.0, 1.0, False) :: positional
AlignmentUniformity("2") :: alignment_exponent must be a number
AlignmentUniformity(2.0, None) :: uniformity_scale must be a number, got None
AlignmentUniformity(normalize="no") :: normalize must be True or False, got 'no'
Reweighted("1") :: beta must be a number, got '1'
Debiased(None) :: class_prior must be a number, got None
TopK(2.5) :: k must be an integer, got 2.5
Tilted("ab") :: the negatives' concentration must be a number or a sequence of numbers
"""


def test_options_are_named_and_typed():
    code = """
        import sys
        from aninfonce.objectives import *
        for line in sys.stdin.read().strip().splitlines():
            call, message = line.split(" :: ")
            try:
                eval(call)
            except TypeError as error:
                if message not in str(error):
                    print(call, "says", error)
            else:
                print(call, "is accepted")
    """
    command = [sys.executable, "-c", textwrap.dedent(code)]
    result = subprocess.run(command, input=REFUSED, capture_output=True, text=True, check=False)
    assert (result.stdout, result.returncode) == ("", 0), result.stderr


def test_numbers_of_other_libraries_are_welcome():
    import numpy as np

    for half in (np.float32(0.5), np.float64(0.5), torch.tensor(0.5), torch.tensor(0.5, dtype=torch.bfloat16)):
        assert check_number("temperature", half) == 0.5
    for three in (3, np.int32(3)):
        assert check_count("dim", three) == 3
    assert InfoNCE(1).temperature.item() == 1
    assert numbers("init", np.array([1.0, 2.0])).tolist() == [1.0, 2.0]
    assert InfoNCE(temperature=0.1, learnable=False, normalize=True)(*make_views()).isfinite()


@pytest.mark.parametrize(
    "call",
    [
        lambda u: InfoNCE()(u, u),
        lambda u: InfoNCE(chunk_size=3)(u, u),
        lambda u: AnInfoNCE(3)(u, u),
        lambda u: AnInfoNCEEnsemble(3, 1)([(u, u)]),
        lambda u: LpInfoNCE()(u, u),
        lambda u: AlignmentUniformity()(u, u),
    ],
)
def test_the_last_batch_of_a_loader_says_what_to_set(call):
    batches = torch.utils.data.DataLoader(torch.eye(3).repeat(3, 1), batch_size=4)
    *_, last = batches
    with pytest.raises(ValueError, match=r"at least 2 samples to have negatives, got 1: set drop_last=True in"):
        call(last)
