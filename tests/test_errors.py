"""Messages name commands as their reader has them."""

import ast
import os
import re
import sys

import pytest
from tiny_runs import ROOT, run

from lookwhy.errors import SCRIPTS, command

FILES = sorted((ROOT / "src" / "lookwhy").rglob("*.py"))
ASK = "from lookwhy.errors import command\nprint(command('analyze'))\n"


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    """A clone whose three scripts print what a message would name; another project has two of them, too."""
    folder = tmp_path_factory.mktemp("folder")
    for script in (*(f"a clone/{one}" for one in SCRIPTS.values()), "other/train.py", "other/analyze.py"):
        (folder / script).parent.mkdir(exist_ok=True, parents=True)
        (folder / script).write_text(ASK)
    return folder / "a clone"


@pytest.mark.parametrize(
    ("script", "inside", "expected"),
    [
        (["train.py"], ".", "python analyze.py"),
        (["./train.py"], ".", "python analyze.py"),
        (["data/prepare.py"], ".", "python analyze.py"),
        (["prepare.py"], "data", "python ../analyze.py"),
        (["../train.py"], "data", "python ../analyze.py"),
        (["a clone/train.py"], "..", "python 'a clone/analyze.py'"),
        (["train.py"], "../other", "lookwhy analyze"),
        (["-c", ASK], "..", "lookwhy analyze"),
    ],
)
def test_a_message_names_the_scripts_of_a_clone_or_the_console_script(script, inside, expected, clone):
    done = run([sys.executable, *script], clone / inside)
    assert done.stdout.strip() == expected, done.stderr


INTERRUPT = """
import os, signal, sys
class Finder:
    def find_spec(self, name, *_):
        if name == "lookwhy.cli":
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Finder())
"""


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such signal")
@pytest.mark.parametrize("script", SCRIPTS.values())
def test_ctrl_c_while_a_command_is_imported_prints_no_traceback(script, tmp_path):
    (tmp_path / "sitecustomize.py").write_text(INTERRUPT)
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    done = run([sys.executable, ROOT / script, "--help"], tmp_path, PYTHONPATH=path)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")


def texts(path):
    """String constants of a file that are no docstrings."""
    tree = ast.parse(path.read_text())
    alone = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in alone:
            yield node.value


def test_no_message_names_a_script_or_a_package_that_is_on_no_index():
    assert all("lookwhy.cli." in (ROOT / script).read_text() for script in SCRIPTS.values())
    assert command("train") == "lookwhy train"
    for path in FILES:
        found = [text for text in texts(path) if re.search(r"pip install '?lookwhy", text)]
        if path.name != "errors.py":  # it holds the table of the scripts
            found += [text for text in texts(path) if re.search(r"\b(train|analyze|prepare)\.py\b", text)]
        assert found == [], f"{path}: name a command by lookwhy.errors.command"
