"""Errors of libraries and faults of lookwhy: one line each, 2 for what the user can mend, 70 for a fault."""

import io
import os
import re
import signal
import subprocess
import sys
import zipfile

import h5py
import pytest
import yaml
from PIL import UnidentifiedImageError
from tiny_runs import ROOT, clean_environment, run

from lookwhy.cli.errors import run_command
from lookwhy.errors import LookwhyError


def own_cause():
    error = ValueError("found x")
    error.__cause__ = error
    return error


def of_h5py():
    with h5py.File(io.BytesIO(), "w") as file:
        try:
            file["images"]
        except KeyError as error:
            return error


def wrapped():
    error = RuntimeError("parser")
    error.__cause__ = LookwhyError("expected a,\nfound b")
    return error


LINES = {
    "own": (LookwhyError("expected a, found b; do c"), "expected a, found b; do c"),
    "cause": (wrapped(), "expected a, found b"),
    "full disk": (
        OSError(28, "No space left on device", "x.h5"),
        "found No space left on device: x.h5; make room",
    ),
    "long name": (OSError(36, "File name too long", "x" * 300), "give a shorter path"),
    "memory": (MemoryError(), r"found no message \(MemoryError\); give a smaller batch size"),
    "HDF5": (of_h5py(), r"\(KeyError\); an HDF5 file is damaged: copy it again"),
    "nested": (RecursionError("maximum recursion depth exceeded"), "nested too deep"),
    "zip": (
        zipfile.BadZipFile("File is not a zip file"),
        "found File is not a zip file .*; give a whole file",
    ),
    "image": (UnidentifiedImageError("cannot identify"), "give a JPEG, PNG"),
    "YAML": (yaml.YAMLError("a\n  b"), r"found a b \(YAMLError\); mend the file"),
    "bytes": (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"), "save the file as UTF-8"),
    "escape": (LookwhyError("found \x1b[2J\x07 here"), r"found \[2J here"),
}


def raising(error):
    def function():
        raise error

    return function


@pytest.mark.parametrize(("error", "said"), LINES.values(), ids=LINES)
def test_what_a_user_can_mend_is_one_line_and_exit_code_2(error, said, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert run_command(raising(error)) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert re.match(f"lookwhy: error: .*{said}", line)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("error", [own_cause(), KeyError("x"), ZeroDivisionError("by zero")], ids=repr)
def test_a_fault_is_one_line_with_the_file_of_its_traceback_and_exit_code_70(
    error, capsys, monkeypatch, tmp_path
):
    monkeypatch.chdir(tmp_path)
    assert run_command(raising(error)) == 70
    (line,) = capsys.readouterr().err.splitlines()
    (path,) = tmp_path.iterdir()
    assert f"a fault in lookwhy 0.1.0: {type(error).__name__}: " in line
    assert f"the traceback is in {path}; please report it" in line
    assert path.read_text().startswith("Traceback (most recent call last):")


def test_a_reader_that_has_seen_enough_ends_a_command_quietly(capsys):
    assert run_command(raising(BrokenPipeError(32, "Broken pipe"))) == 0
    assert capsys.readouterr().err == ""


def test_an_error_that_a_library_raises_after_ctrl_c_is_an_interruption(capsys):
    def work():
        try:
            raise KeyboardInterrupt
        except KeyboardInterrupt:
            raise RecursionError("maximum recursion depth exceeded")  # noqa: B904, as libraries do

    assert run_command(work, resume="start again") == 130
    assert capsys.readouterr().err == "lookwhy: interrupted; start again\n"


IMPORT = """
import sys
from lookwhy.cli.errors import run_command

def work():
    import stubborn
    return 0

sys.exit(run_command(work, resume="start again"))
"""
STUBBORN = """
import time
print("importing", flush=True)
for _ in range(300):
    try:
        time.sleep(0.1)
    except BaseException:  # as libraries in C forget it
        pass
"""


def test_ctrl_c_in_an_import_that_forgets_it_ends_the_command(tmp_path):
    (tmp_path / "stubborn.py").write_text(STUBBORN)
    path = os.pathsep.join([str(tmp_path), str(ROOT / "src")])
    command, pipes = [sys.executable, "-c", IMPORT], {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, env=clean_environment(PYTHONPATH=path), text=True, **pipes) as process:
        assert process.stdout.readline() == "importing\n"
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=20)
    assert (process.returncode, errors) == (130, "lookwhy: interrupted; start again\n")


CALLBACK = """
import os, signal, sys, time, weakref
from lookwhy.callbacks.signals import StopSignal
from lookwhy.cli.errors import run_command

class Thing:
    pass

def stop(signum, frame):
    raise StopSignal(signum)

def work():
    number = signal.Signals[sys.argv[1]]
    if number == signal.SIGTERM:
        signal.signal(number, stop)
    thing = Thing()
    reference = weakref.ref(thing, lambda _: (os.kill(os.getpid(), number), time.sleep(0.01)))
    del thing
    time.sleep(20)
    return 0

sys.exit(run_command(work))
"""


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_a_signal_that_meets_the_callback_of_a_weak_reference_ends_the_command(tmp_path, name):
    found = run([sys.executable, "-c", CALLBACK, name], tmp_path, PYTHONPATH=str(ROOT / "src"))
    assert found.returncode == 130
    assert found.stderr == "lookwhy: interrupted; the same command continues\n"


WAIT = """
import os, sys
from lookwhy.cli.errors import run_command

def work():
    assert "torch" not in sys.modules
    print(os.environ.get("GOMP_SPINCOUNT"))
    return 0

sys.exit(run_command(work))
"""


@pytest.mark.parametrize(
    ("chosen", "turns"),
    [({}, "2000"), ({"GOMP_SPINCOUNT": "7"}, "7"), ({"OMP_WAIT_POLICY": "ACTIVE"}, "None")],
)
def test_threads_that_wait_soon_leave_their_core_to_others_unless_the_user_wants_otherwise(
    tmp_path, monkeypatch, chosen, turns
):
    monkeypatch.delenv("GOMP_SPINCOUNT", raising=False)  # other tests run commands in this process
    found = run([sys.executable, "-c", WAIT], tmp_path, PYTHONPATH=str(ROOT / "src"), **chosen)
    assert found.returncode == 0, found.stderr
    assert found.stdout.strip() == turns


WARN = """
import sys, warnings
import lookwhy, torch
from lookwhy.cli.errors import run_command

def work():
    for module in (lookwhy, torch):
        warnings.warn_explicit("expected a,\\nfound b", UserWarning, module.__file__, 1)
    return 0

sys.exit(run_command(work))
"""


def test_a_warning_is_one_line_without_its_place_in_the_code(tmp_path):
    found = run([sys.executable, "-c", WARN], tmp_path)
    assert found.returncode == 0
    one = "lookwhy: warning: expected a, found b"
    assert found.stderr.splitlines() == [one, f"{one} (torch)"]
