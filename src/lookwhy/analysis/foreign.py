"""The analysis of a model that is not ours: questions and pictures from official files, nothing prepared.

The questions are selected as for our own models, so that `compare` can put both side by side.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from lookwhy.analysis.explain import Explainer, ImageView, importance
from lookwhy.analysis.explanation import Explanation
from lookwhy.analysis.foreign_sources import (
    LARGEST_SIDE,
    Sources,
    paths_of,
    pixels_of,
    selected,
)
from lookwhy.analysis.plan import AnalysisPlan
from lookwhy.analysis.run import clean_scores, explained_answers, explained_by, run_analysis
from lookwhy.attribution import Occlusion, WordDrop
from lookwhy.data.annotators import load_annotator_maps
from lookwhy.data.tokens import tokenize
from lookwhy.data.truth_masks import load_truth_masks
from lookwhy.errors import LookwhyError
from lookwhy.files import sha256_file
from lookwhy.metrics import normalize_answer
from lookwhy.models.foreign.protocol import WritingModel
from lookwhy.models.foreign.text_model import TextModel, Words, padded
from lookwhy.models.protocol import VQAModel
from lookwhy.progress import progress
from lookwhy.towers.recipe import read_rgb
from lookwhy.types import AnalysisResult, VQABatch


def default_plan() -> AnalysisPlan:
    """The paper's methods that work on any black box: occlusion and word drop."""
    return AnalysisPlan(image_methods=[Occlusion(batch_size=64)], question_methods=[WordDrop()])


def analyse_foreign(
    model: TextModel,
    words: Words,
    sources: Sources,
    plan: AnalysisPlan,
    *,
    name: str = "",
    device: torch.device | str = "cpu",
    largest_side: int = LARGEST_SIDE,
    progress: bool = False,
) -> AnalysisResult:
    """Explain the questions that the plan selects.

    Args:
        model: the model, which knows these words.
        words: result of `words_of`.
        sources: questions, pictures and human data.
        plan: settings; every method must work on a black box.
        name: the model's name, for the manifest.
        device: device of the pictures; the model gets them as arrays.
        largest_side: pixels of a picture's longer side, at most.
        progress: whether a progress bar is shown.

    Raises:
        LookwhyError: a method needs gradients, a picture is missing, or no question can be selected.
    """
    for method in plan.methods:
        method.check(model)
    ids, images, rows, files, masks = selected(sources, plan)
    paths = paths_of(sources, rows)
    chosen = ids[rows].tolist()
    batches = _batches(sources, rows, ids, images, paths, words, model, device, largest_side)
    result = run_analysis(
        model,
        batches,
        plan,
        load_annotator_maps(files, chosen, plan.grid, plan.resize),
        load_truth_masks(masks, chosen, plan.grid),
        answers=model.answers,
        total=len(rows) if progress else None,
        epoch=0,
        of_image=dict(zip(chosen, images[rows].tolist(), strict=True)),
    )
    result.manifest |= {
        "epoch": 0,
        "weights_sha256": hashlib.sha256(repr((name, model.answers)).encode()).hexdigest(),
        "training": {},
        "model": name,
        "candidates": model.answers if isinstance(model.foreign, WritingModel) else None,
        "data": {"folder": str(sources.file.resolve()), "data_prepro_sha256": sha256_file(sources.file)},
        "annotators": sources.annotators if files else None,
        "data_note": sources.note,
        "image_root": str(sources.images.resolve()),
    }
    return result


def add_own_answers(
    model: VQAModel,
    sources: Sources,
    plan: AnalysisPlan,
    *,
    largest_side: int = LARGEST_SIDE,
    shown: bool = False,
) -> list[str]:
    """Add what a model answers to the selected questions to the candidates that it scores.

    The clean pictures are asked, before the analysis: all masked copies are scored on the same candidates. An
    answer that differs from a candidate in spelling only (`normalize_answer`) is not added.

    Args:
        model: a `WritingModel`.
        sources: questions and pictures.
        plan: settings that select the questions; every method must work on the model.
        largest_side: pixels of a picture's longer side, at most.
        shown: whether a progress bar is shown.

    Returns: the new candidates.

    Raises:
        LookwhyError: the model does not write its answers, a method cannot explain it, or a picture is
            missing.
    """
    if not isinstance(model, WritingModel):
        raise LookwhyError(
            f"expected a model that writes its answers, found {type(model).__name__}, which has answers "
            "of its own; leave its own answers out"
        )
    for method in plan.methods:  # before the model writes for minutes
        method.check(TextModel(model, Words([])))
    rows = selected(sources, plan).rows
    paths, found = paths_of(sources, rows), list[str]()
    known = {
        normalize_answer(one) for one in model.answers
    }  # "Yes." beside "yes" would share its probability
    for row in progress(rows.tolist(), "its own answers", shown=shown, unit="question", leave=False):
        picture = pixels_of(read_rgb(sources.images / paths[row]), largest_side)
        pixels = picture.byte().permute(1, 2, 0)[None].numpy()
        (answer,) = model.written_answers(pixels, [sources.questions[row].text])
        if answer and normalize_answer(answer) not in known:
            known.add(normalize_answer(answer))
            found.append(answer)
    model.add_candidates(found)
    return found


