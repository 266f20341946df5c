"""Slices on the report page: the numbers of the stored records, their controls, and the mark of few questions."""

import json
import re

import numpy as np
import pytest
from made_results import make_result, make_run, save_pictures
from test_groups import seeded
from test_html import content
from web_pages import NAMELESS, opened_pages

from lookwhy import store
from lookwhy.analysis import sliced
from lookwhy.reporting.page import slices as page_slices
from lookwhy.reporting.page.html import write_report

PHONE = {"width": 390, "height": 844}
COUNT = 90
AGREEMENT, MASS = "image/rank_correlation", "image/localisation/mass_accuracy"


def measured(result):
    """Values by question that differ between epochs, and masks of different sizes."""
    epoch, rng = result.manifest["epoch"], np.random.default_rng(result.manifest["epoch"] + 5)
    for record in result.records:
        if record["domain"] == "image":
            record["rho"] = float(rng.normal(-0.2 if record["answer_type"] == "number" else 0.3, 0.1))
            record["specificity"] = float(rng.normal(0.05 * epoch, 0.1))
            record["localisation_mass_accuracy"] = float(rng.random())
            record["centre_prior_rank_correlation"] = 0.4
            record["faithfulness_deletion_patch"] = (
                float(rng.random()) if record["question_id"] < 110 else None
            )
    for at in range(COUNT):
        result.truth[at] = 0
        result.truth[at, : 1 + at // 10] = 1


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("slices")
    images = save_pictures(folder / "images")
    return make_run(folder / "shapes", images, range(-1, 3), measured, count=COUNT)


@pytest.fixture(scope="module")
def page_file(run):
    return write_report([run], run.parent / "report.html")


@pytest.fixture
def opened(browser):
    with opened_pages(browser, "file:") as open_page:
        yield lambda file, **settings: open_page(file.as_uri(), **settings)


def stored(run, epoch):
    return sliced(store.load(store.epoch_folder(run, epoch)))


def test_the_values_of_every_epoch_are_those_of_the_stored_records(run, page_file):
    found = content(page_file.read_text(), "slices-0")
    assert set(found) == {"-1", "0", "1", "2"}
    for epoch in (-1, 2):
        expected = stored(run, epoch)
        for by, way in found[str(epoch)].items():
            for measure, methods in way["values"].items():
                domain, _, rest = measure.partition("/")
                for method, cells in methods.items():
                    for (value, questions), cell in zip(way["slices"], cells, strict=False):
                        if cell is None or method == "chance":
                            continue
                        key = f"slice/{by}/{value}/{'/'.join(filter(None, (domain, method, rest)))}"
                        ends = [expected.get(f"{key}{end}") for end in ("", "/ci_low", "/ci_high", "/n")]
                        assert cell == pytest.approx(ends, abs=6e-5)
                        assert cell[3] <= questions
        assert {"answer_type", "question_type", "outcome", "confidence", "region"} == set(found[str(epoch)])
    small, *_, large = (cell[0] for cell in found["2"]["region"]["values"][MASS]["chance"])
    key = "slice/region/small/image/occlusion/localisation/mass_accuracy/expected"
    assert small == pytest.approx(stored(run, 2)[key], abs=6e-5)
    assert large > small


def test_a_chosen_slice_shows_the_stored_number_its_interval_and_n(opened, run, page_file):
    page = opened(page_file)
    expected = stored(run, 2)
    key = "slice/answer_type/number/image/occlusion/rank_correlation"
    row = page.locator("#slices .bars li", has_text="Number")
    assert row.locator(".name").inner_text() == f"Number\nn = {expected[f'{key}/n']:.0f}†"
    bar = row.locator(".track", has_text="Occlusion")
    assert expected[key] < 0
    assert bar.locator(".value").inner_text().startswith("−0.")
    assert bar.locator(".value").inner_text().endswith("†")
    title = bar.get_attribute("title").replace("−", "-")
    stored_numbers = [expected[f"{key}{end}"] for end in ("", "/ci_low", "/ci_high", "/n")]
    assert [float(one) for one in re.findall(r"-?\d+\.?\d*(?!%)", title.replace("95%", ""))] == pytest.approx(
        stored_numbers, abs=6e-4
    )
    # A bar of a negative value ends at zero, from the left.
    zero, drawn = bar.locator(".zero").bounding_box(), bar.locator(".bar").bounding_box()
    assert drawn["x"] + drawn["width"] == pytest.approx(zero["x"], abs=1.5)
    other = page.locator("#slices .bars li", has_text="Other")
    assert "†" not in other.inner_text(), "45 questions are enough"
    legend = page.locator("#slices .keys").inner_text()
    assert all(words in legend for words in ("Guided backpropagation", "Centre prior", "95% interval"))
    note = page.inner_text("#slices .note")
    assert all(words in note for words in ("†: fewer than 30 questions", "Annotators: simulated annotators."))
    assert "human" not in page.inner_text("#slices").lower()


def test_other_ways_measures_and_epochs_are_chosen_also_by_keyboard(opened, run, page_file):
    page = opened(page_file)
    page.focus("#slices-by")
    page.keyboard.press("End")
    page.focus("#slices-measure")
    page.keyboard.type("Mass")
    page.focus("#slices-epoch")
    page.keyboard.press("Home")
    assert page.inner_text("output[for=slices-epoch]") == "untrained"
    assert page.input_value("#slices-by") == "region"
    assert page.input_value("#slices-measure") == MASS
    names = page.locator("#slices .bars .name").all_inner_texts()
    assert [one.split("\n")[0] for one in names] == ["Small", "Middle", "Large"]
    key = "slice/region/large/image/guided_backprop/localisation/mass_accuracy"
    large = page.locator("#slices .bars li", has_text="Large").locator(".track", has_text="Guided")
    expected = stored(run, -1)
    assert large.locator(".value").inner_text().strip("†") == f"{expected[key]:.3f}"
    chance = f"by chance {expected[f'{key}/expected']:.3f}"
    assert chance in large.get_attribute("title")
    assert large.locator(".mark").count() == 1
    # The numbers stay open when something else is chosen.
    page.locator("#slices summary").focus()
    page.keyboard.press("Enter")
    rows = page.locator("#slices details tbody tr")
    rows.first.wait_for()  # the browser tells a moment later that they are open
    page.select_option("#slices-by", "outcome")
    page.select_option("#slices-measure", "accuracy/overall")
    shares = [f"{100 * expected[f'slice/outcome/{one}/accuracy/overall']:.1f}%" for one in ("right", "wrong")]
    assert [row.locator("td").nth(1).inner_text() for row in rows.all()] == shares == ["100.0%", "0.0%"]
    note = page.inner_text("#slices .note")
    assert "Right: a VQA accuracy of at least 50%." in note
    assert "At another epoch, a slice holds other questions." in note
    assert (
        page.eval_on_selector_all("#slices select, #slices input, #slices .bars, #slices table", NAMELESS)
        == []
    )


def test_a_measure_of_few_questions_carries_the_mark_also_in_a_large_slice(opened, page_file):
    page = opened(page_file)
    page.select_option("#slices-by", "outcome")
    page.select_option("#slices-measure", "image/faithfulness/deletion_patch")
    names = page.locator("#slices .bars .name").all_inner_texts()
    assert [name.split("n = ")[1] for name in names] == ["6†", "4†"]


def test_it_fits_a_phone_and_paper(opened, page_file):
    page = opened(page_file, **PHONE)
    page.select_option("#slices-by", "question_type")
    page.locator("#slices summary").first.click()
    for width in (320, 390):
        page.set_viewport_size({"width": width, "height": 844})
        assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.emulate_media(media="print")
    assert not page.locator("#slices select").first.is_visible()
    assert page.locator("#slices .bars .value").first.is_visible()


def test_runs_stand_side_by_side_and_older_ones_have_what_they_hold(opened, run, tmp_path):
    old = make_run(tmp_path / "old", None, range(1, 3), count=40)

    def nothing(result):
        for record in result.records:
            record.update(dict.fromkeys(("rho", "accuracy", "confidence")), answer_type="", question_type="")

    empty = make_run(tmp_path / "empty", None, 1, nothing)
    page = opened(write_report([run, old, empty], tmp_path / "report.html"))
    assert page.locator("#slices .chart h3").all_inner_texts() == ["shapes", "old"]
    note = page.inner_text("#slices .note")
    assert "No value" not in note
    page.select_option("#slices-by", "region")
    page.select_option("#slices-measure", MASS)
    assert page.locator("#slices .chart h3").all_inner_texts() == ["shapes"]
    assert "No value at epoch 2: old." in page.inner_text("#slices .note")
    page = opened(write_report([empty], tmp_path / "empty.html"))
    assert "Undefined: these analyses hold no value by question." in page.inner_text("#slices")


def test_the_curves_over_epochs_can_be_those_of_a_slice(opened, run, page_file):
    page = opened(page_file)
    section = page.locator("#agreement")
    before = section.locator("path.curve").first.get_attribute("d")
    options = page.locator("#agreement-slice option").all_inner_texts()
    assert options[:3] == ["All", "Answer type: other", "Answer type: number"]
    page.select_option("#agreement-slice", "Answer type: number")
    assert section.locator("path.curve").first.get_attribute("d") != before
    section.locator("summary").first.click()
    section.locator("details").first.locator(
        "tbody tr"
    ).first.wait_for()  # the browser tells it a moment later
    rows = {
        tuple(row.locator("th, td").all_inner_texts()[:2]): row.locator("td").all_inner_texts()[1:]
        for row in section.locator("details").first.locator("tbody tr").all()
    }
    assert {name for name, _ in rows} == {"Guided backpropagation", "Occlusion", "Centre prior"}
    for epoch, name in ((-1, "untrained"), (2, "epoch 2")):
        expected = stored(run, epoch)
        key = "slice/answer_type/number/image/occlusion/rank_correlation"
        value, note = rows["Occlusion", name]
        assert float(value.replace("−", "-")) == pytest.approx(expected[key], abs=6e-4)
        assert note.endswith(f"n = {expected[f'{key}/n']:.0f}†")
    assert "Epoch; Answer type: number, n = 23†" in section.inner_text()
    assert "†: fewer than 30 questions, too few to rely on." in section.locator(".note").inner_text()
    assert "no value in this slice" in section.locator(".chart", has_text="mean map").inner_text()
    page.select_option("#agreement-slice", "")
    assert section.locator("path.curve").first.get_attribute("d") == before


def test_a_slice_of_a_group_is_drawn_run_by_run(opened, tmp_path):
    page = opened(write_report([seeded(tmp_path / f"run-{at}", at) for at in range(3)], tmp_path / "r.html"))
    curves = page.locator("#agreement .chart").first.locator("path.curve")
    assert curves.count() == 2, "the mean of each method"
    page.select_option("#agreement-slice", "Right or wrong: right")
    assert curves.count() == 3 * 2
    page.get_by_label("seeds (mean of 3 runs)", exact=True).uncheck()
    assert curves.count() == 0


def test_rare_question_types_and_epochs_without_room_are_left_out_and_counted(opened, tmp_path, monkeypatch):
    def change(result):
        for record in result.records:
            record["question_type"] = (
                f"type {record['question_id'] % 20}" if record["question_id"] % 9 else ""
            )

    run = make_run(tmp_path / "run", None, 6, change, count=COUNT)
    room = page_slices.bytes_of(page_slices.slices_of(store.load(store.epoch_folder(run, 5))))
    monkeypatch.setattr(page_slices, "MOST_BYTES", 3 * room)
    file = write_report([run], tmp_path / "report.html")
    found = content(file.read_text(), "slices-0")
    assert set(found) == {"0", "2", "5"}
    names = [name for name, _ in found["5"]["question_type"]["slices"]]
    assert (len(names), names[-1]) == (page_slices.MOST_TYPES + 1, "unknown")
    page = opened(file)
    page.select_option("#slices-by", "question_type")
    note = page.inner_text("#slices .note")
    assert "4 less frequent types left out." in note
    assert "3 epochs left out, to keep the page small." in note


def test_the_size_of_the_values_is_estimated_well(run):
    found = page_slices.slices_of(store.load(store.epoch_folder(run, 2)))
    size = len(json.dumps(found, separators=(",", ":")))
    assert 0.6 * size < page_slices.bytes_of(found) < 1.5 * size
    assert page_slices.slices_of(make_result(defined=False)) != {}, "records do not need the summary"
