"""The device that commands compute on."""

import re

import pytest
import torch

from lookwhy.cli import analyze, prepare
from lookwhy.errors import LookwhyError
from lookwhy.towers.device_choice import choose_device, tell_device


def test_auto_is_a_gpu_if_there_is_one_and_is_told_while_a_named_device_is_not(capsys):
    chosen = choose_device("auto")
    assert chosen == ("cuda:0" if torch.cuda.is_available() else "cpu")
    assert choose_device("cpu") == "cpu"
    tell_device("auto", chosen)
    assert re.fullmatch(rf"device  {chosen} \(.+\)\n", capsys.readouterr().err)
    tell_device("cpu", "cpu")
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("wanted", "found"), [("warp9", "no warp9"), ("meta", "meta"), ("cuda:99", "no cuda:99")]
)
def test_a_device_that_cannot_compute_is_refused(wanted, found):
    with pytest.raises(LookwhyError, match=f"expected a device to compute on, found {found}"):
        choose_device(wanted)


def test_auto_is_the_default_of_every_command_with_a_device():
    given = {
        analyze: ["checkpoint c", "explain c", "serve c", "paper --root r"],
        prepare: ["features --images i --out o"],
    }
    for module, commands in given.items():
        for words in commands:
            assert module.build_parser().parse_args(words.split()).device == "auto"
