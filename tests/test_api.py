"""The door: `import lookwhy` in a fresh process, and the four functions that a notebook needs."""

import json
import subprocess
import sys

import jaxtyping
import numpy as np
import pytest
from PIL import Image

import lookwhy
from lookwhy import store
from lookwhy.analysis import AnalysisPlan
from lookwhy.attribution import Attributor, Occlusion
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
    gray = np.zeros((9, 9, 3), np.uint8)
    assert "does not know “zebra”" in model.explain(gray, "is the zebra red").notes[0]


def test_a_notebook_shows_a_picture_and_every_format_is_written(why, tmp_path):
    assert why._repr_png_().startswith(b"\x89PNG")
    for ending, start in ((".png", b"\x89PNG"), (".svg", b"<?xml"), (".pdf", b"%PDF"), (".json", b"{")):
        path = why.save(str(tmp_path / f"why{ending}"))
        assert path.read_bytes().startswith(start)
    numbers = json.loads((tmp_path / "why.json").read_text())
    assert numbers["answers"][0]["answer"] == why.answer


@pytest.fixture(scope="module")
def analysis(tiny_checkpoint, tmp_path_factory):
    return lookwhy.analyze(tiny_checkpoint, out=str(tmp_path_factory.mktemp("run")), limit=6)


def test_an_analysis_is_a_result_with_a_table_and_figures(analysis):
    assert isinstance(analysis, AnalysisResult)
    assert analysis.summary == store.load(analysis.folder).summary
    rows = {row.key: row.value for row in analysis.table()}
    assert rows["image/occlusion/rank_correlation"] == analysis.summary["image/occlusion/rank_correlation"]
    for name in ("agreement", "most_important_words", "example"):
        assert len(analysis.figure(name).get_children()) > 1, "more than the paper"
    assert all(path.is_file() for path in analysis.result_files)
    assert repr(analysis).startswith("<analysis of 6 questions, image/guided_backprop, ")


def test_a_plan_may_be_given_in_plain_types(tiny_checkpoint, tmp_path):
    plan = {"question_methods": [], "num_questions": 4, "num_examples": 0}
    result = lookwhy.analyze(tiny_checkpoint, out=tmp_path, plan=plan)
    assert set(result.maps) == {"image/guided_backprop", "image/occlusion"}


def test_a_report_compares_runs(analysis, tmp_path):
    page = lookwhy.report(str(analysis.folder.parent.parent), str(tmp_path / "page.html"), examples=2)
    assert page.read_text().lower().startswith("<!doctype html>")


class NoNeeds(Attributor):
    name, domain = "own", "image"

    def __call__(self, model, batch, target):
        return 3


class NoMap(NoNeeds):
    needs = "scores"


class LostArgument(Occlusion):
    def __init__(self):
        super().__init__(grid=4)


ARRAY = r"expected an array \(H, W, 3\) of uint8"
WRONG = {
    "explain(None)": ARRAY,
    "explain(zeros((4, 4)))": ARRAY,
    "explain(zeros((4, 4, 3)))": ARRAY,
    "explain(zeros((4, 4, 4), uint8))": ARRAY,
    "explain(zeros((3, 4, 4), uint8))": ARRAY,
    "explain(zeros((0, 4, 3), uint8))": ARRAY,
    "explain(picture, None)": "expected a question in plain text, found None; ask something",
    "explain('none.png')": "found no file none.png; correct its path",
    "why.save('why.docx')": "found why.docx; name another",
    "why.save('/dev/null/why.png')": "expected a file that can be written, .*; name another file",
    "lookwhy.load(3)": "expected the path of a checkpoint, found 3; name a file that training wrote",
    "lookwhy.explain(None, picture, 'Where?')": "expected the path of a checkpoint, found None; name",
    "lookwhy.load(picture)": "expected a checkpoint .*, found another kind of file in .*png; name one under",
    "lookwhy.load(last, device='warp9')": r"expected a device to compute on, found no warp9 .*; give device cpu",
    "result.figure('agrement')": "expected a figure of .*agreement.*, found 'agrement'",
    "result.figure('example', question=77)": "found no question 77",
    "analyze(plan={'num_question': 4})": "expected the options of an analysis plan in plan, found: .*; see",
    "analyze(plan=5)": "expected the options of an analysis plan in plan, found: 5; see",
    "analyze(plan='/dev/null')": "expected a YAML file with a plan, found none in /dev/null .*a pipe or a device",
    "analyze(plan=AnalysisPlan([NoMap()]))": "expected ImportanceMaps from NoMap, found int; let its __call__ return",
    "why.save(None)": r"expected path to be a path \(str or Path\), found None; give another",
    "result.figure(['agreement'])": r"expected name to be a text, found \['agreement'\]; give another",
    "lookwhy.load(last, device=0)": "expected device to be a text, found 0; give another",
    "lookwhy.load(last, images=None)": "expected images to be a whole number, found None; give another",
    "analyze(limit='5')": "expected limit to be a whole number, found '5'; give another, or leave it out",
    "analyze(grid=True)": "expected grid to be a whole number, found True; give another, or leave it out",
    "analyze(out=3)": "expected out to be a path .*, found 3; give another, or leave it out",
    "lookwhy.report(None)": "expected runs to be a path .*, found None; give another",
    "lookwhy.report([run, 3])": "expected runs to be a path .*, found 3; give another",
    "lookwhy.report(run, None)": "expected out to be a path .*, found None; give another",
    "lookwhy.report(run, examples='2')": "expected examples to be a whole number, found '2'; give another",
    "analyze(limit=0)": "expected limit of at least 1, found 0; leave it out",
    "analyze(out=__file__)": "expected a folder to write to, found .*; give another out",
    "AnalysisPlan([NoNeeds()])": "expected NoNeeds.needs, found none; state it in the class",
    "AnalysisPlan([LostArgument()], grid=4)": "let its __init__ take grid and pass it on to Occlusion.__init__",
    "lookwhy.report([run, run], 'page.html')": "twice; name it once",
    "lookwhy.report(run, '/dev/null/page.html')": "expected a file that can be written, found .*; give another out",
}
"""Calls with wrong input, and their error lines; `explain` is the model's method, `analyze` has its checkpoint."""


@pytest.mark.parametrize("call", WRONG)
def test_wrong_input_is_one_line_that_names_what_was_given(
    call, model, picture, why, analysis, tiny_checkpoint, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    # Users have no type checker at run time.
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    names = globals() | {
        "AnalysisPlan": AnalysisPlan,
        "picture": picture, "why": why, "result": analysis, "run": analysis.folder.parent.parent,
        "last": tiny_checkpoint, "zeros": np.zeros, "uint8": np.uint8,
        "explain": lambda image, question=QUESTION: model.explain(image, question),
        "analyze": lambda **settings: lookwhy.analyze(tiny_checkpoint, **{"out": "out"} | settings),
    }  # fmt: skip
    with pytest.raises(LookwhyError, match=WRONG[call]) as error:
        eval(call, names)
    assert "\n" not in str(error.value)
    assert "--" not in str(error.value)
