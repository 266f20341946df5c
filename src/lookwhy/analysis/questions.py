"""One question of an analysis: its text, the model's answer and the annotators' answers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from lookwhy.metrics import vqa_accuracy
from lookwhy.types import TEXT_IDS, Scores, VQABatch


@dataclass(frozen=True)
class QuestionRecord:
    """A question as the model read it, with its answers.

    Attributes:
        image_file: path of the image file, relative to the image root; empty if unknown.
        words: the words that the model read.
        tags: part-of-speech tag of each word, in the context of the whole question.
        question_type: type in the official annotations; empty if unknown.
        answer_type: "yes/no", "number" or "other"; empty if unknown.
        answers: the annotators' answers; empty if unknown.
        confidence: probability of the model's answer, 0..1.
        entropy: entropy of the probabilities of all answers, in nats; NaN if unknown.
        margin: probability of the model's answer minus that of the second most probable one; NaN if unknown.
        question_id_text: id in the questions file, if that is text; else empty.
        image_id_text: the same of the image.
    """

    question_id: int
    image_id: int
    image_file: str
    question: str
    words: list[str]
    tags: list[str]
    question_type: str
    answer_type: str
    answers: list[str]
    predicted: str
    confidence: float
    entropy: float = float("nan")
    margin: float = float("nan")
    question_id_text: str = ""
    image_id_text: str = ""

    @cached_property
    def accuracy(self) -> float:
        """Official accuracy of the predicted answer, 0..1; NaN without annotators' answers."""
        return vqa_accuracy(self.predicted, self.answers) if self.answers else float("nan")

    def columns(self) -> dict[str, Any]:
        """The columns of records.parquet that do not depend on a method."""
        left_out = {"answers"} | {name for name in TEXT_IDS if not getattr(self, name)}
        own = {name: value for name, value in vars(self).items() if name not in left_out}
        # The annotators' most frequent answer; empty without any.
        truth = Counter(self.answers).most_common(1)[0][0] if self.answers else ""
        return own | {"accuracy": self.accuracy, "ground_truth": truth}


def question_records(
    batch: VQABatch,
    predicted: Sequence[str],
    scores: Scores,
    words: Callable[[str], list[str]],
    tag: Callable[[Sequence[str]], list[str]],
) -> list[QuestionRecord]:
    """Make the records of a batch.

    Args:
        batch: the questions. If it has no texts, the texts of the records are empty.
        predicted: the model's answer to each question.
        scores: probability of every answer the model can give, 0..1.
        words: function that splits a question into the same words as the model's tokens.
        tag: function from the words of one question to their part-of-speech tags.
    """
    records = []
    confidence, entropy, margin = (one.tolist() for one in certainty(scores))
    ids, images = batch.question_ids.tolist(), batch.image_ids.tolist()
    for row, length in enumerate(batch.lengths.tolist()):
        question = _at(batch.questions, row, "")
        own = words(question)
        tags = tag(own) if own else []
        missing = [""] * (length - len(own))  # a batch without the text of its questions
        records.append(
            QuestionRecord(
                question_id=ids[row],
                image_id=images[row],
                image_file=_at(batch.image_files, row, ""),
                question=question,
                words=(own + missing)[:length],
                tags=(tags + missing)[:length],
                question_type=_at(batch.question_types, row, ""),
                answer_type=_at(batch.answer_types, row, ""),
                answers=_at(batch.answers, row, []),
                predicted=predicted[row],
                confidence=confidence[row],
                entropy=entropy[row],
                margin=margin[row],
                question_id_text=_at(batch.question_id_texts, row, ""),
                image_id_text=_at(batch.image_id_texts, row, ""),
            )
        )
    return records


def certainty(scores: Scores) -> tuple[Float[Tensor, " B"], Float[Tensor, " B"], Float[Tensor, " B"]]:
    """Confidence, entropy (in nats) and margin of the answers.

    Scores of independent answers, which need not sum to 1, are divided by their sum for the entropy.

    Example:
        >>> [round(float(one), 3) for one in certainty(torch.tensor([[0.5, 0.25, 0.25]]))]
        [0.5, 1.04, 0.25]
    """
    first = scores.topk(min(2, scores.shape[1]), dim=1).values
    shares = scores.double() / scores.double().sum(1, keepdim=True).clamp_min(1e-300)
    margin = first[:, 0] - first[:, 1] if first.shape[1] > 1 else first[:, 0]
    return first[:, 0], torch.special.entr(shares).sum(1), margin


def _at(items: Sequence[Any], row: int, otherwise: Any) -> Any:
    return items[row] if items else otherwise


MOST_PARTNERS = 8
"""Largest number of other questions about its image that a question is paired with; bounds the memory."""


def partners(count: int) -> list[list[int]]:
    """For each of some questions about one image, the next ones, cyclically: all others if they are few.

    Example:
        >>> partners(3)
        [[1, 2], [2, 0], [0, 1]]
    """
    others = range(1, min(count, MOST_PARTNERS + 1))
    return [[(row + step) % count for step in others] for row in range(count)]


def spread(of_image: Mapping[int, int], number: int | None, each: int = 1) -> set[int]:
    """Questions for a costly measure, about as many images as possible: `each` about every image, then more.

    Questions about one image count almost as one: with the first questions that come, the intervals would be
    those of a few images.

    Args:
        of_image: image of each question, in the order of the questions.
        number: how many; None: all.
        each: number of questions about an image that are taken before those about the next image.

    Example:
        >>> sorted(spread({1: 7, 2: 7, 3: 7, 4: 8, 5: 8}, 2))
        [1, 4]
        >>> sorted(spread({1: 7, 2: 7, 3: 7, 4: 8, 5: 8}, 3, each=2))
        [1, 2, 4]
    """
    before: Counter[int] = Counter()
    rounds = []
    for question, image in of_image.items():
        rounds.append((before[image] // each, question))
        before[image] += 1
    return {question for _, question in sorted(rounds, key=lambda one: one[0])[:number]}


class FirstQuestions:
    """Chooses the questions of a costly measure: named ones, or the first that come.

    Args:
        number: how many; None: all.
        named: their ids, where they are known before.

    Example:
        >>> FirstQuestions(2).rows([7, 8, 9])
        [0, 1]
    """

    def __init__(self, number: int | None, named: Set[int] | None = None) -> None:
        self._number, self._named = number, named
        self._came: set[int] = set()

    def rows(self, question_ids: Sequence[int]) -> list[int]:
        """Rows of the chosen ones among these questions."""
        if self._named is not None:
            return [row for row, one in enumerate(question_ids) if one in self._named]
        for one in question_ids:
            if self._number is None or len(self._came) < self._number:
                self._came.add(one)
        return [row for row, one in enumerate(question_ids) if one in self._came]
