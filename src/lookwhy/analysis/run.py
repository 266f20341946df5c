"""One analysis: explain every question, then measure what the explanations say."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor
from tqdm import tqdm

from lookwhy import __version__
from lookwhy.analysis.evaluate import evaluate
from lookwhy.analysis.part_of_speech import Tagger, find_tagger, frequent_groups
from lookwhy.analysis.plan import AnalysisPlan
from lookwhy.attribution import explaining
from lookwhy.attribution.base import features_of, images_of
from lookwhy.attribution.stopwatch import part, part_each, recording
from lookwhy.data.tokens import tokenize
from lookwhy.models.pipeline import Pipeline, probabilities
from lookwhy.models.protocol import VQAModel
from lookwhy.types import AnalysisResult, ImportanceMaps, LookwhyError, VQABatch

HumanMaps = Mapping[int, Float[np.ndarray, "K G G"]]
"""Annotator maps on the plan's grid by question id; a question without any is absent."""


@dataclass
class Explained:
    """What one process found of its share of the questions, in plain CPU tensors and lists."""

    maps: dict[str, list[ImportanceMaps]] = field(default_factory=lambda: defaultdict(list))
    rows: list[dict[str, Any]] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)


def run_analysis(
    model: VQAModel,
    batches: Iterable[VQABatch],
    plan: AnalysisPlan,
    human: HumanMaps | None = None,
    *,
    answers: Sequence[str] = (),
    words: Callable[[str], list[str]] | None = None,
    tagger: Tagger | None = None,
    tag_counts: Counter[str] | None = None,
    gather: Callable[[Explained], list[Explained]] = lambda explained: [explained],
    total: int | None = None,
) -> AnalysisResult:
    """Explain every question of the batches and measure the explanations.

    Leaves model, gradients and random state exactly as they were.

    Args:
        model: answers questions about images; `needs` of the plan's methods says what more it must do.
        batches: questions with pixels; those of one image in one batch are explained together.
        plan: what to do.
        human: annotator maps, scaled to the plan's grid where they are of another size.
        answers: the text of each answer id; by default the id itself.
        words: question -> words, as the model's tokens stand for; by default the data preparation's.
        tagger: part-of-speech tagger; by default `find_tagger()`.
        tag_counts: how frequent each tag is in the data set; by default in the questions analysed.
        gather: brings together what several processes found of their shares of the batches.
        total: number of questions, for a progress bar; None shows none.

    Returns:
        The result; questions in the order of their ids.

    Raises:
        LookwhyError: no question at all, or a method cannot explain this model.
    """
    explained = Explained()
    with (
        explaining(model),
        recording(explained.seconds),
        tqdm(
            total=total, desc="explaining", unit="question", leave=False, disable=None if total else True
        ) as bar,
    ):
        queues = [_Queue(model, plan, explained, many_images, bar) for many_images in (False, True)]
        # Pixels take by far the most time: where a method needs them, its queue tells how far it is.
        leading = next((queue for queue in queues if queue.methods), queues[0])
        for batch in part_each("loading images", batches):
            answered = _answer(model, batch, answers, explained)
            for queue in queues:
                done = queue.add(*answered)
                bar.update(done if queue is leading else 0)
        for queue in queues:
            done = queue.explain()
            bar.update(done if queue is leading else 0)
    maps, rows, seconds = _join(gather(explained))
    with recording(seconds), part("statistics"):
        tagger = tagger or find_tagger()
        for row in rows:
            _tag(row, words or tokenize, tagger)
        counts = tag_counts or Counter(tag for row in rows for tag in row["tags"])
        maps_of_annotators = _annotators(human or {}, [row["question_id"] for row in rows], plan.grid)
        groups = frequent_groups(counts, plan.frequent_tags)
        result = evaluate(maps, rows, maps_of_annotators, groups, plan)
    result.manifest |= {
        "version": __version__,
        "plan": plan.describe(),
        "grid": plan.grid,
        "tagger": tagger.name,
        "tag_groups": groups,
        "group_order": list(groups),
        "seconds": {name: round(value, 3) for name, value in sorted(seconds.items())},
    }
    return result


QUESTIONS_AT_ONCE = {False: 4, True: 512}
"""For methods that need pixels, and for those that are best given the questions of many images."""


class _Queue:
    """Batches that wait until there are questions enough, and the methods that wait for them."""

    def __init__(
        self, model: VQAModel, plan: AnalysisPlan, found: Explained, many_images: bool, bar: tqdm
    ) -> None:
        methods = (*plan.image_methods, *plan.question_methods)
        self.methods = [method for method in methods if method.many_images == many_images]
        self._bar = bar
        # A black box needs the pixels for everything, and may be slow with several images at once.
        self._pixels = not many_images or not isinstance(model, Pipeline)
        self._enough = QUESTIONS_AT_ONCE[many_images] if isinstance(model, Pipeline) else 1
        self._model, self._found = model, found
        self._batches: list[tuple[VQABatch, Int64[Tensor, " B"]]] = []

    def add(self, batch: VQABatch, target: Int64[Tensor, " B"]) -> int:
        """One more; returns how many questions were explained for that."""
        self._batches.append((batch, target))
        return self.explain() if sum(len(one) for one, _ in self._batches) >= self._enough else 0

    def explain(self) -> int:
        """Explain what there is; returns how many questions."""
        if not self._batches:
            return 0
        batches, targets = [batch for batch, _ in self._batches], [target for _, target in self._batches]
        batch = batches[0] if len(batches) == 1 else VQABatch.concatenate(batches, self._pixels)
        for method in self.methods:
            key = f"{method.domain}/{method.name}"
            self._bar.set_description(f"explaining: {method.name.replace('_', ' ')}")
            with part(key):
                self._found.maps[key].append(method(self._model, batch, torch.cat(targets)))
        self._batches = []
        return len(batch)


