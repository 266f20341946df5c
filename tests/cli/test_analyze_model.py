"""`python analyze.py --model SPEC`, with the examples of docs/foreign.md, beside one of our own models."""

import contextlib
import json
import re
import socket
import subprocess
import sys
import time
import urllib.request
from collections import Counter

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


def annotations(world):
    return json.loads((world / "annotations_val.json").read_text())["annotations"]


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
    assert len(EXAMPLES) == 4
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


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory):
    """Folders of small models of transformers, and a plan with the methods that read attention."""
    pytest.importorskip("transformers", reason="transformers is not installed (extra hf)")
    import tiny_models

    folder = tmp_path_factory.mktemp("pretrained")
    tiny_models.main(folder, "blip", "qwen")
    with contextlib.chdir(folder):
        exec(EXAMPLES["small_vilt.py"], {})
    small = {"num_examples": 1, "bootstrap_samples": 20}
    attention = small | yaml.safe_load(
        re.search(r"<!-- writes: attention.yaml -->\n```yaml\n(.*?)```", PAGE, re.S)[1]
    )
    small |= {
        "grid": 2,
        "image_methods": [{"class_path": "lookwhy.attribution.Occlusion", "init_args": {"grid": 2}}],
        "question_methods": [{"class_path": "lookwhy.attribution.WordDrop"}],
    }
    (folder / "attention.yaml").write_text(yaml.safe_dump(attention))
    (folder / "small.yaml").write_text(yaml.safe_dump(small))
    return folder


def test_a_vilt_is_explained_by_its_attention(tiny_world, pretrained, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    spec, plan = f"hf:{pretrained / 'small_vilt'}", str(pretrained / "attention.yaml")
    assert main(options(tiny_world, spec, "--plan", plan, "--limit", "1", "--out", "run")) == 0
    result = store.load(store.epoch_folder(tmp_path / "run", 0))
    assert {record["predicted"] for record in result.records} <= {"red", "blue"}
    names = {
        f"{domain}/attention_{rule}" for domain in ("image", "question") for rule in ("rollout", "grad_cam")
    }
    assert names | {"image/attention_relevance", "question/attention_relevance"} <= result.maps.keys()
    assert result.maps["image/attention_relevance"].values.any()
    assert "Attention Grad-CAM" in capsys.readouterr().out
    picture = next((tiny_world / "images").rglob("*.png"))
    asked = ["--image", str(picture), "--question", "What color is the cube?"]
    assert main(["explain", "--model", spec, "--plan", plan, *asked, "--out", "why.json"]) == 0
    assert "attention_rollout" in (tmp_path / "why.json").read_text()
    for more, said in (
        (["--candidates", "x"], "--candidates for hf:"),
        (["--own-answers"], "--own-answers for hf:"),
    ):
        assert main(options(tiny_world, spec, *more)) == 2
        assert said in capsys.readouterr().err
    assert main(options(tiny_world, f"hf:{pretrained / 'none'}")) == 2
    error = capsys.readouterr().err
    assert "that is on this machine" in error
    assert error.count("\n") == 1


def test_models_that_write_their_answers_score_candidates(
    tiny_world, pretrained, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    plan = ["--plan", str(pretrained / "small.yaml"), "--limit", "2"]
    blip, qwen = (f"hf:{pretrained / kind}" for kind in ("blip", "qwen"))
    assert (
        main(options(tiny_world, blip, *plan, "--num-candidates", "5", "--own-answers", "--out", "blip")) == 0
    )
    result = store.load(store.epoch_folder(tmp_path / "blip", 0))
    given = Counter(one["multiple_choice_answer"] for one in annotations(tiny_world))
    frequent = sorted(given, key=lambda answer: (-given[answer], answer))[:5]
    assert result.manifest["candidates"][:5] == frequent
    assert 5 < len(result.manifest["candidates"]) <= 7
    assert result.maps["image/occlusion"].values.any()
    (tmp_path / "answers.txt").write_text("red\n\nblue\nred\n")
    listed = ["--candidates", "answers.txt"]
    assert main(options(tiny_world, qwen, *plan, *listed, "--out", "qwen")) == 0
    result = store.load(store.epoch_folder(tmp_path / "qwen", 0))
    assert result.manifest["candidates"] == ["red", "blue"]
    assert {record["predicted"] for record in result.records} <= {"red", "blue"}
    picture = next((tiny_world / "images").rglob("*.png"))
    asked = ["--image", str(picture), "--question", "What color is the cube?", "--out", "why.json"]
    assert main(["explain", "--model", blip, *plan[:2], *listed, *asked]) == 0
    why = lookwhy.load(blip, candidates=["red", "blue"], plan=pretrained / "small.yaml").explain(
        picture, "What color is the cube?"
    )
    shown = json.loads((tmp_path / "why.json").read_text())
    assert why.answer in json.dumps(shown["answers"])
    capsys.readouterr()
    attention = ["--plan", str(pretrained / "attention.yaml")]
    for wrong, said in (
        (["explain", "--model", blip, *asked], "expected candidates for"),
        (options(tiny_world, blip, *listed, "--num-candidates", "3"), "found both"),
        (options(tiny_world, blip, "--candidates", "none.txt"), "--candidates"),
        (options(tiny_world, blip, "--own-answers", *attention), "attention_rollout"),
        (
            ["--model", blip, "--questions", str(tiny_world / "questions_val.json"), "--images", "x"],
            "--annot",
        ),
    ):
        assert main(wrong) == 2
        *before, error = capsys.readouterr().err.splitlines()
        assert said in error
        assert before in ([], ["device  cpu (no GPU found)"])
