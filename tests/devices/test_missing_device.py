"""A device that is not there is refused in words, before anything is written."""

import pytest
import torch

from aninfonce import load
from aninfonce._tensor_checks import check_device
from aninfonce.cli import run

no_card = pytest.mark.skipif(torch.cuda.is_available(), reason="there is a graphics card")


@no_card
@pytest.mark.parametrize(
    "command",
    [["reproduce", "content-style", "--quick"], ["train", "--data", "digits"]],
    ids=["reproduce", "train"],
)
def test_commands_on_a_card_that_is_not_there(command, tmp_path, capsys):
    out = tmp_path / "run"
    assert run([*command, "--device", "cuda", "--out", str(out)]) == 2
    assert not out.exists()
    message = capsys.readouterr().err
    assert "cuda" in message
    assert "Traceback" not in message


@no_card
def test_loading_to_a_card_that_is_not_there(tmp_path):
    with pytest.raises(ValueError, match="cannot compute on device 'cuda'"):
        load(tmp_path, "cuda")


def test_what_is_no_device():
    with pytest.raises(ValueError, match="cannot compute on device 'gpu'"):
        check_device("gpu")
    check_device("cpu")
