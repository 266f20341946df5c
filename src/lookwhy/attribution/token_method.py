"""The base of methods that read a transformer's attention between the tokens of a picture and its question.

A method gives each token one number. The number of a patch belongs to its part of the picture: a cell of the
map is the mean over its area. A word's number is the sum over its tokens, and 0 if the model did not read it.
The model has to attend to both kinds of tokens in the same layers, as ViLT does.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from lookwhy.attribution.base import Attributor, Needs, features_of
from lookwhy.errors import LookwhyError
from lookwhy.models.foreign.protocol import TokenAttention
from lookwhy.models.foreign.text_model import TextModel
from lookwhy.models.pipeline import parts_of
from lookwhy.models.protocol import TokenModel
from lookwhy.types import ImportanceMaps, Target, VQABatch


class TokenMethod(Attributor):
    """A method that reads attention; a subclass has a domain and a rule.

    Attributes:
        depends_on_answer: whether the rule reads gradients, and so differs from answer to answer.
    """

    needs: Needs = "attention"
    depends_on_answer: ClassVar[bool] = True

    @staticmethod
    @abstractmethod
    def rule(
        weights: Float[Tensor, "L H S S"], gradients: Float[Tensor, "L H S S"] | None
    ) -> Float[Tensor, " S"]:
        """Importance of each token for the first one."""

    def check(self, model: TokenModel) -> None:
        """Raise a LookwhyError for a model without attention between picture and question."""
        if not (isinstance(model, TextModel) and model.attends):
            found = type(model.foreign if isinstance(model, TextModel) else model).__name__
            raise LookwhyError(
                f"expected a model that attends to picture and question together for {self.name}, such as a "
                f"ViLT (--model hf:FOLDER), found {found}; explain it with Occlusion, RISE, LIME, "
                "KernelSHAP or WordDrop"
            )

    def __call__(self, model: TokenModel, batch: VQABatch, target: Target) -> ImportanceMaps:
        """Maps (B, grid, grid) over the picture or (B, T) over the words, unsigned.

        Raises:
            LookwhyError: the model has no such attention, or the batch has no pixels.
        """
        self.check(model)
        assert isinstance(model, TextModel)
        # The features of a black box are its pixels.
        asked = features_of(parts_of(model), batch, self.name), batch.tokens, batch.lengths
        found = model.attention(*asked, target if self.depends_on_answer else None, self.explains)
        values = [self.rule(one.weights, one.gradients) for one in found]
        text = None if self.depends_on_answer else "the question; the map is the same for every answer"
        if self.domain == "image":
            cells = [over_cells(*pair, self._grid) for pair in zip(found, values, strict=True)]
            return self._maps(batch, target, torch.stack(cells), signed=False, target_text=text)
        words = torch.zeros(batch.tokens.shape, dtype=torch.float64)
        for row, (one, value, length) in enumerate(zip(found, values, batch.lengths.tolist(), strict=True)):
            spans = model.word_spans(batch.tokens[row, :length])
            words[row, : len(spans)] = over_words(one, value, spans)
        places = torch.arange(words.shape[1], device=batch.lengths.device)
        valid = places < batch.lengths[:, None]
        return self._maps(batch, target, words, signed=False, valid=valid, target_text=text)

    @property
    def _grid(self) -> int:
        grid: int = getattr(self, "grid", 0)
        return grid


def over_cells(one: TokenAttention, values: Float[Tensor, " S"], grid: int) -> Float[Tensor, "G G"]:
    """Mean over each cell of a picture, whose patches have these values; 0 where there is no patch."""
    rows, columns = one.grid
    of_patches = values.new_zeros(rows * columns)
    is_patch = one.patches >= 0
    of_patches[one.patches[is_patch]] = values[len(one.spans) :][is_patch]
    down, across = (shares(n, grid, extent) for n, extent in zip(one.grid, one.extent, strict=True))
    return down @ of_patches.view(rows, columns) @ across.T


def over_words(
    one: TokenAttention, values: Float[Tensor, " S"], words: list[tuple[int, int]]
) -> Float[Tensor, " T"]:
    """Sum over the tokens that begin in each word."""
    result = values.new_zeros(len(words))
    for (start, end), value in zip(one.spans, values, strict=False):  # the patches come after the text
        for number, (first, last) in enumerate(words):
            if start < end and first <= start < last:
                result[number] += value
    return result


def shares(patches: int, grid: int, extent: float) -> Float[Tensor, "G P"]:
    """Share of each cell that each patch covers, along one side.

    Example:
        >>> shares(2, 4, 1.0).tolist()
        [[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0]]
    """
    cell = torch.arange(grid + 1, dtype=torch.float64) / grid
    patch = torch.arange(patches + 1, dtype=torch.float64) / patches * extent
    upper = torch.minimum(cell[1:, None], patch[None, 1:])
    lower = torch.maximum(cell[:-1, None], patch[None, :-1])
    return (upper - lower).clamp(min=0) * grid
