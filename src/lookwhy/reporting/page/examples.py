"""Data of the report page's example browser: chosen questions, their answers, and packed maps."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from lookwhy.analysis.agreement import mean_annotator
from lookwhy.reporting import reading
from lookwhy.reporting.figures.boxes import strongest
from lookwhy.reporting.page.numbers import Json, short
from lookwhy.types import AnalysisResult

MOST_MAP_BYTES = 8_000_000
"""Largest size of all maps of a page in bytes (base64 adds a third); above it, epochs are thinned evenly."""


class Question(NamedTuple):
    """A question and its id: runs on different data may use one id for different questions."""

    question_id: int
    question: str

    def rows(self, records: dict[int, list[reading.Record]]) -> list[reading.Record]:
        """Its records in a run; empty if the id belongs to another question there."""
        rows = records.get(self.question_id) or []
        return rows if rows and str(rows[0]["question"]) == self.question else []


def choose_questions(last: list[AnalysisResult], most: int) -> list[Question]:
    """Choose at most `most` questions to browse; `last` holds the last analysis of each run.

    The run with the fewest chosen questions so far chooses next. It takes a question that as many runs as
    possible have, its own examples first. So runs on the same data show the same questions, and a run on
    other data shows some, too.
    """
    orders = [_in_order(result) for result in last]
    holders: dict[Question, list[int]] = {}
    for run, order in enumerate(orders):
        for asked in order:
            holders.setdefault(asked, []).append(run)
    waiting = [iter(sorted(order, key=lambda asked: -len(holders[asked]))) for order in orders]
    chosen: dict[Question, None] = {}
    shown = [0] * len(last)
    left = set(range(len(last)))
    while left and len(chosen) < most:
        run = min(left, key=lambda run: (shown[run], run))
        found = next((asked for asked in waiting[run] if asked not in chosen), None)
        if found is None:
            left.remove(run)
            continue
        chosen[found] = None
        for holder in holders[found]:
            shown[holder] += 1
    return list(chosen)


def _in_order(result: AnalysisResult) -> list[Question]:
    """Questions of a run in order of choice: its examples, two questions an image, then all others."""
    rows = reading.questions(result)
    chosen = [int(i) for i in result.manifest.get("examples") or () if int(i) in rows]
    seen: dict[Any, int] = {}
    later: list[int] = []
    for question_id in result.question_ids.tolist():
        if question_id in rows:
            image = rows[question_id][0]["image_id"]
            seen[image] = seen.get(image, 0) + 1
            (chosen if seen[image] <= 2 else later).append(question_id)
    ids = dict.fromkeys([*chosen, *later])
    return [Question(i, str(rows[i][0]["question"])) for i in ids]


def shown_epochs(epochs: list[int], bytes_each: int, runs: int, most: int | None = None) -> list[int]:
    """Epochs whose maps fit the page: all, or evenly spaced ones from the first to the last.

    `most` bytes fit, by default `MOST_MAP_BYTES`.
    """
    room = max((MOST_MAP_BYTES if most is None else most) // max(bytes_each * runs, 1), 2)
    if len(epochs) <= room:
        return epochs
    places = np.linspace(0, len(epochs) - 1, room).round().astype(int)
    return [epochs[place] for place in dict.fromkeys(places.tolist())]


def bytes_of_epoch(result: AnalysisResult, questions: int) -> int:
    """Bytes that the maps of this number of questions of one analysis take."""
    return questions * sum(one.values[0].numel() for one in result.maps.values() if len(one))


def examples_of_run(
    asked: list[Question], last: AnalysisResult, epochs: Iterable[tuple[int, AnalysisResult]]
) -> tuple[Json, list[Json]]:
    """Content of the browser for one run: facts about its answers, and the packed maps of each question.

    The maps of a question lie under "annotators" and under each epoch, there in the order of the methods.
    `epochs` come in ascending order, and only one at a time is held in memory.
    """
    methods = sorted((one.domain, one.method) for one in last.maps.values())
    answers: list[list[Json | None]] = [[] for _ in asked]
    words: list[list[str]] = [[] for _ in asked]
    annotators = [0] * len(asked)
    maps: list[Json] = [{} for _ in asked]
    mean, shown = mean_annotator(last.human), []
    for at, _, place in _found(asked, last):
        drawn = last.human[place]
        annotators[at] = int((np.nan_to_num(drawn) != 0).any(axis=(1, 2)).sum())
        if annotators[at]:
            maps[at]["annotators"] = pack(mean[place], signed=False)
    for epoch, result in epochs:
        shown.append(epoch)
        for answer in answers:
            answer.append(None)
        for at, rows, place in _found(asked, result):
            answers[at][-1] = _answer(rows, methods)
            words[at] = words[at] or [str(word) for word in rows[0]["words"] or ()]
            length = len(words[at])
            maps[at][str(epoch)] = [_packed(result, *method, place, length) for method in methods]
    content = {
        "epochs": shown,
        "imageMethods": [method for domain, method in methods if domain == "image"],
        "wordMethods": [method for domain, method in methods if domain == "question"],
        "annotators": annotators,
        "words": words,
        "answers": answers,
        "correctAbove": (last.manifest.get("plan") or {}).get("correct_above", 0.5),
    }
    return content, maps


def _found(asked: list[Question], result: AnalysisResult) -> Iterator[tuple[int, list[reading.Record], int]]:
    """Questions that an analysis has: index on the page, records, index in the analysis."""
    records = reading.questions(result)
    places = {question_id: place for place, question_id in enumerate(result.question_ids.tolist())}
    for at, one in enumerate(asked):
        if rows := one.rows(records):
            yield at, rows, places[one.question_id]


def _answer(rows: list[reading.Record], methods: Sequence[tuple[str, str]]) -> Json:
    of_methods = [(domain, reading.of_method(rows, domain, method)) for domain, method in methods]
    return {
        "said": str(rows[0]["predicted"]),
        "confidence": short(rows[0]["confidence"]),
        "accuracy": short(rows[0]["accuracy"]),
        "rho": [short(one.get("rho")) for domain, one in of_methods if domain == "image"],
        "flips": [one.get("flips") for _, one in of_methods],
    }


def _packed(result: AnalysisResult, domain: str, method: str, place: int, words: int) -> list[Any] | None:
    one = result.maps.get(f"{domain}/{method}")
    if one is None:
        return None
    values = one.values[place].numpy()
    packed = pack(values[:words] if domain == "question" else values, one.signed)
    if one.box_values is not None:
        packed.append(_outlined(result.boxes[place], one.box_values[place].numpy()))
    return packed


def _outlined(boxes: Float[np.ndarray, "R 4"], values: Float[np.ndarray, " R"]) -> list[list[float]]:
    """The boxes that example figures outline, strongest first: x1, y1, x2, y2 (0..1) and their value."""
    return [
        [*(round(side, 3) for side in boxes[number].tolist()), float(f"{values[number]:.3g}")]
        for number in strongest(values)
    ]


def pack(values: Float[np.ndarray, "*cells"], signed: bool) -> list[Any]:
    """Store a map with one byte a cell: whether it is signed, its largest magnitude, and base64 of its cells.

    A cell of a signed map is an int8 in 127ths of that magnitude (-128: undefined); a cell of another map is
    a uint8 in 254ths of it (255: undefined). The error is at most half a step, which is below the resolution
    of the colour table.
    """
    values = np.asarray(values, np.float64)
    defined = np.isfinite(values)
    peak = float(np.abs(values[defined]).max(initial=0.0))
    share = np.where(defined, values, 0.0) / (peak or 1.0)
    if signed:
        cells = np.where(defined, np.rint(share * 127), -128).astype(np.int8)
    else:
        cells = np.where(defined, np.rint(np.abs(share) * 254), 255).astype(np.uint8)
    return [signed, float(f"{peak:.7g}"), base64.b64encode(cells.tobytes()).decode("ascii")]
