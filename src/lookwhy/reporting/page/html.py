"""One self-contained page that compares runs over epochs: opens from disk, needs no network.

The frame, styles and scripts of the page lie beside this file. They are filled with the content of the run
folders and written as one file.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from html import escape
from pathlib import Path

from lookwhy import __version__, store
from lookwhy.analysis.paired import Comparison
from lookwhy.errors import LookwhyError
from lookwhy.files import atomic_path, sha256_file
from lookwhy.progress import progress
from lookwhy.reporting import reading, style
from lookwhy.reporting.numbers import table_note
from lookwhy.reporting.page.examples import (
    ExamplesOfRun,
    Question,
    bytes_of_epoch,
    choose_questions,
    details_of,
    rows_of,
    shown_epochs,
)
from lookwhy.reporting.page.groups import groups_of_runs
from lookwhy.reporting.page.numbers import Json, curves_of, names_and_colours, numbers_of_run
from lookwhy.reporting.page.parts import bytes_block, colour_table, fill_page, json_block
from lookwhy.reporting.page.pictures import NOT_FOUND, Pictures
from lookwhy.reporting.page.tables import caveat, paired_table, table_one
from lookwhy.types import AnalysisResult

EXAMPLES = 60
"""Number of questions to browse."""

_TITLE = "Where it looks and why it answers"


@dataclass
class _Run:
    """A run as the page needs it: scalars and curves of all epochs, records and maps of the last."""

    name: str
    folder: Path
    folders: dict[int, Path]
    last: AnalysisResult
    records: dict[int, list[reading.Record]]
    epochs: dict[int, AnalysisResult]
    pictures_until: float


def write_report(
    runs: list[Path],
    out: Path,
    comparisons: Iterable[Comparison] = (),
    examples: int = EXAMPLES,
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
    page = _page(read, list(comparisons), *_examples(read, examples))
    try:
        with atomic_path(out) as partial:
            partial.write_text(page, encoding="utf-8")
    except OSError as error:
        raise LookwhyError(f"expected a place for the page, found {error}; name another --out") from error
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


def _read(name: str, run: Path) -> _Run:
    folders = store.stored_epochs(run)
    last = store.load(folders[max(folders)])
    epochs = {epoch: store.load_scalars(folder) for epoch, folder in folders.items()} | {max(folders): last}
    until = _pictures_until(last, folders[max(folders)])
    return _Run(name, run, folders, last, reading.questions(last), epochs, until)


def _pictures_until(result: AnalysisResult, folder: Path) -> float:
    """Time in seconds since 1970; a newer image file may not be the one that was analysed.

    A data set that was made again has other pictures under the same names. A copied data set has new file
    times only: if its questions are byte for byte those of the analysis, so are its images.
    """
    data = result.manifest.get("data") or {}
    questions = Path(str(data.get("folder"))) / "data_prepro.h5"
    if questions.is_file() and sha256_file(questions) == data.get("data_prepro_sha256"):
        return float("inf")
    return (folder / "summary.json").stat().st_mtime


def _examples(runs: list[_Run], most: int) -> tuple[list[Json], list[ExamplesOfRun], Pictures]:
    """The questions to browse, the examples of each run, and the pictures."""
    asked = choose_questions([run.last for run in runs], most)
    pictures = Pictures()
    details = [_details(one, runs, pictures) for one in asked]
    shown = {
        run.name: shown_epochs(sorted(run.folders), bytes_of_epoch(run.last, len(asked)), len(runs))
        for run in runs
    }
    found = []
    total = sum(len(epochs) for epochs in shown.values())
    with progress(desc="reading runs", total=total, unit="epoch") as bar:
        for run in runs:
            one = ExamplesOfRun(asked, run.last)
            for epoch in shown[run.name]:
                one.add(epoch, run.last if epoch == max(run.folders) else store.load(run.folders[epoch]))
                bar.update()
            found.append(one)
    return details, found, pictures


def _details(asked: Question, runs: list[_Run], pictures: Pictures) -> Json:
    """Facts about a question, with the first picture of it that a run still has."""
    found: Json = {}
    for run in runs:
        rows = rows_of(run.records, asked)
        if not rows:
            continue
        found = found or details_of(rows[0]) | {"picture": None, "why": NOT_FOUND}
        number, why = pictures.add(reading.image_path(run.last, rows[0]), run.pictures_until)
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
    numbers = [numbers_of_run(run.name, run.epochs) for run in runs]
    notes = dict.fromkeys(str(run.last.manifest.get("data_note") or "") for run in runs)
    content = {
        "runs": numbers,
        "groups": groups_of_runs([run.folder for run in runs], numbers),
        "names": names_and_colours(result for run in runs for result in run.epochs.values()),
        "scales": {"magnitude": colour_table(style.MAGNITUDE), "signed": colour_table(style.SIGNED)},
        "questions": questions,
        "examples": [_of_browser(one, run) for one, run in zip(examples, runs, strict=True)],
    }
    filled = {
        "title": _TITLE,
        "runs": escape(", ".join(f"{run.name} ({_span(run.folders)})" for run in runs)),
        "notes": "".join(f'<p class="note">{escape(note)}</p>' for note in notes if note),
        "paired": caveat([run.last.manifest for run in runs])
        + (paired_table(comparisons) or "<p>Nothing to compare.</p>"),
        "tables": _tables(runs),
        "version": escape(__version__),
        "blocks": "\n".join(_blocks(content, runs, examples, pictures)),
    }
    return fill_page(filled)


def _blocks(
    content: Json, runs: list[_Run], examples: list[ExamplesOfRun], pictures: Pictures
) -> Iterator[str]:
    yield json_block("report", content)
    for number, run in enumerate(runs):
        yield json_block(f"curves-{number}", curves_of(run.epochs))
        for question, maps in enumerate(examples[number].maps):
            if maps:
                yield bytes_block(f"maps-{number}-{question}", b"".join(maps))
    for number, encoded in enumerate(pictures.encoded):
        yield bytes_block(f"picture-{number}", encoded)


def _tables(runs: list[_Run]) -> str:
    """Table 1 of each run that has one; a note shared by several stands below the last of them."""
    notes = [table_note(run.last) for run in runs]
    found = []
    for at, run in enumerate(runs):
        table = table_one(run.last, note=notes[at] not in notes[at + 1 :])
        if table:
            name = f"{run.name}: agreement" if len(runs) > 1 else "Agreement"
            title = escape(f"{name} at {_at(max(run.folders))}")
            found.append(f"<section><h2>{title}</h2>{table}</section>")
    return "".join(found)


def _at(epoch: int) -> str:
    return "its untrained state" if epoch == store.UNTRAINED else style.epoch_name(epoch)


def _of_browser(one: ExamplesOfRun, run: _Run) -> Json:
    return {
        "epochs": one.epochs,
        "leftOut": len(run.folders) - len(one.epochs),
        "imageMethods": one.methods.image,
        "wordMethods": one.methods.words,
        "annotators": one.annotators,
        "words": one.words,
        "answers": one.answers,
        "correctAbove": (run.last.manifest.get("plan") or {}).get("correct_above", 0.5),
    }


def _span(epochs: Iterable[int]) -> str:
    first, last = min(epochs), max(epochs)
    if first == last:
        return style.epoch_name(first)
    return f"{style.epoch_name(first) if first == store.UNTRAINED else f'epochs {first}'} to {last}"
