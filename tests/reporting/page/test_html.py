"""The report page as a file: complete, self-contained and safe, with the stored values in its data blocks."""

import base64
import io
import json
import math
import os
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from made_measures import CHANCE, FAITHFUL, HUMAN, add_measures
from made_results import FEATURE_SETS, make_result, make_run, picture
from made_selective import add_selective
from PIL import Image
from scipy.stats import sem, t

from lookwhy import store
from lookwhy.analysis.paired import Comparison, between_analyses
from lookwhy.errors import LookwhyError
from lookwhy.files import sha256_file
from lookwhy.reporting.figures.epochs import agreement_over_epochs
from lookwhy.reporting.figures.summary import failure_curves
from lookwhy.reporting.page import examples as page_examples
from lookwhy.reporting.page.html import run_names, write_report
from lookwhy.reporting.page.tables import caveat
from lookwhy.reporting.selective import increment_note


def block(page: str, name: str) -> str | None:
    found = re.search(rf'<script type="[^"]*" id="{re.escape(name)}">(.*?)</script>', page, re.S)
    return found and found.group(1)


def content(page: str, name: str = "report"):
    return json.loads(block(page, name))


def write(tmp_path, *runs, comparisons=()) -> str:
    return write_report(list(runs), tmp_path / "r.html", comparisons).read_text()


class Tags(HTMLParser):
    """Checks that tags are closed in order, and collects attributes."""

    VOID = frozenset({"meta", "input", "img", "br", "link"})

    def __init__(self, page: str):
        super().__init__()
        self.open, self.found, self.attributes = [], [], []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.found.append(tag)
        self.attributes += attrs
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_the_page_is_complete_well_formed_and_needs_no_network(usual_page):
    tags = Tags(usual_page)
    assert not tags.open
    links = {value for name, value in tags.attributes if name in ("src", "href", "xlink:href")}
    ids = [f"#{value}" for name, value in tags.attributes if name == "id"]
    assert links <= {"data:,", *ids}
    assert len(set(ids)) == len(ids)
    assert not re.search(r"url\(|@import|https?://(?!www\.w3\.org/2000/svg)|\{\{\w+\}\}", usual_page)
    told = ("Agreement over epochs", "Guided backpropagation", "0.12277", "Content-Security-Policy")
    assert all(words in usual_page for words in told)


def test_every_scalar_that_a_chart_shows_is_the_stored_one(usual_page):
    (shown,) = content(usual_page)["runs"]
    assert shown["epochs"] == [0, 1, 2]
    summary = make_result(2).summary
    values = [summary[f"image/occlusion/rank_correlation{end}"] for end in ("", "/ci_low", "/ci_high")]
    assert shown["measures"]["rank_correlation"]["occlusion"][2] == pytest.approx([2, *values], abs=1e-4)
    assert shown["levels"]["rank_correlation"] == {"random": 0.0007, "centre_prior": 0.41, "human": 0.83}
    assert shown["words"]["1"]["noun"]["word_drop"] == [0.12, 0.08, 0.16, 0.12, 0.1, 400.0, False]
    counted = shown["counts"]["answer_type"]["yes/no"]
    assert (shown["accuracy"]["2"]["answer_type/number"], counted) == (0.55, 3)
    assert shown["failure"]["0"]["flips"]["auroc"] == [0.74, None, None, None]
    assert (shown["failure"]["0"]["flips"]["n"], shown["annotators"]) == (300, "simulated annotators")


def test_faithfulness_localisation_and_shares_are_the_stored_ones(tmp_path):
    stored = content(write(tmp_path, make_run(tmp_path / "run", None, range(-1, 3), add_measures)))
    (shown,) = stored["runs"]
    deletion = shown["measures"]["faithfulness/deletion_patch"]
    value = FAITHFUL["deletion_patch"]["occlusion"] + 0.02
    assert deletion["occlusion"][3] == pytest.approx([2, value, value - 0.06, value + 0.06])
    # The model changes, so a random map's faithfulness is a curve; where it lies is the same at every epoch.
    assert [point[0] for point in deletion["random"]] == [-1, 0, 1, 2]
    mass = "localisation/mass_accuracy"
    assert set(shown["measures"][mass]) == {"guided_backprop", "occlusion"}
    levels = {"random": 0.05, "centre_prior": 0.043, "human": HUMAN, "chance": CHANCE}
    assert shown["levels"][mass] == levels
    assert shown["questions"][mass] == 99
    share = shown["measures"]["modality/text_share"]
    assert {fill: points[0][:2] for fill, points in share.items()} == {
        "patch": [-1, 0.64],
        "blur": [-1, 0.88],
    }
    assert shown["questions"]["modality/text_share"] == 20
    usual = [one["key"] for one in stored["names"]["measures"] if one["usual"]]
    assert len(stored["names"]["measures"]) == 8
    assert "faithfulness/deletion_blur" not in usual
    assert set(content(write(tmp_path, tmp_path / "run"), "curves-0")["2"]) == set(FEATURE_SETS), (
        "of failures"
    )


