"""The command `analyze.py figures`: every figure of runs as files for print."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from lookwhy import store
from lookwhy.cli.errors import file_endings
from lookwhy.errors import LookwhyError, printable
from lookwhy.files import writing
from lookwhy.progress import progress
from lookwhy.reporting import reading
from lookwhy.reporting.figures.catalogue import Drawing, charts, comparisons, examples
from lookwhy.reporting.figures.chart import WIDTHS, save_figure
from lookwhy.reporting.page.html import run_names
from lookwhy.reporting.style import epoch_name
from lookwhy.types import AnalysisResult

PRINT_DPI = 200.0
_log = logging.getLogger(__name__)


class RunToDraw(NamedTuple):
    """A run's name, the folder for its files, the scalars of all epochs, and the analysis that is shown."""

    name: str
    folder: Path
    epochs: dict[int, AnalysisResult]
    shown: AnalysisResult


def draw_figures(
    runs: Sequence[Path],
    out: Path,
    format: str,
    epoch: int | None,
    question: Sequence[str],
    width: str,
    names: Sequence[str],
) -> list[Path]:
    """Draw `agreement` for all runs together, and charts and examples for each run; returns the files.

    The files of a single run are written to `out`; those of several runs to a folder of each run's name
    inside `out`. They appear there when all are drawn. The other arguments are the options of the command.

    Raises:
        LookwhyError: a run has no analysis of that epoch, a format or question is unknown, an image cannot be
            read, or a folder cannot be written.
    """
    endings = file_endings(format, (".png", ".pdf", ".svg"))
    read = [_read(*one, epoch) for one in names_and_folders(runs, out, names)]
    questions = _numbers_of(question, read)
    inches = WIDTHS[width]
    drawings = [(out, one) for one in comparisons({run.name: run.epochs for run in read}, inches)]
    for run in read:
        own = charts(run.shown, inches) + _examples(run, questions, inches)
        drawings += [(run.folder, one) for one in own]
    written = []
    with _drawn_apart(out) as apart, progress(drawings, unit="figure", leave=False) as bar:
        for folder, drawing in bar:
            bar.set_description(f"drawing {drawing.name}")
            figure = drawing.make()
            for ending in endings:
                path = folder / f"{drawing.name}{ending}"
                with writing("a folder to write to", out):
                    save_figure(figure, apart / path.relative_to(out), PRINT_DPI)
                written.append(path)
    return written


@contextmanager
def _drawn_apart(out: Path) -> Iterator[Path]:
    """Yield a temporary folder; move its files into `out` at the end, so that an error leaves none there."""
    with writing("a folder to write to", out):
        nearest = next(path for path in (out.absolute(), *out.absolute().parents) if path.exists())
        temporary = TemporaryDirectory(prefix=".figures-", dir=nearest)
    with temporary as name:
        yield Path(name)
        with writing("a folder to write to", out):
            for path in sorted(path for path in Path(name).rglob("*") if path.is_file()):
                target = out / path.relative_to(name)
                target.parent.mkdir(parents=True, exist_ok=True)
                os.replace(path, target)


def names_and_folders(runs: Sequence[Path], out: Path, names: Sequence[str]) -> list[tuple[Path, str, Path]]:
    """The resolved path of each run, its name, and the folder for its files."""
    usual = run_names(list(runs))
    if names and len(names) != len(runs):
        raise LookwhyError(f"expected --names of {len(runs)} runs, found {len(names)}; name each run")
    named = list(names) or usual
    # The name of a run may be a path, if several folders have equal names.
    inside = [re.sub(r"[^\w.=-]+", "-", name).strip("-.") for name in named]
    if len({name.casefold() for name in inside}) < len(inside) or not all(inside):
        raise LookwhyError(f"expected names that make folders apart, found {', '.join(named)}; give --names")
    folders = [out / name for name in inside] if len(runs) > 1 else [out]
    return list(zip((run.resolve() for run in runs), named, folders, strict=True))


def _read(run: Path, name: str, folder: Path, epoch: int | None) -> RunToDraw:
    epochs = store.stored_epochs(run)
    chosen = max(epochs) if epoch is None else epoch
    if chosen not in epochs:
        raise LookwhyError(
            f"expected an analysed epoch of {run}, found --epoch {epoch}; it has "
            f"{', '.join(epoch_name(one) for one in epochs)} (untrained is -1)"
        )
    scalars = {number: store.load_scalars(path) for number, path in epochs.items()}
    return RunToDraw(name, folder, scalars, store.load(epochs[chosen]))


def _numbers_of(ids: Sequence[str], runs: Sequence[RunToDraw]) -> list[int]:
    """Numbers of the questions with these ids, which may be texts."""
    asked = [(number, rows[0]) for run in runs for number, rows in reading.questions(run.shown).items()]
    named = {reading.question_id(row): number for number, row in asked}
    known = {str(number): number for number, _ in asked} | named
    unknown = next((one for one in ids if one not in known), None)
    if unknown is not None:
        drawn = {number for run in runs for number in run.shown.manifest.get("examples", ())}
        some = [name for name, number in named.items() if number in drawn]
        raise LookwhyError(
            f"expected the id of an analysed question, found --question {printable(unknown)}; "
            f"{', '.join(printable(one) for one in some[:8])} are some"
        )
    return [known[one] for one in ids]


def _examples(run: RunToDraw, questions: Sequence[int], inches: float) -> list[Drawing]:
    """Figures of the questions given as options, or of the analysis's examples whose images exist."""
    wanted = questions or run.shown.manifest.get("examples", ())
    found, missing = examples(run.shown, [one for one in wanted if one in run.shown.question_ids], inches)
    if missing and questions:
        raise LookwhyError(
            f"expected the image of a question to draw, found no file {missing[0]!r}; put the images of "
            f"{run.name} back where its analysis found them"
        )
    if missing:
        text = "%s: no figure of %d examples, their images are gone: %s"
        _log.warning(text, printable(run.name), len(missing), printable(missing[0]))
    return found
