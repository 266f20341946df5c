"""The door: `import lookwhy` in a fresh process, and the four functions that a notebook needs."""

import json
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

import lookwhy
from lookwhy import store
from lookwhy.errors import LookwhyError
from lookwhy.types import AnalysisResult

QUESTION = "what color is the ball ?"


@pytest.fixture(scope="module")
def model(tiny_checkpoint):
    return lookwhy.load(str(tiny_checkpoint))


@pytest.fixture(scope="module")
def picture(tiny_world):
    return min((tiny_world / "images" / "shapes_val").glob("*.png"))


@pytest.fixture(scope="module")
def why(model, picture):
    return model.explain(picture, QUESTION)


def test_importing_is_quick_and_loads_no_torch():
    code = (
        "import sys, time; start = time.perf_counter(); import lookwhy; spent = time.perf_counter() - start; "
        "print(spent, 'torch' in sys.modules, sorted({'load', 'explain', 'analyze', 'report'} - {*dir(lookwhy)}))"
    )
    spent = []
    for _ in range(3):
        out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
        seconds, rest = out.split(maxsplit=1)
        assert rest.strip() == "False []"
        spent.append(float(seconds))
    assert min(spent) < 0.3
    with pytest.raises(AttributeError, match="no attribute 'lode'"):
        lookwhy.lode  # noqa: B018


def test_an_image_may_be_a_path_a_text_a_picture_or_an_array(model, picture, why):
    rgb = Image.open(picture).convert("RGB")
    for image in (str(picture), rgb, np.asarray(rgb), model.look(picture)):
        other = model.explain(image, QUESTION)
        assert other.answers == why.answers
        for method, values in why.maps.items():
            np.testing.assert_array_equal(other.maps[method], values)
    assert lookwhy.explain(model, picture, QUESTION).answer == why.answer


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((4, 4)),
        np.zeros((4, 4, 3)),
        np.zeros((4, 4, 4), np.uint8),
        np.zeros((3, 4, 4), np.uint8),
        np.zeros((0, 4, 3), np.uint8),
    ],
    ids=["gray", "float", "alpha", "channels first", "empty"],
)
def test_an_array_that_is_no_picture_is_refused(model, image):
    with pytest.raises(LookwhyError, match=r"expected an array \(H, W, 3\) of uint8"):
        model.explain(image, QUESTION)


def test_an_explanation_says_what_was_found(model, why):
    assert why.answer == why.answers[0].text
    assert sum(one.probability for one in why.answers) <= 1 + 1e-9
    assert set(why.maps) == {"guided_backprop", "occlusion"}
    assert all(values.shape == (16, 16) for values in why.maps.values())
    assert set(why.words) == {"gradient", "word_drop"}
    assert [one.word for one in why.words["word_drop"]] == ["what", "color", "is", "the", "ball", "?"]
    assert any("simulated" in note for note in why.notes)
    assert repr(why).startswith(f"<'{QUESTION}': '{why.answer}' (")
    assert "DeeperLSTM" in repr(model)
    assert (
        "does not know “zebra”" in model.explain(np.zeros((9, 9, 3), np.uint8), "is the zebra red").notes[0]
    )


def test_a_notebook_shows_a_picture_and_every_format_is_written(why, tmp_path):
    assert why._repr_png_().startswith(b"\x89PNG")
    for ending, start in ((".png", b"\x89PNG"), (".svg", b"<?xml"), (".pdf", b"%PDF"), (".json", b"{")):
        path = why.save(str(tmp_path / f"why{ending}"))
        assert path.read_bytes().startswith(start)
    numbers = json.loads((tmp_path / "why.json").read_text())
    assert numbers["answers"][0]["answer"] == why.answer
    with pytest.raises(LookwhyError, match="name another"):
        why.save(tmp_path / "why.docx")


@pytest.fixture(scope="module")
def analysis(tiny_checkpoint, tmp_path_factory):
    return lookwhy.analyze(tiny_checkpoint, out=str(tmp_path_factory.mktemp("run")), limit=6)


def test_an_analysis_is_a_result_with_a_table_and_figures(analysis):
    result = analysis
    assert isinstance(result, AnalysisResult)
    assert result.summary == store.load(result.folder).summary
    rows = {row.key: row.value for row in result.table()}
    assert rows["image/occlusion/rank_correlation"] == result.summary["image/occlusion/rank_correlation"]
    for name in ("agreement", "most_important_words", "example"):
        assert result.figure(name).axes
    with pytest.raises(LookwhyError, match="expected a figure of .*agreement.*, found 'agrement'"):
        result.figure("agrement")
    with pytest.raises(LookwhyError, match="found no question 77"):
        result.figure("example", question=77)
    assert all(path.is_file() for path in result.result_files)
    assert repr(result).startswith("<analysis of 6 questions, image/guided_backprop, ")


def test_a_plan_may_be_given_in_plain_types(tiny_checkpoint, tmp_path):
    plan = {"question_methods": [], "num_questions": 4, "num_examples": 0}
    result = lookwhy.analyze(tiny_checkpoint, out=tmp_path, plan=plan)
    assert set(result.maps) == {"image/guided_backprop", "image/occlusion"}
    with pytest.raises(LookwhyError, match="expected the options of an analysis plan in plan, found"):
        lookwhy.analyze(tiny_checkpoint, out=tmp_path, plan={"num_question": 4})
    with pytest.raises(LookwhyError, match="expected a device to compute on, found no warp9"):
        lookwhy.load(tiny_checkpoint, device="warp9")
    with pytest.raises(LookwhyError, match="expected a limit of at least 1 question, found 0"):
        lookwhy.analyze(tiny_checkpoint, out=tmp_path, limit=0)
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(LookwhyError, match="expected a folder to write to, found .*; give another --out"):
        lookwhy.analyze(tiny_checkpoint, out=tmp_path / "file", limit=2)


def test_a_report_compares_runs(analysis, tmp_path):
    run = analysis.folder.parent.parent
    page = lookwhy.report(str(run), str(tmp_path / "page.html"), examples=2)
    assert page.read_text().lower().startswith("<!doctype html>")
    with pytest.raises(LookwhyError, match="twice; name it once"):
        lookwhy.report([run, run], tmp_path / "page.html")
