"""Triton's kernels in Triton's interpreter, which runs them on a CPU, and what happens without them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.slow
def test_kernels_compute_what_pytorch_computes():
    pytest.importorskip("triton", reason="Triton comes with PyTorch's CUDA builds for Linux")
    file = Path(__file__).with_name("kernel_checks.py")
    # The hook that checks types would import the kernels in a way that the interpreter cannot follow.
    options = ["-q", "-p", "no:cacheprovider", "-p", "no:xdist", "-o", "addopts="]
    command = [sys.executable, "-m", "pytest", *options, file]
    done = subprocess.run(
        command, env=os.environ | {"TRITON_INTERPRET": "1"}, capture_output=True, text=True, timeout=250
    )
    assert done.returncode == 0, done.stdout
    assert "12 passed" in done.stdout
