"""Writes a page as one HTML document: the frame, a body, styles, scripts and blocks of data."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Sequence
from html import escape as escape_html
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.colors import Colormap

from lookwhy import __version__
from lookwhy.errors import printable
from lookwhy.reporting import style
from lookwhy.reporting.page.numbers import Json

FOLDER = Path(__file__).parent


def document(
    files: Sequence[Path], content: Json, title: str, about: str, notes: Iterable[str], allowed: str,
    blocks: Iterable[str] = (), **filled: str,
) -> str:  # fmt: skip
    """Make one HTML document that loads nothing by itself.

    Args:
        files: HTML of the body, in which `{{name}}` marks a place; then CSS and JavaScript, in order.
        content: data of the page, which its scripts read as `report`.
        title: title of the page.
        about: line below the title.
        notes: notes below that line; empty ones are left out.
        allowed: sources that the page may load, as directives of a Content-Security-Policy.
        blocks: further blocks of data.
        **filled: HTML for the places of the body, by name.
    """
    texts = {ending: [_read(one) for one in files if one.suffix == ending] for ending in (".css", ".js")}
    scales = {"magnitude": colour_table(style.MAGNITUDE), "signed": colour_table(style.SIGNED)}
    parts = filled | {
        "title": escape(title),
        "about": escape(about),
        "notes": "".join(note_line(one) for one in notes if one),
        "allowed": allowed,
        "style": "\n".join(texts[".css"]),
        "script": "\n".join(texts[".js"]),
        "blocks": "\n".join([json_block("report", content | {"scales": scales}), *blocks]),
        "version": escape(__version__),
    }
    frame = _read(FOLDER / "frame.html").replace("{{body}}", _read(files[0]))
    # Fill in one pass: names within the filled-in text stay as they are.
    return re.sub(r"\{\{(\w+)\}\}", lambda match: parts[match.group(1)], frame)


def _read(file: Path) -> str:
    return file.read_text(encoding="utf-8")


def escape(text: str) -> str:
    """Text of data as HTML, without the characters that control its output."""
    return escape_html(_tame(text))


def _tame(text: str) -> str:
    # White space of any kind is harmless on a page and stays.
    return "".join(part if part.isspace() else printable(part) for part in re.split(r"(\s)", text))


def note_line(text: str) -> str:
    """A note of the page as HTML."""
    return f'<p class="note">{escape(text)}</p>'


def json_block(name: str, content: Any) -> str:
    """A script element with JSON data, which browsers do not run."""
    text = json.dumps(_tame_all(content), ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    text = text.replace("<", "\\u003c")  # so that no text in the data can close the block
    return f'<script type="application/json" id="{name}">{text}</script>'


def _tame_all(content: Any) -> Any:
    if isinstance(content, str):
        return _tame(content)
    if isinstance(content, dict):
        return {_tame_all(key): _tame_all(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        # Nearly all content are numbers in lists.
        return [one if isinstance(one, float | int) else _tame_all(one) for one in content]
    return content


def bytes_block(name: str, content: bytes) -> str:
    """A script element with bytes, which the page decodes when it shows them."""
    return f'<script type="text/plain" id="{name}">{base64.b64encode(content).decode("ascii")}</script>'


def colour_table(colours: Colormap) -> Json:
    """Red, green and blue of 256 steps, and whether black ink reads better on each."""
    table = colours(np.linspace(0, 1, 256))
    rgb = np.rint(table[:, :3] * 255).astype(np.uint8)
    dark = "".join("1" if style.ink_on(tuple(row)) == style.BLACK else "0" for row in table.tolist())
    return {"rgb": base64.b64encode(rgb.tobytes()).decode("ascii"), "blackInk": dark}
