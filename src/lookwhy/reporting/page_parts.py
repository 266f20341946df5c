"""The report page's own parts, which lie in `page/`, and how data is written between them."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.colors import Colormap

from lookwhy.reporting import style
from lookwhy.reporting.page_numbers import Json

_FOLDER = Path(__file__).parent / "page"
_SCRIPTS = ("base", "charts", "agreement", "details", "heat", "panels", "examples", "start")


def fill_page(filled: dict[str, str]) -> str:
    """The page with its looks, its script, and what `{{name}}` stands for in its frame."""
    parts = {
        "style": _part("page.css"),
        "script": "\n".join(_part(f"{name}.js") for name in _SCRIPTS),
    } | filled
    # In one pass: what was filled in is not searched for names again.
    return re.sub(r"\{\{(\w+)\}\}", lambda match: parts[match.group(1)], _part("page.html"))


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
