"""Figures ("strips") of single questions: where the model looked, and which words counted.

No function uses pyplot, which would keep figures in memory.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from lookwhy.analysis.explanation import Answer, Explanation
from lookwhy.reporting import reading, sanity, style
from lookwhy.reporting.figures.boxes import caption_of, draw_boxes
from lookwhy.reporting.figures.sheet import DPI, GAP, MARGIN, PANEL, Panel, Scale, Sheet, fitting, shorten
from lookwhy.types import AnalysisResult

MAGNITUDES = Scale(style.MAGNITUDE, "nothing", "most")
ABOVE_LEAST = Scale(style.MAGNITUDE, "least", "most")
EVIDENCE = Scale(style.SIGNED, "against", "for the answer")
_SIDE = round(PANEL * DPI)
"""Longer side of a picture in pixels, the number that a panel is drawn with."""


def example_strip(
    result: AnalysisResult, question_id: int, image: UInt8[np.ndarray, "H W 3"], width: float | None = None
) -> Figure:
    """Draw one question: the image, where annotators and each method looked, and which words counted.

    Args:
        result: analysis to draw.
        question_id: id of one of its questions.
        image: the picture asked about, RGB 0-255, of any size.
        width: width in inches; None: as wide as the panels side by side.
    """
    rows = reading.of_question(result, question_id)
    place = int(np.flatnonzero(result.question_ids == question_id)[0])
    # A given width means print, which has more dots per inch and gets twice the pixels.
    picture = _fit(image, _SIDE if width is None else 2 * _SIDE)
    panels = [Panel("Image", picture)]
    looked = _mean_annotator(result, place)
    if looked is not None:
        panels.append(_map_panel(*looked, picture, signed=False))
    maps = [one for _, one in sorted(result.maps.items())]
    for one in (one for one in maps if one.domain == "image"):
        rho = reading.of_method(rows, "image", one.method).get("rho")
        undefined = "" if looked is None else "rank correlation undefined"
        # A map with evidence against the answer is compared by its magnitudes.
        rho_of = f"ρ of {reading.compared(result)}" if one.signed else "rank correlation"
        caption = f"{rho_of} {rho:.2f}" if reading.known(rho) else undefined
        values, name = one.values[place].numpy(), _name(result, "image", one.method)
        if one.box_values is None:
            panels.append(_map_panel(name, caption, values, picture, one.signed))
        else:
            found = result.boxes[place], one.box_values[place].numpy()
            panels.append(_box_panel(name, caption, *found, picture, one.signed))
    side = PANEL if width is None else fitting(width, len(panels))
    sheet = Sheet(width or _wide_enough(panels))
    _headline(sheet, rows[0], result.manifest)
    sheet.panels([replace(panel, width=side) for panel in panels], side * picture.shape[0] / picture.shape[1])
    sheet.space(0.06)
    for one in (one for one in maps if one.domain == "question"):
        name = _name(result, "question", one.method)
        _words(sheet, name, rows[0]["words"] or [], one.values[place].numpy(), one.signed)
    _light_key(sheet, result)
    sheet.text(str(result.manifest.get("data_note") or ""), style.SMALL, style.MUTED)
    return sheet.figure()


def explanation_figure(
    explanation: Explanation,
    image: UInt8[np.ndarray, "H W 3"],
    notes: Sequence[str] = (),
    card: AnalysisResult | None = None,
) -> Figure:
    """Draw one explanation: the answer, where the model looked, and which words counted.

    The image is the picture asked about, RGB 0-255, of any size; `notes` follow the explanation's own notes.
    The lights of a sanity `card` stand before the names of its methods.
    """
    picture, answers, card = _fit(image), explanation.answers, card or AnalysisResult({})
    panels = [Panel("Image", picture)]
    panels += [
        _map_panel(_name(card, "image", one.method), "", one.values, picture, one.signed)
        for one in explanation.of("image")
    ]
    sheet = Sheet(_wide_enough(panels))
    sheet.text(explanation.question, style.TITLE, weight="bold")
    sheet.space(0.03)
    if answers:
        sheet.text(f"Answered “{answers[0].text}” ({answers[0].probability:.1%})", 10.5)
    sheet.space(0.1)
    sheet.panels(panels, PANEL * picture.shape[0] / picture.shape[1])
    sheet.space(0.06)
    bars = Panel(
        "Most probable answers", lambda axes: _answer_bars(axes, answers, sheet.room), width=sheet.room
    )
    sheet.panels([bars], 0.3 * max(len(answers), 1))
    sheet.space(0.06)
    for one in explanation.of("question"):
        _words(sheet, _name(card, "question", one.method), explanation.words, one.values, one.signed)
    _light_key(sheet, card)
    for note in (*explanation.notes, *notes):
        sheet.text(note, style.SMALL, style.MUTED)
    return sheet.figure()


def _wide_enough(panels: Sequence[Panel]) -> float:
    # At most five panels side by side.
    return 2 * MARGIN + max(len(panels[:5]), 3) * (PANEL + GAP) - GAP


def blend(
    picture: UInt8[np.ndarray, "H W 3"], values: Float[np.ndarray, "G G"], signed: bool
) -> Float[np.ndarray, "H W 3"]:
    """Lay a map over a pale picture: the more important a place, the stronger its colour.

    A map of magnitudes is drawn from its least value on: in RISE's, no cell is near 0.
    """
    if not signed and np.isfinite(values).any():
        values = values - np.nanmin(values)
    size = (picture.shape[1], picture.shape[0])
    scaled = Image.fromarray(_scaled(values).astype(np.float32)).resize(size, Image.Resampling.BICUBIC)
    smooth = np.clip(np.asarray(scaled), -1.0, 1.0)
    strength = np.abs(smooth)
    colours = style.SIGNED((smooth + 1) / 2) if signed else style.MAGNITUDE(strength)
    gray = picture.astype(float) @ np.array([0.299, 0.587, 0.114]) / 255
    faded = 0.45 + 0.55 * (0.75 * gray[..., None] + 0.25 * picture / 255)
    opacity = 0.74 * strength[..., None] ** 0.8
    return np.clip((1 - opacity) * faded + opacity * colours[..., :3], 0.0, 1.0)


def _headline(sheet: Sheet, row: Mapping[str, Any], manifest: Mapping[str, Any]) -> None:
    sheet.text(row["question"] or " ".join(row["words"] or []), style.TITLE, weight="bold")
    sheet.space(0.03)
    confidence = f" ({row['confidence']:.0%} confident)" if reading.known(row["confidence"]) else ""
    said = f"Answered “{row['predicted']}”{confidence}"
    colour = style.INK
    if row["ground_truth"]:
        said += f", the true answer is “{row['ground_truth']}”"
    if reading.known(row["accuracy"]):
        said += f"; VQA accuracy {row['accuracy']:.0%}"
        colour = style.RIGHT if row["accuracy"] >= 0.5 else style.WRONG
    sheet.text(said, 10.5, colour)
    epoch = f"{style.epoch_name(manifest['epoch'])}, " if manifest.get("epoch") is not None else ""
    sheet.text(f"{epoch}question {reading.question_id(row)}", style.SMALL, style.MUTED)
    sheet.space(0.1)


def _mean_annotator(result: AnalysisResult, place: int) -> tuple[str, str, Any] | None:
    """Title, caption and mean of the annotator maps of a question; None if it has none."""
    maps = result.human[place]
    maps = maps[~np.isnan(maps).all(axis=(1, 2))] if len(maps) else maps
    if not len(maps):
        return None
    return style.annotators(result.manifest), f"mean of {len(maps)}", maps.mean(axis=0)


def _map_panel(
    title: str, caption: str, values: Any, picture: UInt8[np.ndarray, "H W 3"], signed: bool
) -> Panel:
    if not np.nan_to_num(values).any():
        caption = f"{caption}; the map is zero everywhere".removeprefix("; ")
    blended = blend(picture, np.asarray(values, float), signed)
    return Panel(title, blended, caption, EVIDENCE if signed else ABOVE_LEAST)


def _box_panel(
    title: str, caption: str, boxes: Any, values: Any, picture: UInt8[np.ndarray, "H W 3"], signed: bool
) -> Panel:
    faded = blend(picture, np.zeros((2, 2)), signed)

    def draw(axes: Axes) -> None:
        _show(axes, faded)
        draw_boxes(axes, (picture.shape[0], picture.shape[1]), boxes, values, signed)

    caption = f"{caption}; {caption_of(values)}".removeprefix("; ")
    return Panel(title, draw, caption, EVIDENCE if signed else MAGNITUDES)


def _name(result: AnalysisResult, domain: str, method: str) -> str:
    """Name of a method, after the light of its sanity card if there is one."""
    light = sanity.light(result, f"{domain}/{method}")
    return f"{light.sign} {style.method_name(method)}" if light else style.method_name(method)


def _light_key(sheet: Sheet, result: AnalysisResult) -> None:
    """Write the meaning of the lights, if there is a sanity card."""
    if sanity.methods(result):
        key = "; ".join(f"{one.sign} {one.words}" for one in sanity.LIGHTS.values())
        sheet.text(f"Sanity card: {key}.", style.SMALL, style.MUTED)


def _words(sheet: Sheet, name: str, words: Sequence[str], values: Any, signed: bool) -> None:
    values = np.asarray(values, float)[: len(words)]
    scaled = _scaled(values)
    places = (scaled + 1) / 2 if signed else np.abs(scaled)
    shades = [None if np.isnan(v) else float(p) for v, p in zip(values, places, strict=True)]
    shades += [None] * (len(words) - len(shades))
    top = int(np.abs(scaled).argmax()) if np.abs(scaled).any() else None
    sheet.words(name, EVIDENCE if signed else MAGNITUDES, words, shades, top)


def _scaled(values: Float[np.ndarray, "*cells"]) -> Float[np.ndarray, "*cells"]:
    """Values divided by their largest magnitude (so within -1..1); undefined values become 0."""
    clean = np.nan_to_num(np.asarray(values, float), nan=0.0, posinf=0.0, neginf=0.0)
    largest = np.abs(clean).max(initial=0.0)
    return clean / largest if largest else clean


def _fit(image: UInt8[np.ndarray, "H W 3"], side: int = _SIDE) -> UInt8[np.ndarray, "h w 3"]:
    """Resize an image to the size in which it is drawn; a very long or tall one is squeezed to 2:1."""
    height, width = image.shape[:2]
    ratio = min(max(height / width, 0.5), 2.0)
    size = (side, round(side * ratio)) if ratio <= 1 else (round(side / ratio), side)
    return np.asarray(Image.fromarray(image).resize(size, Image.Resampling.LANCZOS))


def _show(axes: Axes, picture: np.ndarray) -> None:
    axes.imshow(picture, aspect="auto", interpolation="antialiased")
    axes.spines[:].set_color(style.FAINT)


def _answer_bars(axes: Axes, answers: Sequence[Answer], width: float) -> None:
    """Draw horizontal bars in percent, each below its answer, so that a long answer has room."""
    axes.set_xlim(0, 1)
    axes.set_ylim(max(len(answers), 1), 0)
    axes.axis("off")
    colour = style.method_colours(["guided_backprop"])["guided_backprop"]
    for row, (answer, probability, _) in enumerate(answers):
        share = min(max(float(probability), 0.0), 1.0)
        axes.barh(row + 0.68, 1, height=0.34, color=style.FAINT, alpha=0.5)
        axes.barh(row + 0.68, share, height=0.34, color=colour, alpha=1 if row == 0 else 0.55)
        look: dict[str, Any] = {"size": style.TEXT, "color": style.INK, "va": "bottom", "parse_math": False}
        look["weight"] = "bold" if row == 0 else "normal"
        axes.text(0, row + 0.44, shorten(answer, style.TEXT, width * 0.8, look["weight"]), **look)
        axes.text(1, row + 0.44, f"{share:.1%}", ha="right", **look)
