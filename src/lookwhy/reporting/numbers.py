"""Numbers of an analysis as text, the same in the terminal and on the page, and the numbers of the paper."""

from __future__ import annotations

from math import ceil

from lookwhy.analysis.failure import EXCLUDED
from lookwhy.analysis.part_of_speech import FEWEST_WORDS, LEVEL
from lookwhy.analysis.statistics import FEWEST_IMAGES
from lookwhy.reporting import reading, style
from lookwhy.types import AnalysisResult

PAPER = {
    "random": "0.00007", "occlusion": "0.07164", "guided_backprop": "0.12277", "attention": "-0.08836",
    "human": "0.62289",
}  # fmt: skip
"""Rank correlations of Table 1 of Goyal et al. 2016: VQA v1 validation, VQA-HAT, human annotators.

The number for attention is the one that the paper quotes for a stacked attention network; the authors of
VQA-HAT published about +0.25 for such a model (Das et al. 2016)."""
PAPER_SOURCE = "Goyal et al. 2016, VQA v1 + VQA-HAT"
PAPER_FAILURE = "72%"
"""Accuracy of predicting success or failure, section 4.2 of the same paper."""
NOTHING = "–"
MARK = "*"
MACRO_COLUMNS = {"Rank correlation": "rank_correlation", "Question-specific": "specificity"}
"""Measures whose mean over images is shown, by column."""
MACRO_TITLE = "Mean over images"
MACRO_NOTE = (
    "Each image counts once, whatever the number of its questions: mean over images of the mean over the "
    "image's questions, with 95% t intervals over images."
)


def table_rows(result: AnalysisResult) -> list[str]:
    """Methods and baselines that were compared with annotators, in the order of the table."""
    measured = {row.method for row in reading.rows(result, "image") if row.measure == "rank_correlation"}
    order = ["random", "centre_prior", *reading.image_methods(result), "human"]
    return [name for name in order if name in measured]


def number(result: AnalysisResult, key: str, form: str = "{:.3f}") -> str:
    """A scalar as text; a dash if it is undefined."""
    value = result.summary.get(key)
    return NOTHING if value is None else as_text(value, form)


def as_text(value: float, form: str) -> str:
    """A value as text; a tiny one is shown as zero, without its sign.

    Example:
        >>> as_text(-0.0001, "{:.3f}")
        '0.000'
    """
    text = form.format(value)
    return text.lstrip("+-") if not text.strip("+-0.%") else text


def table_cells(result: AnalysisResult, method: str) -> dict[str, tuple[str, str]]:
    """Cells of a row of Table 1 by column: the text, and the small text below it."""

    def with_interval(measure: str) -> tuple[str, str]:
        key = f"image/{method}/{measure}"
        ends = [number(result, f"{key}/{end}") for end in ("ci_low", "ci_high")]
        return number(result, key), "" if NOTHING in ends else f"[{', '.join(ends)}]"

    def with_count(measure: str) -> tuple[str, str]:
        key = f"image/{method}/{measure}"
        differs = result.summary.get(f"{key}/n") not in (None, n)
        return number(result, key), f"n {number(result, f'{key}/n', '{:.0f}')}" if differs else ""

    key = f"image/{method}/rank_correlation"
    n, undefined = result.summary.get(f"{key}/n"), result.summary.get(f"{key}/n_undefined")
    counts = number(result, f"{key}/n", "{:.0f}") + (f" ({undefined:.0f})" if undefined else "")
    return {
        "Rank correlation": with_interval("rank_correlation"),
        "Mean map": with_count("mean_map"),
        "n (undefined)": (counts, ""),
        "Other question": with_count("other_question"),
        "Other image": with_count("other_image"),
        "Question-specific": with_interval("specificity"),
        "Given centre": with_count("partial_rank_correlation"),
        "Paper": (PAPER.get(method, NOTHING), ""),
    }


def macro_cells(result: AnalysisResult, method: str) -> dict[str, tuple[str, str]]:
    """Means over images instead of questions, each with its interval below; see `has_macro`."""
    found = {}
    for name, measure in MACRO_COLUMNS.items():
        key = f"image/{method}/{measure}/macro"
        ends = [number(result, f"{key}/{end}") for end in ("ci_low", "ci_high")]
        found[name] = (number(result, key), "" if NOTHING in ends else f"[{', '.join(ends)}]")
    return found


def has_macro(result: AnalysisResult) -> bool:
    """Whether a mean over images differs from that over questions: images have unequally many questions."""
    keys = [f"image/{one}/{measure}" for one in table_rows(result) for measure in MACRO_COLUMNS.values()]
    pairs = [(number(result, key), number(result, f"{key}/macro")) for key in keys]
    return any(one != other for one, other in pairs if other != NOTHING)