def _answer(
    model: VQAModel, batch: VQABatch, answers: Sequence[str], found: Explained
) -> tuple[VQABatch, Int64[Tensor, " B"]]:
    """Answer the questions of one image: the batch, with features where there can be, and the answers."""
    with part("answering"):
        if isinstance(model, Pipeline) and batch.features is None:
            batch = replace(batch, features=features_of(model, batch, "an analysis"))
        confidence, target = clean_scores(model, batch).max(1)
    for row in range(len(batch)):
        answer = int(target[row])
        found.rows.append(
            {
                "question_id": int(batch.question_ids[row]),
                "image_id": int(batch.image_ids[row]),
                "image_file": batch.image_files[row] if batch.image_files else "",
                "question": batch.questions[row] if batch.questions else "",
                "length": int(batch.lengths[row]),
                "question_type": batch.question_types[row] if batch.question_types else "",
                "answer_type": batch.answer_types[row] if batch.answer_types else "",
                "answers": batch.answers[row] if batch.answers else [],
                "predicted": answers[answer] if answers else str(answer),
                "confidence": float(confidence[row]),
            }
        )
    return batch, target


@torch.no_grad()
def clean_scores(model: VQAModel, batch: VQABatch) -> Float[Tensor, "B A"]:
    """Scores of the whole images, each looked at once."""
    if isinstance(model, Pipeline):
        return probabilities(
            model.head(features_of(model, batch, "an analysis"), batch.tokens, batch.lengths)
        )
    return model.answer_scores(images_of(batch, "an analysis"), batch.tokens, batch.lengths)


def _tag(row: dict[str, Any], words: Callable[[str], list[str]], tagger: Tagger) -> None:
    """Add the words that the model saw, and their tags in the whole question."""
    asked, length = words(row["question"]), row.pop("length")
    tags = tagger.tag(asked) if asked else []
    missing = [""] * (length - len(asked))  # a batch without the questions' text
    row["words"], row["tags"] = (asked + missing)[:length], (tags + missing)[:length]


def _join(
    parts: list[Explained],
) -> tuple[dict[str, ImportanceMaps], list[dict[str, Any]], dict[str, float]]:
    """All processes' findings, in the order of question ids, question maps padded to one width."""
    rows = [row for part in parts for row in part.rows]
    if not rows:
        raise LookwhyError("expected questions to analyse, found none; raise num_questions in the plan")
    order = torch.tensor(np.argsort([row["question_id"] for row in rows], kind="stable"))
    width = max(int(m.values.shape[1]) for part in parts for many in part.maps.values() for m in many)
    names = next(part for part in parts if part.rows).maps
    maps = {}
    for name in names:
        pieces = [_padded(m, max(width, 26)) for part in parts for m in part.maps.get(name, [])]
        maps[name] = ImportanceMaps.concatenate(pieces).take(order)
    seconds: defaultdict[str, float] = defaultdict(float)
    for one in parts:
        for name, spent in one.seconds.items():
            seconds[name] += spent
    return maps, [rows[i] for i in order.tolist()], seconds


def _padded(maps: ImportanceMaps, width: int) -> ImportanceMaps:
    if maps.domain == "image":
        return maps
    missing = (0, width - maps.values.shape[1])
    maps.values = torch.nn.functional.pad(maps.values, missing)
    maps.valid = torch.nn.functional.pad(maps.valid, missing)
    return maps


def _annotators(human: HumanMaps, question_ids: list[int], grid: int) -> Float[np.ndarray, "N K G G"]:
    """Annotator maps of the questions on one grid, NaN where a question has fewer than the most."""
    most = max((len(human[i]) for i in question_ids if i in human), default=0)
    stacked = np.full((len(question_ids), most, grid, grid), np.nan, np.float32)
    for row, question_id in enumerate(question_ids):
        for k, one in enumerate(human.get(question_id, ())):
            stacked[row, k] = scale_to_grid(one, grid)
    return stacked


def scale_to_grid(one: Float[np.ndarray, "H W"], grid: int) -> Float[np.ndarray, "G G"]:
    """Mean over each cell of the grid."""
    if one.shape == (grid, grid):
        return np.asarray(one, np.float32)
    scaled = torch.nn.functional.adaptive_avg_pool2d(torch.as_tensor(one)[None].float(), grid)
    return scaled[0].numpy()
