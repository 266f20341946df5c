"""`analyze.py explain`: one question as picture, drawing or numbers, and whole lists of questions."""

import json
import re
import shutil
import xml.etree.ElementTree as ElementTree
from contextlib import redirect_stdout
from io import StringIO
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_runs import ROOT

from lookwhy.api import classes as explanations
from lookwhy.attribution import Occlusion, explaining
from lookwhy.cli.analyze import main
from lookwhy.models import load_checkpoint
from lookwhy.towers.incremental import IncrementalOcclusion
from lookwhy.types import VQABatch

QUESTION = "What color is the ball?"
OUTSIDE = """() => {
  const box = document.documentElement.getBoundingClientRect();
  const isOutside = ({ left, right, top, bottom }) =>
    left < box.left || right > box.right || top < box.top || bottom > box.bottom;
  const texts = [...document.querySelectorAll("text")];
  return texts.filter((one) => isOutside(one.getBoundingClientRect())).map((one) => one.textContent);
}"""
LONG = f"What is the colour of the {'very ' * 40}small striped ball beside the unmistakably rectangular box?"


@pytest.fixture(scope="module")
def picture(tiny_world):
    return min((tiny_world / "images" / "shapes_val").glob("*.png"))


@pytest.fixture(scope="module")
def explain(tiny_checkpoint):
    return lambda *words: main(["explain", str(tiny_checkpoint), *map(str, words)])


@pytest.fixture(scope="module")
def ask(explain, picture):
    """Function that explains the picture, and returns the file that it wrote."""

    def ask(out, question=QUESTION):
        assert explain("--image", picture, "--question", question, "--out", out) == 0
        return out

    return ask


def strict_json(path):
    def refuse(name):
        raise AssertionError(f"{name} in {path}")

    return json.loads(path.read_text(encoding="utf-8"), parse_constant=refuse)


def test_numbers_are_those_of_the_method_and_the_page_describes_every_key(
    tiny_checkpoint, picture, ask, tmp_path
):
    numbers = strict_json(ask(tmp_path / "why.json"))
    run = load_checkpoint(tiny_checkpoint)
    model = run.pipeline()
    tokens, lengths, words = run.encode(QUESTION)
    none, pixels = torch.tensor([-1]), model.tower.recipe.load(picture)[None]
    with torch.no_grad():
        scores = model.answer_scores(pixels, tokens, lengths)
    with explaining(model):
        batch = VQABatch(none, tokens, lengths, none, none, images=pixels)
        maps = Occlusion()(model, batch, scores.argmax(1))
    occlusion = {one["method"]: one for one in numbers["image_maps"]}["occlusion"]
    np.testing.assert_allclose(occlusion["values"], maps.values[0].numpy(), atol=1e-6)
    assert (occlusion["signed"], occlusion["target"]) == (True, "probability of the predicted answer")
    assert occlusion["flips"] == int(maps.flips[0])
    assert numbers["target"] == run.answers[int(scores.argmax())]
    assert numbers["answers"][0]["probability"] == pytest.approx(float(scores.max()))
    assert [one["word"] for one in numbers["words"]] == words
    assert {one["method"] for one in numbers["word_importances"]} == {"gradient", "word_drop"}
    assert all([w["word"] for w in one["words"]] == words for one in numbers["word_importances"])
    facts = {"schema_version": 1, "checkpoint": str(tiny_checkpoint), "image": str(picture)}
    facts |= {"question": QUESTION, "model": "DeeperLSTM", "epoch": run.epoch}
    assert {name: numbers[name] for name in facts} == facts
    assert "simulated" in numbers["note"]
    found = strict_json(ask(tmp_path / "short.json", "ball"))["word_importances"]
    drop = {one["method"]: one for one in found}["word_drop"]
    assert drop["words"] == [{"word": "ball", "importance": None}], "undefined"
    rows = re.findall(r"^\| (`[^|]+`) \|", (ROOT / "docs" / "explain.md").read_text(), re.M)
    assert set(re.findall(r"`(\w+)`", " ".join(rows))) == set(numbers), "the page describes every key"


def test_a_png_is_a_picture_and_the_answers_are_printed(ask, tmp_path, capsys):
    out = ask(tmp_path / "why.png")
    printed = capsys.readouterr().out
    assert printed.count("%") == 5
    assert f"picture  {out}" in printed
    with Image.open(out) as drawn:
        assert drawn.format == "PNG"
        assert drawn.width > 600
    assert [path.name for path in tmp_path.iterdir()] == ["why.png"]
    assert f"numbers  {tmp_path / 'why.json'}" in (ask(tmp_path / "why.json"), capsys.readouterr().out)[1]


