"""`python analyze.py --model SPEC`, with the examples of docs/foreign.md, beside one of our own models."""

import json
import re
import socket
import subprocess
import sys
import time
import urllib.request

import pytest
import yaml
from tiny_runs import ROOT, run

import lookwhy
from lookwhy import store
from lookwhy.cli.analyze import main

PAGE = (ROOT / "docs" / "foreign.md").read_text()
EXAMPLES = dict(re.findall(r"<!-- runs: (\S+) -->\n```python\n(.*?)```", PAGE, re.S))


def options(world, spec, *more):
    files = ["--questions", world / "questions_val.json", "--annotations", world / "annotations_val.json"]
    files += ["--images", world / "images", "--annotator-maps", world / "annotators"]
    files += ["--truth-masks", world / "truth", "--annotators", "simulated annotators"]
    return ["--model", spec, *map(str, [*files, *more])]


def analyse(world, folder, spec, *more):
    return run([sys.executable, ROOT / "analyze.py", *options(world, spec, *more)], folder)


@pytest.fixture
def examples(tmp_path):
    for name, content in EXAMPLES.items():
        assert len(content.splitlines()) < 30
        (tmp_path / name).write_text(content)
    return tmp_path


def test_a_function_is_explained_and_compared_with_our_model_on_the_same_questions(
    tiny_world, trained, examples, monkeypatch
):
    assert len(EXAMPLES) == 3
    plan = {"num_questions": 8, "num_examples": 1, "bootstrap_samples": 20}
    methods = {"image_methods": ["Occlusion", "RISE"], "question_methods": ["WordDrop"]}
    settings = {"RISE": {"samples": 20}}
    for key, names in methods.items():
        plan[key] = [
            {"class_path": f"lookwhy.attribution.{name}", "init_args": settings.get(name, {})}
            for name in names
        ]
    (examples / "plan.yaml").write_text(yaml.safe_dump(plan))
    done = analyse(tiny_world, examples, "colour:scores", "--plan", "plan.yaml")
    assert done.returncode == 0, done.stderr
    assert "simulated annotators" in done.stdout
    folder = examples / "runs" / "colour-scores"
    ours = store.load(store.epoch_folder(trained.run, 1))
    theirs = store.load(store.epoch_folder(folder, 0))
    assert theirs.question_ids.tolist() == ours.question_ids.tolist()
    assert {"image/occlusion", "image/rise", "question/word_drop"} <= theirs.maps.keys()
    assert theirs.manifest["model"] == "colour:scores"
    assert {record["predicted"] for record in theirs.records} <= {"red", "green", "blue", "yes"}
    monkeypatch.chdir(examples)
    monkeypatch.delitem(sys.modules, "colour", raising=False)
    assert main(["compare", str(trained.run), str(folder), "--out", "page.html"]) == 0
    assert "colour-scores" in (examples / "page.html").read_text()
    # The second time, nothing is asked: the module could not even be imported with its answers alone.
    (examples / "colour.py").write_text(
        "def scores(images, questions): raise SystemExit(9)\nscores.answers = ['red', 'green', 'blue', 'yes']\n"
    )
    assert main(options(tiny_world, "colour:scores", "--plan", "plan.yaml")) == 0
    assert store.load(store.epoch_folder(folder, 0)).summary == theirs.summary


def test_a_program_and_a_server_are_explained(tiny_world, examples):
    more = ["--limit", "2", "--batch-size", "64"]
    done = analyse(tiny_world, examples, f"cmd:{sys.executable} program.py", *more, "--out", "runs/program")
    assert done.returncode == 0, done.stderr
    result = store.load(store.epoch_folder(examples / "runs" / "program", 0))
    assert {record["predicted"] for record in result.records} <= {"bright", "dark"}
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = subprocess.Popen(
        [sys.executable, "server.py", str(port)], cwd=examples, stderr=subprocess.DEVNULL
    )
    try:
        for _ in range(100):
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}") as reply:
                    assert json.loads(reply.read()) == {"answers": ["short", "long"]}
                break
            except OSError:
                time.sleep(0.1)
        done = analyse(tiny_world, examples, f"http://127.0.0.1:{port}", *more, "--out", "runs/server")
    finally:
        server.kill()
        server.wait()
    assert done.returncode == 0, done.stderr
    result = store.load(store.epoch_folder(examples / "runs" / "server", 0))
    # It reads the question alone: no part of a picture matters, and words do.
    assert not result.maps["image/occlusion"].values.any()
    assert result.maps["question/word_drop"].values.nan_to_num().abs().max() > 0


