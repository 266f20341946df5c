"""The command `analyze.py paper`: from nothing to the paper's tables, in steps.

Each step is a command of its own, which is printed. A step whose result exists is skipped, and each goes on
where it was interrupted, so the same command continues from any point.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
from argparse import ArgumentParser
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout, suppress
from io import StringIO
from pathlib import Path
from typing import Any, Literal, NamedTuple

from lookwhy.cli import prepare
from lookwhy.cli.configs import with_packaged_configs
from lookwhy.cli.errors import add_device
from lookwhy.errors import LookwhyError, command, extra
from lookwhy.files import atomic_path, make_folder, sha256_file
from lookwhy.progress import readable

FILES = {f"--{split}-{kind}": name.format(split) for split in prepare.SPLITS for kind, name in (
    ("questions", "MultipleChoice_mscoco_{}2014_questions.json"),
    ("annotations", "mscoco_{}2014_annotations.json"),
)}  # fmt: skip
"""Official files by the option of `prepare.py` that takes them."""
WEIGHTS, MAPS = "VGG_ILSVRC_19_layers.caffemodel", "vqahat_val"
FEATURES = 4096
"""Width of fc7."""
TABLE, RUN = "paper.json", "run"
"""File that marks the end, and the name of the training's folder."""


class Step(NamedTuple):
    """A step of the command.

    Attributes:
        title: name of the step.
        cost: time and disk that it takes, as far as they are known.
        script: command that does it.
        words: arguments of that command.
        result: path that exists when the step is done; None if the command itself finds out quickly.
    """

    title: str
    cost: str
    script: Literal["prepare", "train", "analyze"]
    words: list[str]
    result: Path | None = None


def add_options(parser: ArgumentParser) -> None:
    """Add the options of the command."""
    add = parser.add_argument
    add("--root", type=Path, required=True, help="folder for downloads, features and results")
    add("--base-url", type=prepare.web_address, help="mirror that holds all files under their names")
    add("--no-checksum", action="store_true", help="skip the checksums: for a mirror that repacked the files")
    add("--name", default="paper", help="folder of the results below --root (paper)")
    add("--config", default="vqa_v1", help="training config, by its file or name (vqa_v1: the paper's)")
    add_device(parser, choices=("auto", "cpu", "cuda"))
    more = (
        "options of the training, after --, e.g. -- --trainer.max_epochs 2 --analysis.plan.num_questions 50"
    )
    add("train", nargs="*", metavar="-- OPTIONS", help=more)


def run(root: Path, name: str, device: str, **options: Any) -> None:
    """Take every step that is not done, and write the tables.

    Raises:
        LookwhyError: a step was refused, the results were begun with other settings, or another process is at
            work on them.
    """
    from lookwhy.towers.device_choice import choose_device, tell_device

    wanted, device = device, choose_device(device)
    if Path(name).name != name or name in ("", ".."):
        raise LookwhyError(
            f"expected a --name that makes a folder below --root, found {name!r}; give another"
        )
    out = root / name
    training = next(step for step in _steps(root, out, device, **options) if step.script == "train")
    if os.environ.get("LOCAL_RANK", "0") != "0":  # the strategy ddp starts this command once more
        _take(training)
        return
    _check(training)
    make_folder(out)
    with _alone(out):
        _keep_settings(out, options["config"], options["train"])
        tell_device(wanted, device)
        for number in range(count := len(_steps(root, out, device, **options))):
            # Built anew, because the words of a step depend on the results of those before it.
            step = _steps(root, out, device, **options)[number]
            print(f"\n[{number + 1} of {count}] {step.title}: ", end="")
            if step.result is not None and step.result.exists():
                print(f"here already ({step.result})", flush=True)
                continue
            print(f"{step.cost}\n  {command(step.script)} {shlex.join(step.words)}", flush=True)
            _take(step)
            if step.script == "analyze":
                _write_tables(root, out, device)
    print(f"\ntables    {out / 'paper.md'}\nnumbers   {out / TABLE}\npictures  {out / 'figures'}")


@contextmanager
def _alone(out: Path) -> Iterator[None]:
    """Refuse to work on results beside another process."""
    with extra("download", "filelock"):
        from filelock import FileLock, Timeout
    try:
        with FileLock(out / ".lock", timeout=0):  # the kernel releases it when a process dies
            yield
    except Timeout as error:
        raise LookwhyError(
            f"expected to work alone in {out}, found another process at work there; wait for its end"
        ) from error


def _check(training: Step) -> None:
    """Parse the options of the training, so that a wrong one is refused before hours of work."""
    from lookwhy.cli.lightning import train

    with redirect_stdout(StringIO()), suppress(SystemExit):
        train(with_packaged_configs([*training.words, "--print_config"]))


def _keep_settings(out: Path, config: str, train: list[str]) -> None:
    """Write down how the model is trained, and refuse to continue with other settings."""
    (path,) = with_packaged_configs(["--config", config])[1:]
    settings = {"config": config, "config_sha256": sha256_file(Path(path)), "train": train}
    text, kept = json.dumps(settings, indent=2) + "\n", out / "settings.json"
    if not kept.exists():
        with atomic_path(kept) as partial:
            partial.write_text(text, encoding="utf-8")
    elif kept.read_text(encoding="utf-8", errors="replace") != text:
        raise LookwhyError(
            f"expected the --config and the options of {command('train')} that {out} was begun with, found "
            f"others than in {kept}; give another --name"
        )


