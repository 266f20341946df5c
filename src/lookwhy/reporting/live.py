"""The live page: its frame with what a run can be asked, and explanations as the page reads them."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from html import escape
from pathlib import Path

from PIL import Image

from lookwhy import __version__
from lookwhy.analysis.explain import Explainer
from lookwhy.analysis.explanation import Answer, Change, Explanation
from lookwhy.data.uploads import MAX_BYTES
from lookwhy.reporting import style
from lookwhy.reporting.figures.explanation import Json, nested, number
from lookwhy.reporting.page.numbers import named
from lookwhy.reporting.page.parts import colour_table, fill_live_page, json_block
from lookwhy.reporting.page.pictures import LONGEST_SIDE, small_jpeg


@dataclass(frozen=True)
class Example:
    """A question of the run's own data, to start with."""

    question: str
    image: Path


def live_page(explainer: Explainer, examples: list[Example]) -> str:
    """The page, which then asks the server it came from."""
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
    inside_run = run.path.resolve().parent.name == "checkpoints"
    name = run.path.resolve().parent.parent.name if inside_run else run.path.stem
    note = str(run.data.get("note") or "")
    filled = {
        "run": escape(
            f"{type(run.head).__name__} of {name}, "
            f"{style.epoch_name(run.epoch)}; {len(run.vocabulary)} words, {len(run.answers)} answers"
        ),
        "notes": f'<p class="note">{escape(note)}</p>' if note else "",
        "version": escape(__version__),
        "blocks": json_block("report", content),
    }
    return fill_live_page(filled)


def looked_at(key: str, rgb: Image.Image) -> Json:
    """An image that the server has read, as small as the page shows it."""
    shown = _within_reason(rgb)
    if max(shown.size) > LONGEST_SIDE:
        kind, content = "jpeg", small_jpeg(shown)
    else:
        # As it is: enlarged, the traces that JPEG leaves would look like the picture's own.
        kind, buffer = "png", io.BytesIO()
        shown.save(buffer, "PNG")
        content = buffer.getvalue()
    picture = f"data:image/{kind};base64,{base64.b64encode(content).decode('ascii')}"
    return {"image": key, "width": rgb.width, "height": rgb.height, "picture": picture}


def _within_reason(rgb: Image.Image) -> Image.Image:
    """A very long or tall image squeezed to 2:1, as in the strips: the network squeezes it, too."""
    longer = max(rgb.size)
    if 2 * min(rgb.size) >= longer:
        return rgb
    width, height = (max(side, longer // 2) for side in rgb.size)
    most = max(width, height) / (2 * LONGEST_SIDE)
    size = (round(width / most), round(height / most)) if most > 1 else (width, height)
    return rgb.resize(size, Image.Resampling.BILINEAR)


def explained(explanation: Explanation) -> Json:
    """An explanation as the page reads it; what is undefined is null."""
    return {
        "question": explanation.question,
        "words": list(explanation.words),
        "known": list(explanation.known),
        "answers": _answers(explanation.answers),
        "maps": [
            {
                "domain": one.domain,
                "method": one.method,
                "signed": one.signed,
                "flips": one.flips,
                "values": nested(one.values.reshape(-1)),
            }
            for one in explanation.maps
        ],
        "notes": list(explanation.notes),
    }


def changed(change: Change) -> Json:
    """What became of the answers."""
    probabilities = [number(one) for one in change.probabilities]
    return {"answers": _answers(change.answers), "probabilities": probabilities}


def _answers(answers: tuple[Answer, ...]) -> list[Json]:
    return [
        {"text": one.text, "probability": number(one.probability), "id": one.answer_id} for one in answers
    ]
