"""One analysis: explain every question, then measure the explanations."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby, islice
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.nn import functional as F

from lookwhy import __version__
from lookwhy.analysis.boxes import BoxesOf, boxes_of_questions
from lookwhy.analysis.evaluate import evaluate
from lookwhy.analysis.meter import FaithfulnessMeter, PointsOf, Values, joined
from lookwhy.analysis.modality import ModalityMeter
from lookwhy.analysis.part_of_speech import Tagger, find_tagger, frequent_groups
from lookwhy.analysis.plan import AnalysisPlan
from lookwhy.analysis.questions import QuestionRecord, question_records, spread
from lookwhy.analysis.random_models import RandomModels, joined_draws
from lookwhy.analysis.sanity import RandomMaps
from lookwhy.attribution import Attributor, explaining
from lookwhy.attribution.base import features_of, maps_of
from lookwhy.data.heap import reused_memory
from lookwhy.data.tokens import tokenize
from lookwhy.data.truth_masks import covered_share
from lookwhy.errors import LookwhyError
from lookwhy.models.pipeline import parts_of
from lookwhy.models.protocol import TokenModel
from lookwhy.progress import Bar, progress
from lookwhy.stopwatch import part, part_each, recording
from lookwhy.towers import devices
from lookwhy.types import AnalysisResult, ImportanceMaps, Scores, Target, VQABatch

HumanMaps = Mapping[int, Float[np.ndarray, "K G G"]]
"""Annotator maps by question id; a question without any is absent."""
TruthMasks = Mapping[int, Float[np.ndarray, "rows columns"]]
"""Ground-truth masks by question id, 0..1; a question without a mask is absent."""
WITH_PIXELS = 6
"""Questions that image methods explain in one call on a CPU; bounds the memory for pixels."""


@dataclass
class Findings:
    """Explanations of one process's share of the questions, as CPU tensors and lists."""

    maps: dict[str, list[ImportanceMaps]] = field(default_factory=lambda: defaultdict(list))
    values: Values = field(default_factory=lambda: defaultdict(dict))
    curves: PointsOf = field(default_factory=lambda: defaultdict(dict))
    records: list[QuestionRecord] = field(default_factory=list)
    excluded: Counter[str] = field(default_factory=Counter)
    seconds: dict[str, float] = field(default_factory=dict)
    random_maps: RandomMaps = field(default_factory=dict)
    boxes: BoxesOf = field(default_factory=dict)


