"""Analyses that fail in training: they cost the analysis and one line, not the training."""

import os
import re
import shlex
import shutil
import sys
from pathlib import Path

import pytest
import pytorch_lightning as pl
from pytorch_lightning.callbacks import ModelCheckpoint
from test_ddp import DDP
from tiny_runs import make_data, make_head, make_trainer, run, train_command

from lookwhy import store
from lookwhy.analysis import AnalysisPlan
from lookwhy.analysis.session import AnalysisSession
from lookwhy.attribution import WordDrop
from lookwhy.callbacks import ImportanceCallback
from lookwhy.errors import LookwhyError
from lookwhy.models import VQASystem, load_checkpoint

HERE = Path(__file__).parent
PLAN = {"num_questions": 8, "num_examples": 1, "bootstrap_samples": 20}


class Vanish(pl.Callback):
    """Remove the last image of the analysis in the second epoch, and bring it back in the third."""

    def on_train_batch_start(self, trainer, *_):
        data, split = trainer.datamodule, trainer.datamodule.prepro.test
        (session,) = [one._session for one in trainer.callbacks if isinstance(one, ImportanceCallback)]
        image = data.image_root / split.image_files[split.image_pos[session.rows[-1]]]
        away = image.with_suffix(".away")
        if trainer.is_global_zero and trainer.current_epoch == 1 and image.exists():
            image.rename(away)
        if trainer.is_global_zero and trainer.current_epoch == 2 and away.exists():
            away.rename(image)


@pytest.fixture
def world(tiny_world, tmp_path):
    return shutil.copytree(tiny_world, tmp_path / "world")


def check_that_only_the_analysis_is_missing(done, folder):
    """Check the lines and files of a training whose epoch 1 could not be analysed, and make up for it."""
    assert done.returncode == 0, done.stderr
    (line,) = [line for line in done.stderr.splitlines() if "no analysis of epoch 1" in line]
    assert re.match(
        r"lookwhy: no analysis of epoch 1: expected .*, found .*\.png.*; the training goes on", line
    )
    made_up = line.partition("then make up for it: ")[2]
    path = folder / "runs" / "shapes"
    assert list(store.stored_epochs(path)) == [0, 2]
    assert load_checkpoint(path / "checkpoints" / "last.ckpt").epoch == 2
    assert f"missing     the analysis of epoch 1: {made_up}" in done.stdout
    python, *words = shlex.split(made_up)
    assert python == "python"
    again = run([sys.executable, *words], folder)
    assert again.returncode == 0, again.stderr
    result = store.load(path / "analyze" / "epoch=001" / "analysis" / "epoch=001")
    assert len(result.question_ids) == 8


OPTIONS = ["--trainer.callbacks+=test_failures.Vanish", "--trainer.max_epochs=3", "--trainer.logger=false"]


@pytest.mark.slow
@pytest.mark.parametrize("processes", [[], DDP], ids=["one process", "two processes"])
def test_a_missing_image_costs_the_analysis_and_the_line_tells_how_to_make_up_for_it(
    world, tmp_path, processes
):
    path = os.pathsep.join([str(HERE), str(HERE.parent), os.environ.get("PYTHONPATH", "")])
    done = run(train_command(world, *OPTIONS, *processes), tmp_path, PYTHONPATH=path)
    check_that_only_the_analysis_is_missing(done, tmp_path)


class WordDropWithFault(WordDrop):
    """A method with a fault."""

    def __call__(self, *_):
        raise ZeroDivisionError("division by zero")


def no_folder(folder):
    (folder / "analysis").write_text("a file where the folder should be")


FAULTS = {
    "a fault in a method": (
        [WordDropWithFault()],
        None,
        r"division by zero \(ZeroDivisionError\), the traceback is in",
    ),
    "a folder that cannot be written": ([], no_folder, r"\(NotADirectoryError\)|\(FileExistsError\)"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_any_failure_is_one_line_and_the_training_has_all_its_checkpoints(
    tiny_world, tmp_path, capsys, fault
):
    methods, prepare, told = FAULTS[fault]
    (tmp_path / "checkpoints").mkdir()
    if prepare:
        prepare(tmp_path)
    pl.seed_everything(7)
    data = make_data(tiny_world)
    callback = ImportanceCallback(AnalysisPlan([], [WordDrop(), *methods][-1:], **PLAN))
    writer = ModelCheckpoint(tmp_path / "checkpoints", "last", enable_version_counter=False)
    trainer = make_trainer(tmp_path, 2, [callback, writer], enable_checkpointing=True)
    trainer.fit(VQASystem(make_head(data)), data)
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("lookwhy: ")]
    assert [re.match("lookwhy: no analysis of (the untrained model|epoch .): ", one)[1] for one in lines] == [
        "the untrained model", "epoch 0", "epoch 1",
    ]  # fmt: skip
    assert all(re.search(told, line) for line in lines), lines
    assert {epoch: Path(path).name for epoch, path in callback.missing.items()} == {
        -1: "untrained.ckpt", 0: "epoch=000.ckpt", 1: "epoch=001.ckpt",
    }  # fmt: skip
    kept = {name: load_checkpoint(path) for name, path in callback.missing.items()}
    assert [kept[epoch].step for epoch in (-1, 0, 1)] == [0, trainer.global_step // 2, trainer.global_step]
    assert [kept[epoch].epoch for epoch in (0, 1)] == [0, 1]


def test_images_that_a_later_analysis_needs_are_looked_for_first(world):
    data = make_data(world)
    data.setup()
    session = AnalysisSession(data, AnalysisPlan([], **PLAN))
    names = data.prepro.test.image_files
    last = world / "images" / names[data.prepro.test.image_pos[session.rows[-1]]]
    last.unlink()
    with pytest.raises(LookwhyError, match=rf"found no readable .*{last.name} \(1 missing\); restore"):
        AnalysisSession(data, AnalysisPlan([], **PLAN))
