"""One self-contained page that compares runs over epochs: opens from disk, needs no network.

The page's own parts lie in `page/`: its frame, its looks and its script. Here they are filled with what
the run folders hold, put together and written.
"""

from __future__ import annotations

import base64
import json
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.colors import Colormap
from tqdm import tqdm

from lookwhy import __version__, store
from lookwhy.analysis.paired import Comparison
from lookwhy.data.files import sha256_file
from lookwhy.reporting import reading, style
from lookwhy.reporting.page_examples import (
    Asked,
    ExamplesOfRun,
    bytes_of_epoch,
    choose_questions,
    details_of,
    shown_epochs,
)
from lookwhy.reporting.page_numbers import Json, curves_of, names_and_colours, numbers_of_run
from lookwhy.reporting.page_pictures import NOT_FOUND, Pictures
from lookwhy.reporting.page_tables import paired_table, table_one
from lookwhy.types import AnalysisResult, LookwhyError

EXAMPLES = 60
"""Questions to browse."""

_PARTS = Path(__file__).parent / "page"
_SCRIPTS = ("base", "charts", "agreement", "details", "heat", "panels", "examples", "start")
_TITLE = "Where it looks and why it answers"


@dataclass
class _Run:
    """A run as the page needs it: all scalars and curves, the last epoch as a whole."""

    name: str
    folders: dict[int, Path]
    last: AnalysisResult
    epochs: dict[int, AnalysisResult]
    pictures_until: float


def write_report(
    runs: list[Path],
    out: Path,
    comparisons: Iterable[Comparison] = (),
    examples: int = EXAMPLES,
    progress: bool = False,
) -> Path:
    """Write the page; a browser never meets half of one.

    Args:
        runs: run folders, each with at least one analysed epoch.
        out: the page, usually `report.html`.
        comparisons: what the table of paired differences shows.
        examples: how many questions to browse.
        progress: whether to show how far it is.

    Raises:
        LookwhyError: no run given, a folder that holds no analysis, or one of another version.
    """
    if not runs:
        raise LookwhyError("expected at least one run folder to report on, found none; name one")
    read = [_read(name, store.stored_epochs(run)) for name, run in zip(run_names(runs), runs, strict=True)]
    page = _page(read, list(comparisons), *_examples(read, examples, progress))
    out.parent.mkdir(parents=True, exist_ok=True)
    partial = out.with_name(f".{out.name}.{os.getpid()}.partial")
    try:
        partial.write_text(page, encoding="utf-8")
        os.replace(partial, out)
    finally:
        partial.unlink(missing_ok=True)
    return out


def run_names(runs: list[Path]) -> list[str]:
    """Folder names, with the parent's where two are alike."""
    short = [run.resolve().name for run in runs]
    long = [f"{run.resolve().parent.name}/{run.resolve().name}" for run in runs]
    chosen = [one if short.count(one) == 1 else other for one, other in zip(short, long, strict=True)]
    return [name if chosen.count(name) == 1 else str(run) for name, run in zip(chosen, runs, strict=True)]


def _read(name: str, folders: dict[int, Path]) -> _Run:
    last = store.load(folders[max(folders)])
    epochs = {epoch: _scalars(folder) for epoch, folder in folders.items()} | {max(folders): last}
    return _Run(name, folders, last, epochs, _pictures_until(last, folders[max(folders)]))


def _pictures_until(result: AnalysisResult, folder: Path) -> float:
    """Image files newer than this (seconds since 1970) may be others than those analysed.

    A data set made anew has other pictures under the same names. Of a copied one only the files' times are
    new: where the questions are byte for byte those of the analysis, its images are, too.
    """
    data = result.manifest.get("data") or {}
    questions = Path(str(data.get("folder"))) / "data_prepro.h5"
    if questions.is_file() and sha256_file(questions) == data.get("data_prepro_sha256"):
        return float("inf")
    return (folder / "summary.json").stat().st_mtime


def _scalars(folder: Path) -> AnalysisResult:
    """Only the scalars of an analysis: a long run has hundreds, and their maps would fill the memory."""
    curves = folder / "curves.json"
    return AnalysisResult(
        summary=json.loads((folder / "summary.json").read_text()),
        records=[],
        maps={},
        human=np.zeros((0, 0, 1, 1), np.float32),
        question_ids=np.zeros(0, np.int64),
        manifest=json.loads((folder / "manifest.json").read_text()),
        curves=json.loads(curves.read_text()) if curves.is_file() else {},
    )


def _examples(runs: list[_Run], most: int, progress: bool) -> tuple[list[Json], list[ExamplesOfRun], Pictures]:
    """The questions to browse, what each run says to them, and their pictures."""
    asked = choose_questions([run.last for run in runs], most)
    pictures = Pictures()
    details = [_details(one, runs, pictures) for one in asked]
    shown = {
        run.name: shown_epochs(sorted(run.folders), bytes_of_epoch(run.last, len(asked)), len(runs))
        for run in runs
    }
    found = []
    total = sum(len(epochs) for epochs in shown.values())
    with tqdm(total=total, desc="reading runs", unit="epoch", disable=not progress) as bar:
        for run in runs:
            one = ExamplesOfRun(asked, run.last)
            for epoch in shown[run.name]:
                one.add(epoch, run.last if epoch == max(run.folders) else store.load(run.folders[epoch]))
                bar.update()
            found.append(one)
    return details, found, pictures


