"""The W&B side of an analysis; the only place that imports wandb.

What keeps the charts readable:

* Lightning ties every metric to its own step, so each metric of an analysis is tied to the epoch under
  its EXACT name: patterns overlap and mix the axes.
* One `log` an epoch carries everything, "epoch" included, and never says `step`: W&B drops what is
  logged for a step that has passed.
* A table is a new one every time, under one key: W&B does not notice that an old one has grown.
"""

from __future__ import annotations

import configparser
import io
import netrc
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from weakref import WeakKeyDictionary

import numpy as np
import wandb
from matplotlib.figure import Figure
from PIL import Image
from wandb.plot import CustomChart

from lookwhy.reporting import figures, reading, style
from lookwhy.types import AnalysisResult

PREFIX = "analysis/"
MOST_IMAGES = 108
"""W&B shows and keeps no more images under one key and step."""

Images = Callable[[str], np.ndarray] | Mapping[int, np.ndarray]
"""How to get at pictures: a reader of image files, or pixels (H, W, 3) uint8 by question id."""

_DEFAULT_SERVER = "https://api.wandb.ai"
_defined: WeakKeyDictionary[Any, set[str]] = WeakKeyDictionary()


def publish(
    result: AnalysisResult,
    images: Images,
    experiment: Any,
    epoch: int,
    pictures: Mapping[str, Path] | None = None,
) -> dict[str, Any]:
    """Log one analysis to a W&B run, in one call.

    Args:
        result: the analysis.
        images: where the pictures of the example questions come from.
        experiment: the run, as `wandb.init` or `WandbLogger.experiment` gives it.
        epoch: its place on the axis.
        pictures: PNG files already drawn, by the names that `lookwhy.reporting.publish` gives them;
            what is not there is drawn.

    Returns:
        What was logged, by key.
    """
    drawn = pictures or {}
    logged: dict[str, Any] = {f"{PREFIX}{key}": value for key, value in result.summary.items()}
    logged[f"{PREFIX}questions"] = questions_table(result, epoch)
    for method in reading.question_methods(result):
        if reading.groups(result):
            logged[f"{PREFIX}most_important_words/{method}"] = _words_chart(result, method, epoch)
    for name in ("most_important_words", "failure_prediction", "accuracy_by_type"):
        picture = str(drawn[name]) if name in drawn else _render(getattr(figures, name)(result))
        logged[f"{PREFIX}figures/{name}"] = wandb.Image(picture, caption=style.epoch_name(epoch))
    examples = _examples(result, images, epoch, drawn)
    if examples:
        logged[f"{PREFIX}examples"] = examples
    _define(experiment, logged)
    experiment.log({**logged, "epoch": epoch})
    return logged


def questions_table(result: AnalysisResult, epoch: int) -> Any:
    """One row a question: what was asked and answered, and what each method found."""
    image, words = reading.image_methods(result), reading.question_methods(result)
    columns: list[str | int] = [
        "epoch",
        "question_id",
        "question",
        "question_type",
        "answer_type",
        "ground_truth",
    ]
    columns += ["predicted", "confidence", "accuracy"]
    columns += [f"{column}/{method}" for method in image for column in ("rho", "flips")]
    columns += [f"{column}/{method}" for method in words for column in ("top_word", "top_tag", "flips_words")]
    table = wandb.Table(columns=columns, allow_mixed_types=True)
    for question_id, rows in reading.questions(result).items():
        row = [epoch, question_id, *(_plain(rows[0][str(column)]) for column in columns[2:9])]
        for method in image:
            found = reading.of_method(rows, "image", method)
            row += [_plain(found.get("rho")), _plain(found.get("flips"))]
        for method in words:
            found = reading.of_method(rows, "question", method)
            row += [_plain(found.get(column)) for column in ("top_word", "top_tag", "flips")]
        table.add_data(*row)
    return table


def caption(rows: list[reading.Record], epoch: int) -> str:
    """What stands under an example: epoch, question, answer, truth, agreement by method."""
    row = rows[0]
    parts = [style.epoch_name(epoch), row["question"], f"answered {row['predicted']}"]
    if row["ground_truth"]:
        parts.append(f"true answer {row['ground_truth']}")
    parts += [
        f"ρ {style.method_name(record['method'])} {record['rho']:.2f}"
        for record in rows
        if reading.known(record["rho"])
    ]
    return " · ".join(parts)


def offline_environment(run_folder: Path) -> dict[str, str]:
    """Environment variables that keep all of W&B inside a run's folder, and offline without an API key.

    Images in tables and artifacts are staged in W&B's data folder, logs in its cache: both belong beside
    the run, or its files end up in the home folder. What the user has set stays as it is. W&B's own
    settings folder is left alone: it is only read, and may name the server.
    """
    root = run_folder.resolve()
    wanted = {
        "WANDB_DIR": str(root),
        "WANDB_DATA_DIR": str(root / "wandb" / "staging"),
        "WANDB_CACHE_DIR": str(root / "wandb" / "cache"),
        "WANDB_ARTIFACT_DIR": str(root / "wandb" / "artifacts"),
    }
    if not os.environ.get("WANDB_MODE") and not has_credentials():
        # Nothing to say about a run that goes nowhere: `prepare_environment` says where it lies.
        wanted |= {"WANDB_MODE": "offline", "WANDB_SILENT": "true"}
    return {name: value for name, value in wanted.items() if not os.environ.get(name)}


