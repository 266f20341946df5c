"""`analyze.py figures`: every figure of runs as files for print; nothing here trains or explains."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from matplotlib.figure import Figure
from tqdm import tqdm

from lookwhy import store
from lookwhy.errors import LookwhyError
from lookwhy.reporting import reading
from lookwhy.reporting.figures import summary as figures
from lookwhy.reporting.figures.chart import WIDTHS
from lookwhy.reporting.page.html import run_names
from lookwhy.reporting.publish import read_image
from lookwhy.reporting.style import epoch_name
from lookwhy.types import AnalysisResult

FORMATS = ("png", "pdf", "svg")
CHARTS = ("most_important_words", "accuracy_by_type", "failure_prediction", "failure_curves")
"""Of one epoch of a run; beside them `agreement`, of all epochs of all runs, and `example_<question id>`."""
PRINT_DPI = 200.0
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Run:
    """A run as it is drawn: by this name, its files into this folder, of this epoch."""

    name: str
    folder: Path
    epochs: dict[int, AnalysisResult]
    shown: AnalysisResult


@dataclass(frozen=True)
class Drawing:
    """A figure that is only made when its turn comes: hundreds at once would fill the memory."""

    path: Path
    """Without the ending that tells its format."""
    make: Callable[[], Figure]


def draw_figures(
    runs: Sequence[Path],
    out: Path,
    formats: str = "png",
    epoch: int | None = None,
    questions: Sequence[int] = (),
    width: str = "double",
    names: Sequence[str] = (),
) -> list[Path]:
    """Draw `agreement` of all runs, and of each run its charts and examples.

    The files of a single run lie in `out`; of several, each run's in a folder of its name there.

    Args:
        runs: run folders.
        out: folder to write to.
        formats: endings with commas between: png, pdf, svg.
        epoch: that the charts and examples are of; by default each run's last.
        questions: ids of the examples; by default those that the analysis chose.
        width: "single" or "double", the columns of a page.
        names: of the runs in legends and of their folders; by default their folders' names.

    Raises:
        LookwhyError: a run without that analysis, an unknown format or question, an unreadable image,
            or a folder that cannot be written.
    """
    endings = _formats(formats)
    read = _read(runs, out, epoch, names)
    inches = WIDTHS[width]
    drawings = [_agreement(read, out, inches)]
    for run in read:
        drawings += _charts(run, inches) + _examples(run, questions, inches)
    _check_found(questions, read)
    written = []
    with tqdm(drawings, unit="figure", leave=False, disable=None) as bar:
        for drawing in bar:
            bar.set_description(f"drawing {drawing.path.name}")
            written += _save(drawing, endings)
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
    # A name may be a path, of runs whose folders are named alike.
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


def _agreement(runs: Sequence[Run], out: Path, inches: float) -> Drawing:
    by_name = {run.name: run.epochs for run in runs}
    return Drawing(out / "agreement", lambda: figures.agreement_over_epochs(by_name, inches))


def _charts(run: Run, inches: float) -> list[Drawing]:
    def drawing(name: str) -> Drawing:
        return Drawing(run.folder / name, lambda: getattr(figures, name)(run.shown, inches))

    return [drawing(name) for name in CHARTS]


def _examples(run: Run, questions: Sequence[int], inches: float) -> list[Drawing]:
    """Strips of the questions asked for that the run knows, or of its own examples whose images are there."""
    records = reading.questions(run.shown)
    wanted = dict.fromkeys(questions or run.shown.manifest.get("examples", ()))
    found, missing = [], []
    for question in wanted:
        path = reading.image_path(run.shown, records[question][0]) if question in records else None
        if path is not None and Path(path).is_file():
            found.append(_example(run, question, path, inches))
        elif path is not None or not questions:
            missing.append(path or f"question {question}")
    if missing and questions:
        raise LookwhyError(
            f"expected the image of a question to draw, found no file {missing[0]!r}; put the images of "
            f"{run.name} back where its analysis found them"
        )
    if missing:
        _log.warning(
            "%s: no figure of %d examples, their images are gone: %s", run.name, len(missing), missing[0]
        )
    return found


def _example(run: Run, question: int, path: str, inches: float) -> Drawing:
    def make() -> Figure:
        image = read_image(path)
        if image is None:
            raise LookwhyError(f"expected an image, found that {path} cannot be read; restore it")
        return figures.example_strip(run.shown, question, image, inches)

    return Drawing(run.folder / f"example_{question}", make)


def _check_found(questions: Sequence[int], runs: Sequence[Run]) -> None:
    known = {int(one) for run in runs for one in run.shown.question_ids}
    unknown = next((question for question in questions if question not in known), None)
    if unknown is not None:
        examples = [str(one) for run in runs for one in run.shown.manifest.get("examples", ())]
        raise LookwhyError(
            f"expected the id of an analysed question, found --question {unknown}; "
            f"{', '.join(list(dict.fromkeys(examples))[:8])} are some"
        )


def _save(drawing: Drawing, endings: Sequence[str]) -> list[Path]:
    figure = drawing.make()
    paths = [drawing.path.with_name(f"{drawing.path.name}.{ending}") for ending in endings]
    try:
        return [figures.save_figure(figure, path, PRINT_DPI) for path in paths]
    except OSError as error:
        raise LookwhyError(
            f"expected a place for figures, found that {paths[0]} cannot be written "
            f"({error.strerror or error}); give --out another"
        ) from error


def report_figures(written: Sequence[Path], out: Path) -> None:
    """Say where the figures lie."""
    print(f"figures  {out} ({len(written)} files)")
