"""CONTRIBUTING.md: its picture is the imports, and its steps work as they stand on a copy of the project."""

import doctest
import json
import re
import shlex
import shutil
import subprocess
import sys

import numpy as np
import pytest
from pages import code_blocks
from test_layering import FILES, IMPORTS, ORDER, room
from tiny_runs import ROOT, make_data, make_trainer, parse_only, run, small_config

from lookwhy.cli.analyze import build_parser
from lookwhy.errors import LookwhyError
from lookwhy.models import VQASystem

PAGE = (ROOT / "CONTRIBUTING.md").read_text()


def arrows():
    """A line for each room with the rooms that it imports, without those that another of them imports, too."""
    direct = {one: set() for one in ORDER}
    for name in FILES:
        if (own := room(name)) != "__init__":
            found = {module.split(".")[1] for module in IMPORTS[name] if module.startswith("lookwhy.")}
            direct[own] |= found & set(ORDER) - {own}
    below = {}
    for one, found in direct.items():
        assert found <= below.keys(), f"{one} imports a room that comes after it"
        below[one] = found.union(*(below[other] for other in found))
        if drawn := found.difference(*(below[other] for other in found)):
            yield f"  {one} --> {' & '.join(sorted(drawn, key=ORDER.index))}"


def test_the_picture_of_the_rooms_is_that_of_the_imports():
    (picture,) = re.findall(r"^```mermaid\nflowchart BT\n(.*?)^```", PAGE, re.M | re.S)
    assert picture.splitlines() == list(arrows())


def section(title):
    """The code blocks of a section, in order: language, file and content."""
    return code_blocks(re.search(rf"^## {title}\n(.*?)^## ", PAGE, re.M | re.S)[1])


def commands(title):
    texts = (content for language, _, content in section(title) if not language)
    return [shlex.split(line) for text in texts for line in text.replace("\\\n", "").splitlines()]


def python_of(title, without=""):
    """Names that the Python of a section defines; a part of the code may be left out."""
    (code,) = (content for language, _, content in section(title) if language == "python")
    if without:
        code, count = re.subn(without, "", code, flags=re.S)
        assert count == 1
    names = {}
    exec(compile(code, title, "exec"), names)
    return names


class Clone:
    """A copy of the project with a tiny world, where a contributor works."""

    def __init__(self, folder, world):
        self.folder = folder
        unwanted = shutil.ignore_patterns("__pycache__", "*.egg-info")
        shutil.copytree(ROOT / "src", folder / "src", ignore=unwanted)
        for name in ("train.py", "analyze.py"):
            shutil.copy(ROOT / name, folder)
        plan = {"num_questions": 8, "num_examples": 1, "bootstrap_samples": 20}
        small_config(folder, analysis={"untrained": False, "plan": plan})
        (folder / "data").mkdir()
        shutil.copy(ROOT / "data/prepare.py", folder / "data")
        (folder / "data/shapes").symlink_to(world)

    def write(self, title):
        """Write the section's files, and put its added lines where its diffs say."""
        for language, name, content in section(title):
            if language == "python":
                (self.folder / name).write_text(content)
            elif language == "diff":
                path = self.folder / "src/lookwhy/analysis/evaluate.py"
                before = "".join(line[1:] + "\n" for line in content.splitlines() if line[0] == " ")
                assert path.read_text().count(before) == 1, f"not once in evaluate.py: {before}"
                after = "".join(line[1:] + "\n" for line in content.splitlines())
                path.write_text(path.read_text().replace(before, after))

    def run(self, words):
        assert words[0] == "python"
        paths = {"PYTHONPATH": str(self.folder / "src"), "WANDB_MODE": "offline"}
        done = run([sys.executable, *words[1:]], self.folder, **paths)
        assert done.returncode == 0, done.stderr

    def summary(self, path):
        return json.loads((self.folder / path / "epoch=000" / "summary.json").read_text())


@pytest.fixture(scope="module")
def clone(tiny_world, tmp_path_factory):
    return Clone(tmp_path_factory.mktemp("clone"), tiny_world)


