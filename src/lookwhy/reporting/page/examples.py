"""The example browser of the report page: its choice of questions, their answers, their maps in few bytes."""

from __future__ import annotations

import struct
from itertools import count
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from lookwhy.analysis.agreement import mean_annotator
from lookwhy.reporting import reading
from lookwhy.reporting.page.numbers import Json, short
from lookwhy.types import AnalysisResult

MOST_MAP_BYTES = 8_000_000
"""Bytes of all maps of a page (a third more in base64); beyond it, epochs are left out evenly."""

_SIGNED, _WORDS = 1, 2


class Question(NamedTuple):
    """A question and its id: runs on different data may use one id for different questions."""

    question_id: int
    question: str


def choose_questions(last: list[AnalysisResult], most: int) -> list[Question]:
    """Choose the questions to browse: those that most runs have, a run's own examples before others.

    The run with the fewest questions so far chooses next. So runs on the same data show the same questions,
    and a run on other data has some, too.

    Args:
        last: last analysis of each run.
        most: largest number of questions.
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


class Methods(NamedTuple):
    """Names of the methods whose maps are shown, in the order in which the page stores them."""

    image: list[str]
    words: list[str]


def methods_of(result: AnalysisResult) -> Methods:
    """Methods of an analysis that have maps."""
    maps = result.maps.values()
    return Methods(
        sorted(one.method for one in maps if one.domain == "image"),
        sorted(one.method for one in maps if one.domain == "question"),
    )


def shown_epochs(epochs: list[int], bytes_each: int, runs: int) -> list[int]:
    """Epochs whose maps fit the page: all, or an even choice with the first and the last."""
    room = max(MOST_MAP_BYTES // max(bytes_each * runs, 1), 2)
    if len(epochs) <= room:
        return epochs
    places = np.linspace(0, len(epochs) - 1, room).round().astype(int)
    return [epochs[place] for place in dict.fromkeys(places.tolist())]


def bytes_of_epoch(result: AnalysisResult, questions: int) -> int:
    """Bytes that the maps of this number of questions of one analysis take."""
    return questions * sum(_HEADER.size + one.values[0].numel() for one in result.maps.values() if len(one))


class ExamplesOfRun:
    """Content of the browser for one run, gathered epoch by epoch so that only one is in memory."""

    def __init__(self, asked: list[Question], last: AnalysisResult) -> None:
        self.asked = asked
        self.methods = methods_of(last)
        self.epochs: list[int] = []
        self.answers: list[list[Json | None]] = [[] for _ in asked]
        self.maps: list[list[bytes]] = [[] for _ in asked]
        self.words: list[list[str]] = [[] for _ in asked]
        mean, places = mean_annotator(last.human), _places(last)
        records = reading.questions(last)
        self.annotators = [0] * len(asked)
        for at, one in enumerate(asked):
            rows = rows_of(records, one)
            if not rows:
                continue
            place = places[one.question_id]
            self.annotators[at] = _how_many(last.human[place])
            if self.annotators[at]:
                self.maps[at].append(pack(mean[place], signed=False))

    def add(self, epoch: int, result: AnalysisResult) -> None:
        """Add one epoch; epochs come in ascending order."""
        self.epochs.append(epoch)
        places, records = _places(result), reading.questions(result)
        for at, one in enumerate(self.asked):
            rows = rows_of(records, one)
            self.answers[at].append(self._answer(rows) if rows else None)
            if rows:
                self.words[at] = self.words[at] or [str(word) for word in rows[0]["words"] or ()]
                self.maps[at] += self._maps(result, places[one.question_id], len(self.words[at]))

    def _answer(self, rows: list[reading.Record]) -> Json:
        row = rows[0]
        return {
            "said": str(row["predicted"]),
            "confidence": short(row["confidence"]),
            "accuracy": short(row["accuracy"]),
            "rho": [
                short(reading.of_method(rows, "image", method).get("rho")) for method in self.methods.image
            ],
            "flips": [
                reading.of_method(rows, domain, method).get("flips")
                for domain, names in (("image", self.methods.image), ("question", self.methods.words))
                for method in names
            ],
        }

    def _maps(self, result: AnalysisResult, place: int, length: int) -> list[bytes]:
        found = []
        for domain, names in (("image", self.methods.image), ("question", self.methods.words)):
            for method in names:
                one = result.maps.get(f"{domain}/{method}")
                if one is None:
                    found.append(ABSENT)
                else:
                    values = one.values[place].numpy()
                    found.append(pack(values[:length] if domain == "question" else values, one.signed))
        return found


def details_of(row: reading.Record) -> Json:
    """Facts about a question that do not change over epochs."""
    return {
        "id": int(row["question_id"]),
        "question": str(row["question"] or " ".join(row["words"] or ())),
        "type": str(row["question_type"] or ""),
        "answerType": str(row["answer_type"] or ""),
        "truth": str(row["ground_truth"] or ""),
    }


_HEADER = struct.Struct("<HBBf")


def pack(values: Float[np.ndarray, "*cells"], signed: bool) -> bytes:
    """Store a map with one byte a cell, after a header of 8 bytes.

    The header holds the number of cells a side (or of words) as uint16, flags (1 signed, 2 words), a spare
    byte, and the largest magnitude as float32. A cell of a signed map is an int8 in 127ths of that magnitude
    (-128: undefined); a cell of another map is a uint8 in 254ths of it (255: undefined). The error is at most
    half a step, which is below the resolution of the colour table.
    """
    values = np.asarray(values, np.float64)
    defined = np.isfinite(values)
    peak = float(np.abs(values[defined]).max(initial=0.0))
    share = np.where(defined, values, 0.0) / (peak or 1.0)
    if signed:
        cells = np.where(defined, np.rint(share * 127), -128).astype(np.int8)
    else:
        cells = np.where(defined, np.rint(np.abs(share) * 254), 255).astype(np.uint8)
    flags = _SIGNED * signed | _WORDS * (values.ndim == 1)
    return _HEADER.pack(len(values), flags, 0, peak) + cells.tobytes()


ABSENT = _HEADER.pack(0, 0, 0, 0.0)
"""Placeholder for a map that an epoch does not have."""


def _how_many(maps: Float[np.ndarray, "K G G"]) -> int:
    return int((~np.isnan(maps).all(axis=(1, 2)) & (np.nan_to_num(maps) != 0).any(axis=(1, 2))).sum())


def _places(result: AnalysisResult) -> dict[int, int]:
    return dict(zip(result.question_ids.tolist(), count(), strict=False))


def rows_of(records: dict[int, list[reading.Record]], asked: Question) -> list[reading.Record]:
    """Records of a question; empty if its id belongs to another question in this run."""
    rows = records.get(asked.question_id) or []
    return rows if rows and str(rows[0]["question"]) == asked.question else []
