"""`python train.py` and the signals that end it: it saves first, and names the command that goes on."""

import os
import shlex
import signal
import stat
import sys
from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch
from test_ddp import DDP
from tiny_runs import run, train_command, train_options

from lookwhy import store
from lookwhy.callbacks.failures import Exchange
from lookwhy.cli.train import main as train

HERE = Path(__file__).parent
OPTIONS = ["--data.batch_size=8", "--trainer.max_epochs=2", "--trainer.logger=false"]
"""Thirty steps an epoch."""


class Signal(pl.Callback):
    """Send this process a signal in a step, as another program would; a resumed training gets none."""

    def __init__(self, step: int, number: int):
        self.step, self.number = step, number

    def on_train_batch_start(self, trainer, *_):
        if trainer.global_step == self.step and trainer.is_global_zero and trainer.ckpt_path is None:
            os.kill(os.getpid(), self.number)


class DuringAnalysis(pl.Callback):
    """Send this process SIGTERM while the findings of the first analysis are gathered."""

    def on_train_start(self, trainer, pl_module):
        gathered = Exchange._gathered

        def interrupted(exchange, own):
            if trainer.ckpt_path is None:
                os.kill(os.getpid(), signal.SIGTERM)
            return gathered(exchange, own)

        Exchange._gathered = interrupted


@pytest.fixture(scope="module")
def uninterrupted(tiny_world, tmp_path_factory):
    """Run folder of the same training without a signal."""
    runs = tmp_path_factory.mktemp("uninterrupted")
    assert train(train_options(tiny_world, *OPTIONS, "--analysis.epochs=[]", f"--runs={runs}")) == 0
    return runs / "shapes"


def weights(folder):
    return torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]


def run_with_callbacks(command, folder, **environment):
    path = os.pathsep.join([str(HERE), str(HERE.parent), os.environ.get("PYTHONPATH", "")])
    return run(command, folder, PYTHONPATH=path, **environment)


def sending(step, number):
    name = "--trainer.callbacks"
    return [f"{name}+=test_signals.Signal", f"{name}.step={step}", f"{name}.number={int(number)}"]


@pytest.mark.slow
@pytest.mark.parametrize("processes", [[], DDP], ids=["one process", "two processes"])
def test_sigterm_saves_in_the_middle_of_an_epoch_and_the_named_command_ends_at_the_same_weights(
    tiny_world, tmp_path, uninterrupted, processes
):
    more = [*OPTIONS, *processes, "--analysis.epochs=[]"]
    step = 3 if processes else 40
    done = run_with_callbacks(train_command(tiny_world, *more, *sending(step, signal.SIGTERM)), tmp_path)
    assert done.returncode == 128 + signal.SIGTERM, done.stderr
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("lookwhy: ")]
    said, _, command = line.partition("; go on with: ")
    assert said == "lookwhy: ended by SIGTERM"
    saved = torch.load(tmp_path / "runs/shapes/checkpoints/last.ckpt", weights_only=True)
    assert saved["global_step"] == (8 if processes else 41)
    python, *words = shlex.split(command)
    assert python == "python"
    again = run_with_callbacks([sys.executable, *words], tmp_path)
    assert again.returncode == 0, again.stderr
    assert "warn" not in again.stderr.lower()
    assert [path.name for path in (tmp_path / "runs").iterdir()] == ["shapes"]
    if not processes:  # two processes see other batches than one
        own = weights(tmp_path / "runs" / "shapes")
        assert all(torch.equal(own[name], value) for name, value in weights(uninterrupted).items())


@pytest.mark.slow
def test_a_slurm_job_that_gets_sigusr1_is_queued_again_and_goes_on_in_its_folder(
    tiny_world, tmp_path, uninterrupted
):
    program = tmp_path / "bin" / "scontrol"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/requeued\n')
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    slurm = {"SLURM_JOB_ID": "71", "SLURM_NTASKS": "1", "SLURM_PROCID": "0", "SLURM_LOCALID": "0"}
    slurm |= {"SLURM_JOB_NAME": "train", "PATH": f"{program.parent}:{os.environ['PATH']}"}
    words = [*OPTIONS, "--analysis.epochs=[]", *sending(40, signal.SIGUSR1)]
    done = run_with_callbacks(train_command(tiny_world, *words), tmp_path, **slurm)
    assert done.returncode == 128 + signal.SIGUSR1, done.stderr
    assert "lookwhy: ended by SIGUSR1; go on with: python " in done.stderr
    assert (tmp_path / "requeued").read_text() == "requeue 71\n"
    again = train_command(tiny_world, *words)  # Slurm gives the same command again
    done = run_with_callbacks(again, tmp_path, **slurm | {"SLURM_RESTART_COUNT": "1"})
    assert done.returncode == 0, done.stderr
    assert [path.name for path in (tmp_path / "runs").iterdir()] == ["shapes"]
    own = weights(tmp_path / "runs" / "shapes")
    assert all(torch.equal(own[name], value) for name, value in weights(uninterrupted).items())


@pytest.mark.slow
def test_a_signal_ends_an_analysis_at_once_and_the_resumed_training_makes_up_for_it(tiny_world, tmp_path):
    more = [*OPTIONS, "--trainer.callbacks+=test_signals.DuringAnalysis"]
    done = run_with_callbacks(train_command(tiny_world, *more), tmp_path)
    assert done.returncode == 128 + signal.SIGTERM, done.stderr
    assert not [*(tmp_path / "runs" / "shapes").glob("analysis/*")]
    words = shlex.split(done.stderr.rpartition("; go on with: python ")[2])
    again = run_with_callbacks([sys.executable, *words], tmp_path)
    assert again.returncode == 0, again.stderr
    assert list(store.stored_epochs(tmp_path / "runs" / "shapes")) == [0, 1]


def test_an_interrupt_before_the_first_checkpoint_says_so(tiny_world, tmp_path):
    words = [*OPTIONS, "--analysis.epochs=[]", *sending(3, signal.SIGINT)]
    done = run_with_callbacks(train_command(tiny_world, *words), tmp_path)
    assert done.returncode == 130, done.stderr
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("lookwhy: ")]
    assert line == "lookwhy: interrupted before the first checkpoint; start again with the same command"
