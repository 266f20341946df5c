"""Facts that a reader must know before quoting a number of an analysis: at most five lines of plain words."""

from __future__ import annotations

from collections import Counter

from lookwhy.reporting import reading, sanity, style
from lookwhy.reporting.numbers import few_images
from lookwhy.reporting.paired import is_significant
from lookwhy.types import AnalysisResult

TITLE = "Before quoting a number"
MOSTLY = 0.5
"""Share of the questions from which on one answer is most of them."""


def cautions(result: AnalysisResult) -> list[str]:
    """The lines, the gravest first; empty if there is nothing to say."""
    found = (_data(result), _ignored(result), _centre(result), _one_answer(result), _made_with(result))
    return [line for line in found if line]


def _data(result: AnalysisResult) -> str:
    """Too few images, and questions without annotators."""
    total = len(result.question_ids) or len(reading.questions(result))
    excluded = result.manifest.get("excluded") or {}
    missing = excluded.get("no annotator map", 0)
    annotators = ""
    if not result.human.shape[1] and not any("rank_correlation" in key for key in result.summary):
        annotators = "No annotator maps: nothing here says whether the model looks where people look."
    elif missing:
        annotators = f"{missing} of {total} questions have no annotator map, and no part in the agreement."
    return " ".join(filter(None, [few_images(result), annotators]))


def _ignored(result: AnalysisResult) -> str:
    barely = [
        f"{sanity.method_of(name)} ({result.summary[f'{name}/sanity/head/spearman_magnitude']:.2f})"
        for name in sanity.methods(result)
        if sanity.light(result, name) == sanity.LIGHTS["barely"]
    ]
    if not barely:
        return ""
    return (
        f"With a random head the maps of {_listed(barely)} stay nearly the same (in brackets: their rank "
        "correlation with those of the trained head), so they say little about what was trained."
    )


def _centre(result: AnalysisResult) -> str:
    rows = [
        row
        for row in reading.rows(result, "paired")
        if (row.group, row.measure) == ("centre_prior", "rank_correlation") and row.value is not None
    ]
    no_better = [row for row in rows if not (is_significant(row) and (row.value or 0) > 0)]
    if not no_better:
        return ""
    shown = [f"{style.method_name(row.method)} ({row.value:+.3f})" for row in no_better]
    who = style.annotators(result.manifest).lower()
    return (
        f"The same map for every question, the centre prior, agrees with the {who} as well as, or better "
        f"than, {_listed(shown)} (in brackets: method minus centre prior)."
    )


def _one_answer(result: AnalysisResult) -> str:
    truths = [
        str(rows[0]["ground_truth"]) for rows in reading.questions(result).values() if rows[0]["ground_truth"]
    ]
    if not truths:
        return ""
    answer, count = Counter(truths).most_common(1)[0]
    if count < MOSTLY * len(truths):
        return ""
    shown = f"{count} of {len(truths)} questions"
    return f"{shown} have the same true answer, “{answer}”: a blind guess is often right."


def _made_with(result: AnalysisResult) -> str:
    """TF32 and another tagger than NLTK's."""
    parts = []
    if (result.manifest.get("training") or {}).get("tf32"):
        parts.append(
            "The training multiplied in TF32 (10-bit mantissas): without it, the weights differ a little."
        )
    tagger = str(result.manifest.get("tagger") or "")
    if tagger and "NLTK" not in tagger and reading.words(result):
        parts.append(
            f"Words are tagged by {tagger}, not by NLTK's tagger; the two agree on about 94% of the tags."
        )
    return " ".join(parts)


def _listed(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
