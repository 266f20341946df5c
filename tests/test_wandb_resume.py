"""Real trainings, offline: one is killed, resumed, and both parts read back as one W&B run."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from tiny_runs import clean_environment, train_command

from lookwhy import store
from lookwhy.files import sha256_file
from lookwhy.reporting.wandb.summary import best_values, read_summaries

EPOCHS = 5


def leet(file: Path, *more: str) -> str:
    arguments = [str(Path(sys.executable).with_name("wandb")), "leet", "inspect", *more, "--json", str(file)]
    return subprocess.run(arguments, capture_output=True, text=True, timeout=60, check=True).stdout


def logged(wandb_folder: Path) -> SimpleNamespace:
    (file,) = wandb_folder.glob("*.wandb")
    records = [json.loads(line) for line in leet(file).splitlines() if line]
    return SimpleNamespace(
        records=records,
        run=next(record["run"] for record in records if record["type"] == "run"),
        history=[record["history"]["item"] for record in records if record["type"] == "history"],
        summary=json.loads(leet(file, "--summary")),
    )


def analysed(part: Path) -> list[int]:
    """The epochs whose analysis is in an offline run, which may be of a process that is still writing."""
    arguments = [str(Path(sys.executable).with_name("wandb")), "leet", "inspect", "--json", str(part)]
    read = subprocess.run(arguments, capture_output=True, text=True, timeout=60).stdout
    items = [json.loads(line)["history"]["item"] for line in read.splitlines() if '"type":"history"' in line]
    return [item["epoch"] for item in items if "analysis/accuracy/overall" in item]


@pytest.fixture(scope="module")
def resumed(tiny_world, tmp_path_factory):
    """A training killed after some epochs, gone on with from the checkpoint of its first one."""
    folder = tmp_path_factory.mktemp("resumed")
    environment = clean_environment()
    run = folder / "runs" / "shapes"
    last, early = run / "checkpoints" / "last.ckpt", run / "checkpoints" / "early.ckpt"
    process = subprocess.Popen(
        train_command(tiny_world, "--trainer.max_epochs=200", "--tags=[mine]"), cwd=folder, env=environment,
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    deadline = time.monotonic() + 150
    while not last.is_file() and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.02)
    shutil.copy(last, early)
    # W&B writes in blocks: epoch 1 is there for good only when it is in the file.
    while time.monotonic() < deadline and process.poll() is None:
        if 1 in analysed(next((run / "wandb").glob("offline-run-*/*.wandb"))):
            break
    process.kill()
    _, errors = process.communicate(timeout=60)
    assert process.returncode == -9, errors
    finished = subprocess.run(
        train_command(tiny_world, f"--trainer.max_epochs={EPOCHS}", f"--ckpt_path={early}", "--tags=[mine]"),
        cwd=folder, env=environment, capture_output=True, text=True, timeout=200,
    )  # fmt: skip
    assert finished.returncode == 0, finished.stderr
    parts = [logged(path) for path in sorted((run / "wandb").glob("offline-run-*"))]
    return SimpleNamespace(folder=folder, run=run, parts=parts, finished=finished)


def test_the_resumed_training_goes_on_with_the_same_run(resumed):
    assert len(resumed.parts) == 2
    assert len({part.run["run_id"] for part in resumed.parts}) == 1
    assert [path.name for path in (resumed.folder / "runs").iterdir()] == ["shapes"]
    assert "warn" not in (resumed.finished.stdout + resumed.finished.stderr).lower()


def test_every_epoch_is_logged_exactly_once(resumed):
    first, second = (
        [item["epoch"] for item in part.history if "analysis/accuracy/overall" in item]
        for part in resumed.parts
    )
    assert {0, 1} <= set(first), "the second process came to epoch 1 again"
    assert len(first + second) == len(set(first + second)), "none twice"
    assert set(range(EPOCHS)) <= set(first + second), "none lost"


def test_the_best_values_are_those_of_all_epochs_not_of_the_last_process(resumed):
    expected = best_values(read_summaries(resumed.run, last=EPOCHS - 1))
    assert expected
    summary = resumed.parts[1].summary["summary"]
    assert {key: summary[f"analysis/{key}"] for key in expected} == pytest.approx(expected)
    finished = json.loads((resumed.run / "metrics.json").read_text())
    assert {key: finished[f"analysis/{key}"] for key in expected} == pytest.approx(expected)
    assert "val/accuracy/overall" in finished


def test_the_artifact_of_the_end_holds_all_epochs(resumed):
    artifacts = [
        [
            r["artifact"]
            for r in part.records
            if r["type"] == "artifact" and r["artifact"]["type"] == "analysis"
        ]
        for part in resumed.parts
    ]
    assert artifacts[0] == [], "it was killed"
    text = json.dumps(artifacts[1])
    for epoch in store.stored_epochs(resumed.run):
        assert f"epoch={epoch:03d}/summary.json" in text


def test_group_tags_and_configuration_tell_runs_apart(resumed, tiny_world):
    for part in resumed.parts:
        assert part.run["run_group"] == "shapes"
        assert part.run["tags"] == [
            "DeeperLSTM", tiny_world.name, "simulated annotators", "mine"
        ]  # fmt: skip
    config = resumed.parts[1].summary["config"]
    stated = yaml.safe_load((resumed.run / "config.yaml").read_text())
    for name in ("model", "data", "trainer", "analysis", "seed_everything"):
        assert config[name] == stated[name], name
    fingerprint = config["data_fingerprint"]
    assert fingerprint["data_prepro_sha256"] == sha256_file(tiny_world / "data_prepro.h5")
    assert fingerprint["tower"]["weights_sha256"]
    assert config["versions"]["lookwhy"] == "0.1.0"
