"""The Python of README and docs runs as it stands: in the folder where `make demo` left a run and its world."""

import ast
import json
import re
import runpy
import shutil
import sys

import pytest
from pages import code_blocks
from PIL import Image
from tiny_runs import ROOT, run

import lookwhy

NOTEBOOK = json.loads((ROOT / "docs" / "example.ipynb").read_text())
SHOW = """
def show(value):
    draw = getattr(value, "_repr_png_", None)
    print("PNG" if draw and draw().startswith(b"\\x89PNG") else repr(value))
"""
"""A notebook shows the value of a cell's last line."""


@pytest.fixture(scope="module")
def demo(tiny_world, tiny_checkpoint, tmp_path_factory):
    """A folder as `make demo` leaves it, with smaller runs."""
    folder = tmp_path_factory.mktemp("demo")
    (folder / "data").mkdir()
    (folder / "data" / "shapes").symlink_to(tiny_world)
    own = folder / "runs" / "demo"
    lookwhy.analyze(tiny_checkpoint, out=own, limit=4)
    (own / "checkpoints").symlink_to(tiny_checkpoint.parent)
    shutil.copytree(own, folder / "runs" / "question_only", symlinks=True)
    return folder


def test_the_readme_starts_with_two_commands_and_four_lines_of_python():
    first = (ROOT / "README.md").read_text().partition("\n## ")[0]
    assert [len(re.findall(r"^.+$", content, re.M)) for *_, content in code_blocks(first)] == [2, 4]


@pytest.mark.parametrize(
    ("page", "files"), [("README.md", ["why.png"]), ("docs/python.md", ["why.pdf", "report.html"])]
)
def test_the_python_of_a_page_runs(page, files, demo, monkeypatch):
    monkeypatch.chdir(demo)
    blocks, names = code_blocks((ROOT / page).read_text()), {}
    exec("\n".join(content for language, _, content in blocks if language == "python"), names)
    assert names["why"].answer
    for name in files:
        assert (demo / name).stat().st_size > 1000
    if page == "docs/python.md":
        assert {"occlusion", "random", "human"} <= set(names["agreement"].method)
        assert names["other"].maps["image/occlusion"].values.shape == (8, 14, 14)


def test_the_row_of_methods_is_drawn(demo, monkeypatch):
    monkeypatch.chdir(demo)
    image = "data/shapes/images/shapes_val/COCO_shapes_val_000000500001.png"
    script = runpy.run_path(str(ROOT / "docs" / "methods.py"))
    script["main"]("runs/demo/checkpoints/last.ckpt", image, "Is there a red cube?", "methods.png")
    with Image.open("methods.png") as picture:
        assert picture.width > picture.height


def as_script(cell):
    tree = ast.parse("".join(cell["source"]))
    last = tree.body[-1]
    if isinstance(last, ast.Expr) and not ast.unparse(last).startswith("print("):
        tree.body[-1] = ast.parse(f"show({ast.unparse(last.value)})").body[0]
    return ast.unparse(tree)


def test_the_notebook_runs_in_a_fresh_process(demo):
    cells = [cell for cell in NOTEBOOK["cells"] if cell["cell_type"] == "code"]
    assert all(not cell["outputs"] and cell["execution_count"] is None for cell in cells)
    (demo / "docs").mkdir()
    script = SHOW + "\n".join(map(as_script, cells))
    done = run([sys.executable, "-c", script], demo / "docs", PYTHONPATH=str(ROOT / "src"))
    assert done.returncode == 0, done.stderr
    assert "PNG" in done.stdout
    assert re.search(r"^ +occlusion +-?0\.\d{3}  n = \d+$", done.stdout, re.M)
    assert "Figure" in done.stdout
