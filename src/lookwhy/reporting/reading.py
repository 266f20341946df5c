"""Finding things in an analysis by name: which methods it holds, its values, the rows of a question."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lookwhy.reporting.style import BASELINES
from lookwhy.types import AnalysisResult

Record = dict[str, Any]


def image_methods(result: AnalysisResult) -> list[str]:
    """Attribution methods for image regions, by name; baselines are none."""
    named = {key.split("/")[1] for key in result.summary if key.startswith("image/")}
    drawn = {name.removeprefix("image/") for name in result.maps if name.startswith("image/")}
    return sorted((named | drawn) - set(BASELINES))


def question_methods(result: AnalysisResult) -> list[str]:
    """Attribution methods for words, by name."""
    named = {key.split("/")[1] for key in result.summary if key.startswith("question/")}
    drawn = {name.removeprefix("question/") for name in result.maps if name.startswith("question/")}
    return sorted(named | drawn)


def groups(result: AnalysisResult) -> list[str]:
    """Part-of-speech groups for which there is a value, most frequent in the data set first."""
    known = {
        parts[3]
        for key in result.summary
        if len(parts := key.split("/")) == 4 and parts[0] == "question" and parts[2] == "most_important"
    }
    order = [group for group in result.manifest.get("group_order", ()) if group in known]
    return order + sorted(known - set(order))


def feature_sets(result: AnalysisResult) -> list[str]:
    """Feature sets of the failure predictor that have a value."""
    usual = ("confidence", "flips", "maps", "all")
    found = {
        key.split("/")[1]
        for key in result.summary
        if key.startswith("failure/") and key.endswith("/accuracy")
    }
    return [name for name in usual if name in found] + sorted(found - set(usual))


def types(result: AnalysisResult, kind: str) -> list[str]:
    """Answer types or question types (`kind` as in the keys), most questions first where counted."""
    prefix = f"accuracy/{kind}/"
    counts = count_types(result, kind)
    names = [key.removeprefix(prefix) for key in result.summary if key.startswith(prefix)]
    return sorted(names, key=lambda name: (-counts.get(name, 0), name))


def count_types(result: AnalysisResult, kind: str) -> dict[str, int]:
    """How many analysed questions with known answers each type has."""
    counts: dict[str, int] = {}
    for rows in questions(result).values():
        accuracy = rows[0].get("accuracy")
        if accuracy is not None and accuracy == accuracy:
            counts[str(rows[0][kind])] = counts.get(str(rows[0][kind]), 0) + 1
    return counts


def questions(result: AnalysisResult) -> dict[int, list[Record]]:
    """The records of each question, one a method."""
    found: dict[int, list[Record]] = {}
    for record in result.records:
        found.setdefault(int(record["question_id"]), []).append(record)
    return found


def of_method(rows: list[Record], domain: str, method: str) -> Record:
    """The record of one method among those of a question; empty if there is none."""
    return next((row for row in rows if row["domain"] == domain and row["method"] == method), {})


def image_path(result: AnalysisResult, row: Record) -> str:
    """Path of the image file of a record: records name it under the manifest's image root."""
    file = row.get("image_file") or ""
    return str(Path(result.manifest.get("image_root") or "", file)) if file else ""


def known(value: Any) -> bool:
    """Whether a cell of a record says something: neither null nor NaN."""
    return value is not None and value == value


def excluded_note(result: AnalysisResult) -> str:
    """What was left out and why, in one line; empty if nothing was."""
    left_out = result.manifest.get("excluded") or {}
    return "; ".join(f"{count} × {reason}" for reason, count in left_out.items())
