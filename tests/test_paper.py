"""The paper in one command: from archives on a server to its tables, stopped on the way."""

import json
import re
import signal
import subprocess
import sys
import time
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from types import SimpleNamespace

import pytest
import pytorch_lightning as pl
from filelock import FileLock
from tiny_runs import ROOT, clean_environment, run
from web_server import WebServer

from benchmarks.soak.paper import make_archives
from lookwhy import store
from lookwhy.cli.analyze import main
from lookwhy.cli.paper import WEIGHTS
from lookwhy.data.features import extract_features
from lookwhy.data.prepro import read_prepro
from lookwhy.reporting.numbers import PAPER
from lookwhy.reporting.paper import CHOICES
from lookwhy.towers.image_tower import build_tower
from lookwhy.towers.shapes_cnn import RECIPE

HEAD = {"embedding_size": 12, "hidden_size": 10, "common_size": 16}
TRAINING = [
    "--trainer.max_epochs=2", "--data.steps_per_epoch=10", "--data.batch_size=32", "--analysis.epochs=[0]",
    "--trainer.logger=false", "--data.annotators=simulated annotators", "--analysis.plan.num_questions=12", "--analysis.plan.num_examples=1",
    "--analysis.plan.bootstrap_samples=20", "--analysis.plan.image_methods=[lookwhy.attribution.Occlusion]",
    *(f"--model.head.init_args.{name}={size}" for name, size in HEAD.items()),
]  # fmt: skip


def words(root, url, *more, train=TRAINING):
    return [
        "paper",
        "--root",
        str(root),
        "--base-url",
        url,
        "--no-checksum",
        "--device",
        "cpu",
        *more,
        "--",
        *train,
    ]


def said_by(arguments):
    """Exit code, stdout and stderr of the command, run in this process."""
    with redirect_stdout(StringIO()) as out, redirect_stderr(StringIO()) as err:
        try:
            code = main(arguments)
        except SystemExit as stop:
            code = stop.code
    return SimpleNamespace(returncode=code, stdout=out.getvalue(), stderr=err.getvalue())


@pytest.fixture(scope="module")
def begun(tiny_world, tmp_path_factory):
    """Root folder, server and results of each run: no network, wrong weights, killed, finished."""
    folder = tmp_path_factory.mktemp("paper")
    root, said = folder / "root", []
    make_archives(folder / "archives", tiny_world)
    files = {path.name: path.read_bytes() for path in (folder / "archives").iterdir()}
    command = [sys.executable, str(ROOT / "analyze.py")]
    with WebServer() as web:
        web.files = files | {WEIGHTS: b"no weights of VGG-19, which would be 575 MB"}
        web.plan["val2014.zip"] = [404]
        said += [said_by(words(root, web.url)) for _ in range(2)]
        # From here on with features of the small network of the shapes world.
        tower, prepro = build_tower("shapes", "fc7", RECIPE, tiny_world / "tower.pt"), read_prepro(root)
        images = {"train": prepro.train.image_files, "test": prepro.test.image_files}
        extract_features(tower, tower.describe(), RECIPE, root, images, root / "data_img.h5")
        with subprocess.Popen(
            [*command, *words(root, web.url)], cwd=folder, env=clean_environment()
        ) as process:
            while process.poll() is None and not (root / "paper/run/checkpoints/last.ckpt").exists():
                time.sleep(0.01)
            process.send_signal(signal.SIGKILL)
        said.append(process.returncode)
        web.log.clear()
        said.append(run([*command, *words(root, web.url)], folder))
        yield root, web, said


@pytest.mark.slow
def test_the_command_stops_in_one_line_and_goes_on_where_it_stopped(begun):
    root, web, (no_network, no_weights, killed, last) = begun
    assert no_network.returncode == no_weights.returncode == 2
    assert re.fullmatch(
        r"lookwhy: error: expected the file \S+/val2014.zip, found: 404 .*; the same command continues\n",
        no_network.stderr,
    )
    assert re.fullmatch(
        rf"lookwhy: error: expected a .caffemodel, .* {root}/{WEIGHTS} .*\n", no_weights.stderr
    )
    assert "[2 of 8] download COCO" in no_network.stdout
    assert "[3 of 8]" not in no_network.stdout
    assert "train2014.zip: here already" in no_weights.stdout
    assert killed == -signal.SIGKILL
    assert last.returncode == 0, last.stderr
    assert web.log == []
    assert re.search(
        r"^\[5 of 8\] questions: here already .*\n\n\[6 of 8\] image features: here already",
        last.stdout,
        re.M,
    )
    assert f"--ckpt_path {root}/paper/run/checkpoints/last.ckpt" in last.stdout
    assert "epoch 1: " in last.stdout
    assert "epoch 0: " not in last.stdout


