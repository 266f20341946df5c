"""The HTML of the live page: frame, styles, scripts, and the facts about the run that the scripts need."""

from __future__ import annotations

from html import escape
from pathlib import Path

from lookwhy import __version__
from lookwhy.analysis.explain import Explainer
from lookwhy.live.examples import Example
from lookwhy.live.uploads import MAX_BYTES
from lookwhy.reporting import style
from lookwhy.reporting.page.numbers import named
from lookwhy.reporting.page.parts import FOLDER as SHARED
from lookwhy.reporting.page.parts import colour_table, fill, json_block

OWN = Path(__file__).parent / "page"
STYLES = (SHARED / "page.css", OWN / "live.css")
SCRIPTS = (
    *(SHARED / f"{name}.js" for name in ("base", "heat", "theme")),
    *(OWN / f"{name}.js" for name in ("view", "server", "live")),
)


def live_page(explainer: Explainer, examples: list[Example]) -> str:
    """Return the page as one HTML document that loads nothing but the examples' images."""
    run, plan = explainer.run, explainer.plan
    image_methods = [method.name for method in plan.image_methods]
    word_methods = [method.name for method in plan.question_methods]
    content = {
        "runs": [],
        "names": {
            "imageMethods": named(image_methods, style.method_colours(image_methods)),
            "wordMethods": named(word_methods, style.method_colours(word_methods)),
        },
        "scales": {"magnitude": colour_table(style.MAGNITUDE), "signed": colour_table(style.SIGNED)},
        "grid": plan.grid,
        "patch": [round(value) for value in explainer.patch_rgb],
        "maxBytes": MAX_BYTES,
        "examples": [example.question for example in examples],
    }
    note = str(run.data.get("note") or "")
    filled = {
        "run": escape(
            f"{type(run.head).__name__} of {_run_name(run.path)}, "
            f"{style.epoch_name(run.epoch)}; {len(run.vocabulary)} words, {len(run.answers)} answers"
        ),
        "notes": f'<p class="note">{escape(note)}</p>' if note else "",
        "version": escape(__version__),
        "blocks": json_block("report", content),
    }
    return fill(OWN / "live.html", STYLES, SCRIPTS, filled)


def _run_name(checkpoint: Path) -> str:
    """Return the name of the run folder, or of the file if the checkpoint is not in a run folder."""
    path = checkpoint.resolve()
    return path.parent.parent.name if path.parent.name == "checkpoints" else checkpoint.stem
