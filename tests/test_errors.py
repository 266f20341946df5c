"""Messages name commands as their reader has them."""

import ast
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from lookwhy.errors import SCRIPTS, command

ROOT = Path(__file__).parent.parent
FILES = sorted((ROOT / "src" / "lookwhy").rglob("*.py"))
ASK = "from lookwhy.errors import command\nprint(command('analyze'))\n"


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    """A clone whose three scripts print what a message would name."""
    folder = tmp_path_factory.mktemp("a clone")
    for script in SCRIPTS.values():
        (folder / script).parent.mkdir(exist_ok=True)
        (folder / script).write_text(ASK)
    return folder


def named(script, folder):
    done = subprocess.run([sys.executable, *script], cwd=folder, capture_output=True, text=True)
    return done.stdout.strip() or done.stderr


@pytest.mark.parametrize(
    ("script", "inside", "expected"),
    [
        ("train.py", ".", "python analyze.py"),
        ("./train.py", ".", "python analyze.py"),
        ("data/prepare.py", ".", "python analyze.py"),
        ("prepare.py", "data", "python ../analyze.py"),
        ("../train.py", "data", "python ../analyze.py"),
    ],
)
def test_a_user_who_started_a_script_of_a_clone_reads_scripts(script, inside, expected, clone):
    assert named([script], clone / inside) == expected


def test_a_folder_with_a_space_is_quoted(clone, tmp_path):
    assert named([clone / "train.py"], tmp_path) == f"python '{clone / 'analyze.py'}'"


def test_other_users_read_the_console_script(tmp_path):
    assert named(["-c", ASK], tmp_path) == "lookwhy analyze"
    assert command("train") == "lookwhy train"
    # Another project has a train.py and an analyze.py as well.
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    for script in ("train.py", "analyze.py"):
        (tmp_path / script).write_text(ASK)
    assert named(["train.py"], tmp_path) == "lookwhy analyze"


def test_every_script_is_there():
    assert all("lookwhy.cli." in (ROOT / script).read_text() for script in SCRIPTS.values())


def texts(path):
    """String constants of a file that are no docstrings."""
    tree = ast.parse(path.read_text())
    alone = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in alone:
            yield node.value


def test_no_message_names_a_script_or_a_package_that_is_on_no_index():
    for path in FILES:
        found = [text for text in texts(path) if re.search(r"pip install '?lookwhy", text)]
        if path.name != "errors.py":  # it holds the table of the scripts
            found += [text for text in texts(path) if re.search(r"\b(train|analyze|prepare)\.py\b", text)]
        assert found == [], f"{path}: name a command by lookwhy.errors.command"