def test_selective_prediction_has_the_stored_values_intervals_and_bands(tmp_path):
    stored = content(write(tmp_path, make_run(tmp_path / "run", None, 1, add_selective)))
    shown, result = stored["runs"][0]["selective"]["0"], make_result()
    add_selective(result)
    key = "selective/fitted_confidence/ece"
    values = [result.summary[f"{key}{end}"] for end in ("", "/ci_low", "/ci_high", "/expected")]
    assert shown["scores"]["fitted_confidence"]["ece"] == pytest.approx(values, abs=1e-3)
    assert shown["increment"] == increment_note(result)
    bands = content(write(tmp_path, tmp_path / "run"), "bands-0")["0"]
    assert [*bands] == ["confidence", "all", "confidence_and_all"]
    curve = result.curves["selective/all/risk_coverage"]
    assert bands["all"]["high"] == pytest.approx(curve["high"], abs=1e-3)


def test_results_without_them_have_no_such_measure(usual_page):
    stored = content(usual_page)
    assert (stored["names"]["measures"], stored["runs"][0]["levels"]["localisation/mass_accuracy"]) == (
        [],
        {},
    )
    assert stored["runs"][0]["selective"] == {}
    assert set(stored["runs"][0]["measures"]) == {"rank_correlation", "mean_map", "specificity"}


def test_curves_are_the_stored_ones_and_older_results_have_none(tmp_path, image_folder):
    run = make_run(tmp_path / "shapes", image_folder)
    (store.epoch_folder(run, 0) / "curves.json").unlink()
    found = content(write(tmp_path, run), "curves-0")
    assert set(found) == {"1", "2"}
    stored = make_result(2).curves["failure/all/risk_coverage"]
    assert found["2"]["all"]["risk_coverage"]["y"] == pytest.approx(stored["y"], abs=5e-4)


def test_the_page_has_the_colours_of_the_printed_figures(usual_page):
    names = content(usual_page)["names"]
    result = make_result(2)
    curves = [line.get_color() for line in failure_curves(result).axes[0].lines if line.get_label()[0] != "_"]
    assert [one.split("(")[1].split(",")[0] for one in names["series"]][: len(curves)] == curves
    lines = agreement_over_epochs({"a": {2: result}}).axes[0].lines
    levels = {line.get_label(): line.get_color() for line in lines}
    for one in [*names["imageMethods"].values(), *names["baselines"].values()]:
        drawn = [colour for label, colour in levels.items() if label.startswith(one["name"])]
        assert all(f"({colour}, " in one["colour"] for colour in drawn), one
    assert {"Occlusion", "Random", "Centre prior"} <= set(levels)


def unpack(stored) -> np.ndarray:
    """Read a map by the format in the docstring of `pack`, implemented again here."""
    signed, peak, cells = stored
    raw = np.frombuffer(base64.b64decode(cells), np.int8 if signed else np.uint8)
    values = raw.astype(float) / (127 if signed else 254) * peak
    values[raw == (-128 if signed else 255)] = np.nan
    return values