@reused_memory()
def run_analysis(
    model: TokenModel,
    batches: Iterable[VQABatch],
    plan: AnalysisPlan,
    human: HumanMaps | None = None,
    truth: TruthMasks | None = None,
    *,
    answers: Sequence[str] = (),
    words: Callable[[str], list[str]] | None = None,
    tagger: Tagger | None = None,
    tag_counts: Counter[str] | None = None,
    gather: Callable[[Findings], list[Findings]] = lambda findings: [findings],
    total: int | None = None,
    max_words: int = 0,
    epoch: int | None = None,
    of_image: Mapping[int, int] | None = None,
) -> AnalysisResult:
    """Explain every question of the batches and measure the explanations.

    The model, its gradients and the random state are unchanged on exit.

    Args:
        model: model to explain; it must pass `check` of every method of the plan.
        batches: questions with pixels. All questions about an image should be in one batch, and images of
            different sizes must be in different batches.
        plan: settings.
        human: annotator maps; maps of another size are scaled to the plan's grid.
        truth: ground-truth masks, 0..1; a mask of another size is reduced to the share of each cell of the
            plan's grid that it covers.
        answers: text of each answer id; by default the id itself.
        words: function that splits a question into the same words as the model's tokens; by default
            `lookwhy.data.tokenize`.
        tagger: part-of-speech tagger; by default `find_tagger()`.
        tag_counts: frequency of each tag in the data set; by default in the analysed questions.
        gather: function from the findings of this process to those of all processes.
        total: number of questions, for a progress bar; None: no progress bar.
        max_words: smallest number of columns of the maps over words.
        epoch: epoch of the model, by which a plan chooses when to measure deletion and insertion.
        of_image: image of each question of all processes, in their order, from which the questions of costly
            measures are chosen; by default each takes the first questions that come.

    Returns:
        The result, with the questions in the order of their ids.

    Raises:
        LookwhyError: there is no question, or a method cannot explain this model.

    Example:
        >>> from lookwhy.attribution import Occlusion
        >>> plan = AnalysisPlan(image_methods=[Occlusion(grid=4)], question_methods=[], grid=4)
        >>> run_analysis(model, [batch], plan).maps["image/occlusion"].values.shape
        torch.Size([3, 4, 4])
    """
    for method in plan.methods:
        method.check(model)
    tagger = tagger or find_tagger()
    bar = progress(desc="explaining", shown=total is not None, total=total, unit="question", leave=False)
    reader = _Reader(model, answers, words or tokenize, tagger, bar, plan)
    if plan.faithfulness:
        named = None if of_image is None else spread(of_image, plan.faithfulness.curves)
        reader.faithfulness = FaithfulnessMeter(model, plan.faithfulness, plan.grid, epoch, named)
    if plan.modality:
        named = None if of_image is None else {*islice(of_image, plan.modality.questions)}
        reader.modality = ModalityMeter(model, plan.modality, named)
    if plan.sanity and plan.sanity.has_card(epoch):
        named = None if of_image is None else spread(of_image, plan.sanity.questions, each=2)
        reader.random = RandomModels(model, plan.sanity, named)
    with explaining(model), recording(reader.findings.seconds), bar:
        at_once = parts_of(model).explained_at_once
        for some in _grouped(reader.image_maps(batches), lambda _: at_once):
            reader.explain_words(some)
            bar.update(0 if plan.image_methods else len(some.batch))
        reader.explain_random_models()
    if reader.faithfulness:
        reader.findings.values |= reader.faithfulness.values
        reader.findings.curves |= reader.faithfulness.curves
    if reader.modality:
        reader.findings.values |= reader.modality.values
    parts = gather(reader.findings)
    maps, records, seconds = _join(parts, max_words)
    with recording(seconds), part("statistics"):
        counts = tag_counts or Counter(tag for record in records for tag in record.tags)
        ids = [record.question_id for record in records]
        of_annotators = _annotators(human or {}, ids, plan.grid)
        masks = _masks(truth or {}, ids, plan.grid)
        groups = frequent_groups(counts, plan.frequent_tags, plan.punctuation)
        result = evaluate(
            maps,
            records,
            of_annotators,
            groups,
            plan,
            masks,
            joined(findings.values for findings in parts),
            joined(findings.curves for findings in parts),
            joined_draws([findings.random_maps for findings in parts]),
        )
    result.boxes = boxes_of_questions((findings.boxes for findings in parts), result.question_ids.tolist())
    for findings in parts:
        for reason, count in findings.excluded.items():
            result.manifest["excluded"][reason] = result.manifest["excluded"].get(reason, 0) + count
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


class _Predictions(NamedTuple):
    """A batch with features, and the predicted answer of each question."""

    batch: VQABatch
    target: Target


