"""One live page for all tests of this folder: a real process, and a proxy that it must not ask."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from live_process import LiveProcess, Proxy

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture(scope="session")
def served(tiny_checkpoint, tmp_path_factory):
    folder = tmp_path_factory.mktemp("served")
    with Proxy() as proxy:
        names = {name: value for name, value in os.environ.items() if "proxy" not in name.lower()}
        proxies = dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), proxy.url)
        process = subprocess.Popen(
            [sys.executable, str(ROOT / "analyze.py"), "serve", str(tiny_checkpoint), "--port", "0"],
            env=names | proxies | {"OMP_NUM_THREADS": "1"},
            cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        line = process.stdout.readline()
        found = re.search(r"http://127\.0\.0\.1:(\d+)", line)
        if not found:
            process.kill()
        assert found, (line, process.communicate()[1])
        yield LiveProcess(process, int(found[1]), proxy, folder)
        if process.poll() is None:
            process.kill()
            process.communicate()


@pytest.fixture(scope="session")
def pictures(tiny_world):
    return sorted((tiny_world / "images" / "shapes_val").glob("*.png"))


@pytest.fixture(scope="session")
def picture(pictures):
    return pictures[0]
