"""The tables of the terminal about which map to believe, which words, and the share of the question."""

import pytest
from made_measures import CHANCE, FAITHFUL, SHARES, add_measures
from made_results import make_result
from test_tables import printed, row, rows

from lookwhy.reporting import reading
from lookwhy.reporting.numbers import table_note
from lookwhy.reporting.terminal import believe

TITLE = "Which map to believe"


@pytest.fixture
def believed(result):
    add_measures(result)
    return result


def of_title(result, title: str = TITLE, width: int = 100) -> str:
    """The part of the output from a title to the end of its caption."""
    text = printed(result, width)
    return text[text.index(title) :].partition("Which words count" if title == TITLE else "Predicting")[0]


def bold(result) -> dict[str, list[int]]:
    """Numbers of the columns in which a method is bold."""
    (table,) = believe.believe_tables(result)
    found = {}
    for place, column in enumerate(table.columns):
        for method, cell in zip(table.columns[0]._cells, column._cells, strict=True):
            if any("bold" in str(span.style) for span in getattr(cell, "spans", ())):
                found.setdefault(str(method), []).append(place)
    return found


def test_each_number_is_the_stored_one_below_its_column_with_its_interval(believed):
    text = of_title(believed)
    cells = "Occlusion *0.270 *0.049 *0.280 *0.750 *0.490 *0.270 *0.420 *0.430 12.0"
    first, second, *_ = rows(text, "Occlusion")
    assert first == cells.split()
    assert second[2:] == [".22–.34", ".69–.81", ".43–.55", ".21–.33", ".36–.48", ".37–.49"]
    heads = " ".join(rows(text, "Question-")[0] + rows(text, "Method")[0])
    told = "Question- Faithful- Pointing Method Agreement specific Deletion Insertion ness Mass Rank game Seconds"
    assert heads == told


def test_the_best_method_is_the_lowest_for_deletion_and_never_a_baseline(believed):
    believed.summary["image/random/faithfulness/deletion_patch"] = 0.01
    believed.summary["image/human/localisation/mass_accuracy"] = 0.99
    # Agreement, specificity, deletion, insertion, faithfulness, mass, rank, pointing.
    assert bold(believed) == {"Guided backpropagation": [1, 2, 4, 7, 8], "Occlusion": [2, 3, 5, 6]}


def test_a_mark_is_a_paired_difference_from_random_or_from_chance_and_random_has_none(believed):
    key = "image/occlusion/faithfulness/deletion_patch_minus_random"
    assert row(of_title(believed), "Occlusion")[3] == "*0.280"
    believed.summary |= {f"{key}/ci_low": -0.4, f"{key}/ci_high": 0.01}
    assert row(of_title(believed), "Occlusion")[3] == "0.280"
    key = "image/occlusion/localisation/pointing_game"
    believed.summary[f"{key}/ci_low"] = CHANCE - 0.01
    assert row(of_title(believed), "Occlusion")[8] == "0.430"
    # The interval of the random map lies above 0, and says nothing about it.
    assert row(of_title(believed), "Random")[3:5] == ["0.600", "0.610"]


def test_a_lower_deletion_is_green_and_a_higher_one_red(believed):
    (table,) = believe.believe_tables(believed)
    colours = {}
    believed.summary |= {
        f"image/guided_backprop/faithfulness/deletion_patch_minus_random/{end}": 0.1
        for end in ("ci_low", "ci_high")
    }
    (table,) = believe.believe_tables(believed)
    for method, cell in zip(table.columns[0]._cells, table.columns[3]._cells, strict=True):
        colours[str(method)] = str(cell.style) if cell.style else {str(one.style) for one in cell.spans}
    assert "green" in colours["Occlusion"]
    assert "red" in colours["Guided backpropagation"]


def test_measures_without_a_value_leave_no_column_and_no_word_of_the_caption(believed):
    assert "Mass, rank, pointing" in " ".join(of_title(believed).split())
    for key in [key for key in believed.summary if "/localisation/" in key or "/rank_correlation" in key]:
        del believed.summary[key]
    text = " ".join(of_title(believed).split())
    assert not any(word in text for word in ("Mass", "Pointing", "Agreement", "mask of what", "chance"))
    assert all(word in text for word in ("Deletion", "Faithfulness:", "n = 20", "the gray patch"))
    del believed.manifest["seconds"]
    assert "Seconds" not in of_title(believed)


