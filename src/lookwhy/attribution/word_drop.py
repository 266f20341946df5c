"""Occlusion of words: each word dropped from the question in turn (section 3 of the paper).

A word is taken out and the question gets shorter by one, so the LSTM never meets a gap::

    R(t) = p(answer | question) - p(answer | question without word t)

A question of one word has nothing left to ask: its map is undefined, not zero.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from lookwhy.attribution.base import Attributor, Explains, Needs, images_of, rows_by_image
from lookwhy.models.pipeline import Pipeline
from lookwhy.models.protocol import VQAModel
from lookwhy.types import Domain, ImportanceMaps, VQABatch

BLACK_BOX_BATCH = 16
"""Times that a black box is given the image at once: it goes through its whole network each time."""


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
    """

    name = "word_drop"
    domain: Domain = "question"
    needs: Needs = "scores"

    def __init__(self, unknown: int | None = None, explains: Explains = "probability") -> None:
        self.unknown, self.explains = unknown, explains

    def __call__(self, model: VQAModel, batch: VQABatch, target: Int64[Tensor, " B"]) -> ImportanceMaps:
        """Maps (B, T), signed, valid up to each question's length; flips counts words.

        Raises:
            LookwhyError: the batch holds no pixels.
        """
        images = images_of(batch, self.name)
        values = torch.zeros(batch.tokens.shape)
        valid = torch.zeros(batch.tokens.shape, dtype=torch.bool)
        flips = torch.zeros(len(batch), dtype=torch.int64)
        for rows in rows_by_image(batch):
            fewest = 2 if self.unknown is None else 1
            asked = [row for row in rows.tolist() if int(batch.lengths[row]) >= fewest]
            if not asked:
                continue
            variants = [
                whole_and_without(batch.tokens[row], int(batch.lengths[row]), self.unknown) for row in asked
            ]
            tokens = pad_sequence([words for many in variants for words in many], batch_first=True)
            lengths = torch.tensor([len(words) for many in variants for words in many])
            seen = self._see(model, images[rows[0]][None])
            scores = self._scores(model, seen, tokens, lengths.to(tokens.device))
            for row, found in zip(asked, scores.split([len(many) for many in variants]), strict=True):
                answer, (whole, without) = target[row], (found[:1], found[1:])
                values[row, : len(without)] = (whole[:, answer] - without[:, answer]).float().cpu()
                valid[row, : len(without)] = True
                flips[row] = (without.argmax(1) != answer).sum().cpu()
        return self._maps(batch, target, values, signed=True, valid=valid, flips=flips)

    @torch.no_grad()
    def _see(self, model: VQAModel, image: Float[Tensor, "1 3 H W"]) -> Tensor:
        # The image is looked at once; a black box gets the pixels again with every question.
        return model.features(image) if isinstance(model, Pipeline) else image

    @torch.no_grad()
    def _scores(
        self,
        model: VQAModel,
        seen: Tensor,
        tokens: Int64[Tensor, "Q M"],
        lengths: Int64[Tensor, " Q"],
    ) -> Float[Tensor, "Q A"]:
        if isinstance(model, Pipeline):
            return self._explained(model.logits_of_pairs(seen, tokens, lengths)[:, 0])
        parts = zip(tokens.split(BLACK_BOX_BATCH), lengths.split(BLACK_BOX_BATCH), strict=True)
        return torch.cat(
            [self._black_box_scores(model, seen.expand(len(t), -1, -1, -1), t, n) for t, n in parts]
        )
