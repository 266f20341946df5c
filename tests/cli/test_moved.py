"""A run and its data that were moved: analyses and explanations find the files of today."""

import json
import sys

import pytest
import torch
import yaml
from tiny_runs import ROOT, run

import lookwhy
from lookwhy.cli.analyze import main
from lookwhy.errors import LookwhyError

GONE = "/gone/data/shapes"


@pytest.fixture(scope="module")
def picture(tiny_world):
    return min((tiny_world / "images" / "shapes_val").glob("*.png"))


@pytest.fixture
def moved(tiny_world, tiny_checkpoint, tmp_path):
    """A checkpoint in a run folder; all the paths that it holds are of a disk that is gone."""
    content = torch.load(tiny_checkpoint, weights_only=True)
    stored = json.dumps(content["lookwhy"]).replace(str(tiny_world), GONE)
    content["lookwhy"] = json.loads(stored) | {"run_folder": "/gone/runs/tiny"}
    path = tmp_path / "runs" / "tiny" / "checkpoints" / "last.ckpt"
    path.parent.mkdir(parents=True)
    torch.save(content, path)
    return path


def explain(checkpoint, picture, out, *more):
    words = ["--image", picture, "--question", "what color is the ball ?", "--out", out, *more]
    return main(["explain", str(checkpoint), *map(str, words)])


def numbers(path):
    found = json.loads(path.read_text())
    return found["answers"], found["image_maps"], found["word_importances"]


def test_explain_finds_the_weights_by_each_way(moved, tiny_checkpoint, tiny_world, picture, tmp_path, capsys):
    assert explain(tiny_checkpoint, picture, tmp_path / "before.json") == 0
    capsys.readouterr()
    assert explain(moved, picture, tmp_path / "no.json") == 2
    assert "found no file /gone/data/shapes/tower.pt" in capsys.readouterr().err
    ways = {"folder": ["--data.folder", tiny_world], "weights": ["--weights", tiny_world / "tower.pt"]}
    for name, options in ways.items():
        assert explain(moved, picture, tmp_path / f"{name}.json", *options) == 0
    moved.with_name("paths.yaml").write_text(yaml.safe_dump({"/gone/data": str(tiny_world.parent)}))
    assert explain(moved, picture, tmp_path / "map.json") == 0
    moved.with_name("paths.yaml").unlink()
    # Data and runs were moved together; the data is a link now, as on most clusters.
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "shapes").symlink_to(tiny_world)
    assert explain(moved, picture, tmp_path / "together.json") == 0
    for name in (*ways, "map", "together"):
        assert numbers(tmp_path / f"{name}.json") == numbers(tmp_path / "before.json")


def test_an_analysis_finds_data_images_and_annotators_by_its_command(
    moved, tiny_checkpoint, tiny_world, tmp_path, capsys
):
    limits = ["--limit", "4"]
    assert main([str(moved), *limits]) == 2
    refused = capsys.readouterr().err
    assert refused.count("\n") == 1
    assert "found no folder /gone/data/shapes; give --data.folder, or name" in refused
    found = run([sys.executable, ROOT / "analyze.py", moved, *limits, "--data.folder", tiny_world], tmp_path)
    assert found.returncode == 0, found.stderr
    before = lookwhy.analyze(tiny_checkpoint, limit=4, out=tmp_path / "before")
    [stored] = moved.parents[1].glob("analyze/last/analysis/*/summary.json")
    summary = json.loads(stored.read_text())
    assert summary == before.summary
    assert "image/occlusion/rank_correlation" in summary  # so images and annotators were found
    assert "image/occlusion/localisation/mass_accuracy" in summary  # and masks


def test_a_checkpoint_without_masks_gets_those_of_the_command(tiny_checkpoint, tiny_world, tmp_path):
    content = torch.load(tiny_checkpoint, weights_only=True)
    for name in ("truth_masks", "annotator_maps"):
        content["lookwhy"]["data"][name] = None
    del content["lookwhy"]["data"]["truth_masks"]  # as in checkpoints of earlier versions
    torch.save(content, tmp_path / "old.ckpt")
    masks = tiny_world / "truth"
    without = lookwhy.analyze(tmp_path / "old.ckpt", limit=4, out=tmp_path / "without")
    found = lookwhy.analyze(
        tmp_path / "old.ckpt", limit=4, out=tmp_path / "with", moved={"truth_masks": masks}
    )
    assert not len(without.truth)
    # Without annotators, only questions with a mask are analysed.
    assert {int(path.stem) for path in masks.iterdir()} >= set(found.question_ids.tolist())
    assert "no truth mask" not in found.manifest["excluded"]
    assert found.summary["image/random/localisation/pointing_game/n"] == 4
    assert not [key for key in found.summary if "rank_correlation" in key]


def test_wrong_places_are_refused_in_python(moved, tmp_path):
    with pytest.raises(LookwhyError, match="no folder /gone/data/shapes; give moved"):
        lookwhy.analyze(moved)
    with pytest.raises(LookwhyError, match=r'expected moved\["folder"\] that exists, found no /nowhere'):
        lookwhy.load(moved, moved={"folder": "/nowhere"})
    with pytest.raises(LookwhyError, match="found 'data' moved; give one of these"):
        lookwhy.load(moved, moved={"data": tmp_path})


@pytest.mark.parametrize(
    ("text", "found"),
    [("- /a", "a list"), ("a: [b]", "a: a list"), ("a: b: c", "mapping values"), ("\ud800", "utf-8")],
)
def test_a_malformed_map_of_paths_is_one_line(text, found, moved, picture, tmp_path, capsys):
    moved.with_name("paths.yaml").write_bytes(text.encode("utf-8", "surrogatepass"))
    assert explain(moved, picture, tmp_path / "no.json") == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "expected a map of paths, found" in error
    assert found in error
    assert "paths.yaml" in error
