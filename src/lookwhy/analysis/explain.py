"""One image and one question: answer it, explain the answer, and answer again with parts removed.

The command `explain`, its batch mode, the live page and `lookwhy.load` all use this module. Results that
depend on the image alone (its features, the features of its occluded copies, the masks for gradients) are
computed once for all questions about the image.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from lookwhy.analysis.explanation import Answer, Change, Explanation, Importance
from lookwhy.analysis.plan import AnalysisPlan
from lookwhy.analysis.run import clean_scores, explained_answers, explained_by
from lookwhy.attribution import Occlusion, WordDrop, explaining
from lookwhy.data.tokens import is_word, tokenize
from lookwhy.errors import LookwhyError
from lookwhy.models.checkpoint import LoadedRun
from lookwhy.models.pipeline import Pipeline, probabilities
from lookwhy.towers.memory import Memory
from lookwhy.towers.windows import cell_boxes
from lookwhy.types import ImportanceMaps, VQABatch

TOP_ANSWERS = 5


@dataclass(frozen=True)
class ImageView:
    """An image for any number of questions: its features, and its pixels in the recipe's input range."""

    pixels: Float[Tensor, "3 H W"]
    features: Float[Tensor, "1 *D"]


class Explainer:
    """Answers and explains questions with the model of a run and the methods of a plan; thread-safe.

    The results of the `images` most recently used images stay in memory.

    Raises:
        LookwhyError: the image tower's weights are missing, or a method cannot explain this model.
    """

    def __init__(
        self, run: LoadedRun, plan: AnalysisPlan, device: torch.device | str = "cpu", images: int = 1
    ) -> None:
        self.run, self.plan, self.device = run, plan, device
        tower = run.tower()
        tower.memory = Memory(images=images)
        self.recipe = tower.recipe
        self._model = Pipeline(tower, run.head).eval().to(device)
        self._vocabulary = set(run.vocabulary.ix_to_word().values())
        for method in plan.methods:
            method.check(self._model)
        self._instead = next((m.unknown for m in plan.methods if isinstance(m, WordDrop)), None)
        # The tower's memory is not thread-safe, and methods change the rules of the network's ReLUs.
        self._lock = threading.Lock()

    @property
    def patch_rgb(self) -> tuple[float, float, float]:
        """Colour that takes the place of a cell."""
        occlusions = [method for method in self.plan.methods if isinstance(method, Occlusion)]
        return (occlusions or [Occlusion(self.plan.grid)])[0].patch_rgb

    def look(self, image: Image.Image) -> ImageView:
        """Preprocess an RGB image and compute its features."""
        pixels = self.recipe.pixels(image).to(self.device)
        with self._alone(), torch.no_grad():
            return ImageView(pixels, self._model.features(pixels[None]))

    def explain(self, view: ImageView, question: str) -> Explanation:
        """Answer a question about the image, and explain the most probable answer.

        Raises:
            LookwhyError: the question has no word.
        """
        tokens, lengths, words = self.run.encode(question)
        none = torch.tensor([-1])
        batch = VQABatch(none, tokens, lengths, none, none, view.features, view.pixels[None]).to(self.device)
        with self._alone():
            scores = clean_scores(self._model, batch)[0]
            # The true answer is unknown here.
            target = explained_answers(scores[None], batch.labels, self.plan, self.run.answers)
            found = [
                explained_by(method, self._model, batch, target, self.plan) for method in self.plan.methods
            ]
        known = tuple(word in self._vocabulary for word in words)
        maps = tuple(importance(one, len(words)) for one in found)
        notes = tuple(_notes(question, words, known))
        return Explanation(question, tuple(words), known, self._likeliest(scores), maps, notes)

    def change(
        self,
        view: ImageView,
        question: str,
        cells: Collection[int] = (),
        words: Collection[int] = (),
        asked: Sequence[int] = (),
    ) -> Change:
        """Answer again after removing cells of the image and words of the question.

        A cell is painted over as by `Occlusion`, a word is dropped as by `WordDrop`.

        Args:
            view: the image.
            question: the complete question.
            cells: numbers of cells of the plan's grid, row-major.
            words: positions of words in the question, from 0.
            asked: ids of the answers whose probabilities are returned.

        Raises:
            LookwhyError: a cell, word or answer does not exist, or no word remains.
        """
        ids, read = self._read(question)
        ends = {"cells": self.plan.grid**2, "words": len(read), "answers": len(self.run.answers)}
        for (kind, end), numbers in zip(ends.items(), (cells, words, asked), strict=True):
            if wrong := [number for number in numbers if not 0 <= number < end]:
                raise LookwhyError(
                    f"expected {kind} from 0 to {end - 1}, found {wrong[0]}; correct the number"
                )
        replaced = [self._instead if i in words else token for i, token in enumerate(ids)]
        left = [token for token in replaced if token is not None]
        if not left:
            raise LookwhyError("expected a word left to ask, found all of them dropped; take one back")
        pixels = self._painted(view.pixels, cells) if cells else None
        with self._alone(), torch.no_grad():
            scores = self._scores_of_parts(view, pixels, left)
        return Change(self._likeliest(scores), tuple(scores[list(asked)].tolist()))

    def _read(self, question: str) -> tuple[list[int], list[str]]:
        """Ids and texts of the words of a question."""
        tokens, _, words = self.run.encode(question)
        return tokens[0].tolist(), words

    def _scores_of_parts(
        self, view: ImageView, pixels: Float[Tensor, "3 H W"] | None, left: list[int]
    ) -> Float[Tensor, " A"]:
        """Scores of the words that are left, about the image or about changed pixels of it."""
        features = view.features if pixels is None else self._model.features(pixels[None])
        tokens = torch.tensor([left], device=self.device)
        lengths = torch.tensor([len(left)], device=self.device)
        return probabilities(self._model.head(features, tokens, lengths))[0]

    @contextmanager
    def _alone(self) -> Iterator[None]:
        with self._lock, explaining(self._model):
            yield

    def _likeliest(self, scores: Float[Tensor, " A"]) -> tuple[Answer, ...]:
        top = scores.topk(min(TOP_ANSWERS, len(scores)))
        pairs = zip(top.values.tolist(), top.indices.tolist(), strict=True)
        return tuple(Answer(self.run.answers[i], p, i) for p, i in pairs)

    def _painted(self, pixels: Float[Tensor, "3 H W"], cells: Collection[int]) -> Float[Tensor, "3 H W"]:
        colour, painted = self.recipe.color(self.patch_rgb).to(pixels), pixels.clone()
        boxes = cell_boxes(pixels, self.plan.grid)
        for rows, columns in (boxes[cell] for cell in cells):
            painted[:, rows.start : rows.stop, columns.start : columns.stop] = colour[:, None, None]
        return painted


def importance(one: ImportanceMaps, words: int) -> Importance:
    """The map of one question in plain types; one over words is cut to their number."""
    values = one.values.masked_fill(~one.valid, torch.nan)[0].numpy()
    own = values if one.domain == "image" else values[:words]
    flips = None if one.flips is None else int(one.flips[0])
    return Importance(one.method, one.domain, own, one.signed, one.target, flips)


def _notes(question: str, words: Sequence[str], known: Sequence[bool]) -> Iterator[str]:
    left_out = len(tokenize(question)) - len(words)
    if left_out:
        yield f"The model reads the first {len(words)} words, as in training; {left_out} more are left out."
    unknown = list(dict.fromkeys(word for word, is_known in zip(words, known, strict=True) if not is_known))
    # Punctuation, which every vocabulary has, does not count as a known word.
    if unknown and not any(is_word(word) for word in words if word not in unknown):
        yield "The model knows none of these words: unknown words are all the same to it."
    elif unknown:
        shown = ", ".join(f"“{word}”" for word in unknown[:5]) + (", ..." if len(unknown) > 5 else "")
        yield f"The model does not know {shown}: unknown words are all the same to it."
