"""The analysis of a model that is not ours: questions and pictures from official files, nothing prepared.

The questions are selected as for our own models, so that `compare` can put both side by side.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from lookwhy.analysis.explain import Explainer, ImageView, importance
from lookwhy.analysis.explanation import Change, Explanation
from lookwhy.analysis.plan import AnalysisPlan, select_questions
from lookwhy.analysis.run import clean_scores, explained_answers, explained_by, run_analysis
from lookwhy.attribution import Occlusion, WordDrop
from lookwhy.data.annotators import find_annotator_maps, load_annotator_maps
from lookwhy.data.image_files import find_image
from lookwhy.data.official import Question
from lookwhy.data.tokens import tokenize
from lookwhy.data.truth_masks import find_truth_masks, load_truth_masks
from lookwhy.errors import LookwhyError
from lookwhy.files import sha256_file
from lookwhy.models.foreign.protocol import ForeignModel
from lookwhy.models.foreign.text_model import TextModel, Words, padded
from lookwhy.towers.recipe import read_rgb
from lookwhy.types import AnalysisResult, VQABatch

LARGEST_SIDE = 512
"""Pictures with a longer side are scaled down to this: occlusion makes 256 copies of each."""


class Sources(NamedTuple):
    """Where the questions of a foreign model come from.

    Attributes:
        questions: the questions, joined with their annotations where there are any.
        file: their file, for the manifest.
        images: folder of the pictures.
        annotator_maps: folder of annotator maps; None: none.
        truth_masks: folder of ground-truth masks; None: none.
        annotators: name of the annotators.
        note: sentence about the data, below tables and pictures.
    """

    questions: Sequence[Question]
    file: Path
    images: Path
    annotator_maps: Path | None = None
    truth_masks: Path | None = None
    annotators: str = "annotators"
    note: str = ""


def default_plan() -> AnalysisPlan:
    """The paper's methods that work on any black box: occlusion and word drop."""
    return AnalysisPlan(image_methods=[Occlusion(batch_size=64)], question_methods=[WordDrop()])


def words_of(sources: Sources) -> Words:
    """The words of all questions."""
    return Words(question.text for question in sources.questions)


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
    ids = _numbers([one.question_id for one in sources.questions])
    images = _numbers([one.image_id for one in sources.questions])
    texts = {
        one.id_text: number
        for one, number in zip(sources.questions, ids.tolist(), strict=True)
        if one.id_text
    }
    files = find_annotator_maps(sources.annotator_maps, texts) if sources.annotator_maps else {}
    masks = find_truth_masks(sources.truth_masks, texts) if sources.truth_masks else {}
    rows = select_questions(plan, ids, images, set(files or masks) or None)
    if not len(rows):
        raise LookwhyError(
            f"expected questions with annotator maps or masks, found none of the ids of {sources.file} in "
            f"{sources.annotator_maps or sources.truth_masks}; give the folder of these questions"
        )
    paths = _paths(sources, rows)
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
        "data": {"folder": str(sources.file.resolve()), "data_prepro_sha256": sha256_file(sources.file)},
        "annotators": sources.annotators if files else None,
        "data_note": sources.note,
        "image_root": str(sources.images.resolve()),
    }
    return result


class _RunFacts(NamedTuple):
    """The facts about a foreign model that an explainer needs of a run."""

    answers: list[str]
    head: ForeignModel
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
        model: ForeignModel,
        plan: AnalysisPlan | None = None,
        name: str = "",
        batch_size: int = 16,
        largest_side: int = LARGEST_SIDE,
    ) -> None:
        self.plan, self.device = plan or default_plan(), "cpu"
        self._words, self._largest_side = Words([]), largest_side
        self._box = TextModel(model, self._words, batch_size, name=name)
        self.run: Any = _RunFacts(self._box.answers, model, {})
        self.recipe = self._box.recipe
        for method in self.plan.methods:
            method.check(self._box)
        self._lock = threading.Lock()

    def look(self, image: Image.Image) -> ImageView:
        """The picture as the model sees it."""
        pixels = _pixels_of(image, self._largest_side)
        return ImageView(pixels, pixels[None])

    def explain(self, view: ImageView, question: str) -> Explanation:
        """Answer a question about the image, and explain the most probable answer.

        Raises:
            LookwhyError: the question has no word, or the model's scores are no probabilities.
        """
        words = tokenize(question)
        if not words:
            raise LookwhyError(f"expected a question, found {question!r}; ask something")
        tokens, lengths = padded([self._words.ids(question)])
        none = torch.tensor([-1])
        batch = VQABatch(none, tokens, lengths, none, none, view.features, view.pixels[None])
        with self._lock, torch.no_grad():
            scores = clean_scores(self._box, batch)[0]
            target = explained_answers(scores[None], batch.labels, self.plan, self.run.answers)
            found = [explained_by(one, self._box, batch, target, self.plan) for one in self.plan.methods]
        maps = tuple(importance(one, len(words)) for one in found)
        known = (True,) * len(words)
        return Explanation(question, tuple(words), known, self._likeliest(scores), maps, ())

    def change(self, *_: object, **__: object) -> Change:
        """Not for a foreign model."""
        raise LookwhyError(
            "expected a checkpoint to change parts of, found a foreign model; load a checkpoint"
        )


def _numbers(ids: Sequence[int | str]) -> np.ndarray:
    """The ids as numbers; where one is text, the place of its first question."""
    if all(isinstance(one, int) for one in ids):
        return np.array(ids, np.int64)
    place = {one: number for number, one in reversed([*enumerate(ids)])}
    return np.array([place[one] for one in ids], np.int64)


def _paths(sources: Sources, rows: np.ndarray) -> dict[int, str]:
    """File of each question's picture below the folder; all must exist before hours of work begin."""
    found = {}
    for row in rows.tolist():
        one = sources.questions[row]
        found[row] = find_image(sources.images, one.subtype, one.image_id, one.data_type, one.file)
        if not (sources.images / found[row]).is_file():
            raise LookwhyError(
                f"expected the picture of question {one.question_id}, found no file "
                f"{sources.images / found[row]}; correct --images"
            )
    return found


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
        picture = _pixels_of(read_rgb(sources.images / paths[int(group[0])]), largest_side)
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


def _pixels_of(picture: Image.Image, largest_side: int) -> Tensor:
    """A picture as it is, red, green and blue, 0-255; a large one smaller, with the same aspect."""
    share = largest_side / max(picture.size)
    if share < 1:
        width, height = (max(1, round(side * share)) for side in picture.size)
        picture = picture.resize((width, height), Image.Resampling.BILINEAR)
    return torch.from_numpy(np.array(picture)).permute(2, 0, 1).float()
