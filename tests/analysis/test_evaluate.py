"""Accuracies of an analysis, judged by the official metric's second implementation."""

import random

import numpy as np
from official_metric import reference_accuracy

from lookwhy.analysis import AnalysisPlan
from lookwhy.analysis.evaluate import evaluate

TYPES = ("yes/no", "number", "other")


def test_accuracies_are_the_official_ones_to_the_last_bit():
    draw = random.Random(0)
    rows, expected, unlike = [], {}, 0
    for number in range(200):
        answers = [draw.choice("abcde") for _ in range(10)]
        kind = draw.choice(TYPES)
        rows.append(
            {
                "question_id": number, "image_id": number, "question_type": "", "answer_type": kind,
                "answers": answers, "predicted": "a", "confidence": 0.5, "words": [], "tags": [],
            }
        )  # fmt: skip
        for key in ("accuracy/overall", f"accuracy/answer_type/{kind}"):
            expected.setdefault(key, []).append(reference_accuracy("a", answers))
    found = evaluate({}, rows, np.empty((200, 0, 16, 16), np.float32), {}, AnalysisPlan()).summary
    for key, scores in expected.items():
        assert found[key] == sum(scores) / len(scores)
        unlike += found[key] != np.mean(scores)
    assert unlike  # else this could not fail
