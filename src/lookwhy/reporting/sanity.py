"""The sanity card for the terminal and the page: its rows, and a light and a line for each method."""

from __future__ import annotations

from typing import NamedTuple

from lookwhy.reporting import style
from lookwhy.reporting.numbers import NOTHING, number
from lookwhy.types import AnalysisResult

BARELY, PARTLY = 0.7, 0.4
"""From which similarity on a method barely notices, or notices in part, that the head is random."""
TITLE = "Sanity card: do the maps notice what was trained?"
SHOWN = {
    "classifier": "Random classifier",
    "head": "Random head",
    "network": "Random network",
    "both": "Both random",
    "two_random": "Two random models",
    "other_question": "Another question",
    "other_image": "Another image",
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


class CardRow(NamedTuple):
    """One measure of one method; `cells` holds a value, and its interval or nothing, for each column."""

    name: str
    measure: str
    cells: list[tuple[str, str]]


def columns(result: AnalysisResult) -> list[str]:
    """Comparisons that have a value, in the order of `SHOWN`."""
    names = methods(result)
    return [
        one
        for one in SHOWN
        if any(f"{name}/sanity/{one}/{measure}" in result.summary for name in names for measure in MEASURES)
    ]


def card_rows(result: AnalysisResult) -> list[CardRow]:
    """Rows of the card: those of a method follow each other, magnitudes first."""
    found = []
    shown = columns(result)
    for name in methods(result):
        keys = {measure: [f"{name}/sanity/{one}/{measure}" for one in shown] for measure in MEASURES}
        values = {measure: [result.summary.get(key) for key in of] for measure, of in keys.items()}
        for measure, text in MEASURES.items():
            # The maps of some methods are magnitudes.
            is_double = measure == "spearman" and values[measure] == values["spearman_magnitude"]
            if is_double or not any(value is not None for value in values[measure]):
                continue
            own = number(result, f"{name}/sanity/trained/rank_correlation", "{:.2f}")
            label = f"{text} (trained: {own})" if measure == "rank_correlation" and own != NOTHING else text
            cells = [
                (number(result, key, "{:.2f}"), _ends(result, key) if measure == "spearman_magnitude" else "")
                for key in keys[measure]
            ]
            found.append(CardRow(name, label, cells))
    return found


def _ends(result: AnalysisResult, key: str) -> str:
    ends = [number(result, f"{key}/{end}", "{:.2f}") for end in ("ci_low", "ci_high")]
    return "" if NOTHING in ends else "–".join(end.replace("0.", ".", 1) for end in ends)


def note(result: AnalysisResult) -> str:
    """How the card was measured."""
    settings = (result.manifest.get("plan") or {}).get("sanity") or {}
    draws = f" of {settings['draws']} random models each" if "draws" in settings else ""
    most = f", for {settings['questions']} questions" if settings.get("questions") else ""
    has_annotators = any(row.measure.startswith("agreement") for row in card_rows(result))
    return (
        "Rank correlation of magnitudes with its 95% interval over draws, of signed values, and SSIM, "
        f"between the maps of the trained model and those{draws}{most}. 1: the maps do not change, so "
        "they do not show what was trained. Two random models, another question, another image: how alike "
        "such maps are anyway. eMPRT: rise of a map's entropy when the whole model becomes random. "
        + ("Agreement: with the annotators, of the random models' maps. " if has_annotators else "")
        + " ".join(f"{one.sign} {one.words}." for one in LIGHTS.values())
    )


def light(result: AnalysisResult, name: str) -> Light | None:
    """The light of a method "image/occlusion"; None without a card, or where no head was random."""
    value = result.summary.get(f"{name}/sanity/head/spearman_magnitude")
    if value is None:
        return None
    return LIGHTS["barely" if value >= BARELY else "partly" if value >= PARTLY else "clearly"]


def by_light(result: AnalysisResult) -> list[str]:
    """The methods of each light in words: "● barely notices the trained head: Occlusion"."""
    named: dict[Light, list[str]] = {one: [] for one in LIGHTS.values()}
    for name in methods(result):
        if found := light(result, name):
            named[found].append(method_of(name))
    return [f"{one.sign} {one.words}: {', '.join(names)}" for one, names in named.items() if names]


def lines(result: AnalysisResult) -> list[str]:
    """One line of plain language about each method with a light, see `line`."""
    return [found for name in methods(result) if (found := line(result, name))]


def line(result: AnalysisResult, name: str) -> str:
    """One line of plain language about a method with a light."""
    found, get = light(result, name), result.summary.get
    if found is None:
        return ""
    key = f"{name}/sanity/head/spearman_magnitude"
    low, high = get(f"{key}/ci_low"), get(f"{key}/ci_high")
    ends = f" [{low:.2f}, {high:.2f}]" if low is not None and high is not None else ""
    two = get(f"{name}/sanity/two_random/spearman_magnitude")
    beside = f"; two random models: {two:.2f}" if two is not None else ""
    if (rise := get(f"{name}/sanity/emprt")) is not None:
        beside += f"; eMPRT {rise:+.2f}"
    return (
        f"{method_of(name)} {found.words}: with a random one its maps correlate {get(key):.2f}{ends} with "
        f"its own{beside}."
    )


def method_of(name: str) -> str:
    """Name of a method "question/word_drop" in words: "Word drop (words)"."""
    domain, _, method = name.partition("/")
    return f"{style.method_name(method)}{' (words)' if domain == 'question' else ''}"
