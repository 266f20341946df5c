"""The paired tests in the terminal: numbers, marks by the corrected p-value, families, and the change by training."""

import re
from dataclasses import replace

import pytest
from made_measures import add_tests
from made_results import make_run, save_pictures
from test_tables import printed

from lookwhy import store
from lookwhy.reporting import paired
from lookwhy.reporting.comparisons import since_untrained
from lookwhy.reporting.terminal.paired import paired_tables


def text_of(result, width=100, untrained=None):
    return "\n".join(printed_part(one, width) for one in paired_tables(result, width, untrained))


def printed_part(table, width):
    from rich.console import Console

    console = Console(width=width, file=None, record=True, quiet=False)
    with console.capture() as captured:
        console.print(table)
    return captured.get()


def test_each_difference_has_its_interval_and_a_mark_by_its_corrected_p_value(result):
    add_tests(result)
    text = text_of(result)
    lines = [line.split() for line in text.splitlines()]
    assert ["minus", "Occlusion", ".02–.08", "-.08–-.02"] in lines
    assert ["Guided", "backpropagation", "*+.050", "*-.050"] in lines
    assert ["Guided", "backpropagation", "-.020", "+.020"] in lines
    assert ["Guided", "backpropagation", "*+.013", "*-.013"] in lines
    said = " ".join(text.split())
    assert "corrected for the comparisons of its column: agreement 3, deletion 3." in said
    assert (
        "Between methods, 240 questions could show a difference in agreement of 0.032 (80% power, 5% before "
        "correction); one of 0.01 would take 2,465 questions." in said
    )
    assert text_of(replace(result, summary={})) == ""


def test_a_lower_deletion_is_better_and_few_images_are_not_marked(result):
    add_tests(result)
    rows = paired.pairs(result)[0].differences
    assert all(paired.is_significant(row) and paired.is_better(row) for row in rows.values())
    result.summary |= {key: 9.0 for key in result.summary if key.endswith("/images")}
    assert "*" not in re.sub(r"\*:", "", text_of(result))


def test_the_change_by_training_is_a_row_for_each_method_and_a_family_of_its_own(result, tmp_path):
    def moved(result):
        add_tests(result)
        for record in result.records:
            record["image_id"] = record["question_id"]
            if record["rho"] is not None:
                record["rho"] += 0.2 * (result.manifest["epoch"] >= 0) + 1e-3 * record["question_id"]

    run = make_run(tmp_path / "run", save_pictures(tmp_path / "images"), range(-1, 2), moved)
    last = store.load(store.epoch_folder(run, 1))
    found = since_untrained(last, run)
    text = text_of(last, 100, found)
    lines = [line.split() for line in text.splitlines()]
    assert any(line[:3] == ["Occlusion", "minus", "its"] for line in lines)
    said = " ".join(text.split())
    assert "Differences from the untrained model are families of their own, of 2 each." in said
    changes = {one.first: one.differences["rank_correlation"] for one in paired.changes(found)}
    (expected,) = [
        one for one in found.differences if (one.measure, one.second) == ("rank_correlation", "occlusion")
    ]
    assert changes["occlusion"].value == expected.estimate.mean == pytest.approx(0.2, abs=0.05)
    assert since_untrained(store.load(store.epoch_folder(run, -1)), run) is None
    assert since_untrained(last, tmp_path) is None
    assert paired.TITLE in " ".join(printed(last).split())
