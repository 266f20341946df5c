"""`--ckpt_path`: its short forms, and checkpoints that are refused before anything is written."""

import json
import re
import shutil
from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch
from tiny_runs import train_options

from lookwhy.cli.train import main as train
from lookwhy.models import load_checkpoint

QUIET = ["--trainer.logger=false", "--analysis.epochs=[]"]


@pytest.fixture(scope="module")
def finished(tiny_world, tmp_path_factory):
    """A folder with the finished run `shapes` of two epochs."""
    folder = tmp_path_factory.mktemp("finished")
    assert train(train_options(tiny_world, *QUIET, "--trainer.max_epochs=2", f"--runs={folder}/runs")) == 0
    return folder


@pytest.fixture
def copied(finished, tmp_path, monkeypatch):
    """A copy of it as the working folder; a resumed training changes it."""
    monkeypatch.chdir(shutil.copytree(finished, tmp_path / "work"))
    return Path("runs/shapes")


def state(folder):
    return {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.mark.parametrize("stated", ["last", "best", "runs/shapes", "runs/shapes/checkpoints/last.ckpt"])
def test_the_last_or_best_checkpoint_of_a_named_run_or_of_a_folder_is_resumed(copied, tiny_world, stated):
    more, last = ["--trainer.max_epochs=3", f"--ckpt_path={stated}"], copied / "checkpoints" / "last.ckpt"
    before = {path.name for path in copied.glob("checkpoints/best*.ckpt")}
    assert len(before) == 1
    assert train(train_options(tiny_world, *QUIET, *more)) == 0
    assert load_checkpoint(last).epoch == 2
    assert [path.name for path in copied.parent.iterdir()] == ["shapes"]
    # Only the best one stays, also in a folder that has been moved; Lightning keeps one that is resumed from.
    states = torch.load(last, weights_only=True)["callbacks"].values()
    best = {Path(one.get("best_model_path", "")).name for one in states}
    best = {name for name in best if name.startswith("best")}
    assert len(best) == 1
    after = {path.name for path in copied.glob("checkpoints/best*.ckpt")}
    assert after == best | (before if stated == "best" else set())


def test_a_training_that_was_killed_between_its_last_checkpoint_and_its_end_makes_up_for_the_rest(
    tiny_world, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    options = train_options(tiny_world, "--trainer.logger=false", "--trainer.max_epochs=2")
    assert train(options) == 0
    run = Path("runs/shapes")
    checkpoint, metrics, analysis = (
        run / name for name in ("checkpoints/last.ckpt", "metrics.json", "analysis/epoch=001")
    )
    before, summary = metrics.read_text(), (analysis / "summary.json").read_text()
    content = torch.load(checkpoint, weights_only=True)
    assert [state["due"] for state in content["callbacks"].values() if "due" in state] == [1]
    metrics.unlink()
    shutil.rmtree(analysis)
    assert train([*options, "--ckpt_path=last", "--name=shapes"]) == 0
    assert (analysis / "summary.json").read_text() == summary
    after = json.loads(metrics.read_text())
    assert {key: value for key, value in json.loads(before).items() if key in after} == after
    assert {"val/loss", "val/accuracy/overall", "analysis/accuracy/overall"} <= set(after)
    assert train([*options, "--ckpt_path=last", "--name=shapes"]) == 2, "now it is finished"


class Stop(pl.Callback):
    """Interrupts a training in its second step."""

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        if batch_idx == 1:
            raise KeyboardInterrupt


def test_a_finished_training_that_goes_on_is_not_finished_until_its_new_end(copied, tiny_world):
    assert (copied / "metrics.json").is_file()
    stop = "--trainer.callbacks=[{class_path: test_resume.Stop}]"
    assert train(train_options(tiny_world, *QUIET, "--trainer.max_epochs=5", LAST, stop)) == 130
    assert not (copied / "metrics.json").exists()


def other_words(world, folder):
    other = shutil.copytree(world, folder / "other")
    content = json.loads((other / "data_prepro.json").read_text())
    words = content["ix_to_word"]
    words["1"], words["2"] = words["2"], words["1"]
    (other / "data_prepro.json").write_text(json.dumps(content))
    return [f"--data.folder={other}"]


def changed(name, change):
    """Options that resume from a changed copy of the last checkpoint."""

    def make(world, folder):
        path = Path(name)
        change(path)
        return [f"--ckpt_path={path}"]

    return make


def cut(path):
    path.write_bytes(Path("runs/shapes/checkpoints/last.ckpt").read_bytes()[:2000])


def weights_only(path):
    content = torch.load("runs/shapes/checkpoints/last.ckpt", weights_only=True)
    kept = ("epoch", "global_step", "state_dict", "lookwhy")
    torch.save({key: content[key] for key in kept}, path)


def foreign(path):
    torch.save({"state_dict": {"weight": torch.zeros(2)}}, path)


LAST = "--ckpt_path=last"
REFUSED = {
    "words": (other_words, [LAST], "expected the 4. words that .*last.ckpt was trained with, found other 4."),
    "shapes": (
        None,
        [LAST, "--model.head.init_args.hidden_size=11"],
        "of shape .*give the options of model.head",
    ),
    "reached": (None, [LAST, "--trainer.max_epochs=2"], "max_epochs above 2, .* found 2; raise it"),
    "best of fewer": (None, ["--ckpt_path=best", "--trainer.max_epochs=1"], "max_epochs above .*, found 1"),
    "no such run": (None, [LAST, "--name=nothing"], "no last.*ckpt in runs/nothing/checkpoints; correct"),
    "no such file": (None, ["--ckpt_path=no.ckpt"], "found no file no.ckpt; correct --ckpt_path"),
    "cut": (changed("cut.ckpt", cut), [], "found another kind of file in cut.ckpt"),
    "weights only": (changed("w.ckpt", weights_only), [], "holds weights only; it can be analysed"),
    "foreign": (changed("foreign.ckpt", foreign), [], "found no lookwhy entry in foreign.ckpt"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_checkpoint_that_does_not_fit_is_one_line_and_nothing_is_written(
    copied, tiny_world, tmp_path, capsys, case
):
    make, more, told = REFUSED[case]
    given = make(tiny_world, tmp_path) if make else []
    before = state(copied.parent)
    capsys.readouterr()
    assert train(train_options(tiny_world, *QUIET, "--trainer.max_epochs=5", *given, *more)) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("lookwhy: error: expected ")
    assert re.search(told, line), line
    assert state(copied.parent) == before
