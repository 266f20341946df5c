"""`python train.py` with two processes, started as a user starts it."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import yaml
from tiny_runs import clean_environment, train_command

from lookwhy import store

TWO = ["--trainer.devices=2"]
LAUNCHES = {
    "ddp": ([], ["--trainer.strategy=ddp"]),
    "ddp_spawn": ([], ["--trainer.strategy=ddp_spawn"]),
    "torchrun": (
        [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"],
        ["--trainer.strategy=ddp"],
    ),
}
QUIET = {"OMP_NUM_THREADS": "1"}


def run(command, folder):
    return subprocess.run(
        command, cwd=folder, env=clean_environment(**QUIET), capture_output=True, text=True, timeout=150
    )


def untrained(world, *more):
    """A training of one epoch, analysed before its first step: the weights do not depend on the processes."""
    once = ["--trainer.max_epochs=1", "--analysis.untrained=true", "--analysis.epochs=[]"]
    return train_command(world, *once, *more)


@pytest.fixture(scope="module")
def one_process(tiny_world, tmp_path_factory):
    folder = tmp_path_factory.mktemp("one")
    done = run(untrained(tiny_world), folder)
    assert done.returncode == 0, done.stderr
    return store.load(store.epoch_folder(folder / "runs" / "shapes", store.UNTRAINED))


@pytest.mark.slow
@pytest.mark.parametrize("launch", LAUNCHES)
def test_two_processes_train_in_one_folder_and_find_what_one_finds(tiny_world, tmp_path, one_process, launch):
    launcher, options = LAUNCHES[launch]
    command = untrained(tiny_world, *TWO, *options)
    # A name that is taken: all processes must move on to the same free one.
    (tmp_path / "runs" / "shapes" / "checkpoints").mkdir(parents=True)
    done = run([*launcher, *command[1:]] if launcher else command, tmp_path)
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in (tmp_path / "runs").iterdir()) == ["shapes", "shapes-2"]
    folder = tmp_path / "runs" / "shapes-2"
    assert "MEMBER: 2/2" in done.stderr
    assert done.stdout.count("W&B: no API key found") == 1
    assert done.stdout.count("run folder  runs/shapes-2") == 1
    assert len(list((folder / "wandb").glob("*run-*/*.wandb"))) == 1
    assert (folder / "checkpoints" / "last.ckpt").is_file()
    assert (folder / "metrics.json").is_file()
    assert int(yaml.safe_load((folder / "config.yaml").read_text())["trainer"]["devices"]) == 2
    found = store.load(store.epoch_folder(folder, store.UNTRAINED))
    assert found.question_ids.tolist() == one_process.question_ids.tolist()
    assert found.summary == pytest.approx(one_process.summary, abs=1e-5)
    for name, maps in one_process.maps.items():
        np.testing.assert_allclose(found.maps[name].values.numpy(), maps.values.numpy(), atol=1e-6)


def children(pid: int) -> list[int]:
    return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="only Linux tells who started whom")
def test_a_killed_process_ends_the_whole_training_with_one_line(tiny_world, tmp_path):
    endless = ["--trainer.max_epochs=100000", "--analysis.epochs=[]", "--trainer.logger=false"]
    process = subprocess.Popen(
        train_command(tiny_world, *TWO, *LAUNCHES["ddp"][1], *endless), cwd=tmp_path,
        env=clean_environment(**QUIET), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        line = next(line for line in process.stdout if line.startswith("epoch 2:"))
        assert "loss" in line
        (child,) = children(process.pid)
        os.kill(child, signal.SIGKILL)
        start = time.monotonic()
        _, errors = process.communicate(timeout=60)  # until nobody holds its stdout and stderr any more
    finally:
        process.kill()
    assert time.monotonic() - start < 60
    assert process.returncode == 2, errors
    assert "Traceback" not in errors
    assert "expected all processes of the training to run until its end" in errors.splitlines()[-1]
