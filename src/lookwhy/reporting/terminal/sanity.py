"""The sanity card for the terminal: do maps change when parts of the model become random?"""

from __future__ import annotations

from rich.table import Table
from rich.text import Text

from lookwhy.reporting import sanity, style
from lookwhy.reporting.numbers import NOTHING, number
from lookwhy.reporting.terminal.cells import QUIET, new_table
from lookwhy.types import AnalysisResult


def sanity_table(result: AnalysisResult) -> Table:
    """Similarity of each method's maps with those of random models; no row without a card."""
    names = sanity.methods(result)
    lines = [sanity.line(result, name) for name in names]
    settings = (result.manifest.get("plan") or {}).get("sanity") or {}
    draws = f" of {settings['draws']} random models each" if "draws" in settings else ""
    note = (
        "Rank correlation of magnitudes, with 95% intervals over draws below it, of signed values, and SSIM, "
        f"between the maps of the trained model and those{draws}. 1: the maps do not change, so they do not "
        "show what was trained. Agreement: rank correlation with the annotators of the random models' maps. "
        "Two random models, another question and another image: how alike such maps are anyway. "
        f"{' '.join(f'{one.sign} {one.words}.' for one in sanity.LIGHTS.values())}"
    )
    table = new_table("Sanity card: do the maps notice what was trained?", "\n".join([*lines, note]))
    table.padding = (0, 0, 0, 0)
    table.add_column("\nMethod", min_width=15, max_width=19)
    table.add_column("\nMeasure", min_width=13)
    shown = [
        one
        for one in sanity.SHOWN
        if any(f"{name}/sanity/{one}/" in key for key in result.summary for name in names)
    ]
    for one in shown:
        table.add_column(sanity.SHOWN[one], justify="right", no_wrap=True)
    for name in names:
        table.add_section()
        for measure, text in sanity.MEASURES.items():
            keys = {one: f"{name}/sanity/{one}/{measure}" for one in shown}
            found = [one for one in shown if keys[one] in result.summary]
            if not found or (measure == "spearman" and _is_unsigned(result, name, found)):
                continue
            is_first = measure == "spearman_magnitude"
            head = _head(result, name) if is_first else Text()
            own = number(result, f"{name}/sanity/trained/rank_correlation", "{:.2f}")
            label = f"{text}\n(trained: {own})" if measure == "rank_correlation" and own != NOTHING else text
            table.add_row(head, label, *(_cell(result, keys[one], is_first) for one in shown))
    return table


def _head(result: AnalysisResult, name: str) -> Text:
    domain, _, method = name.partition("/")
    light = sanity.light(result, name)
    text = Text(f"{light.sign} " if light else "", style=light.colour if light else "")
    text.append(style.method_name(method), style="")
    return text.append("\n  words", style=QUIET) if domain == "question" else text


def _is_unsigned(result: AnalysisResult, name: str, parts: list[str]) -> bool:
    """Whether a method's maps are magnitudes, so that both correlations are one."""
    signed, magnitudes = (
        [result.summary.get(f"{name}/sanity/{one}/{measure}") for one in parts]
        for measure in ("spearman", "spearman_magnitude")
    )
    return signed == magnitudes


def _cell(result: AnalysisResult, key: str, has_interval: bool) -> Text:
    text = Text(number(result, key, "{:.2f}"))
    ends = [number(result, f"{key}/{end}", "{:.2f}") for end in ("ci_low", "ci_high")]
    if has_interval and NOTHING not in ends:
        text.append("\n" + "–".join(end.replace("0.", ".", 1) for end in ends), style=QUIET)
    return text