def test_every_map_of_every_epoch_is_in_the_page_to_within_half_a_step(usual_page):
    found = content(usual_page, "maps-0-1")
    assert content(usual_page)["questions"][1]["id"] == "101"
    human = make_result(0).human[1]
    mean = (human / human.sum((1, 2), keepdims=True)).mean(0).ravel()
    np.testing.assert_allclose(unpack(found["annotators"]), mean, atol=mean.max() / 500)
    assert list(found) == ["annotators", "0", "1", "2"]
    # The question has seven words.
    for epoch in range(3):
        maps = make_result(epoch).maps
        assert list(maps) == sorted(maps)
        for one, packed in zip(maps.values(), found[str(epoch)], strict=True):
            stored = one.values[1].numpy().ravel()[: 7 if one.domain == "question" else None]
            atol = np.abs(stored).max() / (250 if one.signed else 500)
            np.testing.assert_allclose(unpack(packed), stored, atol=atol)


@pytest.mark.parametrize("signed", [True, False])
def test_undefined_cells_stay_undefined_and_a_map_of_zeros_zero(signed):
    values = np.array([[0.5, np.nan], [np.inf, -0.25 if signed else 0.25]])
    expected = [0.5, np.nan, np.nan, values[1, 1]]
    np.testing.assert_allclose(unpack(page_examples.pack(values, signed)), expected, rtol=0, atol=0.003)
    assert unpack(page_examples.pack(np.zeros(5), signed)).tolist() == [0] * 5


def test_each_image_is_there_once_and_small_and_notes_of_two_runs_stand_once(tmp_path, image_folder):
    def signed(result):
        result.manifest["plan"] = {"compared": "signed"}

    Image.fromarray(picture(0, 480, 640)).save(image_folder / "0.png")
    runs = make_run(tmp_path / "a", image_folder, 1), make_run(tmp_path / "b", image_folder, 1, signed)
    page = write(tmp_path, *runs, make_run(tmp_path / "c", image_folder, 1))
    assert "these runs compared magnitudes or signed values (magnitude, signed)." in page
    assert page.count("0.12277") == 3
    for compared in ("magnitudes", "signed values"):
        assert page.count(f"Mean Spearman rank correlation of {compared}") == 1
    assert 'data-head="Question-specific"' in page
    assert [one["picture"] for one in content(page)["questions"][:4]] == [0, 0, 1, 1]
    assert block(page, "picture-6") is None
    small = Image.open(io.BytesIO(base64.b64decode(block(page, "picture-0"))))
    assert (small.format, small.size) == ("JPEG", (288, 216))


def test_a_missing_image_is_told_and_its_maps_stay(tmp_path, image_folder):
    run = make_run(tmp_path / "shapes", image_folder, epochs=1)
    (image_folder / "0.png").unlink()
    (image_folder / "1.png").write_bytes(b"no image")
    os.utime(image_folder / "1.png", (0, 0))
    page = write(tmp_path, run)
    found = [(one["picture"], one["why"]) for one in content(page)["questions"]]
    assert [found[0], found[2], found[4]] == [(None, "Image not found"), (None, "Image not found"), (0, "")]
    assert block(page, "maps-0-0")


@pytest.mark.parametrize("questions", ["those of the analysis", "others", None])
def test_newer_images_are_shown_only_with_the_questions_of_the_analysis(tmp_path, image_folder, questions):
    def change(result):
        (tmp_path / "data_prepro.h5").write_bytes(b"those of the analysis")
        digest = sha256_file(tmp_path / "data_prepro.h5")
        result.manifest["data"] = {"folder": str(tmp_path), "data_prepro_sha256": digest}

    run = make_run(tmp_path / "shapes", image_folder, epochs=1, change=change if questions else None)
    (tmp_path / "data_prepro.h5").write_text(str(questions))
    later = (store.epoch_folder(run, 0) / "summary.json").stat().st_mtime + 60
    for file in image_folder.iterdir():
        os.utime(file, (later, later))
    page = write(tmp_path, run)
    hidden = questions != "those of the analysis"
    for one in content(page)["questions"]:
        assert (one["picture"] is None, "changed after the analysis" in one["why"]) == (hidden, hidden)
    assert (block(page, "picture-0") is None) == hidden


def test_runs_of_one_name_are_told_apart_and_those_on_grids_of_different_sizes_are_told(tmp_path):
    runs = [tmp_path / parent / name for parent, name in (("a", "shapes"), ("b", "shapes"), ("b", "other"))]
    assert run_names(runs) == ["a/shapes", "b/shapes", "other"]
    assert caveat([{"grid": 16}] * 2) == ""
    assert "these runs compared grids of different sizes (14, 16)." in caveat([{"grid": 16}, {"grid": 14}])


