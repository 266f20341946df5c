"""`analyze.py figures`: which files it makes of which runs, and what it refuses."""

from __future__ import annotations

import re

import pytest
from made_results import make_run, save_pictures
from PIL import Image

from lookwhy import store
from lookwhy.cli.analyze import main

CHARTS = {"most_important_words", "accuracy_by_type", "failure_prediction", "failure_curves"}
EXAMPLES = {f"example_{question}" for question in range(100, 104)}


@pytest.fixture
def images(tmp_path):
    return save_pictures(tmp_path / "images")


@pytest.fixture
def run(tmp_path, images):
    return make_run(tmp_path / "runs" / "first", images, range(-1, 2))


def names(folder):
    return {path.name for path in folder.iterdir()}


def told(capsys):
    errors = capsys.readouterr().err.strip().splitlines()
    assert len(errors) == 1
    return errors[0]


def test_one_run_makes_every_figure_in_one_folder(run, tmp_path, capsys):
    out = tmp_path / "deep" / "figures"
    assert main(["figures", str(run), "--out", str(out)]) == 0
    assert names(out) == {f"{name}.png" for name in CHARTS | EXAMPLES | {"agreement"}}
    assert capsys.readouterr().out == f"figures  {out} (9 files)\n"
    for path in out.iterdir():
        with Image.open(path) as image:
            image.load()
            assert abs(image.width - 7.2 * 200) <= 1


def test_several_runs_share_agreement_and_have_a_folder_each_by_name(run, images, tmp_path):
    second = make_run(tmp_path / "other" / "first", images, 2)
    out = tmp_path / "figures"
    command = ["figures", str(run), str(second), "--out", str(out), "--question", "101"]
    assert main(command) == 0
    assert names(out) == {"agreement.png", "runs-first", "other-first"}
    assert names(out / "other-first") == {f"{name}.png" for name in CHARTS | {"example_101"}}
    assert main([*command, "--names", "LSTM", "a b/c"]) == 0
    assert {"LSTM", "a-b-c"} <= names(out)


def test_pdf_and_svg_hold_real_text_and_no_date_and_are_the_same_again(run, tmp_path):
    wanted = ["--format", "pdf,svg", "--question", "100", "--width", "single"]
    for name in ("one", "two"):
        assert main(["figures", str(run), "--out", str(tmp_path / name), *wanted]) == 0
    first = sorted((tmp_path / "one").iterdir())
    assert len(first) == 2 * (len(CHARTS) + 2)
    for path in first:
        content = path.read_bytes()
        assert content == (tmp_path / "two" / path.name).read_bytes()
        assert not re.search(rb"CreationDate|<dc:date>", content)
        if path.suffix == ".pdf":
            assert b"/Type /Font" in content
            assert b"/Subtype /Type3" not in content
    svg = (tmp_path / "one" / "example_100.svg").read_text()
    assert ">color</text>" in svg
    assert ">Occlusion</text>" in svg
    assert 'width="252pt"' in svg, "3.5 inches"


def test_charts_are_of_the_epoch_asked_for(run, tmp_path):
    for epoch in ("-1", "1"):
        command = ["figures", str(run), "--out", str(tmp_path / epoch), "--epoch", epoch, "--format", "svg"]
        assert main([*command, "--question", "100"]) == 0
    read = {epoch: (tmp_path / epoch / "accuracy_by_type.svg").read_text() for epoch in ("-1", "1")}
    assert "Untrained." in read["-1"]
    assert "Epoch 1." in read["1"]
    agreement = [(tmp_path / epoch / "agreement.svg").read_bytes() for epoch in ("-1", "1")]
    assert agreement[0] == agreement[1], "all epochs, whichever is asked for"


def test_examples_whose_images_are_gone_are_told_and_left_out(run, images, tmp_path, caplog):
    (images / "0.png").unlink()
    out = tmp_path / "figures"
    assert main(["figures", str(run), "--out", str(out)]) == 0
    assert {f"example_{question}.png" for question in (102, 103)} <= names(out)
    assert "example_100.png" not in names(out)
    (warning,) = caplog.messages
    assert "first: no figure of 2 examples" in warning
    assert "0.png" in warning


def test_an_image_asked_for_must_be_there(run, images, tmp_path, capsys):
    (images / "0.png").unlink()
    assert main(["figures", str(run), "--out", str(tmp_path / "f"), "--question", "100"]) == 2
    assert "expected the image of a question to draw" in told(capsys)


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        (["--epoch", "7"], "expected an analysed epoch"),
        (["--epoch", "7"], "it has untrained, epoch 0, epoch 1"),
        (["--question", "100", "9"], "expected the id of an analysed question, found --question 9; 100, 101"),
        (["--format", "png,gif"], "found 'gif' in 'png,gif'"),
        (["--width", "wide"], "invalid choice: 'wide'"),
        (["--names", "a", "b"], "expected --names of 1 runs, found 2"),
        (["--names", "../.."], "expected names that make folders apart"),
    ],
)
def test_wrong_input_is_one_line_and_exit_code_2(run, tmp_path, capsys, more, expected):
    assert main(["figures", str(run), "--out", str(tmp_path / "f"), *more]) == 2
    assert expected in told(capsys)
    assert not (tmp_path / "f").exists()


def test_a_run_named_twice_without_analysis_or_damaged_is_refused(run, tmp_path, capsys):
    out = ["--out", str(tmp_path / "f")]
    assert main(["figures", str(run), f"{run}/../first", *out]) == 2
    assert "expected each run once" in told(capsys)
    assert main(["figures", str(tmp_path), *out]) == 2
    assert "expected a run folder" in told(capsys)
    (store.epoch_folder(run, 0) / "curves.json").write_text("half a fi")
    assert main(["figures", str(run), *out]) == 2
    assert "found a damaged one" in told(capsys)


def test_a_place_that_cannot_be_written_is_one_line(run, tmp_path, capsys):
    (tmp_path / "file").write_text("mine")
    assert main(["figures", str(run), "--out", str(tmp_path / "file")]) == 2
    assert "expected a place for figures" in told(capsys)
    assert (tmp_path / "file").read_text() == "mine"
