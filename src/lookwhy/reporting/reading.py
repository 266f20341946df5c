"""Reads from a result: its methods, measurements and curves, and the records of a question."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lookwhy import keys
from lookwhy.analysis.part_of_speech import FEWEST_WORDS, LEVEL
from lookwhy.analysis.statistics import FEWEST_IMAGES
from lookwhy.reporting.style import BASELINES
from lookwhy.types import AnalysisResult, Curve, Domain

Record = dict[str, Any]


def rows(result: AnalysisResult, domain: str) -> list[keys.Row]:
    """Measurements of one domain over all questions of the analysis (no slices)."""
    # Every chart and table asks for its rows, so the values of all other domains are left out first.
    own = {
        key: value
        for key, value in result.summary.items()
        if (row := keys.parse(key)[0]).domain == domain and row.slice is None
    }
    return keys.table(own)


def image_methods(result: AnalysisResult) -> list[str]:
    """Attribution methods for image regions, by name, without the baselines."""
    return sorted(_methods(result, "image") - set(BASELINES))


def question_methods(result: AnalysisResult) -> list[str]:
    """Attribution methods for words, by name, without the random order."""
    return sorted(_methods(result, "question") - set(BASELINES))


def _methods(result: AnalysisResult, domain: Domain) -> set[str]:
    drawn = {maps.method for maps in result.maps.values() if maps.domain == domain}
    return drawn | {row.method for row in rows(result, domain)}


def compared(result: AnalysisResult) -> str:
    """Values whose rank correlations an analysis gives: "magnitudes", or "signed values"."""
    plan = result.manifest.get("plan") or {}
    return "signed values" if plan.get("compared") == "signed" else "magnitudes"


def words(result: AnalysisResult) -> list[keys.Row]:
    """P(most important | part of speech) by method, where it is defined and enough words are behind it."""
    return [row for row in _all_words(result) if not _has_few_words(row)]


def _all_words(result: AnalysisResult) -> list[keys.Row]:
    found = (row for row in rows(result, "question") if row.measure == "most_important")
    return [row for row in found if row.value is not None]


def _has_few_words(row: keys.Row) -> bool:
    return row.n is not None and row.n < FEWEST_WORDS


def counted_images(result: AnalysisResult) -> int | None:
    """Number of images behind the intervals, the largest of all measurements; None if it is not known."""
    counts = [value for key, value in result.summary.items() if keys.parse(key)[1] == "images"]
    if counts:
        return int(max(counts))
    # Analyses of earlier versions count the images in their records only.
    return len({record["image_id"] for record in result.records}) or None


def has_few_images(result: AnalysisResult, key: str = "") -> bool:
    """Whether fewer than `FEWEST_IMAGES` images are behind a value, by default behind the whole analysis."""
    images = result.summary.get(f"{key}/images")
    images = counted_images(result) if images is None else images
    return images is not None and images < FEWEST_IMAGES


def differs_from_chance(row: keys.Row) -> bool:
    """Whether P(most important | part of speech) gets a star.

    It does if both its test and its interval exclude chance, on at least `FEWEST_IMAGES` images; never in
    analyses of earlier versions, which have no test.
    """
    values = (row.p_value, row.images, row.ci_low, row.ci_high, row.expected)
    known = [value for value in values if value is not None]
    if len(known) < len(values):
        return False
    p_value, images, low, high, chance = known
    return p_value <= LEVEL and images >= FEWEST_IMAGES and not low <= chance <= high


def few_words(result: AnalysisResult) -> dict[str, int]:
    """Number of words of each part of speech that is left out: fewer than `FEWEST_WORDS`.

    It is the largest number of all methods; the part of speech with most words comes first.
    """
    found: dict[str, int] = {}
    shown = {row.group for row in words(result)}
    for row in _all_words(result):
        if row.group not in shown and row.n is not None:
            found[row.group] = max(found.get(row.group, 0), int(row.n))
    return dict(sorted(found.items(), key=lambda one: -one[1]))


def groups(result: AnalysisResult) -> list[str]:
    """Part-of-speech groups with a value, the most frequent in the data set first."""
    known = {row.group for row in words(result)}
    order = [group for group in result.manifest.get("group_order", ()) if group in known]
    return order + sorted(known - set(order))


def feature_sets(result: AnalysisResult) -> list[str]:
    """Feature sets of the failure predictor that have a value."""
    usual = ("confidence", "flips", "maps", "all", "confidence_and_all")
    found = {row.method for row in rows(result, "failure") if row.measure == "accuracy"}
    return [name for name in usual if name in found] + sorted(found - set(usual))


def curves(result: AnalysisResult) -> dict[str, dict[str, Curve]]:
    """Curves of the failure predictor by feature set and name ("roc", "risk_coverage", "calibration")."""
    found: dict[str, dict[str, Curve]] = {}
    for key, curve in result.curves.items():
        row, _ = keys.parse(key)
        if row.domain == "failure":
            found.setdefault(row.method, {})[row.measure] = curve
    return found


def risk_coverage(result: AnalysisResult) -> dict[str, Curve]:
    """Soft risk by coverage of each score of selective prediction, with its interval."""
    found = {
        keys.parse(key)[0].method: one for key, one in result.curves.items() if key.startswith("selective/")
    }
    return {name: found[name] for name in sorted(found)}


def deletion_curves(result: AnalysisResult, domain: Domain) -> dict[str, dict[str, Curve]]:
    """Mean curves of one domain by measure ("deletion_patch", "insertion_blur", ...) and method."""
    found: dict[str, dict[str, Curve]] = {}
    for key, curve in result.curves.items():
        row, _ = keys.parse(key)
        family, _, measure = row.measure.partition("/")
        if (row.domain, family) == (domain, "faithfulness"):
            found.setdefault(measure, {})[row.method] = curve
    return found


def types(result: AnalysisResult, kind: str) -> list[str]:
    """Types of one kind ("answer_type" or "question_type"), sorted by number of questions, largest first."""
    counts = count_types(result, kind)
    names = [row.group for row in rows(result, "accuracy") if row.measure == kind]
    return sorted(names, key=lambda name: (-counts.get(name, 0), name))


def count_types(result: AnalysisResult, kind: str) -> dict[str, int]:
    """Number of analysed questions with known answers by type."""
    first = [records[0] for records in questions(result).values()]
    return Counter(str(record[kind]) for record in first if known(record.get("accuracy")))


def questions(result: AnalysisResult) -> dict[int, list[Record]]:
    """Records by question id; each question has one record for each method."""
    found: dict[int, list[Record]] = {}
    for record in result.records:
        found.setdefault(int(record["question_id"]), []).append(record)
    return found


def question_id(record: Mapping[str, Any]) -> str:
    """Id of a question as its questions file has it, which may be a text."""
    return str(record.get("question_id_text") or record["question_id"])


def of_question(result: AnalysisResult, question: int) -> list[Record]:
    """The records of one question.

    Raises:
        KeyError: the analysis has no such question.
    """
    found = [record for record in result.records if record["question_id"] == question]
    if not found:
        raise KeyError(question)
    return found


def of_method(records: list[Record], domain: str, method: str) -> Record:
    """The record of one method among those of a question; empty if there is none."""
    return next((one for one in records if one["domain"] == domain and one["method"] == method), {})


def image_path(result: AnalysisResult, record: Record) -> str:
    """Path of a record's image file, which lies under the manifest's image root; empty if unknown."""
    file = record.get("image_file") or ""
    return str(Path(result.manifest.get("image_root") or "", file)) if file else ""


def known(value: Any) -> bool:
    """Whether a cell of a record is defined: neither null nor NaN."""
    return value is not None and value == value
