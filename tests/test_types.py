"""Types of all code, by mypy: a test, so that other tests run beside it on a second core."""

import sys
from pathlib import Path

import pytest
from tiny_runs import run

ROOT = Path(__file__).parent.parent


@pytest.mark.slow
def test_mypy_finds_no_wrong_type():
    done = run([sys.executable, "-m", "mypy"], ROOT)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Success: no issues found" in done.stdout
