"""The report page: complete, self-contained, safe."""

from __future__ import annotations

import json
import os
import re
from html.parser import HTMLParser

import pytest
from made_results import make_result
from PIL import Image

from lookwhy import store
from lookwhy.reporting import html
from lookwhy.reporting.html import write_report
from lookwhy.reporting.publish import figures_folder
from lookwhy.types import LookwhyError


def make_run(folder, images, epochs=3, draw=True, change=None):
    """A run whose stored pictures are stand-ins, each of its own colour."""
    for epoch in range(epochs):
        result = make_result(epoch, folder=images)
        if change:
            change(result)
        store.save(result, store.epoch_folder(folder, epoch))
        for question_id in result.manifest["examples"] if draw else ():
            path = figures_folder(folder, epoch) / f"example_{question_id}.png"
            path.parent.mkdir(exist_ok=True)
            Image.new("RGB", (32, 16), (40 * epoch, question_id, 0)).save(path)
    return folder


def strips_of(page: str) -> dict:
    return json.loads(re.search(r'id="strips">(.*?)</script>', page, re.S).group(1))


class Tags(HTMLParser):
    """Checks that tags are closed in order, and collects attributes."""

    VOID = frozenset({"meta", "input", "img", "br", "link"})

    def __init__(self):
        super().__init__()
        self.open, self.links, self.found = [], [], []

    def handle_starttag(self, tag, attrs):
        self.found.append(tag)
        self.links += [value for name, value in attrs if name in ("src", "href", "xlink:href")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.links += [value for name, value in attrs if name in ("src", "href", "xlink:href")]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_the_page_is_complete_well_formed_and_needs_no_network(tmp_path, image_folder):
    run = make_run(tmp_path / "shapes", image_folder)
    page = write_report([run], tmp_path / "out" / "report.html").read_text()
    tags = Tags()
    tags.feed(page)
    assert not tags.open
    assert tags.found.count("svg") == 4
    assert all(link.startswith(("#", "data:")) for link in tags.links)
    assert not re.search(r"url\((?!#)", page)
    for words in ("Agreement over epochs", "Guided backpropagation", "0.12277", "prefers-color-scheme: dark"):
        assert words in page
    assert "{{" not in page
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["report.html"]


def test_every_epoch_of_every_example_is_in_the_slider(tmp_path, image_folder):
    run = make_run(tmp_path / "shapes", image_folder)
    found = strips_of(write_report([run], tmp_path / "r.html").read_text())["shapes"]
    assert found["epochs"] == [0, 1, 2]
    assert set(found["examples"]) == {"100", "101", "102", "103"}
    assert all(set(pictures) == {"0", "1", "2"} for pictures in found["examples"].values())
    assert len(set(found["examples"]["100"].values())) == 3
    assert found["examples"]["100"]["0"].startswith("data:image/jpeg;base64,")
    assert found["questions"]["101"] == "how many green things are there ?"


def test_pictures_that_were_not_stored_are_drawn_from_the_image_files(tmp_path, image_folder):
    run = make_run(tmp_path / "shapes", image_folder, epochs=1, draw=False)
    assert set(strips_of(write_report([run], tmp_path / "r.html").read_text())["shapes"]["examples"]) == {
        "100", "101", "102", "103",
    }  # fmt: skip


def test_pictures_that_changed_after_the_analysis_are_not_drawn_under_its_maps(
    tmp_path, image_folder, caplog
):
    run = make_run(tmp_path / "shapes", image_folder, epochs=1, draw=False)
    later = (run / "analysis" / "epoch=000" / "summary.json").stat().st_mtime + 60
    for file in image_folder.iterdir():
        os.utime(file, (later, later))
    assert 'id="strips"' not in write_report([run], tmp_path / "r.html").read_text()
    assert "changed after the analysis" in caplog.text


def test_without_images_the_page_has_no_slider(tmp_path):
    run = make_run(tmp_path / "shapes", None, epochs=1, draw=False)
    assert 'id="strips"' not in write_report([run], tmp_path / "r.html").read_text()


def test_text_of_the_data_cannot_become_markup(tmp_path, image_folder):
    evil = "</script><script>alert(1)</script><b>&"

    def change(result):
        result.manifest["data_note"] = result.manifest["annotators"] = evil
        result.summary[f"accuracy/answer_type/{evil}"] = 0.5
        for record in result.records:
            record["question"] = evil

    run = make_run(tmp_path / "<i>run&", image_folder, epochs=1, change=change)
    page = write_report([run], tmp_path / "r.html").read_text()
    assert "<script>alert" not in page
    assert "<i>" not in page
    assert "<b>" not in page
    assert strips_of(page)["<i>run&"]["questions"]["100"] == evil
    tags = Tags()
    tags.feed(page)
    assert not tags.open
    assert tags.found.count("script") == 2


def test_runs_of_one_name_are_told_apart(tmp_path, image_folder):
    runs = [make_run(tmp_path / parent / "shapes", image_folder, epochs=1) for parent in ("a", "b")]
    assert set(strips_of(write_report(runs, tmp_path / "r.html").read_text())) == {"a/shapes", "b/shapes"}


def test_of_a_long_run_epochs_are_left_out_evenly_and_it_is_told(tmp_path, image_folder, monkeypatch):
    monkeypatch.setattr(html, "MOST_STRIPS", 12)
    run = make_run(tmp_path / "shapes", image_folder, epochs=5)
    page = write_report([run], tmp_path / "r.html").read_text()
    assert strips_of(page)["shapes"]["epochs"] == [0, 2, 4]
    assert "2 epochs are left out" in page


def test_a_run_without_annotators_or_numbers_still_has_a_page(tmp_path):
    result = make_result(0, annotators=False, defined=False)
    store.save(result, store.epoch_folder(tmp_path / "bare", 0))
    page = write_report([tmp_path / "bare"], tmp_path / "r.html").read_text()
    assert "No annotator maps, so no agreement." in page


def test_no_run_or_no_analysis_is_refused(tmp_path):
    with pytest.raises(LookwhyError, match="expected at least one run folder"):
        write_report([], tmp_path / "r.html")
    with pytest.raises(LookwhyError, match="expected a run folder with analysis"):
        write_report([tmp_path], tmp_path / "r.html")
    assert not (tmp_path / "r.html").exists()
