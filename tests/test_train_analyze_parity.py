"""The real commands on the tiny world: train, analyse every epoch, and analyze.py on the checkpoint."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from tiny_runs import parse_only

from lookwhy import store
from lookwhy.models import load_checkpoint

ROOT = Path(__file__).parent.parent
SIZES = ["embedding_size=12", "hidden_size=10", "common_size=16"]


def command(world, *more):
    return [
        sys.executable, str(ROOT / "train.py"), "--config", str(ROOT / "configs" / "shapes.yaml"),
        f"--data.folder={world}", f"--data.annotator_maps={world / 'annotators'}",
        *(f"--model.head.init_args.{size}" for size in SIZES),
        "--trainer.accelerator=cpu", "--analysis.plan.num_questions=12", "--analysis.plan.num_examples=2",
        "--analysis.plan.bootstrap_samples=50", *more,
    ]  # fmt: skip


def checkpoint_of(folder):
    return folder / "runs" / "shapes" / "checkpoints" / "last.ckpt"


def run(arguments, cwd, **options):
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("WANDB", "LOOKWHY_RUN"))}
    return subprocess.run(
        arguments, cwd=cwd, env=environment, capture_output=True, text=True, timeout=240, **options
    )


@pytest.fixture(scope="module")
def trained(tiny_world, tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained")
    done = run(command(tiny_world, "--trainer.max_epochs=2"), folder)
    assert done.returncode == 0, done.stderr
    return folder, done


def test_training_prints_the_table_and_where_to_look(trained):
    folder, done = trained
    assert "runs/shapes" in done.stdout
    assert "Agreement with simulated annotators, epoch 1" in done.stdout
    assert "offline" in done.stdout + done.stderr
    run_folder = folder / "runs" / "shapes"
    assert (run_folder / "config.yaml").is_file()
    assert (run_folder / "checkpoints" / "last.ckpt").is_file()
    assert list((run_folder / "checkpoints").glob("best-*.ckpt"))
    assert list(store.stored_epochs(run_folder)) == [-1, 0, 1]
    assert {path.name for path in folder.iterdir()} == {"runs"}  # nothing staged anywhere else


def test_nothing_is_warned_of(trained):
    _, done = trained
    assert "warn" not in (done.stdout + done.stderr).lower()


def test_a_log_holds_a_line_an_epoch_and_no_bar(trained):
    _, done = trained
    lines = [line for line in done.stdout.splitlines() if line.startswith("epoch ")]
    assert [line.partition(":")[0] for line in lines] == ["epoch 0", "epoch 1"]
    assert all("loss" in line and "validation accuracy" in line for line in lines)
    assert "%|" not in done.stdout + done.stderr
    assert "\x1b" not in done.stdout + done.stderr


def test_the_runs_config_trains_the_same_again(trained):
    folder, _ = trained
    run_folder = folder / "runs" / "shapes"
    again = parse_only(["fit", "--config", str(run_folder / "config.yaml")]).fit
    manifest = store.load(store.epoch_folder(run_folder, 1)).manifest
    assert [method.class_path for method in again.analysis.plan.image_methods] == [
        method["class_path"] for method in manifest["plan"]["image_methods"]
    ]
    assert again.analysis.plan.num_questions == manifest["plan"]["num_questions"]


def test_analyze_computes_the_numbers_of_the_callback(trained):
    folder, _ = trained
    arguments = [str(checkpoint_of(folder)), "--out", "again"]
    done = run([sys.executable, str(ROOT / "analyze.py"), *arguments], folder)
    assert done.returncode == 0, done.stderr
    ours = store.load(folder / "again" / "analysis" / "epoch=001")
    theirs = store.load(folder / "runs" / "shapes" / "analysis" / "epoch=001")
    assert ours.summary == theirs.summary
    assert ours.records == theirs.records
    assert ours.manifest["weights_sha256"] == theirs.manifest["weights_sha256"]
    assert ours.manifest["plan"] == theirs.manifest["plan"]
    for name, maps in theirs.maps.items():
        np.testing.assert_array_equal(ours.maps[name].values.numpy(), maps.values.numpy())


def test_a_test_set_without_annotations_is_answered_for_the_evaluation_server(trained, tiny_world, tmp_path):
    folder, _ = trained
    test_set = tmp_path / "test_set"
    files = [
        "--train-questions", str(tiny_world / "questions_train.json"),
        "--train-annotations", str(tiny_world / "annotations_train.json"),
        "--val-questions", str(tiny_world / "questions_val.json"),
        "--images", str(tiny_world / "images"), "--out", str(test_set), "--num-answers", str(len(load_checkpoint(checkpoint_of(folder)).answers)),
    ]  # fmt: skip
    done = run([sys.executable, str(ROOT / "data" / "prepare.py"), "questions", *files], folder)
    assert done.returncode == 0, done.stderr
    shutil.copy(tiny_world / "data_img.h5", test_set)
    arguments = [str(checkpoint_of(folder)), "--data", str(test_set), "--out", str(tmp_path / "out")]
    done = run([sys.executable, str(ROOT / "analyze.py"), *arguments], folder)
    assert done.returncode == 0, done.stderr
    said = json.loads((tmp_path / "out" / "vqa_OpenEnded_epoch=001_results.json").read_text())
    asked = json.loads((tiny_world / "questions_val.json").read_text())["questions"]
    assert {one["question_id"] for one in said} == {one["question_id"] for one in asked}
    assert f"{len(asked)} questions without annotations" in done.stdout


def test_the_offline_run_holds_every_epochs_numbers(trained):
    folder, _ = trained
    (offline,) = (folder / "runs" / "shapes" / "wandb").glob("offline-run-*/*.wandb")
    leet = [str(Path(sys.executable).parent / "wandb"), "leet", "inspect", "--json", str(offline)]
    done = run(leet, folder)
    assert done.returncode == 0, done.stderr
    stored = store.load(folder / "runs" / "shapes" / "analysis" / "epoch=001").summary
    for key in ("image/occlusion/rank_correlation", "accuracy/overall"):
        assert f"analysis/{key}" in done.stdout
        assert key in stored


def test_explain_draws_a_picture_and_prints_the_answers(trained, tiny_world):
    folder, _ = trained
    picture = next((tiny_world / "images" / "shapes_val").glob("*.png"))
    done = run(
        [
            sys.executable, str(ROOT / "analyze.py"), "explain",
            str(folder / "runs" / "shapes" / "checkpoints" / "last.ckpt"),
            "--image", str(picture), "--question", "What color is the ball?", "--out", "why.png",
        ],
        folder,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("%") == 5
    assert (folder / "why.png").stat().st_size > 10_000


def test_compare_writes_one_page(trained):
    folder, _ = trained
    arguments = ["compare", "runs/shapes", "--out", "report.html"]
    done = run([sys.executable, str(ROOT / "analyze.py"), *arguments], folder)
    assert done.returncode == 0, done.stderr
    assert "</html>" in (folder / "report.html").read_text()


def test_last_is_the_last_epoch_also_where_an_earlier_one_was_better(tiny_world, tmp_path):
    # A model that learns nothing is never better than at its first epoch.
    more = ["--model.learning_rate=1e-12", "--analysis.epochs=[]", "--analysis.untrained=false"]
    done = run(command(tiny_world, "--trainer.max_epochs=3", *more), tmp_path)
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "runs" / "shapes" / "checkpoints"
    assert sorted(path.name for path in folder.iterdir()) == ["best-epoch=000.ckpt", "last.ckpt"]
    assert load_checkpoint(folder / "last.ckpt").epoch == 2


def test_an_interrupted_run_leaves_with_130_and_resumes(tiny_world, tmp_path):
    process = subprocess.Popen(
        command(tiny_world, "--trainer.max_epochs=200", "--analysis.every_n_epochs=1000"),
        cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    last = tmp_path / "runs" / "shapes" / "checkpoints" / "last.ckpt"
    deadline = time.monotonic() + 120
    while not last.is_file() and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert "Traceback" not in errors
    finished = load_checkpoint(last).epoch
    more = [f"--ckpt_path={last}", f"--trainer.max_epochs={finished + 3}", "--analysis.epochs=[]"]
    done = run(command(tiny_world, *more), tmp_path)
    assert done.returncode == 0, done.stderr
    assert load_checkpoint(last).epoch == finished + 2
    assert [path.name for path in (tmp_path / "runs").iterdir()] == ["shapes"]


@pytest.mark.parametrize(
    "arguments",
    [
        ["train.py", "--config", "none.yaml"],
        ["train.py", "--config", str(ROOT / "configs" / "shapes.yaml"), "--data.batch_siez=3"],
        ["train.py", "--config", str(ROOT / "configs" / "shapes.yaml"), "--data.folder=nowhere"],
        ["analyze.py", "none.ckpt"],
        ["analyze.py", "compare", "nowhere"],
        ["analyze.py", "none.ckpt", "--data", "nowhere", "--grid", "14"],
        ["data/prepare.py", "shapes", "--sede", "3"],
    ],
)
def test_wrong_input_is_one_line_and_exit_code_2(arguments, tmp_path):
    done = run([sys.executable, str(ROOT / arguments[0]), *arguments[1:]], tmp_path)
    assert done.returncode == 2
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr
    assert done.stderr.startswith("lookwhy: error: ")


@pytest.mark.parametrize(
    "arguments", [["train.py"], ["analyze.py"], ["analyze.py", "explain"], ["data/prepare.py"]]
)
def test_help_answers_without_loading_torch(arguments, tmp_path):
    script = (
        "import runpy, sys\n"
        f"sys.argv = [{arguments[0]!r}, *{arguments[1:]!r}, '--help']\n"
        "try:\n"
        f"    runpy.run_path({str(ROOT / arguments[0])!r}, run_name='__main__')\n"
        "except SystemExit as leave:\n"
        "    assert not leave.code\n"
        "assert 'torch' not in sys.modules and 'wandb' not in sys.modules\n"
    )
    done = run([sys.executable, "-c", script], tmp_path)
    assert done.returncode == 0, done.stderr
    assert "usage" in done.stdout


def test_a_summary_file_is_flat_numbers(trained):
    folder, _ = trained
    path = folder / "runs" / "shapes" / "analysis" / "epoch=000" / "summary.json"
    content = json.loads(path.read_text())
    assert all(isinstance(value, float) for value in content.values())
