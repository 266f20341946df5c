"""P(word is the most important of its question | part of speech) of some questions, from the records."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from jaxtyping import Int64

from lookwhy.analysis.part_of_speech import FEWEST_WORDS
from lookwhy.analysis.statistics import Estimate, clustered_share
from lookwhy.types import AnalysisResult

NOTHING = Estimate(float("nan"), float("nan"), float("nan"), 0, 0)


def words_measured(
    result: AnalysisResult, ids: Sequence[int], images: Int64[np.ndarray, " N"]
) -> dict[str, Callable[[Int64[np.ndarray, " _"]], Estimate]]:
    """Function from rows to the share of a part of speech, by `question/<method>/most_important/<group>`.

    It gives `NOTHING` where fewer than `FEWEST_WORDS` words are behind it. Empty for analyses of versions
    that stored no tags.

    Args:
        result: an analysis with its records.
        ids: ids of the questions, in the order of the rows.
        images: image of each question.
    """
    groups: Mapping[str, Sequence[str]] = result.manifest.get("tag_groups") or {}
    by_method: dict[str, dict[int, Mapping[str, Any]]] = {}
    for record in result.records:
        if record["domain"] == "question" and record.get("top_tag") and record.get("tags") is not None:
            by_method.setdefault(str(record["method"]), {})[int(record["question_id"])] = record
    return {
        f"question/{method}/most_important/{group}": partial(
            _share, [_hits(records.get(one), members) for one in ids], images
        )
        for method, records in by_method.items()
        for group, members in groups.items()
    }


def _hits(record: Mapping[str, Any] | None, members: Sequence[str]) -> tuple[int, int]:
    """How often a word of these tags was the most important one, 0 or 1, and the number of such words."""
    if record is None:
        return 0, 0
    return int(record["top_tag"] in members), sum(tag in members for tag in record["tags"])


def _share(
    hits: Sequence[tuple[int, int]], images: Int64[np.ndarray, " N"], rows: Int64[np.ndarray, " _"]
) -> Estimate:
    won, words = np.array([hits[row] for row in rows.tolist()], np.int64).reshape(-1, 2).T
    if words.sum() < FEWEST_WORDS:
        return NOTHING
    ends = np.cumsum(words)
    values = np.zeros(int(ends[-1]))
    values[ends[won > 0] - 1] = 1.0
    return clustered_share(values, np.repeat(images[rows], words))
