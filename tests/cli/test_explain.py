"""`analyze.py explain`: one question as picture, drawing or numbers, and whole lists of questions."""

import json
import re
import shlex
import shutil
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from lookwhy.attribution import Occlusion, explaining
from lookwhy.cli.analyze import main
from lookwhy.cli.analyze import build_parser
from lookwhy.data.question_lists import BadRow, read_questions
from lookwhy.errors import LookwhyError
from lookwhy.models import load_checkpoint
from lookwhy.types import VQABatch

ROOT = Path(__file__).parent.parent.parent
QUESTION = "What color is the ball?"
LONG = (
    "What is the colour of the "
    + "very " * 40
    + "small striped ball beside the unmistakably rectangular box?"
)


@pytest.fixture
def picture(tiny_world):
    return min((tiny_world / "images" / "shapes_val").glob("*.png"))


def explain(checkpoint, *more):
    return main(["explain", str(checkpoint), *map(str, more)])


def strict_json(path):
    def refuse(name):
        raise AssertionError(f"{name} in {path}")

    return json.loads(path.read_text(encoding="utf-8"), parse_constant=refuse)


def one_line(capsys):
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert line.startswith("lookwhy: error: ")
    return line


def test_numbers_hold_what_the_method_says_called_directly(tiny_checkpoint, picture, tmp_path, capsys):
    out = tmp_path / "why.json"
    assert explain(tiny_checkpoint, "--image", picture, "--question", QUESTION, "--out", out) == 0
    assert f"numbers  {out}" in capsys.readouterr().out
    found = strict_json(out)
    run = load_checkpoint(tiny_checkpoint)
    model = run.pipeline()
    tokens, lengths, words = run.encode(QUESTION)
    none, pixels = torch.tensor([-1]), model.tower.recipe.load(picture)[None]
    with torch.no_grad():
        scores = model.answer_scores(pixels, tokens, lengths)
    with explaining(model):
        maps = Occlusion()(
            model, VQABatch(none, tokens, lengths, none, none, images=pixels), scores.argmax(1)
        )
    occlusion = {one["method"]: one for one in found["image_maps"]}["occlusion"]
    np.testing.assert_allclose(occlusion["values"], maps.values[0].numpy(), atol=1e-6)
    assert (occlusion["signed"], occlusion["target"]) == (True, "probability of the predicted answer")
    assert occlusion["flips"] == int(maps.flips[0])
    assert found["target"] == run.answers[int(scores.argmax())]
    assert found["answers"][0]["probability"] == pytest.approx(float(scores.max()))
    assert [one["word"] for one in found["words"]] == words
    assert {one["method"] for one in found["word_importances"]} == {"gradient", "word_drop"}
    assert all([w["word"] for w in one["words"]] == words for one in found["word_importances"])
    assert found["schema_version"] == 1
    assert found["checkpoint"] == str(tiny_checkpoint)
    assert found["image"] == str(picture)
    assert (found["question"], found["model"], found["epoch"]) == (QUESTION, "DeeperLSTM", run.epoch)
    assert "simulated" in found["note"]


def test_every_key_of_the_numbers_is_described(tiny_checkpoint, picture, tmp_path):
    out = tmp_path / "why.json"
    assert explain(tiny_checkpoint, "--image", picture, "--question", QUESTION, "--out", out) == 0
    table = re.findall(r"^\| (`[^|]+`) \|", (ROOT / "docs" / "explain.md").read_text(), re.M)
    described = {name for row in table for name in re.findall(r"`(\w+)`", row)}
    assert described == set(strict_json(out))


def test_every_command_of_its_page_is_understood():
    lines = re.findall(r"^python analyze\.py (.*)$", (ROOT / "docs" / "explain.md").read_text(), re.M)
    assert len(lines) == 5
    for line in lines:
        build_parser().parse_args(shlex.split(line))


def test_what_is_undefined_is_null(tiny_checkpoint, picture, tmp_path):
    out = tmp_path / "why.json"
    assert explain(tiny_checkpoint, "--image", picture, "--question", "ball", "--out", out) == 0
    drop = {one["method"]: one for one in strict_json(out)["word_importances"]}["word_drop"]
    assert drop["words"] == [{"word": "ball", "importance": None}]


