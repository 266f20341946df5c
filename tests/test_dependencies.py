"""The package imports what pyproject.toml declares, and an error line names what is missing."""

import re
import sys
import tomllib
from importlib.metadata import packages_distributions

import pytest
from packaging.requirements import Requirement
from test_layering import IMPORTS
from tiny_runs import ROOT, run

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


MODULES = {name.split(".")[0] for names in IMPORTS.values() for name in names}
FOUND = {
    module: {normal(name) for name in BELONGS_TO.get(module, ())}
    for module in MODULES - set(sys.stdlib_module_names) - {"lookwhy"}
}
"""Distributions by the module that is imported; several of them share a namespace such as `google`."""


def test_imports_are_declared_and_declarations_are_imported_and_stand_once():
    declared = REQUIRED.union(*EXTRAS.values())
    # Triton comes with PyTorch's CUDA builds for Linux, and is used if it is there.
    assert [module for module, names in FOUND.items() if not names & declared] == ["triton"]
    assert declared - set().union(*FOUND.values()) == set()
    assert [name for name, own in EXTRAS.items() if own & REQUIRED] == []


def test_the_pairs_of_torch_and_torchvision_that_are_tested_lie_in_the_declared_ranges():
    ranges = {one.name: one.specifier for one in map(Requirement, PROJECT["dependencies"])}
    exact = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if not line.startswith("#")]
    pairs = [*map(Requirement, [*exact, "torch==2.6.0", "torchvision==0.21.0"])]
    assert {one.name for one in pairs} == {"torch", "torchvision"}
    assert all(ranges[one.name].contains(next(iter(one.specifier)).version) for one in pairs)


def test_developers_have_every_extra_and_every_extra_is_tried():
    assert {extra for extra, *_ in NEEDED_BY} == set(EXTRAS)
    (own,) = (line for line in PROJECT["optional-dependencies"]["dev"] if line.startswith("lookwhy["))
    assert set(re.findall(r"\w+", own)) - {"lookwhy"} == set(PROJECT["optional-dependencies"]) - {"dev"}


WEIGHTS = "lookwhy.towers.caffe.read_caffemodel(pathlib.Path('vgg19.caffemodel'), [])"
DOWNLOAD = ["download", "vqa-hat", "--root", "."]
ANALYZE = "from lookwhy.cli.analyze import main\nsys.exit(main({}))"
NEEDED_BY = [
    ("caffe", "google.protobuf", f"import pathlib, lookwhy.towers.caffe\n{WEIGHTS}"),
    ("download", "filelock", f"from lookwhy.cli.prepare import main\nsys.exit(main({DOWNLOAD}))"),
    ("hf", "transformers", "from lookwhy.models.foreign import open_model\nopen_model('hf:tiny')"),
    ("serve", "starlette", ANALYZE.format(["serve", "last.ckpt"])),
    ("serve", "uvicorn", ANALYZE.format(["serve", "last.ckpt"])),
    ("workspace", "wandb_workspaces", ANALYZE.format(["workspace"])),
]
"""Modules of each extra, and a call that needs them."""


@pytest.mark.parametrize(("extra", "module", "call"), NEEDED_BY)
def test_a_missing_extra_is_one_line_that_names_what_to_install(extra, module, call, tmp_path):
    # None in sys.modules: an import fails as if the package were not installed.
    done = run([sys.executable, "-c", f"import sys\nsys.modules[{module!r}] = None\n{call}"], tmp_path)
    *before, line = done.stderr.strip().splitlines()
    if extra not in ("caffe", "hf"):  # no command
        assert (done.returncode, before, list(tmp_path.iterdir())) == (2, [], [])
    assert done.returncode
    assert module in line.partition("found: ")[2].partition(";")[0]
    # The line names the packages: lookwhy[extra] is on no index.
    assert EXTRAS[extra] <= set(line.partition("pip install ")[2].rstrip(";,").replace(",", "").split())
