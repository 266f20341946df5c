"""`python train.py` with two processes, started as a user starts it."""

import json
import os
import re
import signal
import sys
import time
from pathlib import Path
from subprocess import PIPE, Popen

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
import yaml
from data.test_feature_rows import mappings
from tiny_runs import MEASURED, clean_environment, run, train_command, train_options

from lookwhy import store
from lookwhy.cli.train import main as train

TESTS = Path(__file__).parent
DDP = ["--trainer.devices=2", "--trainer.strategy=ddp"]
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
LAUNCHES = {
    "ddp": ([sys.executable], DDP, "shapes"),
    "torchrun": (TORCHRUN, DDP, "shapes_san"),
}
UNTRAINED = ["--trainer.max_epochs=1", "--analysis.untrained=true", "--analysis.epochs=[]"]
UNTRAINED += ["--analysis.plan.num_questions=13", *MEASURED]
"""Options of an analysis before the first step, when weights do not depend on the number of processes."""
LINUX = Path("/proc/self/smaps").exists()
"""Whether the system describes its processes."""


class Mappings(pl.Callback):
    """Record how each process has mapped the features into its memory."""

    def on_train_end(self, trainer, pl_module):
        found = mappings(trainer.datamodule.folder / "data_img.h5")
        folder = trainer.strategy.broadcast(trainer.default_root_dir)
        Path(folder, f"mapped_{trainer.global_rank}.json").write_text(json.dumps(found))


@pytest.fixture(scope="module")
def one_process(tiny_world, tmp_path_factory):
    """The analysis of each config's model in a single process."""
    folder = tmp_path_factory.mktemp("one")
    quiet = ["--trainer.logger=false", f"--runs={folder}"]
    for config in ("shapes", "shapes_san"):
        assert train(train_options(tiny_world, *UNTRAINED, *quiet, config=config)) == 0
    return lambda config: store.load(store.epoch_folder(folder / config, store.UNTRAINED))


@pytest.mark.slow
@pytest.mark.parametrize("launch", LAUNCHES)
def test_two_processes_train_in_one_folder_and_find_what_one_finds(tiny_world, tmp_path, one_process, launch):
    launcher, options, config = LAUNCHES[launch]
    options = [*options, *UNTRAINED, *(["--trainer.callbacks+=test_ddp.Mappings"] if LINUX else [])]
    # This name is taken: all processes must move on to the same free one.
    (tmp_path / "runs" / config / "checkpoints").mkdir(parents=True)
    command = [*launcher, *train_command(tiny_world, *options, config=config)[1:]]
    done = run(command, tmp_path, PYTHONPATH=os.pathsep.join([str(TESTS), os.environ.get("PYTHONPATH", "")]))
    assert done.returncode == 0, done.stderr
    assert {path.name for path in (tmp_path / "runs").iterdir()} == {config, f"{config}-2"}
    folder = tmp_path / "runs" / f"{config}-2"
    assert "MEMBER: 2/2" in done.stderr
    assert done.stdout.count("W&B: no API key found") == 1
    assert done.stdout.count(f"run folder  runs/{config}-2") == 1
    assert len(list(folder.glob("wandb/*run-*/*.wandb"))) == 1
    assert (folder / "checkpoints" / "last.ckpt").is_file()
    assert (folder / "metrics.json").is_file()
    assert int(yaml.safe_load((folder / "config.yaml").read_text())["trainer"]["devices"]) == 2
    one, two = one_process(config), store.load(store.epoch_folder(folder, store.UNTRAINED))
    assert two.question_ids.tolist() == one.question_ids.tolist()
    assert two.summary == pytest.approx(one.summary, abs=1e-5)
    for name, maps in one.maps.items():
        np.testing.assert_allclose(two.maps[name].values.numpy(), maps.values.numpy(), atol=1e-6)
    for rank in (0, 1) if LINUX else ():
        mapped = json.loads((folder / f"mapped_{rank}.json").read_text())
        assert mapped, "the features are mapped, and no process has a copy of its own"
        assert all(one == ["r--s", 0] for one in mapped)