def test_the_tables_hold_the_numbers_of_the_analysis_and_of_the_paper(begun):
    root, *_ = begun
    out = root / "paper"
    found, text = json.loads((out / "paper.json").read_text()), (out / "paper.md").read_text()
    result = store.load(store.epoch_folder(out, 1))
    assert found["summary"] == result.summary
    assert found["untrained"] == store.load(store.epoch_folder(out / "run", store.UNTRAINED)).summary
    key = "image/occlusion/rank_correlation"
    low, high = (f"{result.summary[f'{key}/{end}']:.3f}" for end in ("ci_low", "ci_high"))
    row = re.search(r"^\| Occlusion \|(.*)\|$", text, re.M)[1].split(" | ")
    assert row[0].strip() == f"{result.summary[key]:.3f} [{low}, {high}]"
    assert row[-1].strip() == PAPER["occlusion"]
    assert f"{found['untrained'][key]:.3f}" in row[-2]
    assert "Simulated annotators (each against the others)" in text
    assert "human annotators, after" not in text
    for group, name in (("noun", "Noun"), ("wh_word", "Wh-word")):
        words = result.summary[f"question/word_drop/most_important/{group}/n"]
        row = rf"^\| {name} \|( [\d.]+% \[[\d.]+%, [\d.]+%\] \| [\d.]+% \|)+ [\d.]+% \| {words:.0f} \|$"
        assert bool(re.search(row, text, re.M)) == (words >= 30), name
        assert (f"{name.lower()} {words:.0f} (about" in text) == (words < 30), name
    assert found["environment"]["git revision"]
    assert found["training"]["seed_everything"] == 123
    assert all(len(digest) == 64 for digest in found["inputs"].values())
    pictures = re.findall(r"\]\((figures/\w+\.png)\)", text)
    assert {"agreement", "most_important_words", "failure_prediction"} <= {one[8:-4] for one in pictures}
    assert [one for one in pictures if not (out / one).is_file()] == []


def test_every_choice_of_the_page_is_in_the_table_with_its_setting(begun):
    page = (ROOT / "docs/paper.md").read_text().partition("## Choices that the paper leaves open")[2]
    rows = [line.strip("| ").split(" | ") for line in page.splitlines() if line.startswith("|")][2:]
    assert [row[0] for row in rows] == list(CHOICES)
    for question, _, setting in rows:
        name = re.match(r"`([\w.]+)`|", setting)[1]
        assert CHOICES[question] == name or (name is None and "are reported" in CHOICES[question])
    chosen = json.loads((begun[0] / "paper/paper.json").read_text())["choices"]
    assert chosen["cells along each side"] == "plan.grid = 16"
    assert chosen["224 x 224 pixels to 16 x 16 cells"] == "GuidedBackprop is not in the plan"
    assert chosen["probability or logit"].startswith("Occlusion: probability")


def test_a_finished_command_changes_nothing_and_other_settings_are_refused(begun, capsys):
    root, web, _ = begun
    before = (root / "paper/paper.json").stat().st_mtime_ns
    assert main(words(root, web.url)) == 0
    assert "[8 of 8] analysis and tables: here already" in capsys.readouterr().out
    assert (root / "paper/paper.json").stat().st_mtime_ns == before
    assert main(words(root, web.url, train=["--trainer.max_epochs=9"])) == 2
    assert "give another --name" in capsys.readouterr().err
    with FileLock(root / "paper/.lock"):
        assert main(words(root, web.url)) == 2
    assert "found another process at work there" in capsys.readouterr().err


class Interrupt(pl.Callback):
    """Ctrl-C in the second epoch, when there is a checkpoint to go on from."""

    def on_train_batch_start(self, trainer, *_):
        if trainer.current_epoch == 1:
            raise KeyboardInterrupt


def test_ctrl_c_in_the_training_ends_the_command_before_its_tables(begun):
    root, web, _ = begun
    train = [*TRAINING, "--trainer.callbacks+=test_paper.Interrupt"]
    stopped = said_by(words(root, web.url, "--name", "stopped", train=train))
    assert stopped.returncode == 130
    left_out, line = stopped.stderr.splitlines()
    assert left_out.startswith("lookwhy: the last epoch, 1, will not be analysed: ")
    assert line.startswith("lookwhy: interrupted; go on with: ")
    assert "[8 of 8]" not in stopped.stdout
    assert not (root / "stopped/paper.json").exists()


def test_a_wrong_option_is_refused_before_anything_is_fetched(tmp_path, capsys):
    for more, found in (
        ({"train": ["--trainer.max_epoch=2"]}, "did you mean --trainer.max_epochs?"),
        ({"train": ["--trainer.max_epochs=two"]}, "max_epochs"),
        ({"train": TRAINING, "name": "a/b"}, "found 'a/b'"),
    ):
        name = ["--name", more["name"]] if "name" in more else []
        assert main(words(tmp_path / "new", "http://127.0.0.1:1", *name, train=more["train"])) == 2
        error = capsys.readouterr().err
        assert found in error
        assert error.count("\n") == 1
    assert not (tmp_path / "new").exists()


def test_make_passes_on_the_folder_and_the_mirror(tmp_path):
    done = run(
        [
            "make",
            "-n",
            "-C",
            ROOT,
            "paper",
            f"ROOT={tmp_path}",
            "BASE_URL=http://mirror",
            "FLAGS=--device cpu",
        ],
        tmp_path,
    )
    assert f'analyze.py paper --root "{tmp_path}" --base-url "http://mirror" --device cpu\n' in done.stdout
    refused = run(["make", "-C", ROOT, "paper"], tmp_path)
    assert refused.returncode == 2
    assert refused.stdout.count("make paper needs a folder to download to") == 1