@pytest.fixture
def own_modules(clone, monkeypatch):
    """The contributor's files can be imported here, and are forgotten afterwards."""
    monkeypatch.chdir(clone.folder)
    monkeypatch.syspath_prepend(str(clone.folder))
    yield
    for name in [name for name in sys.modules if name.startswith("my_")]:
        del sys.modules[name]


@pytest.fixture(scope="module")
def trained(clone):
    """The steps for a method and a head. The second training is the first with another head."""
    clone.write("Add an attribution method")
    clone.write("Add a head")
    (training,) = commands("Add a head")
    clone.run(training)
    return clone.folder / "runs/bag/checkpoints/last.ckpt"


@pytest.mark.slow
def test_a_method_and_a_head_of_ones_own_are_trained_and_analysed(clone, trained, own_modules):
    summary = clone.summary("runs/bag/analysis")
    assert -1 <= summary["image/gradient_times_input/rank_correlation"] <= 1
    assert "image/occlusion/rank_correlation" not in summary
    training, analysis = commands("Add an attribution method")
    (with_head,) = commands("Add a head")
    assert training[:4] == with_head[:4]
    assert training[6:] == with_head[6:8]
    methods = parse_only(["fit", *training[2:]]).fit.analysis.plan.image_methods
    assert [method.class_path for method in methods] == ["my_method.GradientTimesInput"]
    build_parser().parse_args(["checkpoint", *analysis[2:]])


@pytest.mark.slow
def test_a_measure_of_ones_own_stands_in_every_analysis(clone, trained):
    clone.write("Add a measure")
    (analysis,) = commands("Add a measure")
    refused = run([sys.executable, *analysis[1:3]], clone.folder, PYTHONPATH=str(clone.folder / "src"))
    assert refused.returncode == 2
    assert re.search(
        r"found my_method\.\w+ in .*; if you trust this module, give --trust my_method$", refused.stderr
    )
    clone.run(analysis)
    found, before = clone.summary("runs/bag/analyze/last/analysis"), clone.summary("runs/bag/analysis")
    new = {key for key in found if "half_mass" in key}
    assert new == {f"image/gradient_times_input/half_mass{end}" for end in ("", "/ci_low", "/ci_high", "/n")}
    assert 0 < found["image/gradient_times_input/half_mass"] < 0.5
    # The map of this method still needs gradients: analyze.py gives the numbers of the training all the same.
    assert {key: found[key] for key in found.keys() - new} == before


def test_the_example_of_the_measure_is_true():
    names = python_of("Add a measure")
    test = doctest.DocTestFinder().find(names["half_mass"], "half_mass", globs=names | {"np": np})[0]
    assert doctest.DocTestRunner().run(test) == doctest.TestResults(0, 1)
    assert np.isnan(names["half_mass"](np.zeros((1, 2, 2)))).all()


@pytest.mark.slow
def test_a_tower_of_ones_own_gives_features_and_is_explained(clone):
    clone.write("Add a tower")
    *copies, features, training, analysis = commands("Add a tower")
    for words in copies:
        subprocess.run(words, cwd=clone.folder, check=True)
    clone.run(features)
    clone.run(training)
    before = clone.summary("runs/tower/analysis")
    assert -1 <= before["image/guided_backprop/rank_correlation"] <= 1
    clone.run(analysis)
    assert clone.summary("runs/tower/analyze/last/analysis") == before


def test_a_head_without_settings_is_refused_before_the_first_step(tiny_world, tmp_path):
    names = python_of("Add a head", without=r" +self\.settings = \{.*?\}\n")
    data = make_data(tiny_world)
    system = VQASystem(names["BagOfWords"](data.vocab_size, data.num_answers, data.image_dim))
    trainer = make_trainer(tmp_path, 1, [])
    expected = r"expected BagOfWords\.settings, .* found none; set it in __init__"
    with pytest.raises(LookwhyError, match=expected):
        trainer.fit(system, data)
    assert trainer.global_step == 0
