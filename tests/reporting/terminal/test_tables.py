"""The tables of the terminal."""

import io
import re
from itertools import dropwhile
from pathlib import Path

import pytest
from made_results import make_result
from rich.console import Console

from lookwhy.models.answering import Answers
from lookwhy.reporting import numbers
from lookwhy.reporting.terminal import tables
from lookwhy.reporting.terminal.answers import print_answers


def printed(result, width=100, **settings) -> str:
    console = Console(width=width, file=io.StringIO(), **settings)
    tables.print_tables(result, console)
    return console.file.getvalue()


def rows(text: str, start: str) -> list[list[str]]:
    """Words of the lines from the first that starts with `start`."""
    lines = (line.split() for line in text.splitlines())
    return list(dropwhile(lambda line: not " ".join(line).startswith(start), lines))


def row(text: str, start: str) -> list[str]:
    return rows(text, start)[0]


def test_table_one_shows_values_intervals_counts_controls_and_the_papers_figures(result):
    result.summary |= {"image/occlusion/partial_rank_correlation": 0.19, "image/human/noise_ceiling": 0.911}
    text = printed(result)
    cells = "Occlusion *0.270 0.370 300 (4) 0.221 0.090 *0.049 0.190 0.07164"
    assert row(text, "Occlusion") == cells.split()
    assert "Noise ceiling, the root of the annotators' agreement: 0.911." in " ".join(text.split())
    assert row(text, "Random")[-1] == "0.00007"
    told = ("[0.240, 0.300]", "0.12277", "0.62289", "Goyal et al. 2016", "VQA-HAT")
    assert all(words in " ".join(text.split()) for words in told)


def test_annotators_and_the_untrained_model_have_their_names_and_what_was_left_out_is_told(result):
    text = printed(result)
    assert "Agreement with simulated annotators, epoch 2" in text
    # The name takes two lines of its column.
    assert rows(text, "Simulated")[1][0] == "annotators"
    # The paper's own annotators were human, and its figures are labelled so.
    assert text.lower().replace("human annotators: other data", "").count("human") == 0
    told = "Left out: 1 × no annotator map. Shapes world: generated pictures, simulated annotators."
    assert told in " ".join(text.split())
    result.manifest["epoch"] = -1
    assert "Agreement with simulated annotators, untrained" in printed(result)


def test_everything_fits_a_hundred_columns_and_no_word_is_shortened(result):
    for end, value in {"": -0.25, "/ci_low": -0.3, "/ci_high": -0.2, "/n": 300.0}.items():
        for measure in ("rank_correlation", "specificity"):
            result.summary[f"image/attention/{measure}{end}"] = value
    result.manifest["annotators"] = "human annotators"
    for n in range(40):
        result.summary[f"accuracy/question_type/{'what is the ' * 3}{n}"] = 0.5
    text = printed(result)
    assert max(map(len, text.splitlines())) <= 100
    assert "…" not in text


@pytest.mark.parametrize("width", [80, 99])
def test_on_a_narrower_terminal_the_controls_are_a_table_of_their_own(result, width):
    text = printed(result, width)
    assert max(map(len, text.splitlines())) <= width
    assert "…" not in text
    assert "Controls of this agreement" in text
    assert row(text, "Occlusion") == ["Occlusion", "*0.270", "*0.049", "300", "(4)", "0.07164"]
    assert row(text.partition("Controls of")[2], "Occlusion") == ["Occlusion", "0.370", "0.221", "0.090", "–"]
    assert " ".join(text.split()).count("Goyal et al. 2016, VQA v1 + VQA-HAT") == 1


def test_intervals_that_exclude_nothing_or_chance_are_marked_in_the_text(result):
    ends = {
        "image/occlusion/specificity": (-0.02, -0.01),
        "image/guided_backprop/specificity": (-0.01, 0.02),
        "image/centre_prior/specificity": (1e-17, 3e-17),
        "question/word_drop/most_important/noun": (0.2, 0.3),
        "question/gradient/most_important/noun": (0.1, 0.3),
    }
    for key, (low, high) in ends.items():
        result.summary |= {f"{key}/ci_low": low, f"{key}/ci_high": high}
    text = printed(result)
    assert "[-0.020, -0.010]" in text
    assert row(text, "Centre prior")[-3] == "0.000", "rounding errors"
    cells = [row(text, "Occlusion")[-3], row(text, "Guided")[-3], *row(text, "Noun")[1:4:2]]
    assert [cell[0] == "*" for cell in cells] == [True, False, False, True]
    # A star of a part of speech needs a test that rejects chance, and every mark enough images.
    result.summary["question/word_drop/most_important/noun/p_value"] = 0.06
    assert row(printed(result), "Noun")[3] == "12.0%"
    result.summary |= {key: 9.0 for key in result.summary if key.endswith("/images")}
    text = printed(result)
    assert "*" not in "".join(line for line in text.splitlines() if "*:" not in line)
    assert "Only 9 images: the intervals are rough, and nothing is marked below 10 images." in " ".join(
        text.split()
    )


def test_a_part_of_speech_with_few_words_is_left_out_with_the_number_of_questions_that_would_do(result):
    assert "fewer than 30 words" not in printed(result)
    assert row(printed(result), "Determiner")[1] == "*3.6%"
    result.summary |= {
        f"question/{one}/most_important/determiner/n": 4.0 for one in ("gradient", "word_drop")
    }
    text = printed(result)
    assert not rows(text, "Determiner")
    assert row(text, "Noun")
    # 12 questions have 4 determiners, so 90 would have 30.
    line = "Left out, with fewer than 30 words: determiner 4 (about 90 questions would do)."
    assert line in " ".join(text.split())
    result.summary |= {key: 1.0 for key in result.summary if "/most_important/" in key and key.endswith("/n")}
    text = " ".join(printed(result).split())
    assert "Part of speech" not in text
    assert "Which words count is not shown. Left out, with fewer than 30 words: " in text
    assert "determiner 1 (about 360 questions would do)" in text


