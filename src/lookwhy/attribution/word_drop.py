"""Occlusion of words: each word dropped from the question in turn (section 3 of the paper).

A word is taken out and the question gets shorter by one, so the LSTM never meets a gap::

    R(t) = p(answer | question) - p(answer | question without word t)

A question of one word has nothing left to ask: its map is undefined, not zero.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from lookwhy.attribution.base import Attributor, Needs, features_of
from lookwhy.models.pipeline import opened
from lookwhy.models.protocol import VQAModel
from lookwhy.types import Domain, Explains, ImportanceMaps, VQABatch


def whole_and_without(
    tokens: Int64[Tensor, " T"], length: int, unknown: int | None = None
) -> list[Int64[Tensor, " _"]]:
    """The question's words, then those without the 1st, 2nd, ... of them (or with it unknown)."""
    words = tokens[:length]
    instead = words.new_tensor([] if unknown is None else [unknown])
    return [words, *(torch.cat([words[:place], instead, words[place + 1 :]]) for place in range(length))]


class WordDrop(Attributor):
    """Decrease of the answer's probability when a word is dropped; works on any black box.

    Args:
        unknown: 1-based id of a word to put in a dropped word's place (UNK is the last of the vocabulary);
            by default nothing is put there, and the question gets shorter, as in the paper.
        explains: what of the answer falls; a black box tells probabilities alone.

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
    def __call__(self, model: VQAModel, batch: VQABatch, target: Int64[Tensor, " B"]) -> ImportanceMaps:
        """Maps (B, T), signed, valid up to each question's length; flips counts words.

        Raises:
            LookwhyError: the batch holds no pixels, and neither features where the model is a `Pipeline`.
        """
        values = torch.zeros(batch.tokens.shape)
        valid = torch.zeros(batch.tokens.shape, dtype=torch.bool)
        flips = torch.zeros(len(batch), dtype=torch.int64)
        fewest = 2 if self.unknown is None else 1
        asked = [row for row, length in enumerate(batch.lengths.tolist()) if length >= fewest]
        variants = [
            whole_and_without(batch.tokens[row], int(batch.lengths[row]), self.unknown) for row in asked
        ]
        owners = [row for row, many in zip(asked, variants, strict=True) for _ in many]
        found, flipped = self._ask(
            model, batch, target, owners, [words for many in variants for words in many]
        )
        start = 0
        for row, many in zip(asked, variants, strict=True):
            whole, without = found[start], slice(start + 1, start + len(many))
            values[row, : len(many) - 1] = (whole - found[without]).float()
            valid[row, : len(many) - 1] = True
            flips[row] = flipped[without].sum()
            start += len(many)
        return self._maps(batch, target, values, signed=True, valid=valid, flips=flips)

    def _ask(
        self,
        model: VQAModel,
        batch: VQABatch,
        target: Int64[Tensor, " B"],
        owners: list[int],
        questions: list[Int64[Tensor, " _"]],
    ) -> tuple[Float[Tensor, " V"], Bool[Tensor, " V"]]:
        """Score of each owner's answer to each question, and whether another answer wins."""
        values = torch.zeros(len(questions), dtype=torch.float64)
        flipped = torch.zeros(len(questions), dtype=torch.bool)
        parts, device = opened(model), batch.tokens.device
        views = parts.look(features_of(parts, batch, self.name))
        # Sorted by length, so that hardly any step of the reader is for a few long questions alone.
        order = sorted(range(len(questions)), key=lambda i: len(questions[i]))
        size = parts.questions_at_once
        for some in (order[i : i + size] for i in range(0, len(order), size)):
            words = [questions[i] for i in some]
            lengths = torch.tensor([len(one) for one in words], device=device)
            rows = torch.tensor([owners[i] for i in some], device=device)
            scores = parts.scores(views[rows], pad_sequence(words, batch_first=True), lengths, self.explains)
            answers = target[rows]
            values[some] = scores.gather(1, answers[:, None])[:, 0].double().cpu()
            flipped[some] = (scores.argmax(1) != answers).cpu()
        return values, flipped