def test_a_png_is_a_picture_and_the_answers_are_printed(tiny_checkpoint, picture, tmp_path, capsys):
    out = tmp_path / "why.png"
    assert explain(tiny_checkpoint, "--image", picture, "--question", QUESTION, "--out", out) == 0
    printed = capsys.readouterr().out
    assert printed.count("%") == 5
    with Image.open(out) as drawn:
        assert drawn.format == "PNG"
        assert drawn.width > 600
    assert [path.name for path in tmp_path.iterdir()] == ["why.png"]


def test_an_svg_has_text_and_nothing_of_it_is_cut_off(tiny_checkpoint, picture, tmp_path, browser):
    out = tmp_path / "why.svg"
    assert explain(tiny_checkpoint, "--image", picture, "--question", LONG, "--out", out) == 0
    found = ElementTree.parse(out).iter("{http://www.w3.org/2000/svg}text")
    texts = {"".join(one.itertext()).strip() for one in found}
    assert {"Occlusion", "Guided backpropagation", "Most probable answers", "very"} <= texts
    page = browser.new_page(viewport={"width": 1600, "height": 1600})
    page.goto(out.as_uri())
    outside = page.evaluate(
        """() => {
          const box = document.documentElement.getBoundingClientRect();
          return [...document.querySelectorAll("text")].filter((one) => {
            const { left, right, top, bottom } = one.getBoundingClientRect();
            return left < box.left || right > box.right || top < box.top || bottom > box.bottom;
          }).map((one) => one.textContent);
        }"""
    )
    page.close()
    assert outside == []


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--image", "{picture}", "--question", QUESTION, "--out", "why.gif"], "found why.gif"),
        (["--image", "none.png", "--question", QUESTION], "found no file none.png"),
        (["--image", "{picture}", "--question", "  "], "expected a question"),
        (["--image", "{picture}"], "found no --question"),
        ([], "found no --image"),
        (["--image", "{picture}", "--question", QUESTION, "--device", "tpu9"], "found no tpu9"),
        (["--image", "{picture}", "--question", QUESTION, "--overwrite"], "found --overwrite beside"),
        (["--batch", "none.csv"], "none.csv"),
        (["--batch", "{world}/questions_val.json"], "give --images"),
        (["--batch", "{world}"], "found none in"),
        (["--batch", "{world}/questions_val.json", "--question", "?"], "found --question beside it"),
        (["--batch", "{world}/questions_val.json", "--format", "png,gif"], "found 'gif'"),
    ],
)
def test_wrong_input_is_one_line_and_exit_code_2(
    tiny_checkpoint, tiny_world, picture, tmp_path, monkeypatch, capsys, arguments, told
):
    monkeypatch.chdir(tmp_path)
    filled = [one.format(picture=picture, world=tiny_world) for one in arguments]
    assert explain(tiny_checkpoint, *filled) == 2
    assert told in one_line(capsys)
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def folder(tiny_world, tmp_path):
    """Two images, and a list of five questions about them."""
    folder = tmp_path / "asked"
    folder.mkdir()
    for name, path in zip("ab", sorted((tiny_world / "images" / "shapes_val").glob("*.png")), strict=False):
        shutil.copy(path, folder / f"{name}.png")
    rows = [
        "image,question",
        f"a.png,{QUESTION}",
        "b.png,How many?",
        '"a.png","Red, or blue?"',
        "b.png,Is it?",
    ]
    (folder / "questions.csv").write_text("\n".join(rows) + "\n")
    return folder


def times(folder):
    return {path.name: path.stat().st_mtime_ns for path in folder.iterdir() if path.name != "index.json"}


def test_a_folder_of_images_and_questions_is_explained_and_listed(tiny_checkpoint, folder, tmp_path, capsys):
    out = tmp_path / "out"
    assert explain(tiny_checkpoint, "--batch", folder, "--out", out, "--format", "json,svg") == 0
    assert "4 explained" in capsys.readouterr().out
    index = strict_json(out / "index.json")
    assert len(index["explanations"]) == 4
    listed = {name for one in index["explanations"] for name in one["files"]}
    assert listed == set(times(out))
    for one in index["explanations"]:
        content = strict_json(out / one["files"][0])
        assert (content["question"], content["target"]) == (one["question"], one["answer"])
        assert content["image"] == one["image"]
    assert {one["question"] for one in index["explanations"]} == {
        QUESTION,
        "How many?",
        "Red, or blue?",
        "Is it?",
    }


