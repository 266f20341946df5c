"""Training on features and losses that are not numbers ends with one line, not with a result."""

import shutil

import h5py
import pytest
import torch
from tiny_runs import run, train_command, train_options

from lookwhy.cli.train import main as train

QUIET = ["--trainer.logger=false", "--analysis.epochs=[]"]


@pytest.mark.slow
def test_nan_features_are_refused_before_the_first_step(tiny_world, tmp_path):
    world = tmp_path / "world"
    shutil.copytree(tiny_world, world)
    with h5py.File(world / "data_img.h5", "a") as file:
        file["images_train"][2] = float("nan")
    done = run(train_command(world, *QUIET, "--trainer.max_epochs=1"), tmp_path)
    assert done.returncode == 2, done.stderr
    (line,) = done.stderr.splitlines()
    assert line.startswith("lookwhy: error: expected finite image features, found NaN in row 2 (")
    assert f".png) of images_train in {world / 'data_img.h5'}" in line
    assert "epoch 0" not in done.stdout


def test_a_training_that_diverges_stops_and_keeps_its_last_good_checkpoint(
    tiny_world, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    # One step an epoch; the learning rate of the third overflows the weights.
    more = ["--trainer.max_epochs=9", "--data.batch_size=240", "--model.decay=1e20"]
    assert train(train_options(tiny_world, *QUIET, *more)) == 2
    printed = capsys.readouterr()
    (line,) = [line for line in printed.err.splitlines() if line.startswith("lookwhy: error: ")]
    assert "found nan at step 3 of epoch 2; lower model.learning_rate" in line
    last = "runs/shapes/checkpoints/last.ckpt"
    assert f"the last good checkpoint is kept: {last}" in line
    assert "epoch 1: " in printed.out
    assert "epoch 2: " not in printed.out
    kept = torch.load(last, weights_only=True)
    assert kept["epoch"] == 1
    assert all(torch.isfinite(weights).all() for weights in kept["state_dict"].values())
