"""The official VQA accuracy (Antol et al. 2015): agreement with ten annotators, leaving out each in turn."""

from __future__ import annotations

from lookwhy.metrics.normalize import clean_space, normalize_answer


def vqa_accuracy(answer: str, answers: list[str]) -> float:
    """Accuracy of one answer, 0..1.

    It is the mean over annotators of min(1, matches among the OTHER annotators / 3). Answers are normalised
    only if the annotators gave different answers.

    Raises:
        ValueError: there are no annotators' answers.

    Example:
        >>> vqa_accuracy("red", ["red"] * 3 + ["blue"] * 7)
        0.9
    """
    if not answers:
        raise ValueError("expected the annotators' answers, found none")
    answer, truth = clean_space(answer), [clean_space(one) for one in answers]
    if len(set(truth)) > 1:
        answer, truth = normalize_answer(answer), [normalize_answer(one) for one in truth]
    matches = truth.count(answer)
    # If an annotator matches, the others have one match less. The sum is in the annotators' order, as in the
    # official code, so that the result is equal to the last bit.
    same, other = min(1.0, (matches - 1) / 3), min(1.0, matches / 3)
    return sum([same if one == answer else other for one in truth]) / len(truth)
