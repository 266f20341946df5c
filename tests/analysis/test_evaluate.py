"""Accuracies of an analysis, judged by the official metric's second implementation."""

import random

import numpy as np
import torch
from official_metric import reference_accuracy

from lookwhy.analysis import AnalysisPlan
from lookwhy.analysis.evaluate import evaluate
from lookwhy.analysis.questions import QuestionRecord
from lookwhy.types import ImportanceMaps

TYPES = ("yes/no", "number", "other")


def question(number, answers=(), predicted="a", kind="other"):
    return QuestionRecord(
        question_id=number, image_id=number, image_file="", question="", words=[], tags=[], question_type="",
        answer_type=kind, answers=list(answers), predicted=predicted, confidence=0.5,
    )  # fmt: skip


def test_accuracies_are_the_official_ones_to_the_last_bit():
    draw = random.Random(0)
    rows, expected, unlike = [], {}, 0
    for number in range(200):
        answers = [draw.choice("abcde") for _ in range(10)]
        kind = draw.choice(TYPES)
        rows.append(question(number, answers, "a", kind))
        for key in ("accuracy/overall", f"accuracy/answer_type/{kind}"):
            expected.setdefault(key, []).append(reference_accuracy("a", answers))
    found = evaluate({}, rows, np.empty((200, 0, 16, 16), np.float32), {}, AnalysisPlan()).summary
    for key, scores in expected.items():
        assert found[key] == sum(scores) / len(scores)
        unlike += found[key] != np.mean(scores)
    assert unlike  # else this could not fail


def test_why_a_correlation_is_undefined_is_counted():
    draw = np.random.default_rng(0)
    human = draw.random((6, 2, 16, 16)).astype(np.float32)
    human[0] = np.nan  # nobody looked
    human[1] = 0  # both maps are black
    human[2, 0], human[2, 1] = 7, np.nan  # the only map is gray throughout
    human[3, 0] = 0  # one of two is black: the other counts
    values = torch.from_numpy(draw.random((6, 16, 16)).astype(np.float32))
    values[4] = 0
    ids = torch.arange(6)
    maps = ImportanceMaps("x", "image", values, torch.ones_like(values).bool(), False, "", ids, ids)
    found = evaluate({"image/x": maps}, [question(i) for i in range(6)], human, {}, AnalysisPlan())
    assert {key: n for key, n in found.manifest["excluded"].items() if "failure" not in key} == {
        "no annotator map": 1,
        "constant annotator maps only": 2,
        "image/x: constant map": 1,
    }
    counted = [found.summary[f"image/x/rank_correlation/{key}"] for key in ("n", "n_undefined")]
    assert counted == [2, 4]