def prepare_environment(run_folder: Path) -> str:
    """Set those variables, before a run is started; returns one sentence about where the run goes."""
    chosen = os.environ.get("WANDB_MODE")
    os.environ.update(offline_environment(run_folder))
    folder = Path(os.environ["WANDB_DIR"]) / "wandb"
    if chosen:
        return f"W&B: {chosen}, as WANDB_MODE says; files in {folder}"
    if os.environ.get("WANDB_MODE") == "offline":
        return f"W&B: no API key found, so the run stays offline in {folder} (look: wandb leet {folder})"
    return f"W&B: API key found, logging to {_server()}; files in {folder}"


def has_credentials() -> bool:
    """Whether W&B could log in: by environment, netrc, or its own settings file."""
    if os.environ.get("WANDB_API_KEY") or os.environ.get("WANDB_IDENTITY_TOKEN_FILE"):
        return True
    if _settings().get("api_key"):
        return True
    host = urlsplit(_server()).hostname or ""
    for file in (os.environ.get("NETRC"), "~/.netrc", "~/_netrc"):
        if not file:
            continue
        try:
            # Not `authenticators`: its answer for any host ("default") is no W&B key.
            if host in netrc.netrc(os.path.expanduser(file)).hosts:
                return True
        except (OSError, netrc.NetrcParseError):
            continue
    return False


def _server() -> str:
    return os.environ.get("WANDB_BASE_URL") or _settings().get("base_url") or _DEFAULT_SERVER


def _settings() -> dict[str, str]:
    """The `default` section of W&B's settings file."""
    folder = os.environ.get("WANDB_CONFIG_DIR") or "~/.config/wandb"
    parser = configparser.ConfigParser(interpolation=None)
    try:
        parser.read(Path(folder).expanduser() / "settings")
    except configparser.Error:
        return {}
    return dict(parser["default"]) if parser.has_section("default") else {}


def _define(experiment: Any, names: Mapping[str, Any]) -> None:
    """Tie each metric to the epoch, once a run; a key may turn up later than at the first epoch."""
    known = _defined.setdefault(experiment, set())
    # W&B itself logs the rows of a custom chart, under the chart's key and this ending.
    tables = [f"{name}_table" for name, value in names.items() if isinstance(value, CustomChart)]
    for name in (*names, *tables):
        if name not in known and "*" not in name:
            experiment.define_metric(name, step_metric="epoch")
            known.add(name)


def _words_chart(result: AnalysisResult, method: str, epoch: int) -> Any:
    table = wandb.Table(columns=["part of speech", "P(most important)", "by chance", "words"])
    for group in reading.groups(result):
        key = f"question/{method}/most_important/{group}"
        if key in result.summary:
            rest = [result.summary.get(f"{key}/{end}") for end in ("expected", "n")]
            table.add_data(style.group_name(group), result.summary[key], *rest)
    title = f"Most important word, {style.method_name(method)}, {style.epoch_name(epoch)}"
    return wandb.plot.bar(table, "part of speech", "P(most important)", title=title)


def _examples(
    result: AnalysisResult, images: Images, epoch: int, drawn: Mapping[str, Path]
) -> list[wandb.Image]:
    found: list[tuple[Image.Image | Path, str]] = []
    records = reading.questions(result)
    for question_id in result.manifest.get("examples", ()):
        rows = records.get(question_id)
        if not rows or len(found) == MOST_IMAGES:
            continue
        picture: Image.Image | Path | None = drawn.get(f"example_{question_id}")
        if picture is None:
            pixels = _pixels(images, question_id, reading.image_path(result, rows[0]))
            if pixels is None:
                continue
            picture = _render(figures.example_strip(result, question_id, pixels))
        found.append((picture, caption(rows, epoch)))
    # W&B shows the images of one key in frames of one size, and cuts what does not fit.
    sizes = [_size(picture) for picture, _ in found]
    frame = (max((width for width, _ in sizes), default=0), max((height for _, height in sizes), default=0))
    return [
        wandb.Image(_framed(picture, size, frame), caption=words)
        for (picture, words), size in zip(found, sizes, strict=True)
    ]


def _size(picture: Image.Image | Path) -> tuple[int, int]:
    if isinstance(picture, Image.Image):
        return picture.size
    with Image.open(picture) as opened:
        return opened.size


def _framed(picture: Image.Image | Path, size: tuple[int, int], frame: tuple[int, int]) -> Image.Image | str:
    """The picture at the frame's size; a file that has it already is taken as it is, not encoded again."""
    if size == frame and isinstance(picture, Path):
        return str(picture)
    canvas = Image.new("RGB", frame, style.PAPER)
    canvas.paste(picture if isinstance(picture, Image.Image) else _read(picture), (0, 0))
    return canvas


def _pixels(images: Images, question_id: int, path: str) -> np.ndarray | None:
    if isinstance(images, Mapping):
        return images.get(question_id)
    return images(path) if path else None


def _render(figure: Figure) -> Image.Image:
    buffer = io.BytesIO()
    figures.write(figure, buffer, "png")
    # A figure made without pyplot is registered nowhere: cleared, it goes with its last reference.
    figure.clear()
    buffer.seek(0)
    return Image.open(buffer).convert("RGB")


def _read(path: Path) -> Image.Image:
    with Image.open(path) as picture:
        return picture.convert("RGB")


def _plain(value: Any) -> Any:
    return value if reading.known(value) else None
