"""`python train.py` with an API key and a server that is of no use: real W&B, a stand-in for its server."""

import json
import time

import pytest
from tiny_runs import leet, run, train_command
from web_server import USELESS, useless_server

from lookwhy import store


@pytest.fixture(params=USELESS)
def server(request):
    """Address of a server that gives one answer to everything, or none."""
    with useless_server(USELESS[request.param]) as address:
        yield address


@pytest.mark.slow
def test_training_goes_on_offline_and_the_run_folder_misses_nothing(tiny_world, tmp_path, server):
    environment = {"WANDB_API_KEY": "a" * 40, "WANDB_BASE_URL": server, "WANDB_INIT_TIMEOUT": "4"}
    start = time.monotonic()
    done = run(train_command(tiny_world, "--trainer.max_epochs=1"), tmp_path, **environment)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert time.monotonic() - start < 120
    (line,) = [line for line in done.stdout.splitlines() if line.startswith(f"W&B: no run on {server} (")]
    assert "the run goes on offline in" in line
    path = tmp_path / "runs" / "shapes"
    (offline,) = path.glob("wandb/offline-run-*/*.wandb")
    with leet(offline) as lines:
        items = [json.loads(line)["history"]["item"] for line in lines if '"type":"history"' in line]
    assert [item["epoch"] for item in items if "analysis/accuracy/overall" in item] == [0]
    assert list(store.stored_epochs(path)) == [0]
    for name in ("config.yaml", "metrics.json", "checkpoints/last.ckpt"):
        assert (path / name).is_file(), name
