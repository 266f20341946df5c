"""Shapley values of the words of a question (Lundberg & Lee 2017; the players are words in place of cells).

The importance of a word is the mean, over all orders in which the words may be asked, of what the score gains
when the word appears. Absent words are taken out, as by `WordDrop`, so the LSTM never reads a gap; a question
without words is one embedding of zero. The sum over the words is the score of the question minus that of no
question. While 2^words coalitions are at most `samples`, the values are exact; else coalitions are drawn with
KernelSHAP's weights.
"""

from __future__ import annotations

from typing import cast

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from lookwhy.attribution.base import Attributor, Needs, features_of
from lookwhy.attribution.kernel_shap import exact_weights, regression_weights
from lookwhy.errors import LookwhyError
from lookwhy.models.pipeline import Pipeline, parts_of, score_of
from lookwhy.models.protocol import TokenModel
from lookwhy.towers.masks import all_coalitions, shapley_coalitions
from lookwhy.types import Domain, Explains, ImportanceMaps, Target, VQABatch


class WordKernelSHAP(Attributor):
    """Shapley values of the words.

    Args:
        samples: largest number of coalitions of a question's words: 1,024 are exact for up to ten words.
        seed: seed of the coalitions of longer questions, beside the question itself.
        explains: quantity of the answer.

    Example:
        >>> WordKernelSHAP()(model, batch, target).values.shape
        torch.Size([3, 4])
    """

    name = "kernel_shap"
    domain: Domain = "question"
    needs: Needs = "scores"

    def __init__(self, samples: int = 1024, seed: int = 0, explains: Explains = "probability") -> None:
        if samples < 64:
            raise LookwhyError(f"expected samples of at least 64 for WordKernelSHAP, found {samples}")
        self.samples, self.seed, self.explains = samples, seed, explains

    def check(self, model: TokenModel) -> None:
        """Raise a LookwhyError for a model that cannot be asked without words."""
        parts = parts_of(model)
        if not isinstance(parts, Pipeline) or not parts.has_codes:
            kind = type(parts.head if isinstance(parts, Pipeline) else model).__name__
            raise LookwhyError(
                f"expected a Pipeline with a VQAHead for WordKernelSHAP, which asks questions without words, "
                f"found {kind}; explain it with WordDrop"
            )

    @torch.no_grad()
    def __call__(self, model: TokenModel, batch: VQABatch, target: Target) -> ImportanceMaps:
        """Maps (B, T), signed, valid up to each question's length.

        Raises:
            LookwhyError: see `check`; or the batch has neither features nor pixels.
        """
        self.check(model)
        parts = cast(Pipeline, parts_of(model))
        views = parts.look(features_of(parts, batch, self.name))
        values = torch.zeros(batch.tokens.shape, dtype=torch.float64)
        valid = torch.zeros(batch.tokens.shape, dtype=torch.bool)
        for row, length in enumerate(batch.lengths.tolist()):
            words = batch.tokens[row, :length]
            kept = self._coalitions(words)
            asked = [words[torch.from_numpy(one).to(words.device)] for one in kept]
            scores = parts.scores_of_codes(
                views[row].expand(len(asked), *views.shape[1:]), parts.codes(asked), self.explains
            )
            found = score_of(scores, target[row : row + 1].expand(len(asked), *target.shape[1:]))
            values[row, :length] = self._weights(kept) @ found.double().cpu()
            valid[row, :length] = True
        return self._maps(batch, target, values, signed=True, valid=valid)

    def _coalitions(self, words: Tensor) -> Bool[np.ndarray, "M words"]:
        """Coalitions of the words; a drawn sample begins with all words, then none."""
        count = len(words)
        if 2**count <= self.samples:
            return all_coalitions(count)
        random = np.random.default_rng([self.seed, *words.tolist()])
        drawn = shapley_coalitions(count, max(self.samples - 1, 4 * count), random)
        return np.concatenate([np.ones((1, count), bool), drawn])

    def _weights(self, kept: Bool[np.ndarray, "M words"]) -> Float[Tensor, "words M"]:
        coalitions = torch.from_numpy(kept).double()
        if len(kept) == 2 ** kept.shape[1]:
            return exact_weights(coalitions)
        return regression_weights(coalitions[1:])
