"""The terminal's table of slices: values, marks, and what fits the width."""

import io

import pytest
from made_results import make_result
from rich.console import Console

from lookwhy.analysis import sliced
from lookwhy.reporting.terminal.slices import slices_tables
from lookwhy.reporting.terminal.tables import print_tables


def printed(result, width=100) -> str:
    console = Console(width=width, file=io.StringIO())
    for table in slices_tables(result, width):
        console.print(table)
    return console.file.getvalue()


def with_specificity(result):
    for record in result.records:
        if record["domain"] == "image":
            record |= {
                "specificity": 0.01 * (record["question_id"] % 5),
                "centre_prior_rank_correlation": 0.4,
            }
    return result


def line(text, start):
    return next(line.split() for line in text.splitlines() if line.strip().startswith(start))


def test_a_row_has_the_number_of_questions_the_accuracy_and_both_agreements_of_each_method():
    result = with_specificity(make_result(count=120))
    text, found = printed(result), sliced(result)
    start = "slice/answer_type/other"
    accuracy = found[f"{start}/accuracy/overall"]
    methods = [
        found[f"{start}/image/{method}/{measure}"]
        for method in ("guided_backprop", "occlusion")
        for measure in ("rank_correlation", "specificity")
    ]
    shown = line(text, "other")
    assert shown[1:3] == ["60", f"{accuracy:.1%}"]
    numbers = [float(one.strip("*†")) for one in shown[3:7]]
    assert numbers == pytest.approx(methods, abs=0.0051)
    assert shown[-2:] == ["*.40", "–"], "the centre prior, last"
    # The intervals of the accuracy and of both agreements stand below.
    keys = [
        "accuracy/overall",
        *(f"image/{one}/rank_correlation" for one in ("guided_backprop", "occlusion")),
    ]
    lines = text.splitlines()
    below = lines[next(at for at, one in enumerate(lines) if one.strip().startswith("other")) + 1].split()
    ends = [[found[f"{start}/{key}/{end}"] for end in ("ci_low", "ci_high")] for key in keys]
    assert [[float(one) for one in cell.split("–")] for cell in below[:3]] == [
        pytest.approx(pair, abs=0.0051) for pair in ends
    ]
    assert line(text, "right")[1] == str(sum(row % 3 > 0 for row in range(120)))
    ways = ("Answer type", "Question type", "Right or wrong", "Confidence of the", "Size of the")
    assert all(way in text for way in ways)


def test_few_questions_are_marked_and_the_caption_says_so():
    result = with_specificity(make_result(count=100))
    text = printed(result)
    assert line(text, "number")[1] == "25†"
    assert line(text, "other")[1] == "50"
    assert "†: fewer than 30, too few to rely on" in text
    # A measure of few questions is marked in a large slice, too.
    for record in result.records:
        if record["question_id"] > 115:
            record["specificity"] = None
    assert "†" in line(printed(result), "other")[4]


@pytest.mark.parametrize("width", [80, 100])
def test_it_fits_the_width_and_rare_types_are_counted(width):
    result = with_specificity(make_result(count=60))
    for record in result.records:
        record["question_type"] = "what is the " * 3 + str(record["question_id"] % 14)
    more = [record | {"method": f"method {at}"} for record in result.records[:1] for at in range(9)]
    result.records += more
    text = printed(result, width)
    assert max(map(len, text.splitlines())) <= width
    assert "…" not in text
    assert "4 less frequent question types are not shown." in " ".join(text.split())
    assert text.count("Slices: for which questions") == (3 if width == 100 else 4)
    assert text.count("too few to rely on") == 1


def test_it_is_printed_last_and_not_at_all_without_records():
    console = Console(width=100, file=io.StringIO())
    result = make_result()
    print_tables(result, console)
    text = console.file.getvalue()
    assert text.index("Slices: for which") > text.index("VQA accuracy in percent")
    result.records = []
    assert slices_tables(result) == []
