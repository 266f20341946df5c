"""The choice of questions for the example browser."""

import numpy as np
from made_results import make_result

from lookwhy.reporting.page.examples import choose_questions, shown_epochs


def ids(results, most=60):
    return [asked.question_id for asked in choose_questions(results, most)]


def test_a_runs_own_examples_come_first_then_two_questions_an_image():
    result = make_result(count=12)
    for record in result.records:
        record["image_id"] = (record["question_id"] - 100) // 4
    result.manifest["examples"] = [107, 103]
    assert ids([result]) == [107, 103, 100, 101, 104, 105, 108, 109, 102, 106, 110, 111]
    assert ids([result], most=3) == [107, 103, 100]


def shifted(result, by):
    result.question_ids = result.question_ids + by
    result.manifest["examples"] = [i + by for i in result.manifest["examples"]]
    for record in result.records:
        record["question_id"] += by
    return result


def test_questions_of_most_runs_come_first_and_a_run_on_other_data_is_not_left_without():
    assert ids([make_result(0), make_result(1)], 5) == ids([make_result(0)], 5)
    assert set(ids([make_result(count=8), shifted(make_result(count=8), 4)], 4)) == {104, 105, 106, 107}
    found = ids([make_result(), make_result(), shifted(make_result(), 1000)], 6)
    assert sorted(np.array(found) >= 1000) == [False] * 3 + [True] * 3
    # One id of two data sets is two questions.
    other = make_result()
    for record in other.records:
        record["question"] = "is it raining ?"
    assert len(choose_questions([make_result(), other], 60)) == 24


def test_all_epochs_are_shown_where_they_fit():
    assert shown_epochs([-1, 0, 1], 1_000_000, 2) == [-1, 0, 1]
    assert shown_epochs(list(range(101)), 1_000_000, 2) == [0, 33, 67, 100]
