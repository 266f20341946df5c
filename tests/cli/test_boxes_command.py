"""A model on boxes from the command line: prepare, train, analyse, and what cannot be done with it."""

import re
import shutil

import numpy as np
import pytest
import torch
from box_files import write_tsv
from official_files import copy_prepared
from tiny_runs import ROOT, methods, plan_option, run, train_command, train_options

from lookwhy import store
from lookwhy.analysis.boxes import check_plan_for_boxes
from lookwhy.analysis.plan import AnalysisPlan
from lookwhy.analysis.sanity import Sanity
from lookwhy.attribution.box_maps import cells_of_boxes
from lookwhy.cli.analyze import main
from lookwhy.cli.prepare import main as prepare
from lookwhy.cli.train import main as train
from lookwhy.errors import LookwhyError

HEAD = ["--model.head.init_args.regions=5", "--model.head.init_args.mask_empty=true"]
CARD = {"draws": 2, "questions": 2, "random": ["classifier", "head"]}
METHODS = methods("Attention", "GradCAM", "BoxDrop")


@pytest.fixture(scope="module")
def world(tiny_world, tmp_path_factory):
    """The tiny world with boxes in place of its features."""
    folder = copy_prepared(tiny_world, tmp_path_factory.mktemp("world") / "boxes")
    for name in ("annotators", "truth", "images"):
        (folder / name).symlink_to(tiny_world / name)
    assert prepare(["boxes", str(write_tsv(folder)), "--out", str(folder)]) == 0
    return folder


@pytest.fixture(scope="module")
def run_folder(world, tmp_path_factory):
    """The run of a training of one epoch with its analysis."""
    folder = tmp_path_factory.mktemp("trained")
    more = [*HEAD, METHODS, "--trainer.max_epochs=1", plan_option("sanity", CARD)]
    more += ["--trainer.logger=false", "--trainer.enable_model_summary=false", "--analysis.untrained=true"]
    done = run(train_command(world, *more, config="shapes_san"), folder)
    assert done.returncode == 0, done.stderr
    return folder / "runs" / "shapes_san"


def test_the_analysis_has_boxes_their_values_and_the_maps_made_from_them(run_folder):
    result = store.load(store.epoch_folder(run_folder, 0))
    assert set(result.maps) >= {"image/attention", "image/grad_cam", "image/box_drop", "question/word_drop"}
    assert result.boxes.shape == (8, 5, 4)
    for name in ("attention", "grad_cam", "box_drop"):
        one = result.maps[f"image/{name}"]
        np.testing.assert_array_equal(one.box_values.isnan().numpy(), np.isnan(result.boxes).any(2))
        cells = cells_of_boxes(torch.from_numpy(result.boxes), one.box_values, 16)
        torch.testing.assert_close(one.values, cells, rtol=1e-5, atol=1e-7)
        for measure in ("rank_correlation", "localisation/mass_accuracy", "sanity/head/ssim"):
            assert f"image/{name}/{measure}" in result.summary
    assert result.maps["question/word_drop"].box_values is None
    assert list((store.epoch_folder(run_folder, 0) / "figures").glob("example_*.png"))


@pytest.mark.slow
def test_two_processes_find_what_one_finds(world, run_folder, tmp_path):
    more = [*HEAD, METHODS, "--trainer.max_epochs=1", "--analysis.untrained=true", "--analysis.epochs=[]"]
    more += [plan_option("sanity", CARD), "--trainer.logger=false"]
    more += ["--trainer.devices=2", "--trainer.strategy=ddp"]
    done = run(train_command(world, *more, config="shapes_san"), tmp_path)
    assert done.returncode == 0, done.stderr
    folders = run_folder, tmp_path / "runs" / "shapes_san"
    one, two = (store.load(store.epoch_folder(folder, store.UNTRAINED)) for folder in folders)
    assert two.question_ids.tolist() == one.question_ids.tolist()
    assert two.summary == pytest.approx(one.summary, abs=1e-5)
    np.testing.assert_array_equal(two.boxes, one.boxes)
    for name, maps in one.maps.items():
        torch.testing.assert_close(two.maps[name].values, maps.values, equal_nan=True)
        if maps.box_values is not None:
            torch.testing.assert_close(two.maps[name].box_values, maps.box_values, equal_nan=True)


def test_analyze_finds_the_same_numbers_and_compare_shows_them(run_folder, tmp_path):
    last = run_folder / "checkpoints" / "last.ckpt"
    assert main([str(last), "--out", str(tmp_path / "again")]) == 0
    again, first = (store.load(store.epoch_folder(one, 0)) for one in (tmp_path / "again", run_folder))
    assert again.summary == first.summary
    np.testing.assert_array_equal(again.boxes, first.boxes)
    page = tmp_path / "report.html"
    assert main(["compare", str(run_folder), str(tmp_path / "again"), "--out", str(page)]) == 0
    assert "box_drop" in page.read_text()


def test_a_file_of_an_earlier_version_has_no_boxes(tiny_checkpoint, run_folder, tmp_path):
    folder = shutil.copytree(store.epoch_folder(run_folder, 0), tmp_path / "epoch")
    result = store.load(folder)
    result.boxes = np.zeros((0, 0, 4), np.float32)
    for one in result.maps.values():
        one.box_values = None
    found = store.load(store.save(result, tmp_path / "old"))
    assert found.boxes.shape == (0, 0, 4)
    assert all(one.box_values is None for one in found.maps.values())


def test_a_new_picture_cannot_be_explained(run_folder, capsys):
    last, image = run_folder / "checkpoints" / "last.ckpt", ROOT / "docs" / "example.png"
    for words in (["explain", last, "--image", image, "--question", "why?"], ["serve", last]):
        assert main([*map(str, words)]) == 2
        line = "expected features of boxes from data_img.h5, found a picture to compute them from: their detector"
        assert line in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ([METHODS, *HEAD[:1]], "expected model.head.init_args.mask_empty true for features of boxes"),
        ([METHODS, *HEAD[1:]], "expected features of a grid"),
        (HEAD, r"expected image_methods that explain boxes \(Attention, BoxDrop, GradCAM\), found GuidedBackprop"),
        ([METHODS, *HEAD, plan_option("modality", {})], "expected a plan without modality for features of boxes"),
    ],
)  # fmt: skip
def test_a_training_that_cannot_work_is_refused_before_it_starts(
    world, options, error, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    assert train(train_options(world, "--trainer.logger=false", *options, config="shapes_san")) == 2
    assert re.search(error, capsys.readouterr().err)


def test_a_plan_with_a_random_network_is_refused():
    plan = AnalysisPlan(image_methods=[], sanity=Sanity())
    with pytest.raises(LookwhyError, match=re.escape("expected sanity.random of classifier and head")):
        check_plan_for_boxes(plan)
