"""One self-contained page that compares runs over epochs: opens from disk, needs no network.

The frame, styles and scripts of the page lie beside this file. They are filled with the content of the run
folders and written as one file.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from lookwhy import store
from lookwhy.analysis.paired import Comparison
from lookwhy.analysis.statistics import FEWEST_IMAGES
from lookwhy.errors import LookwhyError
from lookwhy.files import atomic_path, sha256_file, writing
from lookwhy.progress import progress
from lookwhy.reporting import reading, sanity, style
from lookwhy.reporting.cautions import TITLE, cautions
from lookwhy.reporting.numbers import table_note
from lookwhy.reporting.page import examples as browser
from lookwhy.reporting.page import slices
from lookwhy.reporting.page.groups import groups_of_runs
from lookwhy.reporting.page.numbers import Json, bands_of, curves_of, names_and_colours, numbers_of_run
from lookwhy.reporting.page.parts import FOLDER, bytes_block, document, escape, json_block
from lookwhy.reporting.page.pictures import Pictures
from lookwhy.reporting.page.tables import (
    caveat,
    macro_table,
    paired_table,
    sanity_table,
    table_one,
    tests_table,
)
from lookwhy.types import AnalysisResult

EXAMPLES = 60
"""Number of questions to browse."""

_SCRIPTS = (
    "base",
    "glyphs",
    "charts",
    "slice_filter",
    "over_epochs",
    "agreement",
    "believe",
    "one_epoch",
    "slices",
    "selective",
    "heat",
    "panels",
    "examples",
)


@dataclass
class _PageRun:
    """A run as the page needs it: scalars and curves of all epochs, records and maps of the last."""

    name: str
    folder: Path
    folders: dict[int, Path]
    last: AnalysisResult
    records: dict[int, list[reading.Record]]
    epochs: dict[int, AnalysisResult]
    pictures_until: float


def write_report(
    runs: list[Path], out: Path, comparisons: Iterable[Comparison] = (), examples: int = EXAMPLES
) -> Path:
    """Write the page atomically.

    Args:
        runs: run folders, each with at least one analysed epoch.
        out: the page, usually `report.html`.
        comparisons: content of the table of paired differences.
        examples: number of questions to browse.

    Raises:
        LookwhyError: no run is given, a folder holds no analysis, or the page cannot be written.
    """
    if not runs:
        raise LookwhyError("expected at least one run folder to report on, found none; name one")
    read = [_read(name, run) for name, run in zip(run_names(runs), runs, strict=True)]
    page = _page(read, list(comparisons), examples)
    with writing("a file that can be written", out), atomic_path(out) as partial:
        partial.write_text(page, encoding="utf-8")
    return out


def run_names(runs: list[Path]) -> list[str]:
    """Names of run folders, preceded by the parent's name where two are equal.

    Raises:
        LookwhyError: a folder is named twice.
    """
    runs = [run.resolve() for run in runs]
    twice = next((run for run in runs if runs.count(run) > 1), None)
    if twice is not None:
        raise LookwhyError(f"expected each run once, found {twice} twice; name it once")
    short = [run.name for run in runs]
    long = [f"{run.parent.name}/{run.name}" for run in runs]
    chosen = [one if short.count(one) == 1 else other for one, other in zip(short, long, strict=True)]
    return [name if chosen.count(name) == 1 else str(run) for name, run in zip(chosen, runs, strict=True)]


def _read(name: str, run: Path) -> _PageRun:
    folders = store.stored_epochs(run)
    last = store.load(folders[max(folders)])
    epochs = {epoch: store.load_scalars(folder) for epoch, folder in folders.items()} | {max(folders): last}
    until = _pictures_until(last, folders[max(folders)])
    return _PageRun(name, run, folders, last, reading.questions(last), epochs, until)


def _pictures_until(result: AnalysisResult, folder: Path) -> float:
    """Latest time of an image file that the page may show, in seconds since 1970.

    A newer file may not be the one that was analysed: a data set that was generated again has other pictures
    under the same names. A copied data set has only new file times: if its questions are byte for byte those
    of the analysis, its images are taken to be the same, and any time is accepted.
    """
    data = result.manifest.get("data") or {}
    questions = Path(str(data.get("folder"))) / "data_prepro.h5"
    if questions.is_file() and sha256_file(questions) == data.get("data_prepro_sha256"):
        return float("inf")
    return (folder / "summary.json").stat().st_mtime


def _by_epoch(
    runs: list[_PageRun], asked: list[browser.Question]
) -> Iterator[tuple[Json, list[Json], dict[int, Json]]]:
    """Content that needs the records of all epochs: examples, their maps, and slices of each run.

    Each epoch is read once, and only one at a time is in memory.
    """
    wanted = [_epochs_that_fit(run, len(asked), len(runs)) for run in runs]
    total = sum(len({*examples, *sliced}) for examples, sliced in wanted)
    with progress(desc="reading runs", total=total, unit="epoch") as bar:

        def load(
            run: _PageRun, epochs: list[int], sliced: dict[int, Json]
        ) -> Iterator[tuple[int, AnalysisResult]]:
            for epoch in sorted({*epochs, *sliced}):
                result = run.last if epoch == max(run.folders) else store.load(run.folders[epoch])
                if epoch in sliced:
                    sliced[epoch] = slices.slices_of(result)
                if epoch in epochs:
                    yield epoch, result
                bar.update()

        for run, (epochs, with_slices) in zip(runs, wanted, strict=True):
            sliced: dict[int, Json] = {epoch: {} for epoch in with_slices}
            content, maps = browser.examples_of_run(asked, run.last, load(run, epochs, sliced))
            yield content | {"leftOut": len(run.folders) - len(epochs)}, maps, sliced


def _epochs_that_fit(run: _PageRun, questions: int, runs: int) -> tuple[list[int], list[int]]:
    """Epochs of a run whose examples, and whose slices, the page has room for."""
    epochs, last = sorted(run.folders), slices.bytes_of(slices.slices_of(run.last))
    return (
        browser.shown_epochs(epochs, browser.bytes_of_epoch(run.last, questions), runs),
        browser.shown_epochs(epochs, last, runs, slices.MOST_BYTES),
    )


def _details(asked: browser.Question, runs: list[_PageRun], pictures: Pictures) -> Json:
    """Facts about a question that are the same at every epoch, and the first available picture of it."""
    found = [(run, rows[0]) for run in runs if (rows := asked.rows(run.records))]
    for run, row in found:
        picture, why = pictures.add(reading.image_path(run.last, row), run.pictures_until)
        if picture is not None:
            break
    row = found[0][1]
    return {
        "id": reading.question_id(row),
        "question": str(row["question"] or " ".join(row["words"] or ())),
        "type": str(row["question_type"] or ""),
        "answerType": str(row["answer_type"] or ""),
        "truth": str(row["ground_truth"] or ""),
        "picture": picture,
        "why": why,
    }


def _page(runs: list[_PageRun], comparisons: list[Comparison], most: int) -> str:
    asked, pictures = browser.choose_questions([run.last for run in runs], most), Pictures()
    questions = [_details(one, runs, pictures) for one in asked]
    by_epoch = list(_by_epoch(runs, asked))
    numbers = [numbers_of_run(run.name, run.epochs) for run in runs]
    content = {
        "runs": numbers,
        "groups": groups_of_runs([run.folder for run in runs], numbers),
        "names": names_and_colours(result for run in runs for result in run.epochs.values()),
        "questions": questions,
        "examples": [shown for shown, *_ in by_epoch],
        "slices": slices.names(),
    }
    blocks = [json_block(f"curves-{at}", curves_of(run.epochs)) for at, run in enumerate(runs)]
    blocks += [json_block(f"bands-{at}", bands_of(run.epochs)) for at, run in enumerate(runs)]
    for at, (_, maps, sliced) in enumerate(by_epoch):
        blocks += [json_block(f"maps-{at}-{question}", one) for question, one in enumerate(maps) if one]
        blocks.append(json_block(f"slices-{at}", {epoch: one for epoch, one in sliced.items() if one}))
    blocks += [bytes_block(f"picture-{at}", one) for at, one in enumerate(pictures.encoded)]
    return document(
        [FOLDER / name for name in ("page.html", "page.css", *(f"{script}.js" for script in _SCRIPTS))],
        content,
        title="Where it looks and why it answers",
        about=", ".join(f"{run.name} ({_span(run.folders)})" for run in runs),
        notes=dict.fromkeys(str(run.last.manifest.get("data_note") or "") for run in runs),
        allowed="img-src data:",
        blocks=blocks,
        paired=caveat([run.last.manifest for run in runs])
        + (paired_table(comparisons) + _tests(runs) or "<p>Nothing to compare.</p>"),
        cautions=_cautions(runs),
        tables=_tables(runs) + _sanity(runs),
        fewest=str(FEWEST_IMAGES),
    )


def _tables(runs: list[_PageRun]) -> str:
    """Table 1 of each run that has one; tables with the same note show it once, below the last of them."""
    notes = [table_note(run.last) for run in runs]
    found = ""
    for at, run in enumerate(runs):
        if table := table_one(run.last, note=notes[at] not in notes[at + 1 :]):
            epoch = max(run.folders)
            state = "its untrained state" if epoch == store.UNTRAINED else style.epoch_name(epoch)
            name = f"{run.name}: agreement" if len(runs) > 1 else "Agreement"
            means = macro_table(run.last)
            found += f"<section><h2>{escape(f'{name} at {state}')}</h2>{table}{means}</section>"
    return found


def _cautions(runs: list[_PageRun]) -> str:
    """Facts to know before quoting a number of each run; empty if there are none."""
    found = ""
    for run in runs:
        lines = "".join(f"<li>{escape(line)}</li>" for line in cautions(run.last))
        name = f"<h3>{escape(run.name)}</h3>" if len(runs) > 1 else ""
        found += f"{name}<ul>{lines}</ul>" if lines else ""
    return f'<section id="cautions"><h2>{escape(TITLE)}</h2>{found}</section>' if found else ""


def _tests(runs: list[_PageRun]) -> str:
    """Paired tests of the methods of each run's last analysis."""
    found = ""
    for run in runs:
        if table := tests_table(run.last):
            title = f"{run.name}, {style.epoch_name(max(run.folders))}: methods and baselines"
            found += f"<h3>{escape(title)}</h3>{table}"
    return found


def _sanity(runs: list[_PageRun]) -> str:
    """The sanity card of each run: that of the last epoch that has one."""
    found = ""
    for run in runs:
        epoch = max((at for at, one in run.epochs.items() if sanity.methods(one)), default=None)
        if epoch is not None:
            name = f"{run.name}, {style.epoch_name(epoch)}" if len(runs) > 1 else style.epoch_name(epoch)
            found += f"<h3>{escape(name)}</h3>{sanity_table(run.epochs[epoch])}"
    title = f"<h2>{escape(sanity.TITLE)}</h2>"
    return f'<section id="sanity">{title}{found}</section>' if found else ""


def _span(epochs: Iterable[int]) -> str:
    first, last = min(epochs), max(epochs)
    if first == last:
        return style.epoch_name(first)
    return f"{style.epoch_name(first) if first == store.UNTRAINED else f'epochs {first}'} to {last}"
