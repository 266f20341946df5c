"""Fills the frames of report page and live page, and writes data blocks into them."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.colors import Colormap

from lookwhy.reporting import style
from lookwhy.reporting.page.numbers import Json

_FOLDER = Path(__file__).parent
_SCRIPTS = ("base", "charts", "agreement", "details", "heat", "panels", "examples", "theme", "start")
_LIVE_SCRIPTS = ("base", "heat", "theme", "live_view", "live_talk", "live")


def fill_page(filled: dict[str, str]) -> str:
    """The report page: its frame with styles, scripts, and a text for each `{{name}}`."""
    return _fill("page.html", ("page.css",), _SCRIPTS, filled)


def fill_live_page(filled: dict[str, str]) -> str:
    """The live page, which shares styles, heat maps and themes with the report page."""
    return _fill("live.html", ("page.css", "live.css"), _LIVE_SCRIPTS, filled)


def _fill(frame: str, looks: tuple[str, ...], scripts: tuple[str, ...], filled: dict[str, str]) -> str:
    parts = {
        "style": "\n".join(_part(name) for name in looks),
        "script": "\n".join(_part(f"{name}.js") for name in scripts),
    } | filled
    # One pass, so that text that was filled in is not searched for names.
    return re.sub(r"\{\{(\w+)\}\}", lambda match: parts[match.group(1)], _part(frame))


def _part(name: str) -> str:
    return (_FOLDER / name).read_text(encoding="utf-8")


def json_block(name: str, content: Any) -> str:
    """A script element with JSON data, which browsers do not run."""
    text = json.dumps(content, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    # "<" is escaped, so no text in the data can close the block.
    escaped = text.replace("<", "\\u003c")
    return f'<script type="application/json" id="{name}">{escaped}</script>'


def bytes_block(name: str, content: bytes) -> str:
    """A script element with bytes, which the page decodes when it shows them."""
    return f'<script type="text/plain" id="{name}">{base64.b64encode(content).decode("ascii")}</script>'


def colour_table(colours: Colormap) -> Json:
    """Red, green and blue of 256 steps, and whether black ink reads better on each."""
    table = colours(np.linspace(0, 1, 256))
    rgb = np.rint(table[:, :3] * 255).astype(np.uint8)
    dark = "".join("1" if style.ink_on(tuple(row)) == style.BLACK else "0" for row in table.tolist())
    return {"rgb": base64.b64encode(rgb.tobytes()).decode("ascii"), "blackInk": dark}
