"""`python train.py` on features and losses that are not numbers ends with one line, not with a result."""

import shutil
import subprocess

import h5py
import pytest
import torch
from tiny_runs import clean_environment, train_command


def train(world, folder, *more):
    return subprocess.run(
        train_command(world, "--trainer.logger=false", "--analysis.epochs=[]", *more), cwd=folder,
        env=clean_environment(OMP_NUM_THREADS="1"), capture_output=True, text=True, timeout=150,
    )  # fmt: skip


def one_error(done):
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("lookwhy: error: ")]
    return line


@pytest.mark.slow
def test_nan_features_are_refused_before_the_first_step(tiny_world, tmp_path):
    world = tmp_path / "world"
    shutil.copytree(tiny_world, world)
    with h5py.File(world / "data_img.h5", "a") as file:
        file["images_train"][2] = float("nan")
    done = train(world, tmp_path, "--trainer.max_epochs=1")
    line = one_error(done)
    assert "expected finite image features, found NaN in row 2 (" in line
    assert f".png) of images_train in {world / 'data_img.h5'}" in line
    assert "epoch 0" not in done.stdout


@pytest.mark.slow
def test_a_training_that_diverges_stops_and_keeps_its_last_good_checkpoint(tiny_world, tmp_path):
    # One step an epoch; the learning rate of the third overflows the weights.
    done = train(
        tiny_world, tmp_path, "--trainer.max_epochs=9", "--data.batch_size=240", "--model.decay=1e20"
    )
    line = one_error(done)
    assert "found nan at step 3 of epoch 2; lower model.learning_rate" in line
    last = "runs/shapes/checkpoints/last.ckpt"
    assert f"the last good checkpoint is kept: {last}" in line
    assert "epoch 1: " in done.stdout
    assert "epoch 2: " not in done.stdout
    kept = torch.load(tmp_path / last, weights_only=True)
    assert kept["epoch"] == 1
    assert all(torch.isfinite(weights).all() for weights in kept["state_dict"].values())
