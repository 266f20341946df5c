from pathlib import Path

import pytest
from made_results import make_result, make_run, save_pictures

from lookwhy.reporting.page.html import write_report
from lookwhy.types import AnalysisResult


@pytest.fixture
def result() -> AnalysisResult:
    return make_result()


@pytest.fixture
def image_folder(tmp_path: Path) -> Path:
    return save_pictures(tmp_path / "images")


@pytest.fixture(scope="session")
def usual_page(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The report page of one run of three epochs, as text."""
    folder = tmp_path_factory.mktemp("usual")
    run = make_run(folder / "shapes", save_pictures(folder / "images"))
    return write_report([run], folder / "out" / "report.html").read_text()