def test_an_explanation_of_the_batch_is_that_of_the_single_command(tiny_checkpoint, folder, tmp_path):
    out = tmp_path / "out"
    assert explain(tiny_checkpoint, "--batch", folder, "--out", out, "--format", "json") == 0
    for one in strict_json(out / "index.json")["explanations"]:
        single = tmp_path / "single.json"
        assert (
            explain(tiny_checkpoint, "--image", one["image"], "--question", one["question"], "--out", single)
            == 0
        )
        assert strict_json(single) == strict_json(out / one["files"][0])


def test_each_image_is_occluded_once_however_its_questions_are_strewn(
    tiny_checkpoint, folder, tmp_path, monkeypatch
):
    from lookwhy.towers import incremental

    occluded = []
    before = incremental.IncrementalOcclusion.clean_and_occluded

    def counted(self, image):
        occluded.append(float(image.sum()))
        return before(self, image)

    monkeypatch.setattr(incremental.IncrementalOcclusion, "clean_and_occluded", counted)
    assert explain(tiny_checkpoint, "--batch", folder, "--out", tmp_path / "out", "--format", "json") == 0
    assert len(occluded) == len(set(occluded)) == 2


def test_what_is_done_is_kept_unless_it_is_to_be_made_anew(tiny_checkpoint, folder, tmp_path, capsys):
    out = tmp_path / "out"
    arguments = ["--batch", folder, "--out", out, "--format", "json"]
    assert explain(tiny_checkpoint, *arguments) == 0
    first, index = times(out), strict_json(out / "index.json")
    gone = out / index["explanations"][1]["files"][0]
    gone.unlink()
    capsys.readouterr()
    assert explain(tiny_checkpoint, *arguments) == 0
    printed = capsys.readouterr().out
    assert "3 of 4 were there already" in printed
    assert "1 explained" in printed
    second = times(out)
    assert {name for name in second if second[name] != first[name]} == {gone.name}
    assert strict_json(out / "index.json") == index
    assert explain(tiny_checkpoint, *arguments, "--overwrite") == 0
    assert all(after != second[name] for name, after in times(out).items())


def test_a_row_that_comes_twice_is_explained_once(tiny_checkpoint, picture, tmp_path, capsys):
    rows = [json.dumps({"image": str(picture), "question": "what is this ?"})] * 2
    (tmp_path / "rows.jsonl").write_text("\n".join(rows))
    arguments = ["--batch", tmp_path / "rows.jsonl", "--out", tmp_path / "out", "--format", "json"]
    assert explain(tiny_checkpoint, *arguments) == 0
    printed = capsys.readouterr().out
    assert "1 explained" in printed
    assert "1 of 2 were there already" in printed
    (entry,) = strict_json(tmp_path / "out" / "index.json")["explanations"]
    assert entry["answer"]


def test_another_image_under_the_same_name_is_explained_anew(tiny_checkpoint, folder, tmp_path, capsys):
    arguments = ["--batch", folder, "--out", tmp_path / "out", "--format", "json"]
    assert explain(tiny_checkpoint, *arguments) == 0
    shutil.copy(folder / "b.png", folder / "a.png")
    capsys.readouterr()
    assert explain(tiny_checkpoint, *arguments) == 0
    assert "2 explained" in capsys.readouterr().out


def test_bad_rows_are_named_and_the_others_done(tiny_checkpoint, folder, tmp_path, capsys):
    (folder / "bad.png").write_text("no picture")
    table = folder / "questions.csv"
    table.write_text(
        "question,image,remark\n"
        f"{QUESTION},a.png,good\n"
        "Where?,nowhere.png,no such file\n"
        "Where?,bad.png,no picture\n"
        " ,a.png,no question\n"
        "Only a question\n"
        '"Never closed,a.png,x\n'
        '"Two\nlines?",b.png,good\n'
        "Where?,,no image\n"
        "How many?,b.png\n"
    )
    out = tmp_path / "out"
    assert explain(tiny_checkpoint, "--batch", folder, "--out", out, "--format", "json") == 2
    *named, last = capsys.readouterr().err.strip().splitlines()
    places = sorted(int(line.split(":")[1]) for line in named)
    assert places == [3, 4, 5, 6, 7, 10]
    assert all(line.startswith(f"{table}:") for line in named)
    assert "found 6 that cannot be" in last
    done = {one["question"]: one["row"] for one in strict_json(out / "index.json")["explanations"]}
    assert done == {QUESTION: f"{table}:2", "Two lines?": f"{table}:8", "How many?": f"{table}:11"}


