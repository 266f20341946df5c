"""Slices of an analysis for the terminal and the page: their names, and the mark of values from too few."""

from __future__ import annotations

FEW = "†"
"""Mark of a value that too few questions are behind; see `lookwhy.analysis.slices.FEWEST_QUESTIONS`."""
WAYS = {
    "answer_type": "Answer type",
    "question_type": "Question type",
    "outcome": "Right or wrong",
    "confidence": "Confidence of the answer",
    "region": "Size of the relevant region",
}
"""Name of each way of slicing."""
