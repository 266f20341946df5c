"""Wrong input of the subcommands of `analyze.py`: one line on stderr, exit code 2, and no file."""

from __future__ import annotations

import json
import shutil
import sys

import pytest
from made_results import make_run, save_pictures

from lookwhy import store
from lookwhy.cli.analyze import main

ONE = "explain {ckpt} --image {picture} --question Where?"
OFFICIAL = "explain {ckpt} --batch {world}/questions_val.json"
DAMAGED = "found a damaged one"
EXPECTED = {
    "{ckpt} --limit 0": "expected --limit of at least 1, found 0",
    "{ckpt} --grid 1": "expected --grid of at least 2, found 1",
    "{ckpt} --data {world} --profile": "expected --data alone, found --profile beside it",
    f"{ONE} --out why.gif": "found why.gif",
    "explain {ckpt} --image none.png --question Where?": "found no file none.png",
    "explain {ckpt} --image {picture} --question=": "expected a question",
    "explain {ckpt} --image {picture}": "found no --question",
    "explain {ckpt}": "found no --image",
    f"{ONE} --device tpu9": "found no tpu9",
    f"{ONE} --overwrite": "found --overwrite beside",
    "explain {ckpt} --batch none.csv": "none.csv",
    OFFICIAL: "give --images",
    "explain {ckpt} --batch {world}": "found none in",
    f"{OFFICIAL} --question ?": "found --question beside it",
    f"{OFFICIAL} --format png,gif": "found 'gif'",
    "compare {run} {run}": "expected each run once",
    "compare {run} {run}/../first": "expected each run once",
    "compare nowhere": "expected a run folder",
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
    "workspace --out /dev/null/view.json": "expected a file that can be",
}


@pytest.fixture(scope="module")
def places(tiny_world, tiny_checkpoint, tmp_path_factory):
    folder = tmp_path_factory.mktemp("places")
    run = make_run(folder / "first", save_pictures(folder / "images"), range(-1, 2))
    picture = min((tiny_world / "images" / "shapes_val").glob("*.png"))
    return {"world": tiny_world, "ckpt": tiny_checkpoint, "run": run, "picture": picture}


@pytest.fixture
def refusal(tmp_path, monkeypatch, capsys):
    """Calls the command in an empty folder; returns its error."""
    monkeypatch.chdir(tmp_path)

    def refusal(*words):
        assert main([*words]) == 2
        (line,) = capsys.readouterr().err.strip().splitlines()
        assert line.startswith("lookwhy: error: ")
        assert list(tmp_path.iterdir()) == []
        return line

    return refusal


@pytest.mark.parametrize("words", EXPECTED)
def test_wrong_input_is_one_line_and_exit_code_2(refusal, places, words):
    before = places["picture"].read_bytes()
    assert EXPECTED[words] in refusal(*words.format(**places).split())
    assert places["picture"].read_bytes() == before


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


@pytest.mark.parametrize(
    ("command", "package", "install"),
    [
        ("workspace", "wandb_workspaces", "wandb-workspaces"),
        ("serve last.ckpt", "starlette", "starlette uvicorn"),
        ("serve last.ckpt", "uvicorn", "starlette uvicorn"),
    ],
)
def test_a_missing_package_is_one_line_and_exit_code_2(refusal, monkeypatch, command, package, install):
    for name in ("lookwhy.live.server", "lookwhy.reporting.wandb.workspace"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.delattr("lookwhy.reporting.wandb.workspace", raising=False)
    # None in sys.modules: an import fails as if the package were not installed.
    for name in {package, *(name for name in sys.modules if name.split(".")[0] == package)}:
        monkeypatch.setitem(sys.modules, name, None)
    line = refusal(*command.split())
    assert package in line.partition("found: ")[2].partition(";")[0]
    assert f"pip install {install}" in line
