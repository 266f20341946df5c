"""Fixtures of all tests: a tiny shapes world, a training on it, a browser, and the real data if it is there."""

import os
import shutil
import signal
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import pytest

ROOT = Path(__file__).parent.parent
SHARED = Path(os.environ.get("LOOKWHY_SHARED", ROOT.parent / "shared"))
if (SHARED / "nltk_data").is_dir():
    # NLTK reads it when it is imported; otherwise every test that tags words would try a download first.
    known = os.environ.get("NLTK_DATA")
    os.environ["NLTK_DATA"] = os.pathsep.join([str(SHARED / "nltk_data"), *([known] if known else [])])

# The processes of pytest-xdist ignore Ctrl-C, and so would every command that a test starts.
if "PYTEST_XDIST_WORKER" in os.environ:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Read by torch when it is imported. On a busy machine, waiting threads take four times the CPU time of one.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# Imported before lookwhy: the type checker's import hook compiles anew what lookwhy is the first to import.
import pytorch_lightning  # noqa: E402, F401
import scipy.stats  # noqa: E402, F401
import torchvision  # noqa: E402, F401
from pipelines import small_batch, small_pipeline  # noqa: E402, F401


def pytest_collection_modifyitems(items):
    """Run files with slow tests first, so that no process is left alone with one of them at the end."""
    slow = Counter(item.path for item in items if item.get_closest_marker("slow"))
    items.sort(key=lambda item: -slow[item.path])


@pytest.fixture(scope="session")
def shared_data():
    """Folder of real data: $LOOKWHY_SHARED, or `shared` beside the project."""
    if not SHARED.is_dir():
        pytest.skip(f"real data not found in {SHARED}; set LOOKWHY_SHARED to its folder")
    return SHARED


@pytest.fixture(scope="session")
def tiny_world(tmp_path_factory):
    """A prepared shapes world of a few pictures, with a hardly trained tower."""
    from lookwhy.cli.prepare import main

    folder = tmp_path_factory.mktemp("tiny") / "shapes"
    sizes = ["--train-scenes", "40", "--val-scenes", "12", "--epochs", "1"]
    assert main(["shapes", "--out", str(folder), *sizes]) == 0
    return folder


@pytest.fixture(scope="session")
def tiny_checkpoint(tiny_world, tmp_path_factory):
    """A model that has learned a little of the tiny world, in a run folder."""
    from tiny_runs import make_checkpoint

    return make_checkpoint(tiny_world, tmp_path_factory.mktemp("run") / "runs" / "tiny")


@pytest.fixture(scope="session")
def carded_checkpoint(tiny_checkpoint, tmp_path_factory):
    """The same model in a run folder of its own, with an analysis of it that has a sanity card."""
    from lookwhy import analyze

    path = tmp_path_factory.mktemp("carded") / "runs" / "tiny" / "checkpoints" / "last.ckpt"
    path.parent.mkdir(parents=True)
    shutil.copy(tiny_checkpoint, path)
    card = {"draws": 2, "questions": 2, "random": ["head"]}
    plan = {"sanity": card, "faithfulness": None, "bootstrap_samples": 20, "num_examples": 1}
    analyze(path, plan=plan, limit=4)
    return path


@pytest.fixture(scope="session")
def trained(tiny_world, tmp_path_factory):
    """Output and run folder of `python train.py`, two epochs with their analyses; tests must not change it."""
    from tiny_runs import MEASURED, run, train_command

    folder = tmp_path_factory.mktemp("trained")
    more = ["--trainer.max_epochs=2", "--analysis.untrained=true", "--analysis.plan.num_examples=2"]
    more += MEASURED
    done = run(train_command(tiny_world, *more), folder)
    assert done.returncode == 0, done.stderr
    path = folder / "runs" / "shapes"
    last, printed = path / "checkpoints" / "last.ckpt", {"stdout": done.stdout, "stderr": done.stderr}
    return SimpleNamespace(folder=folder, run=path, last=last, **printed)


@pytest.fixture(scope="module")
def browser():
    """A real headless Chromium for a module: for a session, its event loop would stay with all later tests."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
    path = next((found for name in names if (found := shutil.which(name))), None)
    arguments = ["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
    with playwright.sync_playwright() as engines:
        try:
            found = engines.chromium.launch(executable_path=path, args=arguments)
        except playwright.Error as error:
            pytest.skip(f"no Chromium starts ({str(error).splitlines()[0]}); run playwright install chromium")
        yield found
        found.close()
