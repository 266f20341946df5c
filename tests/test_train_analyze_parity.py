"""The real commands on the tiny world: train, analyse every epoch, and analyze.py on the checkpoint."""

import json
import shutil
import sys

import numpy as np
import pytest
from tiny_runs import ROOT, parse_only, run, train_options

from lookwhy import store
from lookwhy.cli.analyze import main as analyze
from lookwhy.cli.prepare import main as prepare
from lookwhy.cli.train import main as train
from lookwhy.errors import SCRIPTS
from lookwhy.models import load_checkpoint


def test_training_prints_a_line_an_epoch_the_table_and_where_to_look(trained):
    lines = [line for line in trained.stdout.splitlines() if line.startswith("epoch ")]
    assert [line.partition(":")[0] for line in lines] == ["epoch 0", "epoch 1"]
    assert all("loss" in line and "validation accuracy" in line for line in lines)
    for unwanted in ("warn", "%|", "\x1b"):
        assert unwanted not in (trained.stdout + trained.stderr).lower()
    assert "runs/shapes" in trained.stdout
    assert "Agreement with simulated annotators, epoch 1" in trained.stdout
    assert "offline" in trained.stdout
    assert (trained.run / "config.yaml").is_file()
    assert trained.last.is_file()
    assert list((trained.run / "checkpoints").glob("best-*.ckpt"))
    assert list(store.stored_epochs(trained.run)) == [-1, 0, 1]
    summary = json.loads((trained.run / "analysis" / "epoch=000" / "summary.json").read_text())
    assert all(isinstance(value, float) for value in summary.values())
    assert {path.name for path in trained.folder.iterdir()} == {"runs"}  # nothing staged anywhere else


def test_the_runs_config_trains_the_same_again(trained):
    again = parse_only(["fit", "--config", str(trained.run / "config.yaml")]).fit.analysis.plan
    plan = store.load(store.epoch_folder(trained.run, 1)).manifest["plan"]
    methods = [method["class_path"].rpartition(".")[2] for method in plan["image_methods"]]
    assert [method.class_path.rpartition(".")[2] for method in again.image_methods] == methods
    assert again.num_questions == plan["num_questions"]


def test_analyze_computes_the_numbers_of_the_callback(trained, tmp_path):
    assert analyze([str(trained.last), "--out", str(tmp_path)]) == 0
    ours, theirs = (store.load(store.epoch_folder(folder, 1)) for folder in (tmp_path, trained.run))
    assert (ours.summary, ours.records) == (theirs.summary, theirs.records)
    for name in ("weights_sha256", "plan", "training"):
        assert ours.manifest[name] == theirs.manifest[name]
    located = {key for key in ours.summary if key.startswith("image/occlusion/localisation/")}
    assert {f"image/occlusion/localisation/{name}" for name in ("mass_accuracy", "pointing_game")} <= located
    assert any(record.get("localisation_rank_accuracy") is not None for record in ours.records)
    np.testing.assert_array_equal(ours.truth, theirs.truth)
    assert len(ours.truth) == len(ours.question_ids)
    for name, maps in theirs.maps.items():
        np.testing.assert_array_equal(ours.maps[name].values.numpy(), maps.values.numpy())


def test_a_test_set_without_annotations_is_answered_for_the_evaluation_server(
    trained, tiny_world, tmp_path, capsys
):
    test_set, out = tmp_path / "test_set", tmp_path / "out"
    parts = ("train_questions", "train_annotations", "val_questions")
    files = [f"--{one.replace('_', '-')}={tiny_world}/{'_'.join(one.split('_')[::-1])}.json" for one in parts]
    answers = len(load_checkpoint(trained.last).answers)
    more = [f"--images={tiny_world / 'images'}", f"--num-answers={answers}", f"--out={test_set}"]
    assert prepare(["questions", *files, *more]) == 0
    shutil.copy(tiny_world / "data_img.h5", test_set)
    assert analyze([str(trained.last), "--data", str(test_set), "--out", str(out)]) == 0
    said = json.loads((out / "vqa_OpenEnded_epoch=001_results.json").read_text())
    asked = json.loads((tiny_world / "questions_val.json").read_text())["questions"]
    assert {one["question_id"] for one in said} == {one["question_id"] for one in asked}
    assert f"{len(asked)} questions without annotations" in capsys.readouterr().out


def test_explain_and_compare_write_their_files(trained, tiny_world, tmp_path):
    picture = next((tiny_world / "images" / "shapes_val").glob("*.png"))
    words = ["--image", picture, "--question", "What color is the ball?", "--out", "why.png"]
    done = run([sys.executable, ROOT / "analyze.py", "explain", trained.last, *words], tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("%") == 5
    assert (tmp_path / "why.png").stat().st_size > 10_000
    done = run([sys.executable, ROOT / "analyze.py", "compare", trained.run, "--out", "page.html"], tmp_path)
    assert done.returncode == 0, done.stderr
    assert "</html>" in (tmp_path / "page.html").read_text()


def test_last_is_the_last_epoch_also_where_an_earlier_one_was_better(tiny_world, tmp_path):
    # A model that learns nothing is never better than at its first epoch.
    more = ["--model.learning_rate=1e-12", "--analysis.epochs=[]", "--trainer.max_epochs=3"]
    assert train(train_options(tiny_world, *more, "--trainer.logger=false", f"--runs={tmp_path}")) == 0
    folder = tmp_path / "shapes" / "checkpoints"
    assert sorted(path.name for path in folder.iterdir()) == ["best-epoch=000.ckpt", "last.ckpt"]
    assert load_checkpoint(folder / "last.ckpt").epoch == 2


@pytest.mark.parametrize(
    "arguments",
    [["train.py", "sweep"], ["analyze.py", "explain", "--imgae=a.png"], ["data/prepare.py", "shape"]],
)
def test_a_script_leaves_with_the_exit_code_of_its_command(arguments, tmp_path):
    done = run([sys.executable, ROOT / arguments[0], *arguments[1:]], tmp_path)
    assert done.returncode == 2
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr
    assert done.stderr.startswith("lookwhy: error: ")


@pytest.mark.parametrize(
    "arguments",
    [*([script] for script in SCRIPTS.values()), ["analyze.py", "explain"], ["analyze.py", "workspace"]],
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