def test_another_fill_is_shown_and_named_where_the_patch_is_missing(believed):
    for key in [key for key in believed.summary if "_patch" in key and "faithfulness" in key]:
        del believed.summary[key]
    text = of_title(believed)
    assert row(text, "Occlusion")[3] == f"{FAITHFUL['deletion_blur']['occlusion'] + 0.02:.3f}"
    assert "give way to the blurred image" in " ".join(text.split())


def test_an_analysis_without_these_measures_prints_what_it_printed_before(result):
    text = printed(result)
    assert not any(words in text for words in (TITLE, "Which order", "How much of the answer"))
    add_measures(result)
    more = printed(result)
    for line in text.splitlines():
        assert line in more, "the other tables stay as they are"
    assert believe.believe_tables(make_result()) == []


@pytest.mark.parametrize("width", [80, 100])
def test_every_table_fits_and_a_narrow_terminal_gets_two(believed, width):
    believed.manifest["seconds"]["image/occlusion"] = 12345.6
    believed.summary["image/occlusion/faithfulness/correlation/ci_low"] = -0.123
    text = printed(believed, width)
    assert max(map(len, text.splitlines())) <= width
    assert "…" not in text
    assert ("Localisation and time" in text) == (width < 100)
    assert "-.12–.55" in text
    assert "12345.6" in text
    assert " ".join(text.split()).count("Mass, rank, pointing") == 1


def test_simulated_annotators_are_called_so_and_have_no_faithfulness(believed):
    text = of_title(believed)
    assert "human" not in text.lower()
    assert row(text, "Simulated") == [
        "Simulated",
        "*0.830",
        "*0.049",
        "–",
        "–",
        "–",
        "*0.480",
        "*0.480",
        "*0.480",
        "–",
    ]


def test_words_are_compared_with_a_random_order_which_is_no_method(believed):
    assert reading.question_methods(believed) == ["gradient", "word_drop"]
    text = of_title(believed, "Which order of the words")
    assert row(text, "Word drop") == [
        "Word",
        "drop",
        "*0.180",
        "[0.120,",
        "0.240]",
        "*0.450",
        "[0.390,",
        "0.510]",
        "20",
    ]
    assert row(text, "Random") == ["Random", "0.270", "[0.210,", "0.330]", "0.280", "[0.220,", "0.340]", "20"]
    assert "Random" not in printed(believed).partition("Which words count")[2].partition("Which order")[0]


def test_the_share_of_the_question_is_told_by_type_with_its_fill_and_number(believed):
    text = of_title(believed, "How much of the answer")
    assert row(text, "all, gray patch") == ["all,", "gray", "patch", "64.0%", "[58.0%,", "70.0%]", "20"]
    assert row(text, "all, blurred image")[3] == "88.0%"
    assert row(text, "all, two players, gray patch")[5] == "59.0%"
    types = [row(text, name)[-1] for name in ("how many", "what color")]
    assert types == ["11", "9"]
    assert text.index("how many") < text.index("what color"), "the most frequent first"
    told = " ".join(text.split())
    assert "Exact for 90% of the questions" in told
    assert "5% (gray patch)" in told
    for n in range(12):
        believed.summary[f"slice/question_type/t{n}/modality/text_share"] = 0.5
    assert "4 less frequent question types" in " ".join(of_title(believed, "How much of the answer").split())
    assert len(SHARES) == 8


@pytest.mark.parametrize(
    ("plan", "note"),
    [
        ({"target": "truth"}, "the probability of the true answer, or of the predicted one"),
        ({"target": "contrast"}, "predicted answer minus that of the second most probable answer."),
        ({"target": "contrast", "against": "no"}, "predicted answer minus that of “no”."),
        ({"target": "predicted"}, ""),
    ],
)
def test_the_captions_name_an_explained_answer_that_is_not_the_predicted_one(believed, plan, note):
    believed.manifest["plan"] = plan
    for text in (table_note(believed), " ".join(of_title(believed).split())):
        assert ("Explained:" in text) == bool(note)
        assert note in text
