from __future__ import annotations

from pathlib import Path

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