@dataclass
class _Reader:
    """The model, and all that is needed to make records from its answers and maps."""

    model: TokenModel
    answers: Sequence[str]
    words: Callable[[str], list[str]]
    tagger: Tagger
    bar: Bar
    plan: AnalysisPlan
    faithfulness: FaithfulnessMeter | None = None
    modality: ModalityMeter | None = None
    random: RandomModels | None = None
    findings: Findings = field(default_factory=Findings)

    def answer(self, batch: VQABatch) -> _Predictions:
        with part("answering"):
            batch = replace(batch, features=features_of(parts_of(self.model), batch, "an analysis"))
            scores = clean_scores(self.model, batch)
            best = scores.argmax(1)
            target = explained_answers(scores, batch.labels, self.plan, self.answers)
            if self.plan.target == "truth" and (unknown := int((batch.labels < 0).sum())):
                self.findings.excluded["no true answer among the model's: its own is explained"] += unknown
            if target.ndim == 2 and (same := int((target[:, 0] == target[:, 1]).sum())):
                self.findings.excluded["contrast of an answer with itself: no faithfulness"] += same
        if batch.boxes is not None:
            places = batch.boxes.cpu().numpy()
            self.findings.boxes |= dict(zip(batch.question_ids.tolist(), places, strict=True))
        chosen = best.tolist()
        predicted = [self.answers[i] for i in chosen] if self.answers else [str(i) for i in chosen]
        self.findings.records += question_records(batch, predicted, scores, self.words, self.tagger.tag)
        return _Predictions(batch, target)

    def image_maps(self, batches: Iterable[VQABatch]) -> Iterator[_Predictions]:
        """Run the image methods on a few questions at a time; yield these questions without their pixels."""
        predictions = map(self.answer, part_each("loading images", batches))
        at_once = parts_of(self.model).explained_at_once

        def size(batch: VQABatch) -> int:
            on_gpu = devices.launches_are_dear(batch.tokens.device)
            return min(devices.QUESTIONS_ON_GPU if on_gpu else WITH_PIXELS, at_once)

        for some in _grouped(predictions, size):
            methods = self.plan.image_methods
            maps = self._explain(methods, some)
            if self.faithfulness and methods:
                self.bar.set_description("measuring faithfulness")
                self.faithfulness.measure_images(maps, methods, *some)
            if self.modality:
                self.bar.set_description("measuring the share of the question")
                with part("modality"):
                    of_id = {record.question_id: record.words for record in self.findings.records}
                    self.modality.measure(some.batch, [of_id[i] for i in some.batch.question_ids.tolist()])
            if self.random:
                self.random.keep(some.batch, some.target)
            self.bar.update(len(some.batch) if methods else 0)
            yield some._replace(batch=replace(some.batch, images=None))

    def explain_words(self, some: _Predictions) -> None:
        """Run the question methods."""
        maps = self._explain(self.plan.question_methods, some)
        if self.faithfulness and maps:
            self.faithfulness.measure_words(maps, *some)

    def explain_random_models(self) -> None:
        """Explain the questions of the sanity card by random models."""
        if not self.random:
            return

        def explain(method: Attributor, model: TokenModel, batch: VQABatch, target: Target) -> ImportanceMaps:
            return explained_by(method, model, batch, target, self.plan)

        with part("sanity card"):
            methods = [*self.plan.methods]
            found = self.random.explain(methods, explain, self.bar.set_description)
        self.findings.random_maps = found

    def _explain(self, methods: Sequence[Attributor], some: _Predictions) -> list[ImportanceMaps]:
        found = []
        for method in methods:
            key = f"{method.domain}/{method.name}"
            self.bar.set_description(f"explaining: {method.name.replace('_', ' ')}")
            with part(key):
                found.append(explained_by(method, self.model, *some, self.plan))
            self.findings.maps[key].append(found[-1])
        return found


def _grouped(predictions: Iterable[_Predictions], size: Callable[[VQABatch], int]) -> Iterator[_Predictions]:
    """Join batches until they have `size` questions or more, or the size of the images changes."""

    def sizes(one: _Predictions) -> list[torch.Size | None]:
        return [None if x is None else x.shape[1:] for x in (one.batch.images, one.batch.features)]

    for _, alike in groupby(predictions, sizes):
        group: list[_Predictions] = []
        for one in alike:
            group.append(one)
            if sum(len(some.batch) for some in group) >= size(one.batch):
                yield _joined(group)
                group = []
        if group:
            yield _joined(group)


def _joined(group: list[_Predictions]) -> _Predictions:
    if len(group) == 1:
        return group[0]
    batch = VQABatch.concatenate([some.batch for some in group])
    return _Predictions(batch, torch.cat([some.target for some in group]))


