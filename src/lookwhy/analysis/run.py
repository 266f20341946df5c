"""One analysis: explain every question, then measure the explanations."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor
from tqdm import tqdm

from lookwhy import __version__
from lookwhy.analysis.evaluate import evaluate
from lookwhy.analysis.part_of_speech import Tagger, find_tagger, frequent_groups
from lookwhy.analysis.plan import AnalysisPlan
from lookwhy.analysis.questions import QuestionRecord, question_records
from lookwhy.attribution import Attributor, explaining
from lookwhy.attribution.base import features_of
from lookwhy.data.tokens import tokenize
from lookwhy.errors import LookwhyError
from lookwhy.models.pipeline import BlackBox, Opened, opened
from lookwhy.models.protocol import VQAModel
from lookwhy.stopwatch import part, part_each, recording
from lookwhy.types import AnalysisResult, ImportanceMaps, VQABatch

HumanMaps = Mapping[int, Float[np.ndarray, "K G G"]]
"""Annotator maps by question id; a question without any is absent."""
Answered = tuple[VQABatch, Tensor]
"""A batch with features, and the predicted answer of each question."""
WITH_PIXELS = 4
"""Questions explained together by the methods for the image: they bound the memory for pixels."""


@dataclass
class Findings:
    """Explanations of one process's share of the questions, in plain CPU tensors and lists."""

    maps: dict[str, list[ImportanceMaps]] = field(default_factory=lambda: defaultdict(list))
    records: list[QuestionRecord] = field(default_factory=list)
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
    gather: Callable[[Findings], list[Findings]] = lambda findings: [findings],
    total: int | None = None,
    max_words: int = 0,
) -> AnalysisResult:
    """Explain every question of the batches and measure the explanations.

    Leaves model, gradients and random state exactly as they were.

    Args:
        model: answers questions about images; `check` of the plan's methods says what more it must offer.
        batches: questions with pixels; those of one image in one batch are explained together.
        plan: settings.
        human: annotator maps, scaled to the plan's grid where they are of another size.
        answers: text of each answer id; by default the id itself.
        words: question -> words, as the model's tokens stand for; by default the data preparation's.
        tagger: part-of-speech tagger; by default `find_tagger()`.
        tag_counts: how frequent each tag is in the data set; by default in the questions analysed.
        gather: brings together the findings of several processes.
        total: number of questions, for a progress bar; None shows none.
        max_words: width of the maps over words, where it is more than the longest question has.

    Returns:
        The result; questions in the order of their ids.

    Raises:
        LookwhyError: no question at all, or a method cannot explain this model.

    Example:
        >>> from lookwhy.attribution import Occlusion
        >>> plan = AnalysisPlan(image_methods=[Occlusion(grid=4)], question_methods=[], grid=4)
        >>> run_analysis(model, [batch], plan).maps["image/occlusion"].values.shape
        torch.Size([3, 4, 4])
    """
    for method in plan.methods:
        method.check(model)
    tagger = tagger or find_tagger()
    reader = _Reader(opened(model), answers, words or tokenize, tagger)
    findings = reader.findings
    with explaining(model), recording(findings.seconds), _bar(total) as bar:
        for batch, target in _together(_image_maps(reader, batches, plan, bar), reader.many):
            _explain(reader, plan.question_methods, batch, target, bar)
            bar.update(0 if plan.image_methods else len(batch))
    maps, records, seconds = _join(gather(findings), max_words)
    with recording(seconds), part("statistics"):
        counts = tag_counts or Counter(tag for record in records for tag in record.tags)
        of_annotators = _annotators(human or {}, [record.question_id for record in records], plan.grid)
        groups = frequent_groups(counts, plan.frequent_tags)
        result = evaluate(maps, records, of_annotators, groups, plan)
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


