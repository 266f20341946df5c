"""Real offline trainings: one is interrupted, resumed, killed, resumed, and read back as one W&B run."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import DEVNULL, PIPE, Popen
from types import SimpleNamespace

import pytest
import yaml
from tiny_runs import clean_environment, leet, run, train_command

from lookwhy import store
from lookwhy.files import sha256_file
from lookwhy.models import load_checkpoint
from lookwhy.reporting.wandb.summary import best_values, read_summaries

ANALYSED = "analysis/accuracy/overall"


def logged(file: Path) -> SimpleNamespace:
    with leet(file) as lines:
        records = [json.loads(line) for line in lines]
    start = next(record["run"] for record in records if record["type"] == "run")
    history = [record["history"]["item"] for record in records if record["type"] == "history"]
    return SimpleNamespace(records=records, run=start, history=history)


@contextmanager
def started(command: list[str], folder: Path) -> Iterator[Popen[str]]:
    pipes = {"stdout": DEVNULL, "stderr": PIPE}
    with Popen(command, cwd=folder, env=clean_environment(), text=True, **pipes) as process:
        yield process
        process.kill()


def wait_for(count: int, folder: Path, pattern: str, process: Popen[str]) -> list[Path]:
    while len(found := sorted(folder.glob(pattern))) < count:
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.05)
    return found


@pytest.fixture(scope="module")
def resumed(tiny_world, tmp_path_factory):
    """A training interrupted by Ctrl-C, resumed and killed, and resumed once more from the same checkpoint."""
    folder = tmp_path_factory.mktemp("resumed")
    path = folder / "runs" / "shapes"
    last, early = path / "checkpoints" / "last.ckpt", path / "checkpoints" / "early.ckpt"
    train = train_command(tiny_world, "--tags=[mine]", "--trainer.max_epochs=200")
    with started(train, folder) as process:
        wait_for(1, path, "checkpoints/last.ckpt", process)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
        interrupted = SimpleNamespace(returncode=process.returncode, stderr=errors)
    shutil.copy(last, early)
    first = load_checkpoint(early).epoch + 1
    with started([*train, f"--ckpt_path={last}"], folder) as process:
        _, file = wait_for(2, path, "wandb/offline-run-*/*.wandb", process)
        # W&B writes in blocks: an epoch is there for good only when it is in the file.
        with leet(file, "--follow", "--idle-timeout", "60s") as lines:
            items = (json.loads(line).get("history", {"item": {}})["item"] for line in lines)
            assert any(ANALYSED in item and item["epoch"] == first for item in items)
    done = run([*train, f"--ckpt_path={early}", f"--trainer.max_epochs={first + 2}"], folder)
    assert done.returncode == 0, done.stderr
    files = sorted(path.glob("wandb/offline-run-*/*.wandb"))
    with leet(files[-1], "--summary") as lines:
        end = json.load(lines)
    return SimpleNamespace(
        folder=folder, run=path, parts=[logged(file) for file in files], end=end, done=done,
        interrupted=interrupted, first=first, epochs=first + 2,
    )  # fmt: skip


def test_an_interrupted_training_leaves_with_130_and_goes_on_with_the_same_run(resumed):
    assert resumed.interrupted.returncode == 130, resumed.interrupted.stderr
    assert "Traceback" not in resumed.interrupted.stderr
    assert load_checkpoint(resumed.run / "checkpoints" / "last.ckpt").epoch == resumed.epochs - 1
    assert len(resumed.parts) == 3
    assert len({part.run["run_id"] for part in resumed.parts}) == 1
    assert [path.name for path in (resumed.folder / "runs").iterdir()] == ["shapes"]
    assert "warn" not in (resumed.done.stdout + resumed.done.stderr).lower()


def test_every_epoch_is_logged_exactly_once(resumed):
    items = [[item for item in part.history if ANALYSED in item] for part in resumed.parts]
    epochs = [[item["epoch"] for item in part] for part in items]
    assert resumed.first in epochs[1], "the third process came to this epoch again"
    found = sum(epochs, [])
    assert len(found) == len(set(found)), "none twice"
    assert set(range(resumed.epochs)) <= set(found), "none lost"
    assert all("analysis/image/occlusion/rank_correlation" in item for part in items for item in part)


def test_the_best_values_and_the_artifact_are_of_all_epochs_not_of_the_last_process(resumed):
    expected = best_values(read_summaries(resumed.run, last=resumed.epochs - 1))
    assert expected
    summary = resumed.end["summary"]
    assert {key: summary[f"analysis/{key}"] for key in expected} == pytest.approx(expected)
    finished = json.loads((resumed.run / "metrics.json").read_text())
    assert {key: finished[f"analysis/{key}"] for key in expected} == pytest.approx(expected)
    assert "val/accuracy/overall" in finished
    _, killed, last = ([one.get("artifact", {}) for one in part.records] for part in resumed.parts)
    assert "analysis" not in [one.get("type") for one in killed]
    text = json.dumps([one for one in last if one.get("type") == "analysis"])
    for epoch in store.stored_epochs(resumed.run):
        assert f"epoch={epoch:03d}/summary.json" in text


def test_group_tags_and_configuration_tell_runs_apart(resumed, tiny_world):
    tags = ["DeeperLSTM", tiny_world.name, "simulated annotators", "mine"]
    assert [(part.run["run_group"], part.run["tags"]) for part in resumed.parts] == [("shapes", tags)] * 3
    config = resumed.end["config"]
    stated = yaml.safe_load((resumed.run / "config.yaml").read_text())
    for name in ("model", "data", "trainer", "analysis", "seed_everything"):
        assert config[name] == stated[name], name
    fingerprint = config["data_fingerprint"]
    assert fingerprint["data_prepro_sha256"] == sha256_file(tiny_world / "data_prepro.h5")
    assert fingerprint["tower"]["weights_sha256"]
    assert config["versions"]["lookwhy"] == "0.1.0"


def children(parent: int, name: str) -> list[int]:
    """Processes of a name that a process has started."""
    stats = (path.read_text() for path in Path("/proc").glob("[0-9]*/stat"))
    found = (re.match(r"(\d+) \((.*)\) \S (\d+)", text) for text in stats)
    return [int(one[1]) for one in found if one and one[2] == name and int(one[3]) == parent]


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="only Linux lists processes in /proc")
def test_a_training_goes_on_in_the_same_run_when_the_service_of_wandb_breaks_down(tiny_world, tmp_path):
    path, last = tmp_path / "runs" / "shapes", 14
    with started(train_command(tiny_world, f"--trainer.max_epochs={last + 1}"), tmp_path) as process:
        wait_for(1, path, "analysis/epoch=002/summary.json", process)
        (service,) = children(process.pid, "wandb-core")
        os.kill(service, signal.SIGKILL)
        _, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    assert "Traceback" not in errors
    parts = [logged(file) for file in sorted(path.glob("wandb/offline-run-*/*.wandb"))]
    assert len({part.run["run_id"] for part in parts}) == 1
    epochs = [item["epoch"] for item in parts[1].history if ANALYSED in item]
    assert epochs == list(range(epochs[0], last + 1))
    assert len(epochs) > 3, "the second service logged the rest"
    assert [*store.stored_epochs(path)] == list(range(last + 1)), "no analysis is missing in the run folder"
