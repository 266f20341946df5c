"""A GPU gives the CPU's maps, the plain path's training and exact resume. Skipped without one."""

import os
import shlex
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from jsonargparse import ArgumentParser
from pipelines import TARGET
from test_train_analyze_parity import run
from tiny_runs import MEASURED, ROOT, plan_option, train_command

from lookwhy import store
from lookwhy.analysis import AnalysisPlan

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU that PyTorch can use")
ON_GPU = ["--trainer.accelerator=gpu", "--trainer.devices=1"]
STEPS = [
    "--data.batch_size=16", "--data.sampling=with_replacement", "--data.steps_per_epoch=100",
    "--trainer.max_epochs=2", "--trainer.logger=false", "--analysis.epochs=[]",
]  # fmt: skip
"""Two epochs of 100 steps without an analysis."""
FAILED = "goes on without CUDA graphs"
HERE = Path(__file__).parent


def start(world, folder, *more):
    """Run train.py in a new process; what it printed."""
    path = os.pathsep.join([str(HERE), str(HERE / "cli"), os.environ.get("PYTHONPATH", "")])
    folder.mkdir(exist_ok=True)
    done = run(train_command(world, *ON_GPU, *more), folder, PYTHONPATH=path)
    assert FAILED not in done.stdout + done.stderr
    return done


def weights(folder):
    path = folder / "runs" / "shapes" / "checkpoints" / "last.ckpt"
    return torch.load(path, weights_only=True, map_location="cpu")["state_dict"]


def every_method():
    """All methods that analysis_full.yaml names, with fewer samples."""
    parser = ArgumentParser()
    parser.add_class_arguments(AnalysisPlan, as_group=False)
    plan = parser.instantiate(parser.parse_path(ROOT / "configs" / "analysis_full.yaml"))
    for method in (*plan.image_methods, *plan.question_methods):
        for name, fewer in {"samples": 60, "cells": 4}.items():
            if hasattr(method, name):
                setattr(method, name, fewer)
        yield method


def test_every_method_finds_the_maps_of_the_cpu(small_pipeline, small_batch):
    methods = list(every_method())
    assert len(methods) >= 16
    expected = [method(small_pipeline, small_batch, TARGET).values for method in methods]
    model, batch = small_pipeline.cuda(), small_batch.to("cuda")
    for method, there in zip(methods, expected, strict=True):
        here = method(model, batch, TARGET.cuda()).values
        torch.testing.assert_close(here, there, atol=1e-6, rtol=1e-5, msg=method.name)


@pytest.fixture(scope="module")
def plain(tiny_world, tmp_path_factory):
    """A training without CUDA graphs and dropout on the GPU, and the same on the CPU."""
    folder = tmp_path_factory.mktemp("plain")
    for name, more in {"gpu": [*ON_GPU, "--model.cuda_graph=false"], "cpu": []}.items():
        (folder / name).mkdir()
        command = train_command(tiny_world, *STEPS, "--model.head.init_args.dropout=0", *more)
        done = run(command, folder / name)
        assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.parametrize("tf32", [False, True])
def test_two_hundred_steps_with_cuda_graphs_end_at_the_weights_of_the_plain_path(
    tiny_world, tmp_path, plain, tf32
):
    more = [*STEPS, "--model.head.init_args.dropout=0", f"--model.tf32={str(tf32).lower()}"]
    done = start(tiny_world, tmp_path, *more, "--trainer.callbacks+=graph_count.GraphCount")
    assert done.returncode == 0, done.stderr
    assert "replayed graphs: True" in done.stdout
    own = weights(tmp_path)
    for other in ("gpu", "cpu"):
        for name, value in weights(plain / other).items():
            tolerance = {"atol": 2e-2, "rtol": 2e-2} if tf32 else {"atol": 1e-4, "rtol": 1e-3}
            torch.testing.assert_close(own[name], value, **tolerance, msg=lambda m: f"{other} {name}: {m}")  # noqa: B023


def test_a_training_with_cuda_graphs_that_sigterm_ends_goes_on_to_the_same_weights(tiny_world, tmp_path):
    whole = start(tiny_world, tmp_path / "whole", *STEPS)
    assert whole.returncode == 0, whole.stderr
    signal = [f"--trainer.callbacks+=test_signals.Signal --trainer.callbacks.{one}" for one in ("step=130",)]
    signal = [*signal[0].split(), "--trainer.callbacks.number=15"]
    ended = start(tiny_world, tmp_path / "ended", *STEPS, *signal)
    assert ended.returncode == 143, ended.stderr
    (line,) = [one for one in ended.stderr.splitlines() if one.startswith("lookwhy: ended by SIGTERM")]
    _, *words = shlex.split(line.partition("; go on with: ")[2])
    path = os.pathsep.join([str(HERE), str(HERE / "cli"), os.environ.get("PYTHONPATH", "")])
    again = run([sys.executable, *words], tmp_path / "ended", PYTHONPATH=path)
    assert again.returncode == 0, again.stderr
    own = weights(tmp_path / "ended")
    for name, value in weights(tmp_path / "whole").items():
        assert torch.equal(own[name], value), f"{name}: {float((own[name] - value).abs().max())}"


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed", "16-mixed", "tf32"])
def test_an_analysis_within_a_training_of_any_precision_is_that_of_a_cpu(tiny_world, tmp_path, precision):
    own = ["--model.tf32=true"] if precision == "tf32" else [f"--trainer.precision={precision}"]
    whole = [*MEASURED, plan_option("sanity", {"draws": 2, "questions": 4})] if precision == "32-true" else []
    done = start(tiny_world, tmp_path, *own, *whole, "--trainer.max_epochs=1", "--trainer.logger=false")
    assert done.returncode == 0, done.stderr
    last = tmp_path / "runs" / "shapes" / "checkpoints" / "last.ckpt"
    command = [sys.executable, ROOT / "analyze.py", last, "--out", tmp_path / "cpu", "--device", "cpu"]
    again = run(command, tmp_path)
    assert again.returncode == 0, again.stderr
    here = store.load(store.epoch_folder(tmp_path / "runs" / "shapes", 0))
    there = store.load(store.epoch_folder(tmp_path / "cpu", 0))
    assert here.summary.keys() == there.summary.keys()
    for name, maps in there.maps.items():
        values, ours = maps.values.numpy(), here.maps[name].values.numpy()
        np.testing.assert_allclose(
            ours, values, atol=1e-4 * np.nanmax(np.abs(values)), rtol=1e-3, err_msg=name
        )
    far = {
        key: (here.summary[key], value)
        for key, value in there.summary.items()
        if not np.isclose(here.summary[key], value, atol=2e-3, rtol=1e-3) and "seconds" not in key
    }
    assert not far


def test_compiled_kernels_compute_what_pytorch_computes():
    file = HERE / "towers" / "kernel_checks.py"
    done = run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-o", "addopts=", file], HERE.parent
    )
    assert done.returncode == 0, done.stdout
