"""Values for the charts of the report page as plain JSON, read from the results."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict
from typing import Any

from lookwhy.keys import Row
from lookwhy.reporting import measures, numbers, reading, sanity, selective, style
from lookwhy.types import AnalysisResult

Json = dict[str, Any]

AGREEMENT = ("rank_correlation", "mean_map", "specificity")
LEVELS = (*AGREEMENT, *(one.key for one in measures.IMAGE if one.is_localisation))
"""Measures whose baselines are the same at every epoch, because they do not depend on the model."""
CHANCE = "chance"
SHARES = {
    "text_share": ("T-SHAP: share of the words", "Part of the Shapley values"),
    "two_player_text_share": ("Two players: share of the question", "Part of the Shapley values"),
    "image_not_needed": ("As probable without the image", "Share of the answers"),
}
"""Title and axis of each measure of the modality."""


def numbers_of_run(name: str, epochs: dict[int, AnalysisResult]) -> Json:
    """All scalars of a run that the page's charts show, by epoch; only the last epoch needs its records."""
    last = epochs[max(epochs)]
    kinds = ("answer_type", "question_type")

    def by_epoch(read: Callable[[AnalysisResult], Json]) -> dict[int, Json]:
        return {epoch: found for epoch, result in epochs.items() if (found := read(result))}

    return {
        "name": name,
        "epochs": sorted(epochs),
        "compared": reading.compared(last),
        "annotators": style.annotators(last.manifest).lower(),
        "wordsNote": numbers.words_note(last) if reading.groups(last) else numbers.no_words(last),
        "measures": _measures(epochs) | _shares(epochs),
        "levels": _levels(last),
        "questions": _questions(last),
        "words": by_epoch(_words),
        "accuracy": by_epoch(_accuracy),
        "types": {kind: reading.types(last, kind) for kind in kinds},
        "counts": {kind: reading.count_types(last, kind) for kind in kinds},
        "failure": by_epoch(_failure),
        "lights": _lights(epochs),
        "selective": by_epoch(_selective),
        "notMeasured": selective.not_measured(last),
    }


def curves_of(epochs: dict[int, AnalysisResult]) -> Json:
    """Curves of the failure predictor by epoch, feature set and name; empty if none are stored."""
    found: Json = {}
    for epoch, result in epochs.items():
        for feature_set, curves in reading.curves(result).items():
            found.setdefault(str(epoch), {})[feature_set] = {
                name: {axis: [short(value, 3) for value in values] for axis, values in curve.items()}
                for name, curve in curves.items()
            }
    return found


def names_and_colours(results: Iterable[AnalysisResult]) -> Json:
    """Names of methods, baselines, groups and feature sets, and colours of methods."""
    found = list(results)
    image = sorted({method for result in found for method in reading.image_methods(result)})
    words = sorted({method for result in found for method in reading.question_methods(result)})
    groups = sorted({group for result in found for group in reading.groups(result)})
    sets = dict.fromkeys(name for result in found for name in reading.feature_sets(result))
    colours = style.method_colours([*image, *style.BASELINES])
    measured = {one.key for result in found for one in measures.measured(result)}
    fills = style.method_colours([*measures.FILLS])
    levels = named([*style.BASELINES], colours)
    levels[CHANCE] = {"name": "By chance: area of the masks", "colour": style.light_dark(style.MUTED)}
    return {
        "imageMethods": named(image, colours),
        "wordMethods": named(words),
        "baselines": levels,
        "measures": [asdict(one) for one in measures.IMAGE if one.key in measured],
        "shares": {key: {"name": name, "axis": axis} for key, (name, axis) in SHARES.items()},
        "fills": {
            fill: {"name": style.in_words(name), "colour": style.light_dark(fills[fill])}
            for fill, name in measures.FILLS.items()
        },
        "groups": {group: style.in_words(group) for group in groups},
        "featureSets": {name: style.in_words(name) for name in sets},
        "paperFailure": selective.PAPER_NOTE,
        "failureColumns": [_column(one) for one in selective.FAILURE],
        "selectiveTables": [[_column(one) for one in some] for some in (selective.RANKING, selective.WORTH)],
        "worth": selective.worth_note(),
        "drawnScores": list(selective.DRAWN),
        "scores": {name: style.in_words(name) for name in selective.SCORES},
        "series": [style.light_dark(colour) for colour in style.SERIES],
    }


def short(value: float | None, digits: int = 4) -> float | None:
    """A number rounded for a chart; None if it is undefined (JSON has no NaN)."""
    if value is None or value != value:
        return None
    return round(float(value), digits) + 0.0


def named(methods: list[str], colours: dict[str, str] | None = None) -> Json:
    """Name and colour of each method, by default its own; a colour is a pair for CSS's `light-dark()`."""
    colours = colours or style.method_colours(methods)
    return {
        method: {"name": style.method_name(method), "colour": style.light_dark(colours[method])}
        for method in methods
    }


def _measures(epochs: dict[int, AnalysisResult]) -> Json:
    """Points of each curve by measure and method: epoch, value, both ends of its interval.

    A baseline has a curve only where its value depends on the model: for the faithfulness.
    """
    keys = [*AGREEMENT, *(one.key for one in measures.IMAGE)]
    found: Json = {key: {} for key in keys}
    for epoch, result in sorted(epochs.items()):
        for row in reading.rows(result, "image"):
            is_level = row.method in style.BASELINES and row.measure in LEVELS
            if row.measure in found and not is_level and row.value is not None:
                found[row.measure].setdefault(row.method, []).append([epoch, *_with_interval(row)])
    return {measure: dict(sorted(curves.items())) for measure, curves in found.items() if curves}