def few_images(result: AnalysisResult) -> str:
    """Warning of an analysis of fewer than `FEWEST_IMAGES` images; else empty."""
    if not reading.has_few_images(result):
        return ""
    images = reading.counted_images(result)
    return (
        f"Only {images} image{'' if images == 1 else 's'}: the intervals are rough, and nothing is marked "
        f"below {FEWEST_IMAGES} images."
    )


def words_note(result: AnalysisResult) -> str:
    """Note below P(most important | part of speech): its levels, its star, its tagger."""
    measured = reading.words(result)
    marks = (result.manifest.get("plan") or {}).get("punctuation")
    parts = ["By chance: each word of a question is equally likely."]
    if any(row.expected_by_place is not None for row in measured):
        parts.append(
            "By place: if only the place of a word in its question decided, as in the questions of the same "
            "length about other images."
        )
    if any(row.p_value is not None for row in measured):
        parts.append(
            f"{MARK}: on at least {FEWEST_IMAGES} images, both the interval and a "
            f"permutation within questions exclude chance (p at most {LEVEL:g}; all questions of an image "
            "move together; uncorrected)."
        )
    else:
        parts.append("No star: an analysis of an earlier version has no test.")
    parts.append(few_words(result))
    if marks is not None:
        parts.append(f"Punctuation marks {'count as words' if marks else 'are left out'}.")
    tagger = result.manifest.get("tagger") or "an unknown tagger"
    return " ".join(filter(None, [*parts, f"Tagged by {tagger}.", few_images(result)]))


def few_words(result: AnalysisResult) -> str:
    """Parts of speech that are left out, and how many questions would do; empty if none is."""
    counts, questions = reading.few_words(result), len(reading.questions(result))
    if not counts:
        return ""
    needed = [
        f"{style.in_words(group).lower()} {count}"
        + (f" (about {ceil(questions * FEWEST_WORDS / count):,} questions would do)" if questions else "")
        for group, count in counts.items()
    ]
    return f"Left out, with fewer than {FEWEST_WORDS} words: {', '.join(needed)}."


def no_words(result: AnalysisResult) -> str:
    """Reason why no part of speech is shown."""
    return few_words(result) or "No part of speech has a value in this analysis."


def table_title(result: AnalysisResult) -> str:
    """Title of Table 1 with its epoch."""
    epoch = result.manifest.get("epoch")
    named = "" if epoch is None else f", {style.epoch_name(epoch)}"
    return f"Agreement with {style.annotators(result.manifest).lower()}{named}"


def table_note(result: AnalysisResult) -> str:
    """Note below Table 1: how its numbers were measured, and what was left out with its reasons."""
    grid = result.manifest.get("grid")
    excluded = (result.manifest.get("excluded") or {}).items()
    left_out = [(reason, count) for reason, count in excluded if not reason.startswith(EXCLUDED)]
    parts = [
        f"Mean Spearman rank correlation of {reading.compared(result)}"
        f"{f' on a {grid} x {grid} grid' if grid else ''}, 95% intervals in brackets. "
        "Rank correlation: with each annotator's map, averaged; mean map: with the mean of them. "
        "Other question, other image: the map of another question on the same image, of another image. "
        "Question-specific: against the own question's annotators minus another question's on the same "
        "image; 0 for a model that does not listen. "
        "Given centre: partial correlation, the centre prior held fixed. "
        f"Paper: {PAPER_SOURCE}, human annotators: other data than here unless it is theirs.",
        explained_note(result),
        _annotators_note(result),
        few_images(result),
        f"Left out: {'; '.join(f'{count} × {reason}' for reason, count in left_out)}." if left_out else "",
        str(result.manifest.get("data_note") or ""),
    ]
    return " ".join(part for part in parts if part)


def _annotators_note(result: AnalysisResult) -> str:
    """Note about the annotators' row; empty without it."""
    ceiling = result.summary.get("image/human/noise_ceiling")
    if ceiling is None:
        return ""
    return (
        f"Noise ceiling, the root of the annotators' agreement: {ceiling:.3f}. The annotators of another "
        "question need not be the same people."
    )


def explained_note(result: AnalysisResult) -> str:
    """Caption that names the explained answer; empty where it is the predicted one."""
    plan = result.manifest.get("plan") or {}
    if plan.get("target") == "truth":
        return "Explained: the probability of the true answer, or of the predicted one if the model lacks it."
    if plan.get("target") == "contrast":
        other = f"“{plan['against']}”" if plan.get("against") else "the second most probable answer"
        return f"Explained: the probability of the predicted answer minus that of {other}."
    return ""