def test_paired_differences_are_shown_with_what_was_left_out(tmp_path, image_folder):
    run = make_run(tmp_path / "a", image_folder, epochs=1)
    first, second = make_result(0).records, make_result(0).records
    for record in second:
        record["accuracy"] = 1.0
        if record["question_id"] == 103 and record["domain"] == "image":
            record["rho"] = None
    for record in (*first, *second):
        record["image_id"] = record["question_id"]
    second = [record for record in second if record["question_id"] != 111]
    compared = [Comparison("b minus a", between_analyses(first, second)), Comparison("c minus a", [])]
    page = write(tmp_path, run, comparisons=compared)
    row = re.search(r'<tr role="row"><th[^>]*>VQA accuracy</th>(.*?)</tr>', page).group(1)
    assert "<strong>+0.364</strong>" in row, "4 of the first 11 questions became right"
    assert "p = 0.038" in row
    # By SciPy: four differences of 1 and seven of 0, on as many images.
    error = sem([1] * 4 + [0] * 7)
    could_show = (t.ppf(0.975, 10) + t.ppf(0.8, 10)) * error
    needed = math.ceil(11 * (could_show / 0.01) ** 2)
    assert f'data-head="Could show"><span>{could_show:.3f}<small>{needed:,} for 0.01</small>' in row
    assert page.count("Could show: smallest difference") == 1
    row = re.search(r"Rank correlation ρ, Occlusion</th>(.*?)</tr>", page).group(1)
    assert ("0.000" in row, "<strong>" in row) == (True, False)
    assert "10<small>1 undefined</small><small>1 unmatched</small>" in row
    # The same numbers on six images are not marked.
    for record in (*first, *second):
        record["image_id"] = record["question_id"] // 2
    few = write(tmp_path, run, comparisons=[Comparison("b minus a", between_analyses(first, second))])
    row = re.search(r'<tr role="row"><th[^>]*>VQA accuracy</th>(.*?)</tr>', few).group(1)
    assert ("+0.364" in row, "<strong>" in row) == (True, False)
    assert all(part in page for part in ("<h3>c minus a</h3>", "Nothing to compare"))


def test_means_over_images_have_a_table_where_images_have_unequally_many_questions(tmp_path, image_folder):
    def unequal(result):
        key = "image/occlusion/rank_correlation/macro"
        result.summary |= {key: 0.1234, f"{key}/ci_low": 0.1, f"{key}/ci_high": 0.15}

    assert "Mean over images" not in write(tmp_path, make_run(tmp_path / "a", image_folder, epochs=1))
    page = write(tmp_path, make_run(tmp_path / "b", image_folder, 1, unequal))
    table = page.partition('aria-label="Mean over images"')[2].partition("</table>")[0]
    assert "0.123<small>[0.100, 0.150]</small>" in table
    assert "Each image counts once" in page


def test_epochs_of_a_very_long_run_are_left_out_evenly_and_counted(tmp_path, image_folder, monkeypatch):
    run = make_run(tmp_path / "shapes", image_folder, epochs=5)
    monkeypatch.setattr(page_examples, "MOST_MAP_BYTES", 3 * 12 * (2 * 256 + 2 * 26) + 100)
    (shown,) = content(write(tmp_path, run))["examples"]
    assert (shown["epochs"], shown["leftOut"]) == ([0, 2, 4], 2)


def test_a_report_that_fails_leaves_the_old_page_and_nothing_else(tmp_path, image_folder, monkeypatch):
    run, out = make_run(tmp_path / "run", image_folder, epochs=1), tmp_path / "out" / "r.html"
    out.parent.mkdir()
    out.write_text("old")
    full = f"^expected a file that can be written, found disk full at {re.escape(str(out))}; give another"
    failures = {
        "^expected at least one run folder": [],
        "^expected a run folder with": [tmp_path],
        full: [run],
    }
    for told, runs in failures.items():
        with monkeypatch.context() as broken, pytest.raises(LookwhyError, match=told):
            broken.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(OSError("disk full")))
            write_report(runs, out)
    assert (out.read_text(), list(out.parent.iterdir())) == ("old", [out])
    write_report([run], out)
    assert (out.read_text() != "old", list(out.parent.iterdir())) == (True, [out])
