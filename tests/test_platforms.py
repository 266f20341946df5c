"""Nothing that exists on Linux alone is needed: a training and an explanation without it."""

import ast
import sys

from test_layering import FILES, IMPORTS
from tiny_runs import run, train_options

WITHOUT = """
import mmap, os, sys
for name in ("sysconf", "posix_fadvise", "sched_getaffinity", "fork", "forkpty", "mkfifo", "killpg", "pread"):
    delattr(os, name)
del mmap.MADV_DONTNEED
from lookwhy.cli.main import main
sys.exit(main())
"""
"""Python of Windows lacks these functions, and that of macOS some of them."""


UNIX = {"fcntl", "resource", "pwd", "grp", "termios", "tty", "pty", "syslog", "readline", "posix"}
GUARDED = {"hdf5.py": {"resource"}}
"""Imports inside of a function, which does without them where they do not exist."""


def test_no_module_of_unix_alone_is_imported():
    found = {name: modules & UNIX for name, modules in IMPORTS.items() if modules & UNIX}
    assert found == GUARDED
    top = [node for name in GUARDED for node in ast.parse(FILES[name]).body]
    assert not any(isinstance(node, ast.Import) and {one.name for one in node.names} & UNIX for node in top)


def test_training_and_explanation_need_nothing_of_linux_alone(tiny_world, tmp_path):
    def lookwhy(*words):
        found = run([sys.executable, "-c", WITHOUT, *words], tmp_path)
        assert found.returncode == 0, found.stderr
        return found

    options = ["--trainer.max_epochs=1", "--analysis.plan.num_questions=2"]
    lookwhy("train", *train_options(tiny_world, *options))
    picture = min((tiny_world / "images" / "shapes_val").glob("*.png"))
    question = ["--image", picture, "--question", "what color is the ball ?", "--out", "why.json"]
    lookwhy("analyze", "explain", "runs/shapes/checkpoints/last.ckpt", *question)
    assert (tmp_path / "why.json").is_file()
    assert (tmp_path / "runs/shapes/analysis/epoch=000/summary.json").is_file()
