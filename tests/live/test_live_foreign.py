"""The live page of a model that is not ours: a function, served by the command in a process of its own."""

import signal

import pytest
from live_process import LiveProcess, Proxy, encoded
from PIL import Image

MODEL = """
import numpy as np

def scores(images, questions):
    red = (images == [255, 0, 0]).all(-1).mean((1, 2))
    yes = 0.1 + 0.4 * red + 0.2 * np.array(["red" in one.split() for one in questions])
    return np.stack([yes, 1 - yes], axis=1)

scores.answers = ["yes", "no"]
"""


@pytest.fixture(scope="module")
def foreign(tmp_path_factory):
    folder = tmp_path_factory.mktemp("foreign")
    (folder / "redness.py").write_text(MODEL)
    (folder / "plan.yaml").write_text(
        "grid: 2\nimage_methods: [{class_path: lookwhy.attribution.Occlusion, init_args: {grid: 2}}]\n"
        "question_methods: [lookwhy.attribution.WordDrop]\n"
    )
    with Proxy() as proxy:
        words = ["--model", "redness:scores", "--plan", folder / "plan.yaml"]
        live = LiveProcess(words, proxy, folder)
        try:
            yield live
            live.process.send_signal(signal.SIGINT)
            live.process.communicate(timeout=60)
            assert live.process.returncode == 130
            assert proxy.connections == 0
        finally:
            live.process.kill()


def test_it_answers_explains_and_answers_again_without_a_cell_or_a_word(foreign):
    status, page = foreign.ask("GET", "/")
    assert status == 200
    assert b"redness:scores; 2 answers" in page
    half = Image.new("RGB", (20, 10))
    half.paste((255, 0, 0), (0, 0, 10, 10))
    _, image = foreign.ask("POST", "/image", encoded(half))
    asked = {"image": image["image"], "question": "Is it red ?"}
    status, found = foreign.ask("POST", "/ask", asked)
    assert status == 200
    answers = {one["text"]: one["probability"] for one in found["answers"]}
    assert answers == pytest.approx({"yes": 0.1 + 0.2 + 0.2, "no": 0.5})
    changes = {
        "neither": ([], []),
        "a red cell": ([0], []),
        "a black cell": ([1], []),
        "the word red": ([], [2]),
    }
    expected = {"neither": 0.5, "a red cell": 0.4, "a black cell": 0.5, "the word red": 0.3}
    for name, (cells, words) in changes.items():
        _, again = foreign.ask("POST", "/change", asked | {"cells": cells, "words": words, "answers": [0]})
        assert again["probabilities"] == pytest.approx([expected[name]]), name
    status, refused = foreign.ask("POST", "/change", asked | {"cells": [4], "words": [], "answers": []})
    assert status == 400
    assert "expected cells from 0 to 3, found 4" in refused["error"]
