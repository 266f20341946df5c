"""A line for wrong input also where a library wraps it in an error of its own."""

import pytest
from tiny_runs import train_options

from lookwhy.cli.errors import run_command
from lookwhy.cli.train import main
from lookwhy.errors import LookwhyError


def test_a_plan_that_contradicts_itself_is_one_line_of_train(tiny_world, tmp_path, capsys):
    options = train_options(tiny_world, f"--runs={tmp_path}", "--analysis.plan.grid=14")
    assert main(options) == 2
    (line,) = [one for one in capsys.readouterr().err.splitlines() if one.startswith("lookwhy: error")]
    assert "expected grid 14 as in the plan, found grid 16" in line


def test_a_checkpoint_that_is_not_there_is_one_line_and_leaves_no_run(tiny_world, tmp_path, capsys):
    options = train_options(
        tiny_world, f"--runs={tmp_path / 'runs'}", f"--ckpt_path={tmp_path / 'none.ckpt'}"
    )
    assert main(options) == 2
    assert "found no file" in capsys.readouterr().err.splitlines()[-1]
    assert not (tmp_path / "runs").exists()


def test_an_error_that_wrong_input_did_not_cause_is_not_hidden():
    def wrapped():
        try:
            raise LookwhyError("expected A, found B; give A")
        except LookwhyError as error:
            raise ValueError("a union of types") from error

    assert run_command(wrapped) == 2
    with pytest.raises(ZeroDivisionError):
        run_command(lambda: 1 // 0)