def test_answers_and_words_of_the_data_cannot_control_the_terminal(
    tiny_checkpoint, picture, tmp_path, capsys
):
    content = torch.load(tiny_checkpoint, weights_only=True)
    answers = content["lookwhy"]["data"]["answers"]
    answers[:] = [f"\x1b[2J{answer}\r\x9b31m\u202e" for answer in answers]
    torch.save(content, tmp_path / "evil.ckpt")
    words = [
        "--image",
        picture,
        "--question",
        "what \x1b[2J ball\u202e ?",
        "--out",
        tmp_path / "\x1b[2Jwhy.svg",
    ]
    assert main(["explain", str(tmp_path / "evil.ckpt"), *map(str, words)]) == 0
    output = capsys.readouterr()
    assert "%  [2J" in output.out
    assert [line for line in (output.out + output.err).splitlines() if not line.isprintable()] == []


def test_an_svg_has_text_and_nothing_of_it_is_cut_off(ask, tmp_path, browser):
    out = ask(tmp_path / "why.svg", LONG)
    found = ElementTree.parse(out).iter("{http://www.w3.org/2000/svg}text")
    texts = {"".join(one.itertext()).strip() for one in found}
    assert {"Occlusion", "Guided backpropagation", "Most probable answers", "very"} <= texts
    page = browser.new_page(viewport={"width": 1600, "height": 1600})
    page.goto(out.as_uri())
    outside = page.evaluate(OUTSIDE)
    page.close()
    assert outside == []


@pytest.fixture(scope="module")
def batch(explain, tiny_world, tmp_path_factory):
    """Two images with a list of four questions about them, explained once as numbers and drawings."""
    folder = tmp_path_factory.mktemp("batch")
    asked, out, occluded = folder / "asked", folder / "out", []
    asked.mkdir()
    for name, path in zip("ab", sorted((tiny_world / "images" / "shapes_val").glob("*.png")), strict=False):
        shutil.copy(path, asked / f"{name}.png")
    rows = f'a.png,{QUESTION}\nb.png,How many?\n"a.png","Red, or blue?"\nb.png,Is it?\n'
    (asked / "questions.csv").write_text(f"image,question\n{rows}")
    before = IncrementalOcclusion.clean_and_occluded

    def counted(self, image):
        occluded.append(float(image.sum()))
        return before(self, image)

    with pytest.MonkeyPatch.context() as patch, redirect_stdout(StringIO()) as printed:
        patch.setattr(IncrementalOcclusion, "clean_and_occluded", counted)
        assert explain("--batch", asked, "--out", out, "--format", "json,svg") == 0
    index = strict_json(out / "index.json")
    return SimpleNamespace(asked=asked, out=out, occluded=occluded, printed=printed.getvalue(), index=index)


@pytest.fixture
def copies(batch, tmp_path):
    """Copies of the images with their list and of their explanations, for a test to change."""
    return shutil.copytree(batch.asked, tmp_path / "asked"), shutil.copytree(batch.out, tmp_path / "out")


def times(folder):
    return {path.name: path.stat().st_mtime_ns for path in folder.iterdir() if path.name != "index.json"}


def test_a_folder_of_images_and_questions_is_explained_as_single_commands_do(explain, batch, tmp_path):
    assert "4 explained" in batch.printed
    found = batch.index["explanations"]
    assert {name for one in found for name in one["files"]} == set(times(batch.out))
    assert sorted(one["question"] for one in found) == ["How many?", "Is it?", "Red, or blue?", QUESTION]
    assert len(batch.occluded) == len(set(batch.occluded)) == 2, "once an image, although the rows alternate"
    single = tmp_path / "single.json"
    for one in found:
        assert explain("--image", one["image"], "--question", one["question"], "--out", single) == 0
        content = strict_json(batch.out / one["files"][0])
        assert content == strict_json(single)
        assert (content["question"], content["target"]) == (one["question"], one["answer"])
        assert content["image"] == one["image"]


def test_existing_files_are_kept_unless_the_image_is_another_or_the_command_overwrites_them(
    explain, batch, copies, capsys
):
    asked, out = copies
    first = times(out)
    missing = out / batch.index["explanations"][1]["files"][0]
    missing.unlink()
    arguments = ["--batch", batch.asked, "--out", out, "--format"]
    assert explain(*arguments, "json") == 0
    printed = capsys.readouterr().out
    assert "3 of 4 were there already and are kept; --overwrite replaces them" in printed
    assert "1 explained" in printed
    second = times(out)
    assert {name for name in second if second[name] != first[name]} == {missing.name}
    with_one_format = [one | {"files": one["files"][:1]} for one in batch.index["explanations"]]
    assert strict_json(out / "index.json") == batch.index | {"explanations": with_one_format}
    assert explain(*arguments, "json", "--overwrite") == 0
    assert all((after != second[name]) == name.endswith("json") for name, after in times(out).items())
    capsys.readouterr()
    shutil.copy(asked / "b.png", asked / "a.png")
    assert explain("--batch", asked, *arguments[2:], "json") == 0
    assert "2 explained" in capsys.readouterr().out, "another image has the name of an explained one"


