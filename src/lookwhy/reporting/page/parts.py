"""Joins the files of a page into one HTML document, and writes its data blocks."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.colors import Colormap

from lookwhy.reporting import style
from lookwhy.reporting.page.numbers import Json

FOLDER = Path(__file__).parent


def fill(frame: Path, styles: Iterable[Path], scripts: Iterable[Path], filled: dict[str, str]) -> str:
    """Make one HTML document from a frame, styles, scripts and other content.

    Args:
        frame: HTML file in which `{{name}}` marks a place.
        styles: CSS files, in order, for the place `{{style}}`.
        scripts: JavaScript files, in order, for the place `{{script}}`.
        filled: HTML for each other place, by name.
    """
    files = {"style": styles, "script": scripts}
    parts = {name: "\n".join(one.read_text(encoding="utf-8") for one in many) for name, many in files.items()}
    parts |= filled
    # Fill in one pass: names within the filled-in text stay as they are.
    return re.sub(r"\{\{(\w+)\}\}", lambda match: parts[match.group(1)], frame.read_text(encoding="utf-8"))


def json_block(name: str, content: Any) -> str:
    """A script element with JSON data, which browsers do not run."""
    text = json.dumps(content, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    text = text.replace("<", "\\u003c")  # so that no text in the data can close the block
    return f'<script type="application/json" id="{name}">{text}</script>'


def bytes_block(name: str, content: bytes) -> str:
    """A script element with bytes, which the page decodes when it shows them."""
    return f'<script type="text/plain" id="{name}">{base64.b64encode(content).decode("ascii")}</script>'


def colour_table(colours: Colormap) -> Json:
    """Red, green and blue of 256 steps, and whether black ink reads better on each."""
    table = colours(np.linspace(0, 1, 256))
    rgb = np.rint(table[:, :3] * 255).astype(np.uint8)
    dark = "".join("1" if style.ink_on(tuple(row)) == style.BLACK else "0" for row in table.tolist())
    return {"rgb": base64.b64encode(rgb.tobytes()).decode("ascii"), "blackInk": dark}