def explained_answers(
    scores: Scores, labels: Int64[Tensor, " B"], plan: AnalysisPlan, answers: Sequence[str]
) -> Target:
    """Answers to explain, from the scores of all answers and the ids of the true ones (-1: unknown).

    Where the model cannot give the true answer, `truth` explains the predicted answer.

    Raises:
        LookwhyError: the plan contrasts with an answer that the model cannot give.
    """
    best = scores.argmax(1)
    if plan.target == "truth":
        return torch.where(labels >= 0, labels, best)
    if plan.target == "predicted":
        return best
    other = plan.contrast_id(answers)
    if other is None and scores.shape[1] < 2:
        raise LookwhyError(
            "expected a model with two answers to contrast, found one; set the plan's target to predicted"
        )
    if other is None:
        return scores.topk(2, dim=1).indices
    return torch.stack([best, torch.full_like(best, other)], dim=1)


def explained_by(
    method: Attributor, model: TokenModel, batch: VQABatch, target: Target, plan: AnalysisPlan
) -> ImportanceMaps:
    """Maps of a method for the answers of `explained_answers`."""
    maps = maps_of(method, model, batch, target)
    # A method knows the ids of the answers, the plan knows their meaning.
    return replace(maps, target=maps.target.replace("the predicted answer", plan.target_text))


@torch.no_grad()
def clean_scores(model: TokenModel, batch: VQABatch) -> Scores:
    """Probabilities of the answers, from the unchanged images."""
    parts = parts_of(model)
    views = parts.look(features_of(parts, batch, "an analysis"))
    return parts.scores(views, batch.tokens, batch.lengths)


def _join(
    parts: list[Findings], max_words: int
) -> tuple[dict[str, ImportanceMaps], list[QuestionRecord], dict[str, float]]:
    """Findings of all processes in the order of question ids; question maps are padded to one width."""
    records = [record for findings in parts for record in findings.records]
    if not records:
        raise LookwhyError("expected questions to analyse, found none; raise num_questions in the plan")
    order = torch.tensor(np.argsort([record.question_id for record in records], kind="stable"))
    found = [one for findings in parts for some in findings.maps.values() for one in some]
    width = max([max_words, *(one.values.shape[1] for one in found if one.domain == "question")])
    maps = {}
    for name in next(findings for findings in parts if findings.records).maps:
        pieces = [one.padded(width) for findings in parts for one in findings.maps.get(name, [])]
        maps[name] = ImportanceMaps.concatenate(pieces).take(order)
    names = {name for findings in parts for name in findings.seconds}
    seconds = {name: sum(findings.seconds.get(name, 0.0) for findings in parts) for name in names}
    return maps, [records[i] for i in order.tolist()], seconds


def _annotators(human: HumanMaps, question_ids: list[int], grid: int) -> Float[np.ndarray, "N K G G"]:
    """Annotator maps of the questions on one grid; NaN in place of the maps that a question lacks."""
    most = max((len(human[i]) for i in question_ids if i in human), default=0)
    stacked = np.full((len(question_ids), most, grid, grid), np.nan, np.float32)
    for row, question_id in enumerate(question_ids):
        for k, one in enumerate(human.get(question_id, ())):
            if one.shape != (grid, grid):
                one = F.adaptive_avg_pool2d(torch.as_tensor(one)[None].float(), grid)[0].numpy()
            stacked[row, k] = one
    return stacked


def _masks(truth: TruthMasks, question_ids: list[int], grid: int) -> Float[np.ndarray, "M C C"]:
    """Masks of the questions on one grid, NaN where a question has none; (0, 1, 1) if none has one."""
    if truth.keys().isdisjoint(question_ids):
        return np.zeros((0, 1, 1), np.float32)
    stacked = np.full((len(question_ids), grid, grid), np.nan, np.float32)
    for row, question_id in enumerate(question_ids):
        if (mask := truth.get(question_id)) is not None:
            stacked[row] = mask if mask.shape == (grid, grid) else covered_share(mask, grid)
    return stacked
