"""`prepare.py questions --max-length` holds wherever the trained model is asked."""

import io
import json
import shutil

import pytest
from PIL import Image
from tiny_runs import make_checkpoint

import lookwhy
from lookwhy.cli import analyze, prepare
from lookwhy.live.calls import Calls

QUESTION = "What color is the ball beside the box?"
NOTE = "The model reads the first 4 words, as in training; 5 more are left out."


@pytest.fixture(scope="module")
def checkpoint(tiny_world, tmp_path_factory):
    """A model that was trained on questions of four words at most."""
    folder = tmp_path_factory.mktemp("short")
    files = [
        f"--{s}-{k}={tiny_world}/{k}_{s}.json" for s in ("train", "val") for k in ("questions", "annotations")
    ]
    images = f"--images={tiny_world}/images"
    assert prepare.main(["questions", *files, images, "--max-length=4", f"--out={folder}"]) == 0
    for name in ("data_img.h5", "tower.pt"):
        shutil.copy(tiny_world / name, folder)
    return make_checkpoint(folder, folder / "run", epochs=1, annotator_maps=None, truth_masks=None)


@pytest.fixture(scope="module")
def picture(tiny_world):
    return min((tiny_world / "images" / "shapes_val").glob("*.png"))


def test_an_explanation_reads_as_many_words_as_the_training(checkpoint, picture, tmp_path, capsys):
    out = tmp_path / "why.json"
    words = ["explain", checkpoint, "--image", picture, "--question", QUESTION, "--out", out]
    assert analyze.main([*map(str, words)]) == 0
    found = json.loads(out.read_text())
    assert [one["word"] for one in found["words"]] == ["what", "color", "is", "the"]
    assert NOTE in found["notes"]
    assert NOTE in capsys.readouterr().err


def test_the_live_page_reads_as_many_words_as_the_training(checkpoint, picture):
    calls, content = Calls(lookwhy.load(checkpoint).explainer), io.BytesIO()
    Image.open(picture).save(content, "PNG")
    image = calls.look(content.getvalue())["image"]
    body = {"image": image, "question": QUESTION}
    found = calls.ask(body)
    assert len(found["words"]) == 4
    assert NOTE in found["notes"]
    cut = {"image": image, "question": "What color is the", "cells": [], "words": [], "answers": []}
    assert calls.change(body | {"cells": [], "words": [], "answers": []}) == calls.change(cut)


def test_an_analysis_has_as_many_words_as_the_training(checkpoint, tmp_path):
    found = lookwhy.analyze(checkpoint, limit=4, out=tmp_path / "analysis")
    assert {maps.values.shape[1] for maps in found.maps.values() if maps.domain == "question"} == {4}