def test_what_cannot_work_is_refused_before_anything_is_asked(tiny_world, examples, monkeypatch, capsys):
    monkeypatch.chdir(examples)
    monkeypatch.delitem(sys.modules, "colour", raising=False)
    (examples / "plan.yaml").write_text("image_methods: [{class_path: lookwhy.attribution.GradCAM}]\n")
    assert main(options(tiny_world, "colour:scores", "--plan", "plan.yaml")) == 2
    said = capsys.readouterr().err
    assert "needs gradients" in said
    assert "Occlusion, RISE, LIME, KernelSHAP or WordDrop" in said
    assert main(options(tiny_world, "colour:scores", "--images", tiny_world)) == 2
    said = capsys.readouterr().err
    assert "correct --images" in said
    assert said.count("\n") == 1


def test_one_question_and_a_list_are_explained_in_a_shell_and_in_python(
    tiny_world, examples, monkeypatch, capsys
):
    picture = next((tiny_world / "images").rglob("*.png"))
    question = "What color is the cube?"
    words = [sys.executable, ROOT / "analyze.py", "explain", "--model", "colour:scores"]
    done = run([*words, "--image", picture, "--question", question, "--out", "why.json"], examples)
    assert done.returncode == 0, done.stderr
    found = json.loads((examples / "why.json").read_text())
    (examples / "list.csv").write_text(f"image,question\n{picture},{question}\n")
    monkeypatch.chdir(examples)
    monkeypatch.delitem(sys.modules, "colour", raising=False)
    listed = ["--batch", "list.csv", "--format", "json", "--out", "many"]
    assert main(["explain", "--model", "colour:scores", *listed]) == 0
    why = lookwhy.load("colour:scores").explain(picture, question)
    assert why.answer in {"red", "green", "blue"}
    assert why.answer in json.dumps(found)
    # Without this word it takes the question for another one.
    assert max(why.words["word_drop"], key=lambda one: one.importance).word == "color"
    for wrong, said in ([], "found neither"), (["x.ckpt", "--model", "a:b"], "found both"):
        assert main(["explain", *wrong, "--image", str(picture), "--question", question]) == 2
        assert said in capsys.readouterr().err


CHECK = """
import numpy as np
from transformers import AutoProcessor, ViltForQuestionAnswering
from lookwhy.models.foreign import open_model
model = open_model("hf:tiny")
own, processor = ViltForQuestionAnswering.from_pretrained("tiny").eval(), AutoProcessor.from_pretrained("tiny")
pictures = np.random.default_rng(0).integers(0, 255, (3, 60, 100, 3), np.uint8)
texts = ["what color is the cube ?", "how many", "is there a ball that you can see ?"]
together = model.answer_scores(pictures, texts)
for row, (picture, text) in enumerate(zip(pictures, texts)):
    expected = own(**processor(images=[picture], text=[text], return_tensors="pt")).logits.sigmoid()
    assert (together[row] - expected[0]).abs().max() < 1e-5, row
assert together.std(0).max() > 1e-4
print(*model.answers)
"""


def test_a_vilt_of_transformers_is_explained_from_its_folder(tiny_world, examples):
    pytest.importorskip("transformers", reason="transformers is not installed (extra hf)")
    made = run([sys.executable, ROOT / "tests" / "models" / "tiny_vilt.py", "tiny"], examples)
    assert made.returncode == 0, made.stderr
    checked = run([sys.executable, "-c", CHECK], examples)
    assert checked.returncode == 0, checked.stderr
    assert checked.stdout.split() == ["yes", "no", "red", "blue"]
    done = analyse(tiny_world, examples, "hf:tiny", "--limit", "2", "--batch-size", "64")
    assert done.returncode == 0, done.stderr
    result = store.load(store.epoch_folder(examples / "runs" / "hf-tiny", 0))
    assert {record["predicted"] for record in result.records} <= {"yes", "no", "red", "blue"}
    assert result.maps["image/occlusion"].values.any()
    assert result.maps["question/word_drop"].values.nan_to_num().any()
    done = run([sys.executable, "-c", "import lookwhy; lookwhy.load('hf:no/such-model')"], examples)
    assert "that is on this machine" in done.stderr
