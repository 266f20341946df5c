"""One self-contained page that compares runs over epochs: opens from disk, needs no network."""

from __future__ import annotations

import base64
import io
import json
import logging
import os
import re
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from lookwhy import __version__, store
from lookwhy.reporting import figures, reading, style, tables
from lookwhy.reporting.page import TEMPLATE
from lookwhy.reporting.publish import figures_folder, read_image
from lookwhy.types import AnalysisResult, LookwhyError

_log = logging.getLogger(__name__)

MOST_STRIPS = 160
"""Example pictures a page holds (about 100 kB each); beyond it, epochs are left out evenly."""

_THEMED = {style.INK: "var(--ink)", style.MUTED: "var(--muted)", style.FAINT: "var(--faint)"}


def write_report(runs: list[Path], out: Path) -> Path:
    """Write the page; a browser never meets half of one.

    Args:
        runs: run folders, each with at least one analysed epoch.
        out: the page, usually `report.html`.

    Raises:
        LookwhyError: no run given, or a folder that holds no analysis.
    """
    if not runs:
        raise LookwhyError("expected at least one run folder to report on, found none; name one")
    names = _names(runs)
    folders = {name: store.stored_epochs(run) for name, run in zip(names, runs, strict=True)}
    by_epoch = {name: {e: _scalars(folder) for e, folder in found.items()} for name, found in folders.items()}
    last = {name: store.load(found[max(found)]) for name, found in folders.items()}
    strips = {
        name: _strips(run, found) for name, run, found in zip(names, runs, folders.values(), strict=True)
    }
    page = _page(names, by_epoch, last, strips)
    out.parent.mkdir(parents=True, exist_ok=True)
    partial = out.with_name(f".{out.name}.{os.getpid()}.partial")
    try:
        partial.write_text(page, encoding="utf-8")
        os.replace(partial, out)
    finally:
        partial.unlink(missing_ok=True)
    return out


def _page(
    names: list[str],
    by_epoch: figures.Runs,
    last: dict[str, AnalysisResult],
    strips: dict[str, dict[str, Any]],
) -> str:
    notes = dict.fromkeys(str(found.manifest.get("data_note") or "") for found in last.values())
    sections = [
        "<section><h2>Agreement over epochs</h2>"
        + _chart(figures.agreement_over_epochs(by_epoch), "Rank correlation by epoch, and baselines")
        + "</section>"
    ]
    if any(found["examples"] for found in strips.values()):
        sections.append(_examples_section(names, strips))
    for name, found in last.items():
        title = f"<h2>{escape(name)}</h2>" if len(names) > 1 else ""
        sections.append(f"<section>{title}{_table_one(found)}</section>")
        sections.append("<section><h2>What else the last epoch shows</h2>" + _charts(found) + "</section>")
    filled = {
        "title": "Where it looks and why it answers",
        "runs": escape(", ".join(f"{name} ({_span(by_epoch[name])})" for name in names)),
        "notes": "".join(f'<p class="note">{escape(note)}</p>' for note in notes if note),
        "sections": "\n".join(sections),
        "version": escape(__version__),
    }
    # In one pass: what was filled in is not searched for names again.
    return re.sub(r"\{\{(\w+)\}\}", lambda match: filled[match.group(1)], TEMPLATE)


def _names(runs: list[Path]) -> list[str]:
    """Folder names, with the parent's where two are alike."""
    short = [run.resolve().name for run in runs]
    long = [f"{run.resolve().parent.name}/{run.resolve().name}" for run in runs]
    chosen = [one if short.count(one) == 1 else other for one, other in zip(short, long, strict=True)]
    return [name if chosen.count(name) == 1 else str(run) for name, run in zip(chosen, runs, strict=True)]


def _scalars(folder: Path) -> AnalysisResult:
    """Only the scalars of an analysis: a long run has hundreds, and their maps would fill the memory."""
    return AnalysisResult(
        summary=json.loads((folder / "summary.json").read_text()),
        records=[],
        maps={},
        human=np.zeros((0, 0, 1, 1), np.float32),
        question_ids=np.zeros(0, np.int64),
        manifest=json.loads((folder / "manifest.json").read_text()),
    )


def _span(epochs: dict[int, AnalysisResult]) -> str:
    first, last = min(epochs), max(epochs)
    if first == last:
        return style.epoch_name(first)
    return f"{style.epoch_name(first) if first == store.UNTRAINED else f'epochs {first}'} to {last}"


def _chart(figure: Figure, label: str) -> str:
    """A figure as inline SVG whose ink and paper follow the reader's light or dark theme."""
    figure.patch.set_alpha(0.0)
    buffer = io.BytesIO()
    figures.write(figure, buffer, "svg")
    svg = buffer.getvalue().decode("utf-8")
    svg = svg[svg.index("<svg") :]
    for colour, variable in _THEMED.items():
        svg = svg.replace(colour, variable)
    svg = svg.replace("<svg ", f'<svg role="img" aria-label="{escape(label)}" ', 1)
    return f'<div class="wide" tabindex="0"><div class="chart">{svg}</div></div>'


def _charts(result: AnalysisResult) -> str:
    charts = "".join(
        (
            _chart(figures.most_important_words(result), "Which part of speech is most important"),
            _chart(figures.failure_prediction(result), "Prediction of right and wrong answers"),
            _chart(figures.accuracy_by_type(result), "VQA accuracy by type"),
        )
    )
    return f'<div class="charts">{charts}</div>'