def test_an_analysis_of_an_earlier_version_counts_its_images_in_the_records_and_has_no_stars_of_words(result):
    new = ("/images", "/p_value", "/expected_by_place")
    result.summary = {key: value for key, value in result.summary.items() if not key.endswith(new)}
    text = printed(result)
    assert row(text, "Noun") == ["Noun", "14.4%", "12.0%", "12.0%", "400"]
    assert "No star: an analysis of an earlier version has no test." in " ".join(text.split())
    assert "Only 6 images" in text
    assert row(text, "Occlusion")[1] == "0.270"


def test_means_over_images_are_a_table_where_they_differ_from_means_over_questions(result):
    assert "Mean over images" not in printed(result)
    for method, mean in (("occlusion", 0.1234), ("human", 0.7)):
        key = f"image/{method}/rank_correlation/macro"
        result.summary |= {key: mean, f"{key}/ci_low": mean - 0.1, f"{key}/ci_high": mean + 0.1}
    table = printed(result).partition("Mean over images")[2]
    assert row(table, "Occlusion") == ["Occlusion", "0.123", "[0.023,", "0.223]", "–"]
    assert "Each image counts once" in table
    # A difference by rounding errors is none.
    for method, value in (("occlusion", 0.27), ("human", 0.83)):
        result.summary[f"image/{method}/rank_correlation/macro"] = value + 1e-12
    assert "Mean over images" not in printed(result)


def test_the_best_of_several_methods_is_bold_and_no_baseline(result):
    found, measures = {}, ("rank_correlation", "specificity")
    for method, value in (("guided_backprop", 0.2), ("occlusion", 0.3), ("centre_prior", 0.9)):
        result.summary |= {f"image/{method}/{measure}": value for measure in measures}
    (table,) = tables.table_one(result)
    for column in (1, 6):
        for method, cell in zip(table.columns[0]._cells, table.columns[column]._cells, strict=True):
            bold = any("bold" in str(span.style) for span in cell.spans)
            found.setdefault(str(method), []).append(bold)
    assert [name for name, bold in found.items() if any(bold)] == ["Occlusion"]
    assert all(found["Occlusion"])


def test_a_terminal_gets_colours_and_with_no_color_weights_alone(result, monkeypatch):
    on_terminal = {"force_terminal": True, "color_system": "standard"}
    assert re.search(r"\x1b\[(\d;)*3\d", printed(result, **on_terminal))
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[1m" in printed(result, **on_terminal)


def test_undefined_values_are_dashes_and_an_analysis_without_numbers_says_why(result):
    for end in ("", "/ci_low", "/ci_high"):
        del result.summary[f"image/occlusion/rank_correlation{end}"]
    assert "–" in row(printed(result), "Occlusion")
    text = printed(make_result(annotators=False, defined=False))
    assert ("No annotator maps" in text, "Predicting" in text) == (True, False)


def test_words_failure_and_accuracy_have_their_rows_and_brackets_in_the_data_are_no_markup(result):
    result.summary["accuracy/answer_type/[red]x[/red]"] = 0.5
    text = printed(result)
    assert row(text, "Wh-word") == ["Wh-word", "39.6%", "10.0%", "33.0%", "10.0%", "12.0%", "280"]
    assert row(text, "Flips of the answer")[-4:] == ["69.0%", "62.0%", "0.740", "0.200"]
    assert row(text, "yes/no") == ["yes/no", "80.00%", "3"]
    assert "[red]x[/red]" in text


def test_a_tiny_negative_mean_is_not_minus_zero_and_one_over_other_questions_says_of_how_many(result):
    for value, text in ((-0.0001, "0.000"), (-0.01, "-0.010")):
        result.summary["image/occlusion/specificity"] = value
        assert numbers.number(result, "image/occlusion/specificity") == text
    result.summary["image/occlusion/mean_map/n"] = 280.0
    first, second, *_ = rows(printed(result), "Occlusion")
    assert first[2] == "0.370"
    assert second[:4] == ["[0.240,", "0.300]", "n", "280"]


def test_answers_are_counted_and_questions_without_a_choice_are_told():
    answers = Answers([1, 2, 3], ["a"] * 3, ["b"] * 3, 2, {"multiple_choice": {"overall": 0.5}})
    console = Console(width=200, file=io.StringIO())
    print_answers(answers, [Path("answers.json")], console)
    assert console.file.getvalue().splitlines() == [
        "3 questions, MultipleChoice: overall 50.00",
        "2 multiple-choice questions offer no answer that the model knows; its open-ended answer is used",
        "answers   answers.json",
    ]


def test_a_profile_lists_the_longest_first_with_its_own_parts_below():
    seconds = {"short": 1.0, "long": 7.0, "long: minor": 2.0, "long: major": 4.0, "middle": 2.0}
    console = Console(width=100, file=io.StringIO())
    console.print(tables.profile_table(seconds, 100))
    found = rows(console.file.getvalue(), "long")
    lines = ("long 7.00 70.0% 70.0", "major 4.00 40.0% 40.0", "minor 2.00 20.0% 20.0",
             "middle 2.00 20.0% 20.0", "short 1.00 10.0% 10.0")  # fmt: skip
    assert found[:5] == [line.split() for line in lines]
    assert ["all", "10.00", "100.0%", "100.0"] in found
