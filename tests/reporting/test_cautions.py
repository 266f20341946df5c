"""Facts to know before quoting a number: each one where it holds, none where it does not, and at most five."""

import pytest
from made_measures import add_tests
from made_results import make_result, make_run, save_pictures
from terminal.test_tables import printed
from test_sanity_card import add_card

from lookwhy.reporting.cautions import TITLE, cautions
from lookwhy.reporting.page.html import write_report


@pytest.fixture
def quiet():
    """An analysis with nothing to say: many images, many answers, annotators for all."""
    result = make_result()
    result.manifest["excluded"] = {}
    result.summary |= {key: 40.0 for key in result.summary if key.endswith("/images")}
    for record in result.records:
        record["ground_truth"] = f"answer {record['question_id'] % 5}"
    return result


def test_an_analysis_with_nothing_to_say_says_nothing(quiet):
    assert cautions(quiet) == []
    assert TITLE not in printed(quiet)


def test_each_fact_is_told_where_it_holds(quiet):
    add_card(quiet)
    (line,) = cautions(quiet)
    assert line.startswith(
        "With a random head the maps of Guided backpropagation (0.83) stay nearly the same"
    )
    quiet.summary = {key: value for key, value in quiet.summary.items() if "/sanity/" not in key}
    add_tests(quiet)
    (line,) = cautions(quiet)
    assert "the centre prior, agrees with the simulated annotators as well as, or better than" in line
    assert "Guided backpropagation (-0.020) (in brackets: method minus centre prior)" in line
    key = "paired/guided_backprop/centre_prior/rank_correlation"
    quiet.summary |= {key: 0.03, f"{key}/p_holm": 0.01}
    assert cautions(quiet) == []
    quiet.manifest["training"] = {"tf32": True}
    quiet.manifest["tagger"] = "TextBlob 0.19 PatternTagger"
    (line,) = cautions(quiet)
    assert "TF32" in line
    assert "tagged by TextBlob 0.19 PatternTagger, not by NLTK's" in line


@pytest.mark.parametrize(("same", "told"), [(5, False), (6, True), (12, True)])
def test_one_answer_to_most_questions_is_told(quiet, same, told):
    ids = sorted({record["question_id"] for record in quiet.records})
    for record in quiet.records:
        if record["question_id"] in ids[:same]:
            record["ground_truth"] = "yes"
        else:
            record["ground_truth"] = str(record["question_id"])
    found = [line for line in cautions(quiet) if "the same true answer" in line]
    assert bool(found) == told
    if told:
        assert f"{same} of 12 questions have the same true answer, “yes”" in found[0]


def test_few_images_and_missing_annotators_share_a_line_so_that_there_are_at_most_five(quiet):
    add_card(quiet)
    add_tests(quiet)
    quiet.summary |= {key: 9.0 for key in quiet.summary if key.endswith("/images")}
    quiet.manifest |= {"excluded": {"no annotator map": 3}, "training": {"tf32": True}, "tagger": "other"}
    for record in quiet.records:
        record["ground_truth"] = "yes"
    lines = cautions(quiet)
    assert len(lines) == 5
    assert "Only 9 images" in lines[0]
    assert "3 of 12 questions have no annotator map" in lines[0]
    bare = make_result(annotators=False)
    assert "No annotator maps" in cautions(bare)[0]


def test_the_page_shows_the_facts_of_each_run_above_its_charts(tmp_path):
    def odd(result):
        result.manifest["data_note"] = "<b>"
        result.summary |= {key: 9.0 for key in result.summary if key.endswith("/images")}

    run = make_run(tmp_path / "run", save_pictures(tmp_path / "images"), 1, odd)
    page = write_report([run], tmp_path / "report.html").read_text()
    assert page.index('id="cautions"') < page.index('id="agreement"')
    assert "<li>Only 9 images: the intervals are rough" in page