def _table_one(result: AnalysisResult) -> str:
    """The table of `lookwhy.reporting.tables.table_one` as HTML."""
    heads = ["Method", "Rank correlation", "Mean map", "n (undefined)", "Other question", "Other image"]
    heads += ["Question-specific", "Paper"]
    rows = []
    for method in tables.table_rows(result):
        key = f"image/{method}"
        cells = [
            _small(*tables.estimate(result, f"{key}/rank_correlation")),
            _small(*tables.counted(result, f"{key}/mean_map")),
            escape(tables.counts(result, f"{key}/rank_correlation")),
            _small(*tables.counted(result, f"{key}/other_question")),
            _small(*tables.counted(result, f"{key}/other_image")),
            _small(*tables.estimate(result, f"{key}/specificity")),
            tables.PAPER.get(method, tables.NOTHING),
        ]
        kind = ' class="baseline"' if method in style.BASELINES else ""
        name = escape(style.method_name(method, result.manifest))
        rows.append(f'<tr{kind}><th scope="row">{name}</th>{"".join(f"<td>{c}</td>" for c in cells)}</tr>')
    if not rows:
        return "<h2>Agreement</h2><p>No annotator maps, so no agreement.</p>"
    head = "".join(f'<th scope="col">{name}</th>' for name in heads)
    return (
        f"<h2>{escape(tables.table_title(result))}</h2>"
        f'<div class="wide" tabindex="0"><table><thead><tr>{head}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>"
        f'<p class="note">{escape(tables.table_note(result))}</p>'
    )


def _small(mean: str, below: str) -> str:
    return escape(mean) + (f"<small>{escape(below)}</small>" if below else "")


def _strips(run: Path, epochs: dict[int, Path]) -> dict[str, Any]:
    """Example pictures of a run by question and epoch, as data URLs."""
    asked = json.loads((epochs[max(epochs)] / "manifest.json").read_text()).get("examples") or []
    room = max(MOST_STRIPS // max(len(asked), 1), 2)
    chosen = sorted(epochs)
    if len(chosen) > room:
        places = np.linspace(0, len(chosen) - 1, room).round().astype(int)
        chosen = [chosen[place] for place in dict.fromkeys(places.tolist())]
    examples: dict[str, dict[str, Any]] = {}
    for epoch in chosen:
        result: AnalysisResult | None = None
        for question_id in asked:
            stored = figures_folder(run, epoch) / f"example_{question_id}.png"
            if stored.is_file():
                url = _data_url(Image.open(stored))
            else:
                result = result or store.load(epochs[epoch])
                drawn = _draw(result, question_id, epochs[epoch])
                if drawn is None:
                    continue
                url = _data_url(drawn)
            examples.setdefault(str(question_id), {})[str(epoch)] = url
    questions = _question_texts(epochs[max(epochs)]) if examples else {}
    return {
        "examples": examples,
        "questions": {key: questions.get(int(key), key) for key in examples},
        "epochs": chosen,
        "left_out": len(epochs) - len(chosen),
    }


def _draw(result: AnalysisResult, question_id: int, folder: Path) -> Image.Image | None:
    """The strip of a question whose picture was not stored; None where its image is not what it was."""
    rows = reading.questions(result).get(question_id)
    path = reading.image_path(result, rows[0]) if rows else ""
    pixels = read_image(path)
    if pixels is None:
        return None
    if os.path.getmtime(path) > os.path.getmtime(folder / "summary.json"):
        # A data set made anew has other pictures under the same names: the maps would lie over the wrong one.
        _log.warning("no picture of question %d: %s changed after the analysis", question_id, path)
        return None
    buffer = io.BytesIO()
    figures.write(figures.example_strip(result, question_id, pixels), buffer, "png")
    return Image.open(buffer)


def _question_texts(folder: Path) -> dict[int, str]:
    records = store.load(folder).records
    return {int(record["question_id"]): str(record["question"]) for record in records}


def _data_url(picture: Image.Image) -> str:
    buffer = io.BytesIO()
    # No colour subsampling: it would smear the small coloured words.
    picture.convert("RGB").save(buffer, "JPEG", quality=74, subsampling=0, optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def _examples_section(names: list[str], strips: dict[str, dict[str, Any]]) -> str:
    """Pictures with an epoch slider; the pictures lie in a JSON block that the page's script reads."""
    shown = {name: strips[name] for name in names if strips[name]["examples"]}
    runs = "".join(f'<option value="{escape(name)}">{escape(name)}</option>' for name in shown)
    left_out = sum(found["left_out"] for found in shown.values())
    more = f'<p class="note">{left_out} epochs are left out to keep the page small.</p>' if left_out else ""
    # "<" written as an escape: no text in the data can close the block.
    data = json.dumps(shown, ensure_ascii=True).replace("<", "\\u003c")
    return (
        '<section id="examples"><h2>Examples, epoch by epoch</h2><div class="controls">'
        f'<label{" hidden" if len(shown) == 1 else ""}>Run <select id="run">{runs}</select></label>'
        '<label>Question <select id="question"></select></label>'
        '<label class="slider"><output id="shown"></output>'
        '<input id="epoch" type="range" min="0" step="1" aria-label="Epoch"></label></div>'
        '<div class="wide" tabindex="0"><img id="strip" alt=""></div>'
        f'{more}<script type="application/json" id="strips">{data}</script></section>'
    )
