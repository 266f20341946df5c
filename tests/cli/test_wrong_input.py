"""Wrong input of the three commands: one line on stderr, exit code 2, and no file."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from made_results import make_run, save_pictures
from tiny_runs import ROOT, clean_environment, train_options

from lookwhy import store
from lookwhy.cli.analyze import main
from lookwhy.cli.prepare import main as prepare
from lookwhy.cli.train import main as train

ONE = "explain {ckpt} --image {picture} --question Where?"
OFFICIAL = "explain {ckpt} --batch {world}/questions_val.json"
DAMAGED = "found a damaged one"
NO_SUMMARY = "--trainer.enable_model_summary=false"
SHAPES = f"train --config={ROOT / 'configs' / 'shapes.yaml'}"
EXPECTED = {
    "explian none.ckpt": "found explian (did you mean explain?)",
    "compare --ou report.html runs/a": "unrecognized arguments: --ou (did you mean --out?)",
    "train --config none.yaml": "one of shapes, .. found no file none.yaml; correct --config",
    "train sweep": "found sweep, which no longer exists; use `wandb sweep FILE` .. --group NAME",
    f"{SHAPES} --trainer.logger=false --data.folder=nowhere": "run lookwhy prepare first",
    "train --config {typo}": "'model.learning_rat' (did you mean --model.learning_rate?); see lookwhy train",
    f"{SHAPES} --data.batch_siez=3": "batch_siez .. (did you mean --data.batch_size?); see lookwhy train fit --help",
    f"{SHAPES} --trainer.max_epochs=x": "Given value: x; see lookwhy train fit --help",
    f"{SHAPES} --model.head.init_args.hiden_size=3": "'hiden_size' .. mean hidden_size?); see lookwhy train fit --help",
    f"{SHAPES} --analysis.plan.gird=3": "'gird' .. (did you mean grid?); see lookwhy train fit --help",
    "{train} --analysis.plan.grid=14": "expected grid 14 as in the plan, found grid 16",
    "{train} --trainer.precision=64-true": "32-true, bf16-mixed or 16-mixed, found 64-true",
    "{train} --trainer.accumulate_grad_batches=0": "accumulate_grad_batches of at least 1, found 0",
    "{train} --trainer.accelerator=gpu": "found gpu, but no GPU .. give --trainer.accelerator auto or cpu",
    "{train} --trainer.enable_checkpointing=false": "expected --trainer.enable_checkpointing true, found false",
    f"{{train}} {NO_SUMMARY} --trainer.val_check_interval=1000": "(1000) must be less than or equal to the number .. (ValueError)",
    "{train} --trainer.callbacks+=EarlyStopping --trainer.callbacks.monitor=val/los": "found val/los (did you mean val/loss?); correct it",
    f"{{train}} {NO_SUMMARY} --trainer.callbacks+=LearningRateMonitor": "LearningRateMonitor .. no logger .. change this setting",
    "{train} --trainer.logger=CometLogger": "Requirement 'comet-ml .. not met .. see lookwhy train fit --help",
    "{train} --config={bad}/latin.yaml": "found none in {bad}/latin.yaml ('utf-8' codec .. correct it, or --config",
    "{train} --config={bad}/bomb.yaml": "found none in {bad}/bomb.yaml (aliases that stand for more than 100000 values)",
    "{train} --analysis.plan={bad}/loop.yaml": "found none in {bad}/loop.yaml (aliases that stand for more than",
    "{train} --config={bad}/deep.yaml": "found none in {bad}/deep.yaml (",
    "{ckpt} --plan {bad}/bomb.yaml": "found none in {bad}/bomb.yaml (aliases that stand for more than 100000 values)",
    "{train} --data.annotator_maps={bad}": "expected files named <question_id>_<k>.png, found none in {bad}",
    "{train} --data.truth_masks={bad}": "expected files named <question_id>.png, found none in {bad}",
    "{train} --data.truth_masks=gone": "found no folder gone; correct data.truth_masks .. prepare shapes again",
    "prepare truth clevr-xai nowhere --out x": "named <question_index>.npy, found no folder nowhere",
    "prepare truth vizwiz {bad} --out x": "expected files named <image>.png, found none in {bad}",
    "prepare truth clevr-xai . --out x --questions q.json": "found clevr-xai; leave --questions out",
    "prepare truth gqa . --out x": "invalid choice: 'gqa' .. see lookwhy prepare truth --help",
    "{train} --data.image_root={bad}": "images to explain in {bad}, found no readable ",
    "{train} --analysis.plan.bootstrap_samples=1000000000": "bootstrap_samples of at most 100000, found 1000000000",
    "{train} --analysis.plan.correct_above=-1": "expected correct_above from 0 to 1, found -1",
    "{train} --analysis.plan.folds=1.5": 'Parser key "folds": Expected a int. Got value: 1.5; see lookwhy train fit',
    "{train} --data.batch_size=0": "data.batch_size and data.eval_batch_size of at least 1, found 0",
    "{train} --trainer.accelerator=none": "invalid accelerator name .. change this setting",
    "{train} --model.learning_rate=-1": "expected model.learning_rate above 0, found -1.0",
    "{train} --model.clamp=0": "expected model.clamp above 0, found 0",
    "{train} --model.alpha=1": "expected model.alpha from 0 to below 1, found 1",
    "{train} --model.head.init_args.hidden_size=0": "model.head.init_args.hidden_size of at least 1, found 0",
    "{train} --model.head.init_args.dropout=1.5": "model.head.init_args.dropout from 0 to below 1, found 1.5",
    "{train} --trainer.devices=99999999999999999999": "change this setting",
    "prepare import {fifo} --data {world} --out x.ckpt": "a pipe or a device",
    "{train} --name=..": "expected a --name that makes a folder below --runs, found '..'",
    "{train} --name=.": "expected a --name that makes a folder below --runs, found '.'",
    "{train} --ckpt_path=last": "expected a checkpoint, found no file last",
    "{ckpt} --trust ./os.py": "expected a --trust of a module that can be imported",
    "{ckpt} --limit 2 --out {trained}": "expected a folder of its own for the analysis, found that of a run",
    "{train} --analysis.epochs=[-5]": "expected epochs from 0 .. found [-5]",
    "{train} --analysis.every_n_epochs=0": "every_n_epochs from 1, found None and 0",
    "{train} --ckpt_path={world}/none.ckpt": "found no file {world}/none.ckpt; correct --ckpt_path",
    "prepare vqa": "required: --train-questions .. see lookwhy prepare vqa --help",
    "prepare pictures": "invalid choice: 'pictures' .. see lookwhy prepare --help",
    "prepare download vqa-v3 --root .": "invalid choice: 'vqa-v3' .. see lookwhy prepare download --help",
    "prepare download coco": "required: --root .. --help",
    "prepare download coco --root . --base-url mirror.org": "begins with http:// .. --help",
    "prepare shapes --train-scenes 0": "expected a number of at least 1, found '0' .. --help",
    "prepare shapes --sed 3": "arguments: --sed 3 (did you mean --seed?); see lookwhy prepare shapes --help",
    "prepare features --layer fc8 --images . --out .": "the layer fc7, pool5 or pool5_mean, found 'fc8' .. choose one of them",
    "none.ckpt": "none.ckpt",
    "none.ckpt --data nowhere --grid 14": "expected --data alone, found --grid beside it",
    "{ckpt} --plan /dev/null": "expected a YAML file with a plan, found none in /dev/null .. a pipe or a device",
    "{ckpt} --limit 0": "expected --limit of at least 1, found 0",
    "{ckpt} --grid 1": "expected --grid of at least 2, found 1",
    "{ckpt} --data {world} --profile": "expected --data alone, found --profile beside it",
    f"{ONE} --out why.gif": "found why.gif",
    "explain {ckpt} --image none.png --question Where?": "found no file none.png",
    "explain {ckpt} --image {picture} --question=": "expected a question",
    "explain {ckpt} --image {picture}": "found no --question",
    "explain {ckpt}": "found no --image",
    f"{ONE} --overwrite": "found --overwrite beside",
    "explain {ckpt} --batch none.csv": "none.csv",
    OFFICIAL: "give --images",
    "explain {ckpt} --batch {world}": "found none in",
    f"{OFFICIAL} --question ?": "found --question beside it",
    f"{OFFICIAL} --format png,gif": "found 'gif'",
    "compare {run} {run}": "expected each run once",
    "compare {run} {run}/../first": "expected each run once",
    "compare nowhere": "expected a run folder",
    "compare {run} --out .": "a folder where a file is to be written",
    "compare {loop}": "form a circle; give another path",
    "compare a\0b": "embedded null byte .. give another path",
    "compare {run} --examples 0": "expected 1 or more examples, found 0",
    "compare {run} --out {run}": "expected a file that can be written",
    "figures {run} --out f --epoch 7": "expected an analysed epoch",
    "figures {run} --epoch 7 --out f": "it has untrained, epoch 0, epoch 1",
    "figures {run} --out f --question 100 9": "expected the id of an analysed question, found --question 9; 100, 101",
    "figures {run} --out f --format png,gif": "found 'gif' in 'png,gif'",
    "figures {run} --out f --width wide": "invalid choice: 'wide'",
    "figures {run} --out f --names a b": "expected --names of 1 runs, found 2",
    "figures {run} --out f --names ../..": "expected names that make folders apart",
    "figures {run} {run}/../first --out f": "expected each run once",
    "figures {world} --out f": "expected a run folder",
    "figures {run} --out {picture}": "expected a folder to write to",
    "serve {ckpt} --port 70000": "expected a --port from 0 to 65535, found 70000",
    "serve none.ckpt --port 0": "none.ckpt",
    "workspace nowhere": "expected a run folder",
    **{
        f"{words} --device {device}": f"expected a device to compute on, found {found}"
        for words in (
            "{ckpt}",
            ONE,
            "serve {ckpt} --port 0",
            "{ckpt} --data {world}",
            "prepare features --images . --out {world} --weights {world}/tower.pt --recipe caffe",
        )
        for device, found in {"cuda:99": "no cuda:99", "meta": "meta", "foo": "no foo"}.items()
    },
    "workspace --out /dev/null/view.json": "expected a file that can be",
}


@pytest.fixture(scope="module")
def places(tiny_world, tiny_checkpoint, tmp_path_factory):
    folder = tmp_path_factory.mktemp("places")
    run = make_run(folder / "first", save_pictures(folder / "images"), range(-1, 2))
    picture = min((tiny_world / "images" / "shapes_val").glob("*.png"))
    os.mkfifo(folder / "fifo")
    (folder / "typo.yaml").write_text("model:\n  learning_rat: 0.1\n")
    (folder / "loop").symlink_to("loop")
    training = " ".join(["train", *train_options(tiny_world, "--trainer.logger=false")])
    return {
        "world": tiny_world,
        "ckpt": tiny_checkpoint,
        "run": run,
        "picture": picture,
        "fifo": folder / "fifo",
        "typo": folder / "typo.yaml",
        "loop": folder / "loop",
        "train": training,
        "trained": tiny_checkpoint.parents[1],
        "bad": bad_yaml(folder / "bad"),
    }


def bad_yaml(folder):
    """A folder of YAML files that cannot be options."""
    folder.mkdir()
    (folder / "latin.yaml").write_bytes(b"name: caf\xe9\n")
    (folder / "deep.yaml").write_text("model: " + "{a: " * 3000 + "1" + "}" * 3000)
    (folder / "loop.yaml").write_text("model: &a\n  head: *a\n")
    # Eleven lines that stand for 10 ** 11 words ("billion laughs").
    lines = [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}' if i else 'x'] * 10)}]" for i in range(11)]
    (folder / "bomb.yaml").write_text("\n".join([*lines, "name: *a10"]))
    return folder


@pytest.fixture
def refusal(tmp_path, monkeypatch, capsys):
    """Function that calls a command, by default `analyze.py`, in an empty folder; returns its error."""
    monkeypatch.chdir(tmp_path)

    def refusal(first, *words):
        command = {"train": train, "prepare": prepare}.get(first)
        assert (command([*words]) if command else main([first, *words])) == 2
        output = capsys.readouterr()
        (line,) = output.err.strip().splitlines()
        assert line.startswith("lookwhy: error: ")
        assert output.out == ""
        assert list(tmp_path.iterdir()) == []
        return line

    return refusal


@pytest.mark.parametrize("words", EXPECTED)
def test_wrong_input_is_one_line_and_exit_code_2(refusal, places, words):
    before = places["picture"].read_bytes()
    line = refusal(*words.format(**places).split())
    assert [part for part in EXPECTED[words].format(**places).split(" .. ") if part not in line] == [], line
    assert places["picture"].read_bytes() == before


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has a device that is always full")
def test_output_that_finds_no_room_is_one_line_and_exit_code_2(places, unbuffered):
    command = [
        sys.executable,
        ROOT / "analyze.py",
        "figures",
        places["run"],
        "--out",
        places["run"] / "figures",
    ]
    with open("/dev/full", "w") as full:
        environment = clean_environment(PYTHONUNBUFFERED=unbuffered)
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, env=environment)
    (line,) = done.stderr.splitlines()
    assert (done.returncode, line.partition("found ")[2]) == (
        2,
        "No space left on device; make room on the disk, or write elsewhere; the same command continues",
    )


@pytest.mark.parametrize("command", ["compare", "figures --out f"])
@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("manifest.json", "expected schema version 1, found 99"),
        ("summary.json", DAMAGED),
        ("curves.json", DAMAGED),
        ("records.parquet", DAMAGED),
        ("maps.h5", DAMAGED),
        (None, "expected maps.h5"),
    ],
)
def test_an_analysis_that_cannot_be_read_is_one_line_and_exit_code_2(
    refusal, places, tmp_path_factory, command, name, told
):
    # Epoch 0 is neither the first nor the last. All are read, but `figures` reads only scalars of most.
    whole = name in ("records.parquet", "maps.h5", None) and command != "compare"
    run = shutil.copytree(places["run"], tmp_path_factory.mktemp("spoiled") / "first")
    folder = store.epoch_folder(run, 1 if whole else 0)
    if name is None:
        (folder / "maps.h5").unlink()
    elif name == "manifest.json":
        content = json.loads((folder / name).read_text()) | {"schema_version": 99}
        (folder / name).write_text(json.dumps(content))
    else:
        (folder / name).write_bytes(b"half a fi")
    assert told in refusal(*command.split(), str(run))
