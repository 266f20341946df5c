"""Real W&B with an API key and a server that is of no use (a stand-in answers): the run goes on offline."""

import json
import os
import sys
import time
from contextlib import ExitStack

import pytest
from tiny_runs import leet, run, train_command
from web_server import USELESS, useless_server

from lookwhy import store

KEY = {"WANDB_API_KEY": "a" * 40, "WANDB_INIT_TIMEOUT": "4"}
LOG = """
import multiprocessing
import os
import sys
from pathlib import Path

from lookwhy.cli.run_logger import RunLogger


def log(folder, address):
    os.environ |= {"WANDB_BASE_URL": address, "WANDB_DIR": folder}
    sys.stdout = open(Path(folder, "said.txt"), "w")
    logger = RunLogger(name="one", save_dir=folder)
    try:
        logger.experiment
    except AttributeError:
        pass  # Lightning asks once before data and model are there
    logger.log_metrics({"loss": 0.5})
    logger.finalize("success")
    sys.stdout.flush()


fork = multiprocessing.get_context("fork")
started = [fork.Process(target=log, args=words.split("=", 1)) for words in sys.argv[1:]]
for one in started:
    one.start()
for one in started:
    one.join()
sys.exit(max(abs(one.exitcode) for one in started))
"""


def logged(folder):
    (offline,) = folder.glob("wandb/offline-run-*/*.wandb")
    with leet(offline) as lines:
        return [json.loads(line)["history"]["item"] for line in lines if '"type":"history"' in line]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="a process for each server, forked after the imports")
def test_a_run_that_the_server_does_not_take_goes_on_offline(tmp_path):
    with ExitStack() as stack:
        addresses = {kind: stack.enter_context(useless_server(code)) for kind, code in USELESS.items()}
        folders = {kind: tmp_path / kind.replace(" ", "_") for kind in USELESS}
        for folder in folders.values():
            folder.mkdir()
        words = [f"{folders[kind]}={address}" for kind, address in addresses.items()]
        done = run([sys.executable, "-c", LOG, *words], tmp_path, **KEY)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    for kind, address in addresses.items():
        said = (folders[kind] / "said.txt").read_text()
        (line,) = [line for line in said.splitlines() if line.startswith(f"W&B: no run on {address} (")]
        assert "the run goes on offline in" in line
        assert [item["loss"] for item in logged(folders[kind])] == [0.5]


@pytest.mark.slow
def test_training_goes_on_offline_and_the_run_folder_misses_nothing(tiny_world, tmp_path):
    start = time.monotonic()
    with useless_server(USELESS["hangs"]) as address:
        done = run(
            train_command(tiny_world, "--trainer.max_epochs=1"), tmp_path, WANDB_BASE_URL=address, **KEY
        )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert time.monotonic() - start < 120
    assert f"W&B: no run on {address} (" in done.stdout
    path = tmp_path / "runs" / "shapes"
    items = logged(path)
    assert [item["epoch"] for item in items if "analysis/accuracy/overall" in item] == [0]
    assert list(store.stored_epochs(path)) == [0]
    for name in ("config.yaml", "metrics.json", "checkpoints/last.ckpt"):
        assert (path / name).is_file(), name
