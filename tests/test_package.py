"""The wheel, installed without the source tree beside nothing but what it requires, and its commands."""

import re
import shutil
import sys
import time
import venv
import zipfile
from importlib.metadata import distribution
from pathlib import Path

import pytest
import tiny_runs
from packaging.requirements import Requirement
from tiny_runs import ROOT

SIZES = ["--train-scenes", "40", "--val-scenes", "12", "--epochs", "1"]


def run(command, folder):
    """Run a command without the source tree, and without the W&B account of the person who runs the tests."""
    return tiny_runs.run(command, folder, PYTHONPATH="", HOME=str(folder), WANDB_MODE="offline")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel, built in a copy: a build leaves folders behind."""
    tree = tmp_path_factory.mktemp("tree")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tree)
    unwanted = shutil.ignore_patterns("*.egg-info", "__pycache__")
    for name in ("src", "configs"):
        shutil.copytree(ROOT / name, tree / name, symlinks=True, ignore=unwanted)
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "."]
    done = run([*command, "--wheel-dir", tree], tree)
    assert done.returncode == 0, done.stderr
    (path,) = tree.glob("*.whl")
    return path


def requirements(lines, extras=("",)):
    """Requirements that hold on this machine for any of the extras."""
    found = map(Requirement, lines)
    return [r for r in found if r.marker is None or any(r.marker.evaluate({"extra": one}) for one in extras)]


def installed_with(lines):
    """The distributions that pip would install for these requirements, as they are installed here."""
    found, waiting = {}, requirements(lines)
    while waiting:
        requirement = waiting.pop()
        own = distribution(requirement.name)
        assert requirement.specifier.contains(own.version, prereleases=True), requirement
        known = found.setdefault(own.name, set())
        new = {"", *requirement.extras} - known
        known |= new
        waiting += requirements(own.requires or [], new)
    return [distribution(name) for name in found]


@pytest.fixture(scope="module")
def lookwhy(wheel, tmp_path_factory):
    """The console script of an environment that holds the wheel and links to what it requires."""
    folder = tmp_path_factory.mktemp("installed")
    venv.create(folder / "venv", symlinks=True)
    site = next((folder / "venv" / "lib").glob("python*")) / "site-packages"
    with zipfile.ZipFile(wheel) as archive:
        (metadata,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        lines = re.findall(r"^Requires-Dist: (.*)$", archive.read(metadata).decode(), re.M)
    for own in installed_with(lines):
        for top in {file.parts[0] for file in own.files} - {"..", "__pycache__"}:
            if not (site / top).exists():
                (site / top).symlink_to(own.locate_file(top))
    python = folder / "venv" / "bin" / "python"
    install = [sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-deps", wheel]
    done = run(install, folder)
    assert done.returncode == 0, done.stderr
    where = run([python, "-c", "import lookwhy; print(lookwhy.__file__)"], folder)
    assert Path(where.stdout.strip()).is_relative_to(site), where.stderr
    assert run([python, "-c", "import pytest"], folder).returncode, "more is there than lookwhy requires"
    return python.with_name("lookwhy")


@pytest.mark.parametrize(
    ("words", "start"),
    [
        (["--version"], f"lookwhy {distribution('lookwhy').version}\n"),
        (["--help"], "usage: lookwhy {prepare,train,analyze} ...\n"),
        *(([name, "--help"], f"usage: lookwhy {name} ") for name in ("prepare", "train", "analyze")),
    ],
)
def test_help_and_version_answer_at_once_and_name_the_installed_commands(words, start, lookwhy, tmp_path):
    before = time.monotonic()
    shown = run([lookwhy, *words], tmp_path)
    assert time.monotonic() - before < 2
    assert shown.returncode == 0, shown.stderr
    assert shown.stdout.startswith(start)
    assert not re.search(r"\b(prepare|train|analyze)\.py", shown.stdout)


@pytest.mark.parametrize(
    ("wrong", "remedy"),
    [
        (["analyze", "explain"], "; see lookwhy analyze explain --help"),
        (["learn"], "expected prepare, train or analyze, found learn; see lookwhy --help"),
    ],
)
def test_an_error_names_a_command_that_is_installed(wrong, remedy, lookwhy, tmp_path):
    done = run([lookwhy, *wrong], tmp_path)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith("lookwhy: error: ")
    assert line.endswith(remedy)


@pytest.mark.slow
def test_the_installed_commands_prepare_train_and_analyse_without_the_source_tree(lookwhy, tmp_path):
    done = run([lookwhy, "prepare", "shapes", *SIZES], tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("wrote data/shapes")
    options = "--config shapes --trainer.max_epochs 1 --trainer.accelerator cpu --analysis.untrained false"
    done = run([lookwhy, "train", *options.split(), "--analysis.plan.num_questions", "6"], tmp_path)
    assert done.returncode == 0, done.stderr
    checkpoint = tmp_path / "runs" / "shapes" / "checkpoints" / "last.ckpt"
    assert "run folder  runs/shapes" in done.stdout
    done = run([lookwhy, "analyze", checkpoint], tmp_path)
    assert done.returncode == 0, done.stderr
    stored = [tmp_path / "runs/shapes" / part / "epoch=000" for part in ("analysis", "analyze/last/analysis")]
    assert (stored[0] / "summary.json").read_text() == (stored[1] / "summary.json").read_text()