def _details(asked: Asked, runs: list[_Run], pictures: Pictures) -> Json:
    """A question with the first picture of it that a run still has."""
    found: Json = {}
    for run in runs:
        details = details_of(asked, run.last)
        if details is None:
            continue
        found = found or details | {"picture": None, "why": NOT_FOUND}
        row = reading.questions(run.last)[asked.question_id][0]
        number, why = pictures.add(reading.image_path(run.last, row), run.pictures_until)
        if number is not None:
            return found | {"picture": number, "why": ""}
        found["why"] = why
    return found


def _page(
    runs: list[_Run],
    comparisons: list[Comparison],
    questions: list[Json],
    examples: list[ExamplesOfRun],
    pictures: Pictures,
) -> str:
    notes = dict.fromkeys(str(run.last.manifest.get("data_note") or "") for run in runs)
    content = {
        "runs": [numbers_of_run(run.name, run.epochs) for run in runs],
        "names": names_and_colours(result for run in runs for result in run.epochs.values()),
        "scales": {"magnitude": _colours(style.MAGNITUDE), "signed": _colours(style.SIGNED)},
        "questions": questions,
        "examples": [_of_browser(one, run) for one, run in zip(examples, runs, strict=True)],
    }
    filled = {
        "title": _TITLE,
        "style": (_PARTS / "page.css").read_text(encoding="utf-8"),
        "script": "\n".join((_PARTS / f"{name}.js").read_text(encoding="utf-8") for name in _SCRIPTS),
        "runs": escape(", ".join(f"{run.name} ({_span(run.folders)})" for run in runs)),
        "notes": "".join(f'<p class="note">{escape(note)}</p>' for note in notes if note),
        "paired": paired_table(comparisons) or "<p>Nothing to compare.</p>",
        "tables": "".join(_table_section(run, len(runs) > 1) for run in runs),
        "version": escape(__version__),
        "blocks": "\n".join(_blocks(content, runs, examples, pictures)),
    }
    frame = (_PARTS / "page.html").read_text(encoding="utf-8")
    # In one pass: what was filled in is not searched for names again.
    return re.sub(r"\{\{(\w+)\}\}", lambda match: filled[match.group(1)], frame)


def _table_section(run: _Run, several: bool) -> str:
    title = f"{run.name}, " if several else ""
    epoch = style.epoch_name(max(run.folders))
    return f'<section><h2>{escape(title)}{epoch}: the table</h2>{table_one(run.last)}</section>'


def _of_browser(one: ExamplesOfRun, run: _Run) -> Json:
    signed = {name: found.signed for name, found in run.last.maps.items()}
    return {
        "epochs": one.epochs,
        "leftOut": len(run.folders) - len(one.epochs),
        "imageMethods": one.methods.image,
        "wordMethods": one.methods.words,
        "signed": signed,
        "annotators": one.annotators,
        "words": one.words,
        "answers": one.answers,
        "correctAbove": (run.last.manifest.get("plan") or {}).get("correct_above", 0.5),
    }


def _blocks(content: Json, runs: list[_Run], examples: list[ExamplesOfRun], pictures: Pictures) -> Iterator[str]:
    """Data in script elements that no browser runs: text is only decoded once it is looked at."""
    yield _json_block("report", content)
    for number, run in enumerate(runs):
        yield _json_block(f"curves-{number}", curves_of(run.epochs))
        for question, maps in enumerate(examples[number].maps):
            if maps:
                yield _bytes_block(f"maps-{number}-{question}", b"".join(maps))
    for number, encoded in enumerate(pictures.encoded):
        yield _bytes_block(f"picture-{number}", encoded)


def _json_block(name: str, content: Any) -> str:
    # "<" written as an escape: no text in the data can close the block.
    text = json.dumps(content, ensure_ascii=True, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")
    return f'<script type="application/json" id="{name}">{text}</script>'


def _bytes_block(name: str, content: bytes) -> str:
    return f'<script type="text/plain" id="{name}">{base64.b64encode(content).decode("ascii")}</script>'


def _colours(colours: Colormap) -> Json:
    """A colour table: red, green and blue of 256 steps, and whether dark ink reads better on each."""
    table = colours(np.linspace(0, 1, 256))
    rgb = np.rint(table[:, :3] * 255).astype(np.uint8)
    dark = "".join("1" if style.ink_on(tuple(map(float, row))) == style.INK else "0" for row in table)
    return {"rgb": base64.b64encode(rgb.tobytes()).decode("ascii"), "darkInk": dark}


def _span(epochs: Iterable[int]) -> str:
    first, last = min(epochs), max(epochs)
    if first == last:
        return style.epoch_name(first)
    return f"{style.epoch_name(first) if first == store.UNTRAINED else f'epochs {first}'} to {last}"
