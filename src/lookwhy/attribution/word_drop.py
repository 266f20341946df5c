"""Occlusion of words: each word dropped from the question in turn (section 3 of the paper).

A word is taken out and the question gets shorter by one, so the LSTM never meets a gap::

    R(t) = p(answer | question) - p(answer | question without word t)

A question of one word has nothing left to ask: its map is undefined, not zero.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from lookwhy.attribution.base import PROBABILITY, Attributor, Needs, images_of, rows_by_image
from lookwhy.models.pipeline import Pipeline
from lookwhy.models.protocol import VQAModel
from lookwhy.types import Domain, ImportanceMaps, VQABatch


def drop_each_word(
    tokens: Int64[Tensor, "T"], length: int
) -> tuple[Int64[Tensor, "L M"], Int64[Tensor, " L"]]:
    """The question without its 1st, 2nd, ... word: one row a dropped word, and the new lengths."""
    words = tokens[:length].expand(length, length)
    kept = ~torch.eye(length, dtype=torch.bool, device=tokens.device)
    return words[kept].view(length, length - 1), torch.full((length,), length - 1, device=tokens.device)


class WordDrop(Attributor):
    """Decrease of the answer's probability when a word is dropped; works on any black box."""

    name = "word_drop"
    domain: Domain = "question"
    needs: Needs = "scores"

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
            seen = self._see(model, images[rows[0]][None])
            for row in rows.tolist():
                length = int(batch.lengths[row])
                if length < 2:
                    continue
                asked = batch.tokens[row, :length]
                whole = self._scores(model, seen, asked[None], batch.lengths[row : row + 1])
                without = self._scores(model, seen, *drop_each_word(batch.tokens[row], length))
                answer = target[row]
                values[row, :length] = (whole[:, answer] - without[:, answer]).float().cpu()
                valid[row, :length] = True
                flips[row] = (without.argmax(1) != answer).sum().cpu()
        return self._maps(batch, target, values, valid, flips)

    def _maps(
        self,
        batch: VQABatch,
        target: Int64[Tensor, " B"],
        values: Float[Tensor, "B T"],
        valid: Bool[Tensor, "B T"],
        flips: Int64[Tensor, " B"],
    ) -> ImportanceMaps:
        return ImportanceMaps(
            method=self.name,
            domain=self.domain,
            values=values,
            valid=valid,
            signed=True,
            target=PROBABILITY,
            question_ids=batch.question_ids.cpu(),
            answers=target.cpu(),
            flips=flips,
        )

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
            return model.scores_of_pairs(seen, tokens, lengths)[:, 0]
        return model.answer_scores(seen.expand(len(tokens), -1, -1, -1), tokens, lengths)