def test_a_row_that_comes_twice_is_explained_once_and_its_name_cannot_leave_the_folder(
    explain, picture, tmp_path, capsys
):
    rows = [json.dumps({"image": str(picture), "question": "is it ?", "question_id": "../../../evil"})] * 2
    (tmp_path / "rows.jsonl").write_text("\n".join(rows))
    out = tmp_path / "deep" / "out"
    assert explain("--batch", tmp_path / "rows.jsonl", "--out", out, "--format", "json") == 0
    printed = capsys.readouterr().out
    assert "1 explained" in printed
    assert "1 of 2 were there already" in printed
    (entry,) = strict_json(out / "index.json")["explanations"]
    assert entry["answer"]
    assert {path.name for path in out.iterdir()} == {"index.json", *entry["files"]}
    assert not list(tmp_path.glob("*evil*"))


BAD = f"""question,image,remark
{QUESTION},a.png,good
Where?,nowhere.png,no such file
Where?,bad.png,no picture
 ,a.png,no question
Only a question
"Never closed,a.png,x
"Two
lines?",b.png,good
Where?,,no image
How many?,b.png
"""


def test_bad_rows_are_named_and_the_others_done(explain, copies, tmp_path, capsys):
    folder, out = copies[0], tmp_path / "new"
    (folder / "bad.png").write_text("no picture")
    table = folder / "questions.csv"
    table.write_text(BAD)
    assert explain("--batch", folder, "--out", out, "--format", "json") == 2
    device, *named, last = capsys.readouterr().err.strip().splitlines()
    assert device.startswith("device  c")
    assert sorted(int(line.split(":")[1]) for line in named) == [3, 4, 5, 6, 7, 10]
    assert all(line.startswith(f"{table}:") for line in named)
    assert "found 6 that cannot be" in last
    done = {one["question"]: one["row"] for one in strict_json(out / "index.json")["explanations"]}
    assert done == {QUESTION: f"{table}:2", "Two lines?": f"{table}:8", "How many?": f"{table}:11"}


def test_official_questions_find_their_images_by_their_official_names(explain, tiny_world, tmp_path, capsys):
    official = json.loads((tiny_world / "questions_val.json").read_text())
    questions = official["questions"][:3]
    official["questions"] = [*questions, {"image_id": 77, "question": "Where?", "question_id": 5}]
    file = tmp_path / "questions.json"
    file.write_text(json.dumps(official))
    images = ["--images", tiny_world / "images", "--format", "json"]
    assert explain("--batch", file, "--out", tmp_path, *images) == 2
    assert f"{file}, entry 4" in capsys.readouterr().err
    names = [one["name"].split("-")[0] for one in strict_json(tmp_path / "index.json")["explanations"]]
    assert names == [str(one["question_id"]) for one in questions]


def test_after_a_kill_the_index_knows_the_answers_of_all_and_keeps_what_it_knew(
    explain, batch, copies, capsys
):
    """A killed command leaves files that no index names; after Ctrl-C, the index keeps what an earlier one knew."""
    asked, out = copies
    first, second, *_ = batch.index["explanations"]
    known = batch.index | {"explanations": [one for one in batch.index["explanations"] if one != first]}
    (out / "index.json").write_text(json.dumps(known))
    arguments = ["--batch", batch.asked, "--out", out, "--format", "json,svg"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(explanations, "write_explanation", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        assert explain(*arguments) == 130
    assert strict_json(out / "index.json") == known
    capsys.readouterr()
    assert explain(*arguments) == 0
    assert "1 explained" in capsys.readouterr().out
    assert strict_json(out / "index.json") == batch.index
    assert second["answer"]


def test_an_interrupted_batch_leaves_whole_files_and_goes_on(explain, batch, tmp_path, monkeypatch, capsys):
    before, written = explanations.write_explanation, []

    def interrupted(path, *more):
        if len(written) == 2:
            raise KeyboardInterrupt
        written.append(before(path, *more))
        return path

    arguments = ["--batch", batch.asked, "--out", tmp_path, "--format", "json"]
    with monkeypatch.context() as patch:
        patch.setattr(explanations, "write_explanation", interrupted)
        assert explain(*arguments) == 130
    assert set(times(tmp_path)) == {path.name for path in written}
    assert len(strict_json(tmp_path / "index.json")["explanations"]) == 2
    capsys.readouterr()
    assert explain(*arguments) == 0
    assert "2 of 4 were there already" in capsys.readouterr().out