def _shares(epochs: dict[int, AnalysisResult]) -> Json:
    """Points of the modality's curves by measure and fill."""
    found: Json = {}
    for epoch, result in sorted(epochs.items()):
        for row in reading.rows(result, "modality"):
            measure = _share(row)
            if measure and row.value is not None:
                fill = row.measure.removeprefix(measure).strip("_") or measures.first_fill(result) or "patch"
                curve = found.setdefault(f"modality/{measure}", {}).setdefault(fill, [])
                curve.append([epoch, *_with_interval(row)])
    return found


def _share(row: Row) -> str:
    return next((one for one in SHARES if row.measure.startswith(one)), "")


def _lights(epochs: dict[int, AnalysisResult]) -> Json:
    """Light of each method "image/occlusion", from the last epoch with a sanity card."""
    found: Json = {}
    for _, result in sorted(epochs.items()):
        for name in sanity.methods(result):
            if light := sanity.light(result, name):
                found[name] = light_of(light)
    return found


def light_of(light: sanity.Light) -> Json:
    """A light of the sanity card: its sign, its colour for CSS and its words."""
    return {"sign": light.sign, "colour": style.light_dark(light.colour), "words": light.words}


def _levels(result: AnalysisResult) -> Json:
    """Values of the baselines, and of chance, by measure and name."""
    rows = [row for row in reading.rows(result, "image") if row.measure in LEVELS]
    found: Json = {one: {} for one in LEVELS}
    for row in rows:
        if row.method in style.BASELINES and row.value is not None:
            found[row.measure][row.method] = short(row.value)
        if row.expected is not None:
            found[row.measure][CHANCE] = short(row.expected)
    return found


def _questions(result: AnalysisResult) -> Json:
    """Number of questions behind each measure, the largest of all methods."""
    found: Json = {}
    wanted = {*LEVELS, *(one.key for one in measures.IMAGE)}
    keyed = [(row.measure, row.n) for row in reading.rows(result, "image") if row.measure in wanted]
    keyed += [(f"modality/{_share(row)}", row.n) for row in reading.rows(result, "modality") if _share(row)]
    for key, count in keyed:
        if count is not None:
            found[key] = max(found.get(key, 0), int(count))
    return found


def _with_interval(row: Row) -> list[float | None]:
    return [short(row.value), short(row.ci_low), short(row.ci_high)]


def _words(result: AnalysisResult) -> Json:
    """By group and question method: value, interval, values by chance and place, words, and its star."""
    found: Json = {group: {} for group in reading.groups(result)}
    for row in reading.words(result):
        found[row.group][row.method] = [
            *_with_interval(row),
            short(row.expected),
            short(row.expected_by_place),
            row.n,
            reading.differs_from_chance(row),
        ]
    return found


def _accuracy(result: AnalysisResult) -> Json:
    """Accuracy by "overall", "answer_type/<type>" and "question_type/<type>"."""
    rows = reading.rows(result, "accuracy")
    return {row.key.removeprefix("accuracy/"): short(row.value) for row in rows}


def _failure(result: AnalysisResult) -> Json:
    """Measures of the failure predictor by feature set, with their intervals; null where undefined."""
    n = {row.method: row.value for row in reading.rows(result, "failure") if row.measure == "n"}
    found = _by_measure(result, "failure", reading.feature_sets(result), selective.FAILURE)
    return {name: values | {"n": n.get(name)} for name, values in found.items()}


def _selective(result: AnalysisResult) -> Json:
    """Measures of each score of selective prediction, and what they tell in words; empty without any."""
    names = selective.scores(result)
    if not names:
        return {}
    return {
        "scores": _by_measure(result, "selective", names, (*selective.RANKING, *selective.WORTH)),
        "note": selective.ranking_note(result),
        "increment": selective.increment_note(result),
    }


def _by_measure(
    result: AnalysisResult, domain: str, names: list[str], wanted: tuple[selective.Measure, ...]
) -> Json:
    """Value, interval and value by chance of each measure, by name; null where undefined."""
    rows = {(row.method, row.measure): row for row in reading.rows(result, domain)}
    empty = Row(domain)
    found: Json = {name: {} for name in names}
    for name in names:
        for one in wanted:
            row = rows.get((name, one.key), empty)
            found[name][one.key] = [short(x, 3) for x in (row.value, row.ci_low, row.ci_high, row.expected)]
    return found


def _column(measure: selective.Measure) -> Json:
    digits = {"{:.1%}": 1, "{:.0%}": 0}.get(measure.form)
    return {"key": measure.key, "head": measure.head, "percent": digits}


def bands_of(epochs: dict[int, AnalysisResult]) -> Json:
    """Soft risk by coverage with its interval, by epoch and score."""
    return {
        str(epoch): {
            name: {axis: [short(value, 3) for value in values] for axis, values in curves[name].items()}
            for name in selective.DRAWN
            if name in curves
        }
        for epoch, result in epochs.items()
        if (curves := reading.risk_coverage(result))
    }
