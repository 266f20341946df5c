"""The command `analyze.py figures`: every figure of runs as files for print."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from lookwhy import store
from lookwhy.errors import LookwhyError
from lookwhy.reporting.figures.catalogue import Drawing, charts, comparisons, examples
from lookwhy.reporting.figures.chart import WIDTHS, save_figure
from lookwhy.reporting.page.html import run_names
from lookwhy.reporting.style import epoch_name
from lookwhy.types import AnalysisResult

FORMATS = ("png", "pdf", "svg")
PRINT_DPI = 200.0
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Run:
    """A run to draw.

    Attributes:
        name: name in legends.
        folder: folder for its files.
        epochs: scalars of all its analyses, by epoch.
        shown: the analysis that charts and examples show.
    """

    name: str
    folder: Path
    epochs: dict[int, AnalysisResult]
    shown: AnalysisResult


def draw_figures(
    runs: Sequence[Path],
    out: Path,
    formats: str = "png",
    epoch: int | None = None,
    questions: Sequence[int] = (),
    width: str = "double",
    names: Sequence[str] = (),
) -> list[Path]:
    """Draw `agreement` for all runs together, and charts and examples for each run.

    The files of a single run lie in `out`; several runs have a folder of their name each in `out`.

    Args:
        runs: run folders.
        out: folder to write to.
        formats: endings separated by commas: png, pdf, svg.
        epoch: epoch shown by charts and examples; None: the last of each run.
        questions: question ids of the examples; empty: those that the analysis chose.
        width: "single" or "double" column of a page.
        names: names for the runs in legends and folders; empty: the names of the run folders.

    Raises:
        LookwhyError: a run without that analysis, an unknown format or question, an unreadable image,
            or a folder that cannot be written.
    """
    endings = _formats(formats)
    read = _read(runs, out, epoch, names)
    inches = WIDTHS[width]
    by_name = {run.name: run.epochs for run in read}
    drawings = [(out, drawing) for drawing in comparisons(by_name, inches)]
    for run in read:
        found = charts(run.shown, inches) + _examples(run, questions, inches)
        drawings += [(run.folder, drawing) for drawing in found]
    _check_found(questions, read)
    written = []
    with tqdm(drawings, unit="figure", leave=False, disable=None) as bar:
        for folder, drawing in bar:
            bar.set_description(f"drawing {drawing.name}")
            written += _save(drawing, folder, endings)
    return written


def _formats(text: str) -> list[str]:
    found = list(dict.fromkeys(part.strip().lower().lstrip(".") for part in text.split(",")))
    unknown = [part for part in found if part not in FORMATS]
    if unknown:
        raise LookwhyError(
            f"expected --format of {', '.join(FORMATS)}, found {unknown[0]!r} in {text!r}; put commas between"
        )
    return found


def _read(runs: Sequence[Path], out: Path, epoch: int | None, names: Sequence[str]) -> list[Run]:
    resolved = [run.resolve() for run in runs]
    twice = next((run for run in resolved if resolved.count(run) > 1), None)
    if twice is not None:
        raise LookwhyError(f"expected each run once, found {twice} twice; name it once")
    if names and len(names) != len(runs):
        raise LookwhyError(f"expected --names of {len(runs)} runs, found {len(names)}; give one a run")
    named = list(names) or run_names(resolved)
    # Runs whose folders have equal names are named by their paths.
    inside = [re.sub(r"[^\w.=-]+", "-", name).strip("-.") for name in named]
    if len({name.casefold() for name in inside}) < len(inside) or not all(inside):
        raise LookwhyError(f"expected names that make folders apart, found {', '.join(named)}; give --names")
    read = []
    for run, name, folder in zip(resolved, named, inside, strict=True):
        epochs = store.stored_epochs(run)
        chosen = max(epochs) if epoch is None else epoch
        if chosen not in epochs:
            raise LookwhyError(
                f"expected an analysed epoch of {run}, found --epoch {epoch}; it has "
                f"{', '.join(epoch_name(one) for one in epochs)} (untrained is -1)"
            )
        read.append(
            Run(
                name,
                out / folder if len(runs) > 1 else out,
                {number: store.load_scalars(path) for number, path in epochs.items()},
                store.load(epochs[chosen]),
            )
        )
    return read


def _examples(run: Run, questions: Sequence[int], inches: float) -> list[Drawing]:
    """Strips of the questions asked for, or of the run's own examples whose images are there."""
    if questions:
        questions = [one for one in questions if one in run.shown.question_ids]
        found, missing = examples(run.shown, questions, inches)
        if missing:
            raise LookwhyError(
                f"expected the image of a question to draw, found no file {missing[0]!r}; put the images of "
                f"{run.name} back where its analysis found them"
            )
        return found
    found, missing = examples(run.shown, run.shown.manifest.get("examples", ()), inches)
    if missing:
        _log.warning(
            "%s: no figure of %d examples, their images are gone: %s", run.name, len(missing), missing[0]
        )
    return found


def _check_found(questions: Sequence[int], runs: Sequence[Run]) -> None:
    known = {int(one) for run in runs for one in run.shown.question_ids}
    unknown = next((question for question in questions if question not in known), None)
    if unknown is not None:
        examples = [str(one) for run in runs for one in run.shown.manifest.get("examples", ())]
        raise LookwhyError(
            f"expected the id of an analysed question, found --question {unknown}; "
            f"{', '.join(list(dict.fromkeys(examples))[:8])} are some"
        )


def _save(drawing: Drawing, folder: Path, endings: Sequence[str]) -> list[Path]:
    figure = drawing.make()
    paths = [folder / f"{drawing.name}.{ending}" for ending in endings]
    try:
        return [save_figure(figure, path, PRINT_DPI) for path in paths]
    except OSError as error:
        raise LookwhyError(
            f"expected a place for figures, found that {paths[0]} cannot be written "
            f"({error.strerror or error}); give --out another"
        ) from error


def report_figures(written: Sequence[Path], out: Path) -> None:
    """Print where the figures lie."""
    print(f"figures  {out} ({len(written)} files)")
