"""The own parts of report page and live page, which lie in `page/`, and how data is written between them."""

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
    """The page with its looks, its script, and what `{{name}}` stands for in its frame."""
    return _fill("page.html", ("page.css",), _SCRIPTS, filled)


def fill_live_page(filled: dict[str, str]) -> str:
    """The same of the live page, which shares looks, heat maps and themes with the report page."""
    return _fill("live.html", ("page.css", "live.css"), _LIVE_SCRIPTS, filled)


def _fill(frame: str, looks: tuple[str, ...], scripts: tuple[str, ...], filled: dict[str, str]) -> str:
    parts = {
        "style": "\n".join(_part(name) for name in looks),
        "script": "\n".join(_part(f"{name}.js") for name in scripts),
    } | filled
    # In one pass: what was filled in is not searched for names again.
    return re.sub(r"\{\{(\w+)\}\}", lambda match: parts[match.group(1)], _part(frame))


def _part(name: str) -> str:
    return (_FOLDER / name).read_text(encoding="utf-8")


def json_block(name: str, content: Any) -> str:
    """Data in a script element that no browser runs."""
    text = json.dumps(content, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    # "<" written as an escape: no text in the data can close the block.
    escaped = text.replace("<", "\\u003c")
    return f'<script type="application/json" id="{name}">{escaped}</script>'


def bytes_block(name: str, content: bytes) -> str:
    """Bytes that the page decodes once they are looked at."""
    return f'<script type="text/plain" id="{name}">{base64.b64encode(content).decode("ascii")}</script>'


def colour_table(colours: Colormap) -> Json:
    """Red, green and blue of 256 steps, and whether black ink reads better on each."""
    table = colours(np.linspace(0, 1, 256))
    rgb = np.rint(table[:, :3] * 255).astype(np.uint8)
    dark = "".join("1" if style.ink_on(tuple(row)) == style.BLACK else "0" for row in table.tolist())
    return {"rgb": base64.b64encode(rgb.tobytes()).decode("ascii"), "blackInk": dark}
