"""Result files for the official evaluation, judged by a reader of their own."""

import json

import numpy as np
import pytest
import torch
from official_metric import reference_accuracy
from tiny_runs import make_data, make_head

from lookwhy.models.answering import answer_all, write_results


@pytest.fixture
def data(tiny_world):
    data = make_data(tiny_world)
    data.setup()
    return data


def official_accuracy(path, data):
    """Evaluate a result file as the official program does: every question id, mean of their accuracies."""
    said = {one["question_id"]: one["answer"] for one in json.loads(path.read_text())}
    ids, tens = data.prepro.test.question_ids.tolist(), data.prepro.test.answers10
    assert sorted(said) == sorted(ids)
    return sum(reference_accuracy(said[i], ten) for i, ten in zip(ids, tens, strict=True)) / len(ids)


def test_the_accuracy_is_the_official_one_of_the_written_file(data, tmp_path):
    answers = answer_all(make_head(data).eval(), data)
    (path,) = write_results(answers, tmp_path, "epoch=003")
    assert path.name == "vqa_OpenEnded_epoch=003_results.json"
    assert answers.accuracy["open_ended"]["overall"] == official_accuracy(path, data)


def test_multiple_choice_gives_the_most_probable_choice(data, tmp_path):
    head, split = make_head(data).eval(), data.prepro.test
    random = np.random.default_rng(0)
    split.choices = random.integers(-1, len(data.answers), (len(split.question_ids), 18))
    split.choices[0] = -1
    answers = answer_all(head, data)
    _, path = write_results(answers, tmp_path, "x")
    assert answers.accuracy["multiple_choice"]["overall"] == official_accuracy(path, data)
    assert answers.without_choice == 1
    assert answers.multiple_choice[0] == answers.open_ended[0]
    batch = data.datasets["test"][torch.arange(1, 6)]
    for row, logits in enumerate(head(batch.features, batch.tokens, batch.lengths).tolist(), start=1):
        best = max((int(i) for i in split.choices[row] if i >= 0), key=logits.__getitem__)
        assert answers.multiple_choice[row] == data.answers[best]


def test_without_annotations_there_are_answers_and_no_accuracy(data, tmp_path):
    data.prepro.test.answers10 = []
    answers = answer_all(make_head(data).eval(), data)
    assert answers.accuracy == {}
    (path,) = write_results(answers, tmp_path, "x")
    assert len(json.loads(path.read_text())) == len(data.prepro.test.question_ids)
