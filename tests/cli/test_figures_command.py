"""The command `analyze.py figures`: the files that it writes for runs, and the input that it refuses."""

from __future__ import annotations

import re

import pytest
from made_results import make_run, save_pictures
from PIL import Image

from lookwhy.cli.analyze import main
from lookwhy.cli.figures import names_and_folders

CHARTS = {"most_important_words", "accuracy_by_type", "failure_prediction", "failure_curves"}
EXAMPLES = {f"example_{question}" for question in range(100, 104)}


@pytest.fixture
def figures(tmp_path):
    """Function that draws the figures of runs; returns its exit code and the folder that it was given."""
    images = save_pictures(tmp_path / "images")
    runs = [make_run(tmp_path / "runs" / "first", images, range(-1, 2))]

    def figures(*more, others=(), out="figures"):
        runs.extend(make_run(tmp_path / other, images, 2) for other in others)
        words = ["figures", *runs, "--out", tmp_path / out, *more]
        return main([str(word) for word in words]), tmp_path / out

    return figures


def names(folder):
    return {path.name for path in folder.iterdir()}


def test_one_run_makes_every_figure_in_one_folder(figures, capsys):
    code, out = figures(out="deep/figures")
    assert code == 0
    assert names(out) == {f"{name}.png" for name in CHARTS | EXAMPLES | {"agreement"}}
    output = capsys.readouterr()
    assert output.out == f"figures  {out} (9 files)\n"
    assert "%|" not in output.err, "no bar without a terminal"
    for path in out.iterdir():
        with Image.open(path) as image:
            image.load()
            assert abs(image.width - 7.2 * 200) <= 1


def test_several_runs_share_agreement_and_have_a_folder_each_by_name(figures, tmp_path):
    code, out = figures("--question", "101", "--format", "svg", others=["other/first"])
    assert code == 0
    assert names(out) == {"agreement.svg", "runs-first", "other-first"}
    assert names(out / "other-first") == {f"{name}.svg" for name in CHARTS | {"example_101"}}
    named = names_and_folders([tmp_path / "runs/first", tmp_path / "other/first"], out, ["LSTM", "a b/c"])
    assert [(name, folder.name) for _, name, folder in named] == [("LSTM", "LSTM"), ("a b/c", "a-b-c")]


def test_pdf_and_svg_show_the_chosen_epoch_in_real_text_and_are_reproducible(figures):
    wanted = ["--format", "pdf,svg", "--question", "100", "--width", "single"]
    (_, one), (_, two) = (figures(*wanted, out=name) for name in ("one", "two"))
    assert len(names(one)) == 2 * (len(CHARTS) + 2)
    for path in one.iterdir():
        content = path.read_bytes()
        assert content == (two / path.name).read_bytes()
        assert not re.search(rb"CreationDate|<dc:date>", content)
        if path.suffix == ".pdf":
            assert b"/Type /Font" in content
            assert b"/Subtype /Type3" not in content
    svg = (one / "example_100.svg").read_text()
    assert {">color</text>", ">Occlusion</text>"} <= set(re.findall(r">\w+</text>", svg))
    assert 'width="252pt"' in svg, "3.5 inches"
    _, untrained = figures(*wanted, "--epoch", "-1", out="untrained")
    assert "Untrained." in (untrained / "accuracy_by_type.svg").read_text()
    assert "Epoch 1." in (one / "accuracy_by_type.svg").read_text()
    agreement = [(out / "agreement.svg").read_bytes() for out in (untrained, one)]
    assert agreement[0] == agreement[1], "all epochs, whichever is asked for"


def test_examples_whose_images_are_gone_are_reported_and_left_out(figures, tmp_path, caplog, capsys):
    (tmp_path / "images" / "0.png").unlink()
    code, out = figures("--format", "svg")
    assert code == 0
    assert {one for one in names(out) if "example" in one} == {"example_102.svg", "example_103.svg"}
    (warning,) = caplog.messages
    assert "first: no figure of 2 examples" in warning
    assert "0.png" in warning
    (tmp_path / "images" / "1.png").write_bytes(b"no picture")
    assert figures(out="half")[0] == 2, "the last of its figures cannot be drawn"
    assert "1.png" in capsys.readouterr().err
    assert {path.name for path in tmp_path.iterdir()} == {"images", "runs", "figures"}, "nothing is written"
    assert figures("--question", "100", out="other")[0] == 2
    assert "expected the image of a question to draw" in capsys.readouterr().err