@dataclass
class _Reader:
    """The model and everything that turns its answers into records."""

    model: Opened
    answers: Sequence[str]
    words: Callable[[str], list[str]]
    tagger: Tagger
    findings: Findings = field(default_factory=Findings)

    @property
    def few(self) -> int:
        """Questions explained together by the methods for the image; a black box may be slow with several."""
        return 1 if isinstance(self.model, BlackBox) else WITH_PIXELS

    @property
    def many(self) -> int:
        """Questions explained together by the methods for words, which need no pixels."""
        return 1 if isinstance(self.model, BlackBox) else self.model.questions_at_once

    def answer(self, batch: VQABatch) -> Answered:
        """Answer a batch, record the answers, and give it its features."""
        with part("answering"):
            batch = replace(batch, features=features_of(self.model, batch, "an analysis"))
            confidence, target = clean_scores(self.model, batch).max(1)
        chosen = target.tolist()
        predicted = [self.answers[i] for i in chosen] if self.answers else [str(i) for i in chosen]
        self.findings.records += question_records(
            batch, predicted, confidence.tolist(), self.words, self.tagger.tag
        )
        return batch, target


def _image_maps(
    reader: _Reader, batches: Iterable[VQABatch], plan: AnalysisPlan, bar: tqdm
) -> Iterator[Answered]:
    """Explain by the methods for the image, a few questions at a time; pass the batches on without pixels."""
    answered = map(reader.answer, part_each("loading images", batches))
    for batch, target in _together(answered, reader.few):
        _explain(reader, plan.image_methods, batch, target, bar)
        bar.update(len(batch) if plan.image_methods else 0)
        yield replace(batch, images=None), target


def _explain(
    reader: _Reader,
    methods: Sequence[Attributor],
    batch: VQABatch,
    target: Int64[Tensor, " B"],
    bar: tqdm,
) -> None:
    for method in methods:
        key = f"{method.domain}/{method.name}"
        bar.set_description(f"explaining: {method.name.replace('_', ' ')}")
        with part(key):
            reader.findings.maps[key].append(method(reader.model, batch, target))


def _together(answered: Iterable[Answered], size: int) -> Iterator[Answered]:
    """Join batches until they hold `size` questions or more."""
    waiting: list[Answered] = []
    for one in answered:
        waiting.append(one)
        if sum(len(batch) for batch, _ in waiting) >= size:
            yield _joined(waiting)
            waiting = []
    if waiting:
        yield _joined(waiting)


def _joined(answered: list[Answered]) -> Answered:
    if len(answered) == 1:
        return answered[0]
    return VQABatch.concatenate([batch for batch, _ in answered]), torch.cat([t for _, t in answered])


def _bar(total: int | None) -> tqdm:
    disable = None if total else True
    return tqdm(total=total, desc="explaining", unit="question", leave=False, disable=disable)


@torch.no_grad()
def clean_scores(model: Opened, batch: VQABatch) -> Float[Tensor, "B A"]:
    """Probabilities of the answers from the whole images."""
    views = model.look(features_of(model, batch, "an analysis"))
    return model.scores(views, batch.tokens, batch.lengths)


def _join(
    parts: list[Findings], max_words: int
) -> tuple[dict[str, ImportanceMaps], list[QuestionRecord], dict[str, float]]:
    """Findings of all processes, in the order of question ids, question maps padded to one width."""
    records = [record for part in parts for record in part.records]
    if not records:
        raise LookwhyError("expected questions to analyse, found none; raise num_questions in the plan")
    order = torch.tensor(np.argsort([record.question_id for record in records], kind="stable"))
    words = [m.values.shape[1] for part in parts for some in part.maps.values() for m in some]
    width = max([max_words, *words])
    names = next(part for part in parts if part.records).maps
    maps = {}
    for name in names:
        pieces = [_padded(m, width) for part in parts for m in part.maps.get(name, [])]
        maps[name] = ImportanceMaps.concatenate(pieces).take(order)
    seconds: defaultdict[str, float] = defaultdict(float)
    for one in parts:
        for name, spent in one.seconds.items():
            seconds[name] += spent
    return maps, [records[i] for i in order.tolist()], seconds


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
    """The mean over each cell of the grid."""
    if one.shape == (grid, grid):
        return np.asarray(one, np.float32)
    scaled = torch.nn.functional.adaptive_avg_pool2d(torch.as_tensor(one)[None].float(), grid)
    return scaled[0].numpy()