def test_official_questions_find_their_images_by_their_official_names(
    tiny_checkpoint, tiny_world, tmp_path, capsys
):
    official = json.loads((tiny_world / "questions_val.json").read_text())
    official["questions"] = [
        *official["questions"][:3],
        {"image_id": 77, "question": "Where?", "question_id": 5},
    ]
    file = tmp_path / "questions.json"
    file.write_text(json.dumps(official))
    out = tmp_path / "out"
    arguments = ["--batch", file, "--images", tiny_world / "images", "--out", out, "--format", "json"]
    assert explain(tiny_checkpoint, *arguments) == 2
    assert f"{file}, entry 4" in capsys.readouterr().err
    names = [one["name"].split("-")[0] for one in strict_json(out / "index.json")["explanations"]]
    assert names == [str(one["question_id"]) for one in official["questions"][:3]]


def test_an_interrupted_batch_leaves_whole_files_and_goes_on(
    tiny_checkpoint, folder, tmp_path, monkeypatch, capsys
):
    from lookwhy.api import explaining

    before, written = explaining.write_explanation, []

    def interrupted(path, *more):
        if len(written) == 2:
            raise KeyboardInterrupt
        written.append(before(path, *more))
        return path

    out = tmp_path / "out"
    with monkeypatch.context() as patch:
        patch.setattr(explaining, "write_explanation", interrupted)
        assert explain(tiny_checkpoint, "--batch", folder, "--out", out, "--format", "json") == 130
    assert set(times(out)) == {path.name for path in written}
    assert len(strict_json(out / "index.json")["explanations"]) == 2
    capsys.readouterr()
    assert explain(tiny_checkpoint, "--batch", folder, "--out", out, "--format", "json") == 0
    assert "2 of 4 were there already" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("list.json", '[{"image": "a.png", "question": "Where?"}, 3, {"image": 4, "question": "x"}]'),
        ("list.json", '{"questions": [{"image": "a.png", "question": "Where?"}, 3, {"image": "a.png"}]}'),
        ("list.jsonl", '{"image": "a.png", "question": "Where?"}\n\n{"image"\n[]\n'),
        ("list.csv", "\ufeffImage , Question\r\na.png,Where?\r\nb.txt,Where?\r\na.png\r\n"),
    ],
)
def test_lists_of_every_kind_are_read_row_by_row(folder, name, text):
    (folder / name).write_text(text, encoding="utf-8")
    good, *bad = read_questions(folder / name)
    assert (good.image, good.question) == (folder / "a.png", "Where?")
    assert len(bad) == 2
    assert all(isinstance(row, BadRow) for row in bad)


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("list.csv", b"image;question\na.png;Where?\n", "found no image in the first line"),
        ("list.csv", b"image,question\n", "found none in"),
        ("list.csv", b"image,question\n\xff\xfe,\n", "expected UTF-8 text"),
        ("list.json", b"{", "expected JSON"),
        ("list.json", b'{"annotations": []}', "expected a list of rows"),
    ],
)
def test_a_list_that_cannot_be_read_at_all_is_an_error(folder, name, content, told):
    (folder / name).write_bytes(content)
    with pytest.raises(LookwhyError, match=told):
        read_questions(folder / name)


def test_two_lists_in_a_folder_are_one_too_many(folder):
    (folder / "questions.json").write_text("[]")
    with pytest.raises(LookwhyError, match="found questions.csv and questions.json"):
        read_questions(folder)


def test_a_name_from_a_list_cannot_leave_the_folder(tiny_checkpoint, folder, tmp_path):
    (folder / "questions.csv").write_text("image,question,question_id\na.png,Where?,../../../evil\n")
    out = tmp_path / "deep" / "out"
    assert explain(tiny_checkpoint, "--batch", folder, "--out", out, "--format", "json") == 0
    assert len(list(out.iterdir())) == 2
    assert not list(tmp_path.glob("*evil*"))
