"""What the report page's charts draw, as plain JSON values: read from the results, nothing computed."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from lookwhy.reporting import numbers, reading, style
from lookwhy.types import AnalysisResult

Json = dict[str, Any]

MEASURES = ("rank_correlation", "mean_map", "specificity")
CURVES = ("roc", "risk_coverage", "calibration")


def numbers_of_run(name: str, epochs: dict[int, AnalysisResult]) -> Json:
    """Every scalar of a run that a chart of the page shows, by epoch.

    Args:
        name: of the run.
        epochs: its analyses; records, maps and curves are needed of the last one alone.
    """
    last = epochs[max(epochs)]
    return {
        "name": name,
        "epochs": sorted(epochs),
        "annotators": style.annotators(last.manifest).lower(),
        "tagger": str(last.manifest.get("tagger") or "an unknown tagger"),
        "agreement": _agreement(epochs),
        "levels": {
            measure: {
                method: short(value)
                for method in style.BASELINES
                if (value := last.summary.get(f"image/{method}/{measure}")) is not None
            }
            for measure in MEASURES
        },
        "words": {epoch: words for epoch, result in epochs.items() if (words := _words(result))},
        "accuracy": {epoch: found for epoch, result in epochs.items() if (found := _accuracy(result))},
        "types": {kind: reading.types(last, kind) for kind in ("answer_type", "question_type")},
        "counts": {kind: reading.count_types(last, kind) for kind in ("answer_type", "question_type")},
        "failure": {epoch: found for epoch, result in epochs.items() if (found := _failure(result))},
    }


def curves_of(epochs: dict[int, AnalysisResult]) -> Json:
    """The failure predictor's curves by epoch, feature set and name; empty where none was stored."""
    found: Json = {}
    for epoch, result in epochs.items():
        for key, curve in result.curves.items():
            _, feature_set, name = key.split("/")
            rounded = {axis: [short(value, 3) for value in values] for axis, values in curve.items()}
            found.setdefault(str(epoch), {}).setdefault(feature_set, {})[name] = rounded
    return found


def names_and_colours(results: Iterable[AnalysisResult]) -> Json:
    """What methods, baselines, groups and feature sets are called, and the colour of each method.

    A colour is a pair for CSS's `light-dark()`.
    """
    found = list(results)
    image = sorted({method for result in found for method in reading.image_methods(result)})
    words = sorted({method for result in found for method in reading.question_methods(result)})
    groups = {group for result in found for group in reading.groups(result)}
    sets = [name for result in found for name in reading.feature_sets(result)]
    return {
        "imageMethods": named(image, style.method_colours([*image, *style.BASELINES])),
        "wordMethods": named(words, style.method_colours(words)),
        "baselines": named(list(style.BASELINES), style.method_colours([*image, *style.BASELINES])),
        "groups": {group: style.group_name(group) for group in sorted(groups)},
        "featureSets": {name: style.feature_set_name(name) for name in dict.fromkeys(sets)},
        "paperFailure": numbers.PAPER_FAILURE,
        "series": [style.light_dark(colour) for colour in style.SERIES],
    }


def short(value: float | None, digits: int = 4) -> float | None:
    """A number as short as a chart can show it; None where undefined (JSON knows no NaN)."""
    if value is None or value != value:
        return None
    return round(float(value), digits) + 0.0


def named(methods: list[str], colours: dict[str, str]) -> Json:
    """What methods are called, and the colour of each as a pair for CSS's `light-dark()`."""
    return {
        method: {"name": style.method_name(method), "colour": style.light_dark(colours[method])}
        for method in methods
    }


def _agreement(epochs: dict[int, AnalysisResult]) -> Json:
    """By measure and method: epoch, value and both ends of its interval."""
    methods = sorted({method for result in epochs.values() for method in reading.image_methods(result)})
    found: Json = {}
    for measure in MEASURES:
        for method in methods:
            key = f"image/{method}/{measure}"
            points = [
                [epoch, *_with_interval(result, key)]
                for epoch, result in sorted(epochs.items())
                if key in result.summary
            ]
            if points:
                found.setdefault(measure, {})[method] = points
    return found


def _with_interval(result: AnalysisResult, key: str) -> list[float | None]:
    return [short(result.summary.get(f"{key}{end}")) for end in ("", "/ci_low", "/ci_high")]


def _words(result: AnalysisResult) -> Json:
    """By group and question method: value, interval, what chance gives, and the number of words."""
    found: Json = {}
    for group in reading.groups(result):
        for method in reading.question_methods(result):
            key = f"question/{method}/most_important/{group}"
            if key in result.summary:
                found.setdefault(group, {})[method] = [
                    *_with_interval(result, key),
                    short(result.summary.get(f"{key}/expected")),
                    result.summary.get(f"{key}/n"),
                ]
    return found


def _accuracy(result: AnalysisResult) -> Json:
    return {
        key.removeprefix("accuracy/"): short(value)
        for key, value in result.summary.items()
        if key.startswith("accuracy/")
    }


def _failure(result: AnalysisResult) -> Json:
    return {
        name: {
            key: short(result.summary.get(f"failure/{name}/{key}"))
            for key in ("accuracy", "majority_accuracy", "auroc", "aurc", "n")
        }
        for name in reading.feature_sets(result)
    }