def _steps(
    root: Path,
    out: Path,
    device: str,
    base_url: str | None,
    no_checksum: bool,
    config: str,
    train: list[str],
) -> list[Step]:
    server = [*(["--base-url", base_url] if base_url else []), *(["--no-checksum"] if no_checksum else [])]
    steps = [
        Step(f"download {title}", "sizes and space are stated before a file is fetched", "prepare",
             ["download", label, "--root", str(root), *server])
        for label, title in (("vqa-v1", "VQA v1"), ("coco", "COCO images"), ("vqa-hat", "VQA-HAT maps"),
                             ("vgg19-caffe", "VGG-19 weights"))
    ]  # fmt: skip
    images = ["--images", str(root), "--out", str(root)]
    questions = [word for one, file in FILES.items() for word in (one, str(root / file))]
    steps.append(
        Step("questions", "about a minute", "prepare", ["questions", *questions, *images],
             root / "data_prepro.json")
    )  # fmt: skip
    vgg = ["--arch", "vgg19", "--layer", "fc7", "--recipe", "caffe", "--weights", str(root / WEIGHTS)]
    steps.append(
        Step("image features", _cost_of_features(root), "prepare",
             ["features", *images, *vgg, "--device", device], root / "data_img.h5")
    )  # fmt: skip
    checkpoint = _checkpoint(out)
    run = checkpoint.parent.parent
    fit = ["--config", config, "--data.folder", str(root), "--data.annotator_maps", str(root / MAPS)]
    fit += ["--trainer.accelerator", "cpu" if device == "cpu" else "auto", *train]
    fit += ["--runs", str(out), "--name", RUN]
    cost = (
        "a step of 500 questions takes 0.7 s on a CPU, 10 ms on a GPU; the first analysis takes 4 to 10 s an "
        f"image on a CPU, 0.2 s on a GPU, and keeps 7 MB of each in {root / 'cache'}"
    )
    going_on = ["--ckpt_path", str(checkpoint)] if checkpoint.exists() else []
    steps.append(Step("training", cost, "train", ["fit", *fit, *going_on], run / "metrics.json"))
    words = [str(checkpoint), "--out", str(out), "--device", device]
    cost = "as one analysis in training, from the cache"
    return [*steps, Step("analysis and tables", cost, "analyze", words, out / TABLE)]


def _cost_of_features(root: Path) -> str:
    each = "0.6 s an image on a CPU, 6 ms with a GPU (most of it decoding)"
    try:
        names = json.loads((root / "data_prepro.json").read_text())
        count = len(names["unique_img_train"]) + len(names["unique_img_test"])
    except (OSError, ValueError, KeyError, TypeError):
        return each
    return f"{count:,} images, {readable(4 * FEATURES * count)}; {each}"


def _checkpoint(out: Path) -> Path:
    """The last checkpoint; the path of a first one if there is none."""
    # A training that was killed before its first checkpoint leaves a folder, and the next takes another.
    found = sorted(out.glob(f"{RUN}*/checkpoints/last.ckpt"), key=lambda path: path.stat().st_mtime)
    return found[-1] if found else out / RUN / "checkpoints" / "last.ckpt"


def _take(step: Step) -> None:
    """Run the command of a step; its errors end this command, too."""
    if step.script == "prepare":
        prepare.run(step.words)
    if step.script == "train":
        import torch.distributed as dist

        from lookwhy.cli.lightning import train

        if code := train(with_packaged_configs(step.words)):
            raise SystemExit(code)  # interrupted; the line that says so is printed
        if dist.is_available() and dist.is_initialized():  # the other processes of the training have ended
            dist.destroy_process_group()


def _write_tables(root: Path, out: Path, device: str) -> None:
    """Analyse the last checkpoint, draw the figures, and write paper.md and paper.json."""
    from lookwhy import api, store
    from lookwhy.cli.environment import environment, fingerprints
    from lookwhy.reporting.figures.chart import save_figure
    from lookwhy.reporting.figures.epochs import agreement_over_epochs
    from lookwhy.reporting.paper import numbers_of_paper, write_paper
    from lookwhy.reporting.terminal.answers import print_answers
    from lookwhy.reporting.terminal.tables import print_tables, report_console

    checkpoint = _checkpoint(out)
    result = api.analyze(checkpoint, out=out, device=device)
    run = checkpoint.parent.parent
    folders = store.stored_epochs(run) if any((run / "analysis").glob("*/summary.json")) else {}
    epochs = {epoch: store.load_scalars(folder) for epoch, folder in folders.items()}
    epochs[result.manifest["epoch"]] = result
    figures = make_folder(out / "figures")
    save_figure(agreement_over_epochs({out.name: epochs}), figures / "agreement.png")
    for picture in sorted((result.folder / "figures").glob("*.png")):
        shutil.copy(picture, figures)
    assert result.answers is not None
    inputs = fingerprints(root, [*FILES.values(), MAPS], result)
    found = numbers_of_paper(result, epochs, result.answers.accuracy, run / "config.yaml")
    write_paper(found | {"environment": environment(device), "inputs": inputs}, result, out / TABLE)
    console = report_console()
    print_tables(result, console)
    print_answers(result.answers, result.result_files, console)