class SharedCopy(pl.Callback):
    """Record which copy of the features each process has mapped, and how much of it is a copy of its own."""

    def on_train_end(self, trainer, pl_module):
        rows = trainer.datamodule.datasets["train"].features
        name = re.escape(str(rows.source.path))
        found = mappings(re.compile(rf"{name} \(deleted\)"))
        folder = trainer.strategy.broadcast(trainer.default_root_dir)
        Path(folder, f"shared_{trainer.global_rank}.json").write_text(
            json.dumps([str(rows.source.path), found])
        )


@pytest.mark.slow
def test_three_processes_train_as_one_with_their_batches_together_on_features_that_they_share(
    tiny_world, tmp_path
):
    """Started by ddp_spawn; more processes than questions to explain, too: one of the three has none."""
    common = [
        "--data.features=ram", "--data.sampling=with_replacement", "--data.steps_per_epoch=20",
        "--model.head.init_args.dropout=0", "--trainer.max_epochs=1", "--analysis.untrained=true",
        "--analysis.epochs=[]", "--analysis.plan.num_questions=2", "--trainer.logger=false",
    ]  # fmt: skip
    assert (
        train(train_options(tiny_world, *common, "--data.batch_size=24", f"--runs={tmp_path / 'one'}")) == 0
    )
    three = [*common, "--data.batch_size=8", "--trainer.devices=3", "--trainer.strategy=ddp_spawn"]
    three += ["--trainer.callbacks+=test_ddp.SharedCopy"] if LINUX else []
    path = os.pathsep.join([str(TESTS), os.environ.get("PYTHONPATH", "")])
    done = run(train_command(tiny_world, *three), tmp_path, PYTHONPATH=path)
    assert done.returncode == 0, done.stderr
    folders = tmp_path / "one/shapes", tmp_path / "runs/shapes"
    own, other = (
        torch.load(one / "checkpoints/last.ckpt", weights_only=True)["state_dict"] for one in folders
    )
    for name, value in own.items():
        torch.testing.assert_close(other[name], value, atol=1e-4, rtol=1e-3)
    found = [store.load(store.epoch_folder(one, store.UNTRAINED)) for one in folders]
    assert found[0].question_ids.tolist() == found[1].question_ids.tolist()
    assert len(found[0].question_ids) == 2
    assert found[1].summary == pytest.approx(found[0].summary, abs=1e-5)
    if LINUX:
        mapped = [json.loads((folders[1] / f"shared_{rank}.json").read_text()) for rank in range(3)]
        assert len({name for name, _ in mapped}) == 1
        assert not Path(mapped[0][0]).exists()
        assert all(pieces and all(one == ["r--s", 0] for one in pieces) for _, pieces in mapped)


@pytest.mark.slow
def test_wrong_input_that_both_processes_meet_is_one_line(tiny_world, tmp_path):
    launcher, options, config = LAUNCHES["torchrun"]
    options = [
        *options,
        "--analysis.plan.image_methods=[]",
        "--analysis.plan.grid=65",
        "--trainer.logger=false",
    ]
    done = run([*launcher, *train_command(tiny_world, *options, config=config)[1:]], tmp_path)
    assert done.returncode
    lines = [line for line in done.stderr.splitlines() if line.startswith("lookwhy: error: ")]
    assert [line.partition(", found ")[2] for line in lines] == ["65; correct the plan's grid"]


@pytest.mark.slow
@pytest.mark.skipif(not LINUX, reason="only Linux tells who started whom")
def test_a_killed_process_ends_the_whole_training_with_one_line(tiny_world, tmp_path):
    endless = ["--trainer.max_epochs=100000", "--analysis.epochs=[]", "--trainer.logger=false"]
    command, pipes = train_command(tiny_world, *DDP, *endless), {"stdout": PIPE, "stderr": PIPE}
    process = Popen(command, cwd=tmp_path, env=clean_environment(), text=True, **pipes)
    try:
        line = next(line for line in process.stdout if line.startswith("epoch 2:"))
        assert "loss" in line
        (child,) = map(int, Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split())
        os.kill(child, signal.SIGKILL)
        start = time.monotonic()
        _, errors = process.communicate(timeout=60)  # waits until no process holds its stdout
    finally:
        process.kill()
    assert time.monotonic() - start < 60
    assert process.returncode == 2, errors
    assert "Traceback" not in errors
    assert "expected all processes of the training to run until its end" in errors.splitlines()[-1]
