"""Occlusion of words: each word is dropped from the question in turn (section 3 of the paper).

The question gets shorter by one word, so the LSTM never reads a gap::

    R(t) = p(answer | question) - p(answer | question without word t)

A question of one word has no word left: its map is undefined, not zero.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from lookwhy.attribution.base import Attributor, Needs, features_of
from lookwhy.models.pipeline import first_answer, parts_of, score_of
from lookwhy.models.protocol import TokenModel
from lookwhy.types import Domain, Explains, ImportanceMaps, Target, VQABatch


def whole_and_without(
    tokens: Int64[Tensor, " T"], length: int, unknown: int | None = None
) -> list[Int64[Tensor, " _"]]:
    """The question, and a copy for each word that lacks the word (or has `unknown` in its place)."""
    words = tokens[:length]
    instead = words.new_tensor([] if unknown is None else [unknown])
    return [words, *(torch.cat([words[:place], instead, words[place + 1 :]]) for place in range(length))]


class WordDrop(Attributor):
    """Decrease of the answer's probability when a word is dropped; works on any black box.

    Args:
        unknown: 1-based id of a word that replaces the dropped word (UNK is the last of the vocabulary);
            None: the question gets shorter, as in the paper.
        explains: quantity of the answer whose decrease is measured; a black box gives only probabilities.

    Example:
        >>> WordDrop()(model, batch, target).values.shape
        torch.Size([3, 4])
    """

    name = "word_drop"
    domain: Domain = "question"
    needs: Needs = "scores"

    def __init__(self, unknown: int | None = None, explains: Explains = "probability") -> None:
        self.unknown, self.explains = unknown, explains

    @torch.no_grad()
    def __call__(self, model: TokenModel, batch: VQABatch, target: Target) -> ImportanceMaps:
        """Maps (B, T), signed, valid up to each question's length; `flips` counts words.

        Raises:
            LookwhyError: the batch has neither features nor pixels.
        """
        values = torch.zeros(batch.tokens.shape)
        valid = torch.zeros(batch.tokens.shape, dtype=torch.bool)
        flips = torch.zeros(len(batch), dtype=torch.int64)
        lengths, fewest = batch.lengths.tolist(), 2 if self.unknown is None else 1
        rows = [row for row, length in enumerate(lengths) if length >= fewest]
        questions = [
            (row, words)
            for row in rows
            for words in whole_and_without(batch.tokens[row], lengths[row], self.unknown)
        ]
        scores, flipped = self._answer(model, batch, target, questions)
        counts = [lengths[row] + 1 for row in rows]
        for row, own, other in zip(rows, scores.split(counts), flipped.split(counts), strict=True):
            dropped = slice(lengths[row])
            values[row, dropped] = (own[0] - own[1:]).float()
            valid[row, dropped] = True
            flips[row] = other[1:].sum()
        return self._maps(batch, target, values, signed=True, valid=valid, flips=flips)

    def _answer(
        self,
        model: TokenModel,
        batch: VQABatch,
        target: Target,
        questions: list[tuple[int, Int64[Tensor, " _"]]],
    ) -> tuple[Float[Tensor, " V"], Bool[Tensor, " V"]]:
        """For each (row in the batch, words): score of the explained answer; whether another answer wins."""
        values = torch.zeros(len(questions), dtype=torch.float64)
        flipped = torch.zeros(len(questions), dtype=torch.bool)
        parts, device = parts_of(model), batch.tokens.device
        views = parts.look(features_of(parts, batch, self.name))
        # Sort by length, so that short questions are not padded to the length of long ones.
        order = sorted(range(len(questions)), key=lambda i: len(questions[i][1]))
        size = parts.questions_at_once
        for some in (order[i : i + size] for i in range(0, len(order), size)):
            words = [questions[i][1] for i in some]
            lengths = torch.tensor([len(one) for one in words], device=device)
            rows = torch.tensor([questions[i][0] for i in some], device=device)
            scores = parts.scores(views[rows], pad_sequence(words, batch_first=True), lengths, self.explains)
            values[some] = score_of(scores, target[rows]).double().cpu()
            flipped[some] = (scores.argmax(1) != first_answer(target[rows])).cpu()
        return values, flipped
