from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from made_results import make_result, picture
from PIL import Image

from lookwhy.types import AnalysisResult


@pytest.fixture
def result() -> AnalysisResult:
    return make_result()


@pytest.fixture
def image_folder(tmp_path: Path) -> Path:
    """Image files as the records of `make_result(folder=...)` name them."""
    folder = tmp_path / "images"
    folder.mkdir()
    for number in range(6):
        Image.fromarray(picture(number)).save(folder / f"{number}.png")
    return folder


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A real headless Chromium; tests that need one are skipped where there is none.

    For a module, not for the session: its event loop would stay with all later tests.
    """
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