class _RunFacts(NamedTuple):
    """The facts about a foreign model that an explainer needs of a run."""

    answers: list[str]
    head: VQAModel
    data: dict[str, str]
    epoch: None = None


class ForeignExplainer(Explainer):
    """Answers and explains questions with a foreign model and the methods of a plan; thread-safe.

    Args:
        model: the model.
        plan: settings; every method must work on a black box.
        name: the model's name.
        batch_size: pictures that are sent together.
        largest_side: pixels of a picture's longer side, at most.

    Raises:
        LookwhyError: a method cannot explain a black box.
    """

    def __init__(
        self,
        model: VQAModel,
        plan: AnalysisPlan | None = None,
        name: str = "",
        batch_size: int = 16,
        largest_side: int = LARGEST_SIDE,
    ) -> None:
        self.plan, self.device = plan or default_plan(), "cpu"
        self._words, self._largest_side = Words([]), largest_side
        self._box = TextModel(model, self._words, batch_size, name=name)
        self.run: Any = _RunFacts(self._box.answers, model, {})
        self.name = name or type(model).__name__
        self._instead = next((one.unknown for one in self.plan.methods if isinstance(one, WordDrop)), None)
        self.recipe = self._box.recipe
        for method in self.plan.methods:
            method.check(self._box)
        self._lock = threading.Lock()

    def look(self, image: Image.Image) -> ImageView:
        """The picture as the model sees it."""
        pixels = pixels_of(image, self._largest_side)
        return ImageView(pixels, pixels[None])

    def explain(self, view: ImageView, question: str) -> Explanation:
        """Answer a question about the image, and explain the most probable answer.

        Raises:
            LookwhyError: the question has no word, or the model's scores are no probabilities.
        """
        ids, words = self._read(question)
        tokens, lengths = padded([ids])
        none = torch.tensor([-1])
        batch = VQABatch(none, tokens, lengths, none, none, view.features, view.pixels[None])
        with self._alone(), torch.no_grad():
            scores = clean_scores(self._box, batch)[0]
            target = explained_answers(scores[None], batch.labels, self.plan, self.run.answers)
            found = [explained_by(one, self._box, batch, target, self.plan) for one in self.plan.methods]
        maps = tuple(importance(one, len(words)) for one in found)
        known = (True,) * len(words)
        return Explanation(question, tuple(words), known, self._likeliest(scores), maps, ())

    def _read(self, question: str) -> tuple[list[int], list[str]]:
        words = tokenize(question)
        if not words:
            raise LookwhyError(f"expected a question, found {question!r}; ask something")
        return self._words.ids(question), words

    def _scores_of_parts(
        self, view: ImageView, pixels: Float[Tensor, "3 H W"] | None, left: list[int]
    ) -> Float[Tensor, " A"]:
        image = view.pixels if pixels is None else pixels
        return self._box.answer_scores(image[None], *padded([left]))[0]

    @contextmanager
    def _alone(self) -> Iterator[None]:
        with self._lock:
            yield


def _batches(
    sources: Sources,
    rows: np.ndarray,
    ids: np.ndarray,
    images: np.ndarray,
    paths: dict[int, str],
    words: Words,
    model: TextModel,
    device: torch.device | str,
    largest_side: int,
) -> Iterator[VQABatch]:
    number_of = {answer: number for number, answer in enumerate(model.answers)}
    for group in np.split(rows, np.flatnonzero(np.diff(images[rows])) + 1):
        asked = [sources.questions[row] for row in group.tolist()]
        tokens, lengths = padded([words.ids(one.text) for one in asked])
        picture = pixels_of(read_rgb(sources.images / paths[int(group[0])]), largest_side)
        texts = {"question_id_texts": "id_text", "image_id_texts": "image_id_text"}
        own = {name: [getattr(one, key) for one in asked] for name, key in texts.items()}
        batch = VQABatch(
            question_ids=torch.from_numpy(ids[group]),
            tokens=tokens,
            lengths=lengths,
            labels=torch.tensor([number_of.get(one.answer, -1) for one in asked]),
            image_ids=torch.from_numpy(images[group]),
            images=picture.expand(len(asked), *picture.shape),
            image_files=[paths[row] for row in group.tolist()],
            questions=[one.text for one in asked],
            answers=[one.answers for one in asked] if asked[0].answers else [],
            question_types=[one.question_type for one in asked] if asked[0].answers else [],
            answer_types=[one.answer_type for one in asked] if asked[0].answers else [],
        )
        for name, values in own.items():
            setattr(batch, name, values if any(values) else [])
        yield batch.to(device)
