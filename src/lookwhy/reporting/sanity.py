"""What the sanity card says in words: a light and a line for each method."""

from __future__ import annotations

from typing import NamedTuple

from lookwhy.reporting import style
from lookwhy.types import AnalysisResult

BARELY, PARTLY = 0.7, 0.4
"""From which similarity on a method barely notices, or notices in part, that the head is random."""
SHOWN = {
    "classifier": "Random\nclassifier",
    "head": "Random\nhead",
    "network": "Random\nnetwork",
    "both": "Both\nrandom",
    "two_random": "Two ran-\ndom models",
    "other_question": "Another\nquestion",
    "other_image": "Another\nimage",
}
"""Head of the column of each comparison."""
MEASURES = {
    "spearman_magnitude": "magnitudes",
    "spearman": "signed values",
    "ssim": "SSIM",
    "rank_correlation": "agreement",
}
"""Name of each measure in the table."""


class Light(NamedTuple):
    """How much a method notices that the head is random: a sign, a colour of the palette, and words."""

    sign: str
    colour: str
    words: str


LIGHTS = {
    "barely": Light("●", "#D55E00", "barely notices the trained head"),
    "partly": Light("◐", "#E69F00", "notices the trained head in part"),
    "clearly": Light("○", "#009E73", "changes with the trained head"),
}


def methods(result: AnalysisResult) -> list[str]:
    """Methods with a card, "image/occlusion", image methods first, each by name."""
    names = {"/".join(key.split("/")[:2]) for key in result.summary if "/sanity/" in key}
    return sorted(names)


def light(result: AnalysisResult, name: str) -> Light | None:
    """The light of a method "image/occlusion"; None without a card, or where no head was random."""
    value = result.summary.get(f"{name}/sanity/head/spearman_magnitude")
    if value is None:
        return None
    return LIGHTS["barely" if value >= BARELY else "partly" if value >= PARTLY else "clearly"]


def line(result: AnalysisResult, name: str) -> str:
    """One line of plain language about a method with a light."""
    found, get = light(result, name), result.summary.get
    if found is None:
        return ""
    key = f"{name}/sanity/head/spearman_magnitude"
    low, high = get(f"{key}/ci_low"), get(f"{key}/ci_high")
    ends = f" [{low:.2f}, {high:.2f}]" if low is not None and high is not None else ""
    domain, _, method = name.partition("/")
    of_words = " of words" if domain == "question" else ""
    two = get(f"{name}/sanity/two_random/spearman_magnitude")
    beside = f"; two random models: {two:.2f}" if two is not None else ""
    return (
        f"{style.method_name(method)}{of_words} {found.words}: with a random one its maps correlate "
        f"{get(key):.2f}{ends} with its own{beside}."
    )
