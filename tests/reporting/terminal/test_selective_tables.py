"""The tables of failure and selective prediction, and the line that sums them up."""

import io

import pytest
from made_results import make_result
from made_selective import add_selective
from rich.console import Console

from lookwhy.reporting import selective
from lookwhy.reporting.terminal import tables


def printed(result, width=100) -> str:
    console = Console(width=width, file=io.StringIO())
    tables.print_tables(result, console)
    return console.file.getvalue()


def lines_from(text: str, start: str) -> list[list[str]]:
    lines = text.splitlines()
    return [
        line.split() for line in lines[next(at for at, one in enumerate(lines) if one.startswith(start)) :]
    ]


@pytest.fixture
def measured():
    result = make_result()
    add_selective(result)
    return result


def test_the_gain_over_the_majority_stands_beside_each_accuracy_with_its_interval(measured):
    get = measured.summary.get
    found = lines_from(printed(measured), "Predicting whether the answer is right")
    at = next(number for number, line in enumerate(found) if line[:2] == ["Shape", "of"])
    values, ends = found[at], found[at + 1]
    accuracy, majority, gain = (
        get(f"failure/maps/{one}") for one in ("accuracy", "majority_accuracy", "accuracy_gain")
    )
    assert values[4:7] == [f"{accuracy:.1%}", f"{majority:.1%}", values[6]]
    assert values[6].removeprefix("*") == f"{gain:.1%}"
    low, high = (100 * get(f"failure/maps/accuracy_gain/{end}") for end in ("ci_low", "ci_high"))
    assert f"{low:.1f}–{high:.1f}" in ends
    text = " ".join(printed(measured).split())
    assert "The paper's 72% (VQA v1) are given without the majority there" in text
    assert "n = 150." in text


def test_each_score_has_its_row_and_every_value_is_the_stored_one(measured):
    text = printed(measured)
    found = lines_from(text, "Selective prediction")
    row = next(line for line in found if line[:2] == ["Entropy", "of"])
    keys = ("auroc", "aurc_soft", "e_aurc_soft", "augrc_soft")
    assert row[4:8] == [f"{measured.summary[f'selective/entropy/{key}']:.3f}" for key in keys]
    covered = [
        measured.summary[f"selective/entropy/coverage_at_{r}_percent_risk_soft"] for r in (1, 5, 10, 20)
    ]
    assert row[8:] == [f"{one:.0%}" for one in covered]
    # Entropy is no probability, so it has no calibration.
    worth = lines_from(text, "What answering is worth")
    assert next(line for line in worth if line[:2] == ["Entropy", "of"])[-3:] == ["–", "–", "–"]
    assert (
        text.index("Predicting whether")
        < text.index("Selective prediction")
        < text.index("Do the explanations")
    )


@pytest.mark.parametrize("width", [80, 100])
def test_no_line_is_wider_than_the_terminal_and_nothing_is_shortened(measured, width):
    text = printed(measured, width)
    shown = text[text.index("Predicting whether") : text.index("VQA accuracy in percent")]
    assert max(map(len, shown.splitlines())) <= width
    assert "…" not in shown
    for head in ("C@20%", "Φ100", "ECE, eq. mass", "Brier", "AUGRC"):
        assert head in shown


def test_the_line_says_whether_the_explanations_add_to_the_confidence(measured):
    assert "no increment of the AUROC is seen: AUROC " in selective.increment_note(measured)
    helped = make_result()
    add_selective(helped, effect=2.0)
    note = selective.increment_note(helped)
    assert "the AUROC grows: AUROC +0." in note
    assert "p = 0.01" in note
    assert note in " ".join(printed(helped).split())
    unsure = dict(measured.summary)
    measured.summary |= {"selective/confidence_and_all/auroc_increment/p_value": 0.01}
    assert "no certain increment of the AUROC is seen" in selective.increment_note(measured)
    assert unsure != measured.summary


def test_too_few_answers_print_a_line_with_what_would_do():
    result = make_result(defined=False)
    reason = "8 right and 12 wrong answers, expected 30 of each: at least 75 questions at this accuracy"
    result.manifest["excluded"][f"failure prediction: {reason}"] = 20
    text = " ".join(printed(result).split())
    assert f"Predicting whether the answer is right: not printed: {reason}." in text
    assert text.count(reason) == 1, "not among what Table 1 left out, too"


def test_an_analysis_of_an_earlier_version_shows_what_it_has():
    text = printed(make_result())
    assert "Selective prediction" not in text
    assert "Do the explanations add" not in text
    row = next(line for line in lines_from(text, "Predicting") if line[:2] == ["Flips", "of"])
    assert row[4:] == ["69.0%", "62.0%", "0.740", "0.200"]
