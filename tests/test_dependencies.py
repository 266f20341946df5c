"""The package imports what pyproject.toml declares, and an error line names what is missing."""

import ast
import re
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
FOR_DEVELOPERS = {"dev", "bench"}
BELONGS_TO = packages_distributions()


def normal(name):
    """A distribution's name as pip compares it: without version, extras and markers."""
    return re.match(r"[\w.-]+", name)[0].lower().replace("_", "-").replace(".", "-")


REQUIRED = {normal(line) for line in PROJECT["dependencies"]}
EXTRAS = {
    name: {normal(line) for line in lines}
    for name, lines in PROJECT["optional-dependencies"].items()
    if name not in FOR_DEVELOPERS
}


def distributions(path):
    """The distributions whose modules a file imports, anywhere in it, by module.

    Several distributions share a namespace such as `google`.
    """
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add(node.module)
    modules = {name.split(".")[0] for name in names} - set(sys.stdlib_module_names) - {"lookwhy"}
    return {module: {normal(name) for name in BELONGS_TO.get(module, ())} for module in modules}


FOUND = {path: distributions(path) for path in (ROOT / "src" / "lookwhy").rglob("*.py")}


def test_every_module_that_is_imported_is_declared():
    declared = REQUIRED.union(*EXTRAS.values())
    missing = [
        (str(path), module) for path in FOUND for module in FOUND[path] if not FOUND[path][module] & declared
    ]
    assert missing == []


def test_every_package_that_is_declared_is_imported():
    imported = set().union(*(names for found in FOUND.values() for names in found.values()))
    for declared in (REQUIRED, *EXTRAS.values()):
        assert declared - imported == set()


def test_no_extra_repeats_what_is_required():
    assert [name for name, declared in EXTRAS.items() if declared & REQUIRED] == []


def test_the_pairs_of_torch_and_torchvision_that_are_tested_lie_in_the_declared_ranges():
    ranges = {one.name: one.specifier for one in map(Requirement, PROJECT["dependencies"])}
    exact = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if not line.startswith("#")]
    pairs = [*map(Requirement, exact), Requirement("torch==2.6.0"), Requirement("torchvision==0.21.0")]
    assert {one.name for one in pairs} == {"torch", "torchvision"}
    assert all(ranges[one.name].contains(next(iter(one.specifier)).version) for one in pairs)


def test_developers_have_every_extra():
    (own,) = (line for line in PROJECT["optional-dependencies"]["dev"] if line.startswith("lookwhy["))
    assert set(re.findall(r"\w+", own)) - {"lookwhy"} == set(PROJECT["optional-dependencies"]) - {"dev"}


WEIGHTS = "lookwhy.towers.caffe.read_caffemodel(pathlib.Path('vgg19.caffemodel'), [])"
DOWNLOAD = ["download", "vqa-hat", "--root", "."]
NEEDED_BY = {
    "caffe": ("google.protobuf", f"import pathlib, lookwhy.towers.caffe\n{WEIGHTS}"),
    "download": ("filelock", f"from lookwhy.cli.prepare import main\nsys.exit(main({DOWNLOAD}))"),
    "serve": ("uvicorn", "from lookwhy.cli.analyze import main\nsys.exit(main(['serve', 'last.ckpt']))"),
    "workspace": ("wandb_workspaces", "from lookwhy.cli.analyze import main\nsys.exit(main(['workspace']))"),
}
"""A module of each extra, and a call that needs it."""


@pytest.mark.parametrize("extra", EXTRAS)
def test_the_line_about_a_missing_extra_names_what_to_install(extra, tmp_path):
    module, call = NEEDED_BY[extra]
    script = f"import sys\nsys.modules[{module!r}] = None\n{call}"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode
    line = done.stderr.strip().splitlines()[-1]
    # By their own names: lookwhy[extra] is on no index.
    assert EXTRAS[extra] <= set(line.partition("pip install ")[2].rstrip(";,").replace(",", "").split())
