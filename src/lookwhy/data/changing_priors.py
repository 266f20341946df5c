"""A split whose answer priors differ between training and test for each question type, as in VQA-CP.

Agrawal et al. 2018, "Don't Just Assume; Look and Answer" (CVPR, section 3), group the questions by question
type and ground-truth answer, and assign whole groups greedily. So a type has other answers in training than
in test, and a model that guesses by the type alone fails. As in VQA-CP, an image may have questions in both
parts: the priors change, and not the images.

Two rules differ from the paper, because small data sets need them. The greedy choice is made for each
question type by itself, so every type with two answers or more is in both parts. And the paper keeps the
words of the test questions in training; here this is done for the answers: an answer goes to test where
another question type keeps it in training, as long as test has too few questions without it only.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lookwhy.data.official import Question
from lookwhy.data.question_readers import first_words
from lookwhy.errors import LookwhyError, option


@dataclass(frozen=True)
class PriorSplit:
    """Both parts of a split, each in the order of the source.

    Attributes:
        distance: mean total variation distance (0..1) between the answers of training and test, over the
            question types that both have, weighted by their questions.
        random_distance: the same for a random split with as many test questions.
        covered: share of the test questions whose answer occurs in training, too.
    """

    train: list[Question]
    test: list[Question]
    distance: float
    random_distance: float
    covered: float


def split_by_priors(questions: Sequence[Question], seed: int, test_share: float = 1 / 3) -> PriorSplit:
    """Split questions so that the answers of each question type differ between training and test.

    Args:
        questions: annotated questions; one without a question type has its first two words as such.
        seed: seed of the order in which the groups are looked at; the same seed gives the same split.
        test_share: share of the questions to test, between 0 and 1. The result is near to it; it is larger
            than a small share, because each question type gives the whole of at least one group.

    Raises:
        LookwhyError: the share is not between 0 and 1, a question has no answer, or no question type has two
            different answers.
    """
    if not 0 < test_share < 1:
        raise LookwhyError(
            f"expected a share between 0 and 1, found {test_share}; correct {option('test_share')}"
        )
    if bare := [one.question_id for one in questions if not one.answer]:
        raise LookwhyError(f"expected an answer to each question, found none to {bare[0]}; give annotations")
    counts: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for one in questions:
        counts[question_type(one)][one.answer] += 1
    random = np.random.default_rng(seed)
    chosen = _choose(counts, test_share, random)
    in_test = np.array([(question_type(one), one.answer) in chosen for one in questions], bool)
    if not in_test.any():
        raise LookwhyError(
            f"expected a question type with two different answers, found none in {len(questions)} questions "
            f"of {len(counts)} types; give more questions"
        )
    trained = {one.answer for one, test in zip(questions, in_test, strict=True) if not test}
    covered = [one.answer in trained for one, test in zip(questions, in_test, strict=True) if test]
    return PriorSplit(
        train=[one for one, test in zip(questions, in_test, strict=True) if not test],
        test=[one for one, test in zip(questions, in_test, strict=True) if test],
        distance=prior_distance(questions, in_test),
        random_distance=prior_distance(questions, random.permutation(in_test)),
        covered=float(np.mean(covered)),
    )


def question_type(question: Question) -> str:
    """The annotated question type, or the first two words of a question without one."""
    return question.question_type or first_words(question.text)


def prior_distance(questions: Sequence[Question], in_test: np.ndarray) -> float:
    """Mean total variation distance between the answers of both parts, over question types; NaN for none.

    Args:
        questions: annotated questions.
        in_test: (N,) whether a question is in the test part.
    """
    parts: defaultdict[str, tuple[Counter[str], Counter[str]]] = defaultdict(lambda: (Counter(), Counter()))
    for one, test in zip(questions, in_test, strict=True):
        parts[question_type(one)][int(test)][one.answer] += 1
    both = [pair for pair in parts.values() if all(pair)]
    if not both:
        return float("nan")
    weights = [one.total() + other.total() for one, other in both]
    return float(np.average([total_variation(*pair) for pair in both], weights=weights))


def total_variation(one: Counter[str], other: Counter[str]) -> float:
    """Total variation distance of two distributions, given by counts: 0 if equal, 1 if disjoint.

    Example:
        >>> total_variation(Counter(red=3, blue=1), Counter(red=1, blue=1))
        0.25
    """
    shares = [one[key] / one.total() - other[key] / other.total() for key in one.keys() | other.keys()]
    return sum(map(abs, shares)) / 2


def _choose(
    counts: dict[str, Counter[str]], test_share: float, random: np.random.Generator
) -> set[tuple[str, str]]:
    """The groups (question type, answer) of the test part."""
    types_in_training = Counter(answer for answers in counts.values() for answer in answers)
    chosen: set[tuple[str, str]] = set()
    missing = 0.0
    # Large types come first: small ones make up for what these have too much or too little in test.
    for kind in sorted(counts, key=lambda one: (-counts[one].total(), one)):
        answers = counts[kind]
        order = [sorted(answers)[i] for i in random.permutation(len(answers))]
        wanted = test_share * answers.total() + missing
        taken = _take(order, answers, wanted, types_in_training)
        types_in_training.subtract(taken)
        chosen |= {(kind, answer) for answer in taken}
        missing = wanted - sum(answers[answer] for answer in taken)
    return chosen


def _take(
    order: list[str], counts: Counter[str], wanted: float, types_in_training: Counter[str]
) -> list[str]:
    """Answers of one question type for the test part, in order, while they come closer to `wanted`."""
    if len(order) < 2:
        return []
    taken: list[str] = []
    size = 0
    # Answers that another type keeps in training come first.
    for answer in sorted(order, key=lambda one: types_in_training[one] < 2):
        is_nearer = abs(size + counts[answer] - wanted) < abs(size - wanted)
        if is_nearer and len(taken) < len(order) - 1:
            taken.append(answer)
            size += counts[answer]
    return taken or [min(order, key=lambda one: (types_in_training[one] < 2, counts[one]))]
