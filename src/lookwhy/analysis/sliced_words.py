"""P(word is the most important of its question | part of speech) of some questions, from the records."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Int64

from lookwhy.analysis.part_of_speech import FEWEST_WORDS
from lookwhy.analysis.statistics import Estimate, clustered_share
from lookwhy.types import AnalysisResult


class WordShares:
    """Shares of all parts of speech; there are none in analyses of versions that stored no tags.

    Args:
        result: an analysis with its records.
        ids: ids of the questions, in the order of the rows.
        images: image of each question.
        wanted: whether a key is measured.
    """

    def __init__(
        self,
        result: AnalysisResult,
        ids: Sequence[int],
        images: Int64[np.ndarray, " N"],
        wanted: Callable[[str], bool],
    ) -> None:
        groups: Mapping[str, Sequence[str]] = result.manifest.get("tag_groups") or {}
        by_method: dict[str, dict[int, Mapping[str, Any]]] = {}
        for record in result.records:
            if record["domain"] == "question" and record.get("top_tag") and record.get("tags") is not None:
                by_method.setdefault(str(record["method"]), {})[int(record["question_id"])] = record
        self._images = images
        self._hits = {
            key: np.array([_hits(records.get(one), members) for one in ids], np.int64)
            for method, records in by_method.items()
            for group, members in groups.items()
            if wanted(key := f"question/{method}/most_important/{group}")
        }

    def of(self, rows: Int64[np.ndarray, " _"]) -> dict[str, Estimate]:
        """Share in these questions by key, where at least `FEWEST_WORDS` words are behind it."""
        found = {}
        for key, hits in self._hits.items():
            won, words = hits[rows].T
            if words.sum() >= FEWEST_WORDS:
                values = np.zeros(int(words.sum()))
                values[np.cumsum(words)[won > 0] - 1] = 1.0
                found[key] = clustered_share(values, np.repeat(self._images[rows], words))
        return found


def _hits(record: Mapping[str, Any] | None, members: Sequence[str]) -> tuple[int, int]:
    """How often a word of these tags was the most important one, 0 or 1, and the number of such words."""
    if record is None:
        return 0, 0
    return int(record["top_tag"] in members), sum(tag in members for tag in record["tags"])
