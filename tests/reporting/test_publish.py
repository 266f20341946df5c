"""Pictures in the run's folder."""

import logging
from pathlib import Path

from made_results import make_result
from PIL import Image

from lookwhy import store
from lookwhy.reporting.figures.catalogue import FIGURES
from lookwhy.reporting.publish import publish

CHARTS = {"most_important_words", "failure_prediction", "accuracy_by_type"}


def test_pictures_of_the_examples_and_charts_lie_in_the_epochs_folder(tmp_path, image_folder):
    result = make_result(3, folder=image_folder)
    store.save(result, store.epoch_folder(tmp_path, 3))
    written = publish(result, tmp_path, 3, None)
    folder = tmp_path / "analysis" / "epoch=003" / "figures"
    assert {path.name for path in folder.iterdir()} == {path.name for path in written}
    assert {path.stem for path in written} == CHARTS | {f"example_{question}" for question in range(100, 104)}
    for path in written:
        with Image.open(path) as image:
            image.load()
    stored = store.load(folder.parent)
    assert (stored.summary, stored.curves) == (result.summary, result.curves)


def test_an_image_that_cannot_be_read_is_left_out_and_told(tmp_path, image_folder, caplog):
    (image_folder / "0.png").unlink()
    with caplog.at_level(logging.WARNING):
        written = publish(make_result(folder=image_folder), tmp_path, 0, None)
    assert sorted(path.stem for path in written if "example" in path.stem) == ["example_102", "example_103"]
    assert str(image_folder / "0.png") in caplog.text


def test_images_lie_under_the_image_root_and_the_untrained_model_has_its_own_folder(tmp_path, image_folder):
    result = make_result(folder=image_folder)
    for record in result.records:
        record["image_file"] = record["image_file"].removeprefix(f"{image_folder}/")
    result.manifest |= {"image_root": str(image_folder), "epoch": -1}
    written = publish(result, tmp_path, -1, None)
    assert len(written) == 7
    assert written[0].parent == tmp_path / "analysis" / "untrained" / "figures"
    # Without examples there are charts alone.
    result.manifest["examples"] = []
    assert {path.stem for path in publish(result, tmp_path, -1, None)} == CHARTS


def test_the_docs_list_every_figure_and_no_other():
    text = (Path(__file__).parents[2] / "docs" / "figures.md").read_text()
    rows = [line.split("`")[1] for line in text.splitlines() if line.startswith("| `")]
    assert [row.removesuffix("_<question id>") for row in rows] == [one.name for one in FIGURES]
