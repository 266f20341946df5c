"""A real W&B run, offline, read back."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import matplotlib
import numpy as np
import pytest
from made_results import make_result, picture

from lookwhy.reporting import wandb as reporting

SCRIPT = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[3])
from made_results import make_result
from lookwhy import store
from lookwhy.reporting.publish import publish
from lookwhy.reporting.wandb import prepare_environment

run_folder = Path(sys.argv[1])
print(prepare_environment(run_folder))
import wandb
# As Lightning's logger does it.
run = wandb.init(project="lookwhy")
run.define_metric("trainer/global_step")
run.define_metric("*", step_metric="trainer/global_step", step_sync=True)
for epoch in (0, 1, 2):
    run.log({"train/loss": 1.0, "trainer/global_step": 100 * epoch})
    result = make_result(epoch, folder=Path(sys.argv[2]))
    result.manifest["examples"] = [100, 101]
    if epoch == 0:  # a value that is undefined at first
        del result.summary["image/occlusion/rank_correlation"]
    store.save(result, store.epoch_folder(run_folder, epoch))
    publish(result, run_folder, epoch, run)
run.finish()
"""


@pytest.fixture(scope="module")
def logged(tmp_path_factory):
    """An offline run of three epochs in a home of its own: its folder, records, output, and the home."""
    from PIL import Image

    base = tmp_path_factory.mktemp("wandb")
    images, home, temporary = base / "images", base / "home", base / "tmp"
    for folder in (images, home, temporary):
        folder.mkdir()
    for number in range(6):
        Image.fromarray(picture(number)).save(images / f"{number}.png")
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("WANDB_", "XDG_", "NETRC"))}
    # matplotlib keeps its list of fonts in the home folder: it has one already.
    clean["MPLCONFIGDIR"] = matplotlib.get_cachedir()
    environment = clean | {"HOME": str(home), "TMPDIR": str(temporary), "OMP_NUM_THREADS": "1"}
    here = str(Path(__file__).parent)
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(base / "run"), str(images), here],
        env=environment, cwd=base, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    outside = [str(p.relative_to(base)) for f in (home, temporary) for p in f.rglob("*") if p.is_file()]
    (file,) = (base / "run" / "wandb").glob("offline-run-*/*.wandb")
    read = subprocess.run(
        [str(Path(sys.executable).with_name("wandb")), "leet", "inspect", "--json", str(file)],
        env=environment, cwd=base, capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    records = [json.loads(line) for line in read.stdout.splitlines() if line]
    return SimpleNamespace(
        base=base, run=base / "run", files=file.parent / "files", records=records, done=done, outside=outside
    )


@pytest.fixture(scope="module")
def history(logged):
    """What the analysis logged, one entry an epoch."""
    items = [r["history"]["item"] for r in logged.records if r["type"] == "history"]
    return [item for item in items if any(key.startswith("analysis/") for key in item)]


def test_each_epoch_is_logged_once_with_its_number_and_every_scalar(history):
    assert [item["epoch"] for item in history] == [0, 1, 2]
    expected = make_result(2).summary
    assert {key: history[2][f"analysis/{key}"] for key in expected} == pytest.approx(expected)
    assert "analysis/image/occlusion/rank_correlation" not in history[0]


def test_every_metric_is_tied_to_the_epoch_by_its_exact_name(logged, history):
    metrics = [r["metric"] for r in logged.records if r["type"] == "metric"]
    ours = [m for m in metrics if m.get("name", "").startswith("analysis/")]
    assert all(m["step_metric"] == "epoch" for m in ours)
    assert [m["glob_name"] for m in metrics if m.get("glob_name")] == ["*"], "no pattern but Lightning's"
    names = [m["name"] for m in ours]
    assert len(names) == len(set(names)), "defined once a run"
    assert {f"analysis/{key}" for key in make_result(2).summary} <= set(names)
    media = {key.partition("._type")[0] for item in history for key in item if key.endswith("._type")}
    assert media <= set(names)


def test_the_table_of_questions_is_new_at_every_epoch_under_one_key(logged, history):
    paths = [item["analysis/questions.path"] for item in history]
    assert len(set(paths)) == 3
    for epoch, path in enumerate(paths):
        table = json.loads((logged.files / path).read_text())
        rows = [dict(zip(table["columns"], row, strict=True)) for row in table["data"]]
        assert len(rows) == 12
        assert {row["epoch"] for row in rows} == {epoch}
        first = rows[1]
        assert first["question"] == "how many green things are there ?"
        assert first["rho/occlusion"] == pytest.approx(0.1)
        assert first["flips/occlusion"] == 1
        assert first["flips/guided_backprop"] is None
        assert {"top_word/word_drop", "top_tag/gradient", "ground_truth", "predicted", "confidence"} <= set(
            first
        )


def test_examples_are_images_with_captions_and_of_one_size(logged, history):
    item = history[1]
    assert item["analysis/examples._type"] == "images/separated"
    assert item["analysis/examples.count"] == 2
    assert item["analysis/examples.captions"][1] == (
        "epoch 1 · how many green things are there ? · answered red · true answer red · "
        "ρ Guided backpropagation 0.10 · ρ Occlusion 0.10"
    )
    assert all((logged.files / name).is_file() for name in item["analysis/examples.filenames"])
    assert "sizes do not match" not in logged.done.stderr


def test_figures_and_the_chart_of_words_are_logged(logged, history):
    for name in ("most_important_words", "failure_prediction", "accuracy_by_type"):
        assert history[0][f"analysis/figures/{name}._type"] == "image-file"
    table = json.loads(
        (logged.files / history[0]["analysis/most_important_words/gradient_table.path"]).read_text()
    )
    assert table["columns"] == ["part of speech", "P(most important)", "by chance", "words"]
    assert table["data"][0] == ["Noun", pytest.approx(0.144), 0.12, 400]


def test_nothing_is_left_outside_the_runs_folder(logged):
    assert logged.outside == []
    assert {p.name for p in logged.base.iterdir()} == {"images", "home", "tmp", "run"}


def test_the_run_says_in_one_line_that_it_is_offline(logged):
    assert logged.done.stdout.splitlines()[0].startswith(
        "W&B: no API key found, so the run stays offline in "
    )
    assert str(logged.run / "wandb") in logged.done.stdout
    assert logged.done.stderr == ""


class Recorder:
    """Stands in for a run: remembers calls."""

    def __init__(self):
        self.defined, self.logs = [], []

    def define_metric(self, name, step_metric):
        self.defined.append((name, step_metric))

    def log(self, data):
        self.logs.append(data)


def test_pictures_may_come_from_arrays_or_from_a_reader_of_files(tmp_path):
    by_id, by_file = Recorder(), Recorder()
    result = make_result(folder=tmp_path)
    result.manifest["examples"] = [100, 101]
    reporting.publish(result, {101: picture(1)}, by_id, 2)
    asked = []

    def read(path: str) -> np.ndarray:
        asked.append(path)
        return picture(0)

    reporting.publish(result, read, by_file, 2)
    assert len(by_id.logs) == len(by_file.logs) == 1
    assert len(by_id.logs[0]["analysis/examples"]) == 1
    assert len(by_file.logs[0]["analysis/examples"]) == 2
    assert asked[0] == str(tmp_path / "0.png")


def test_a_key_that_turns_up_later_is_defined_then():
    run = Recorder()
    reporting.publish(make_result(defined=False), {}, run, 0)
    before = len(run.defined)
    reporting.publish(make_result(), {}, run, 1)
    names = [name for name, _ in run.defined]
    assert ("analysis/accuracy/overall", "epoch") in run.defined[before:]
    assert len(names) == len(set(names))


def test_no_more_images_under_a_key_than_wandb_keeps(monkeypatch):
    monkeypatch.setattr(reporting, "MOST_IMAGES", 2)
    run = Recorder()
    reporting.publish(make_result(), {i: picture(0) for i in range(100, 104)}, run, 0)
    assert len(run.logs[0]["analysis/examples"]) == 2


@pytest.fixture
def bare(monkeypatch, tmp_path):
    """No W&B settings at all, and an empty home."""
    for name in list(os.environ):
        if name.startswith("WANDB_") or name == "NETRC":
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    return tmp_path / "home"


def test_without_a_key_the_run_is_offline(bare, tmp_path):
    found = reporting.offline_environment(tmp_path / "run")
    assert found["WANDB_MODE"] == "offline"
    inside = [v for k, v in found.items() if k not in ("WANDB_MODE", "WANDB_SILENT")]
    assert len(inside) == 4
    assert all(Path(value).is_relative_to(tmp_path / "run") for value in inside)


@pytest.mark.parametrize("where", ["environment", "netrc", "settings"])
def test_with_a_key_the_run_is_online(bare, tmp_path, monkeypatch, where):
    if where == "environment":
        monkeypatch.setenv("WANDB_API_KEY", "k" * 40)
    elif where == "netrc":
        (bare / ".netrc").write_text("machine api.wandb.ai\n login user\n password " + "k" * 40 + "\n")
        (bare / ".netrc").chmod(0o600)
    else:
        (bare / ".config" / "wandb").mkdir(parents=True)
        (bare / ".config" / "wandb" / "settings").write_text("[default]\napi_key = " + "k" * 40 + "\n")
    assert "WANDB_MODE" not in reporting.offline_environment(tmp_path / "run")


def test_a_key_of_another_server_is_no_key(bare, tmp_path):
    (bare / ".netrc").write_text("machine github.com\n login user\n password x\n")
    (bare / ".netrc").chmod(0o600)
    assert reporting.offline_environment(tmp_path / "run")["WANDB_MODE"] == "offline"


@pytest.mark.parametrize("mode", ["disabled", "online", "offline"])
def test_what_the_user_has_set_stays(bare, tmp_path, monkeypatch, mode):
    monkeypatch.setenv("WANDB_MODE", mode)
    monkeypatch.setenv("WANDB_DIR", str(tmp_path / "elsewhere"))
    monkeypatch.setattr(os, "environ", dict(os.environ))
    sentence = reporting.prepare_environment(tmp_path / "run")
    assert os.environ["WANDB_MODE"] == mode
    assert os.environ["WANDB_DIR"] == str(tmp_path / "elsewhere")
    assert sentence == f"W&B: {mode}, as WANDB_MODE says; files in {tmp_path / 'elsewhere' / 'wandb'}"
