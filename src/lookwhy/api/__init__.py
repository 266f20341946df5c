"""Public functions of the package: load a model, explain its answers, analyse a checkpoint, compare runs.

Notebooks call them as `lookwhy.load`, `lookwhy.explain`, `lookwhy.analyze` and `lookwhy.report`. The commands
call the same functions.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from lookwhy import store
from lookwhy.analysis import AnalysisPlan
from lookwhy.analysis.explain import Explainer
from lookwhy.analysis.foreign import ForeignExplainer
from lookwhy.analysis.session import AnalysisSession
from lookwhy.api.arguments import PATH, TEXT, WHOLE, check
from lookwhy.api.classes import Analysis, LoadedModel, Why
from lookwhy.errors import LookwhyError, option
from lookwhy.files import make_folder
from lookwhy.models import LoadedRun, load_checkpoint
from lookwhy.models.answering import Answers, answer_all, results_name, write_results
from lookwhy.models.foreign import is_spec, open_model, read_candidates
from lookwhy.reporting.comparisons import compare
from lookwhy.reporting.page.html import EXAMPLES, run_names, write_report
from lookwhy.reporting.publish import publish
from lookwhy.stopwatch import part, recording
from lookwhy.towers.device_choice import choose_device, tell_device
from lookwhy.towers.recipe import Picture

Plan = AnalysisPlan | Mapping[str, Any] | str | Path
"""A plan, its settings in plain types, or the path of a YAML file with them."""
Moved = Mapping[str, str | Path]
"""Path of today by name, for files that do not lie any more where a checkpoint names them."""


def load(
    checkpoint: str | Path,
    device: str = "auto",
    images: int = 1,
    *,
    moved: Moved | None = None,
    plan: Plan | None = None,
    candidates: str | Path | Sequence[str] | None = None,
    allow_remote: bool = False,
) -> LoadedModel:
    """Load a trained model with the methods of the plan that it was trained with.

    Args:
        checkpoint: file that training wrote, runs/<name>/checkpoints/*.ckpt; or the SPEC of another model
            (docs/foreign.md), which occlusion and word drop explain.
        device: device to compute on, such as "cuda"; "auto" is a GPU if there is one, else the CPU, and one
            line on stderr tells which.
        images: number of recently used images whose results stay in memory.
        moved: paths of today of files that the checkpoint names elsewhere: "folder" of the prepared data,
            "weights" of the image network.
        plan: other methods and settings.
        candidates: answers of a model that writes its answers (BLIP, chat models): a list, or a file with one
            answer a line.
        allow_remote: whether a model at an http address may be on another machine.

    Raises:
        LookwhyError: the checkpoint, the device or the weights of the image network cannot be found; a method
            cannot explain this model; candidates are missing, or given to a model with answers of its own.

    Example:
        >>> model = load("runs/demo/checkpoints/last.ckpt")  # doctest: +SKIP
        >>> why = model.explain("cat.jpg", "What is on the mat?")  # doctest: +SKIP
        >>> why.answer  # doctest: +SKIP
        'cat'
    """
    check("images", images, WHOLE)
    if is_spec(checkpoint) and not Path(checkpoint).exists():
        spec = str(checkpoint)
        listed = read_candidates(candidates) if isinstance(candidates, (str, Path)) else candidates
        settings = _plan_of(plan) if plan is not None else None
        check("device", device, TEXT)
        opened = open_model(spec, allow_remote=allow_remote, candidates=listed, device=device)
        return LoadedModel(ForeignExplainer(opened, settings, spec), spec)
    if candidates is not None:
        raise LookwhyError(
            f"expected no candidates for {checkpoint}, a checkpoint with answers of its own; leave them out"
        )
    run, chosen = _load(checkpoint, device, moved)
    model = LoadedModel(Explainer(run, _settings(run, plan, None, None), chosen, images), run.path)
    tell_device(device, chosen)
    return model


def explain(model: LoadedModel | str | Path, image: Picture, question: str) -> Why:
    """Answer one question about one image, and explain the answer.

    Args:
        model: model that `load` returned, or the path of a checkpoint; load it once to ask several questions.
        image: image as in `LoadedModel.explain`.
        question: question in plain text.

    Raises:
        LookwhyError: as in `load` and `LoadedModel.explain`.

    Example:
        >>> import numpy as np
        >>> why = explain(checkpoint, np.zeros((96, 96, 3), np.uint8), "is there a ball ?")
        >>> why.words["word_drop"][3].word
        'ball'
    """
    return (model if isinstance(model, LoadedModel) else load(model)).explain(image, question)


def analyze(
    checkpoint: str | Path,
    *,
    out: str | Path | None = None,
    plan: Plan | None = None,
    limit: int | None = None,
    grid: int | None = None,
    device: str = "auto",
    moved: Moved | None = None,
) -> Analysis:
    """Analyse a checkpoint exactly as the callback does in training; write its files, pictures and answers.

    Args:
        checkpoint: file that training wrote.
        out: folder to write to; by default <run>/analyze/<checkpoint>.
        plan: settings; by default those that the run was trained with.
        limit: largest number of questions to analyse.
        grid: cells along each side, in place of the plan's.
        device: device to compute on, as in `load`.
        moved: paths of today of files that the checkpoint names elsewhere: "folder", "image_root",
            "annotator_maps", "truth_masks", "val_questions", "val_annotations", "weights".

    Raises:
        LookwhyError: the checkpoint or the data are missing, the data have changed, or the plan has unknown
            options.

    Example:
        >>> result = analyze("runs/demo/checkpoints/last.ckpt", limit=40)  # doctest: +SKIP
        >>> result.summary["image/occlusion/rank_correlation"]  # doctest: +SKIP
        0.258
    """
    check("out", out, PATH, optional=True)
    for name, number, least in (("limit", limit, 1), ("grid", grid, 2)):
        check(name, number, WHOLE, optional=True)
        if number is not None and number < least:
            raise LookwhyError(
                f"expected {option(name)} of at least {least}, found {number}; leave it out for the plan's"
            )
    seconds: dict[str, float] = {}
    with recording(seconds):
        with part("reading checkpoint and data"):
            run, chosen = _load(checkpoint, device, moved)
            settings = _settings(run, plan, limit, grid)
            base = _folder_to_write(Path(out) if out else _default_folder(run.path))
            data = run.datamodule()
            data.setup()
        with part("choosing and tagging questions, reading annotators"):
            session = AnalysisSession(data, settings)
        tell_device(device, chosen)
        result = session.run(run.head, run.epoch, device=chosen, progress=True, training=run.training)
        result.manifest["checkpoint"] = str(Path(checkpoint).resolve())
        with part("storing and drawing"):
            folder = store.save(result, store.epoch_folder(base, run.epoch))
            publish(result, base, run.epoch, None)
        with part("answering all questions of the data"):
            answers = answer_all(run.head, data, chosen)
            files = write_results(answers, base, _results_name(answers, run))
    seconds |= result.manifest["seconds"]
    return Analysis(**vars(result), folder=folder, answers=answers, result_files=files, seconds=seconds)


def answer(
    checkpoint: str | Path, data: str | Path, *, out: str | Path | None = None, device: str = "auto"
) -> tuple[Answers, list[Path]]:
    """Answer the second split of a prepared folder (validation questions, or a test set without annotations).

    Args:
        checkpoint: file that training wrote.
        data: prepared folder.
        out: folder to write to; by default <run>/analyze/<checkpoint>/<name of the prepared folder>.
        device: device to compute on, as in `load`.

    Returns:
        The answers, and the files of the official evaluation that hold them.

    Raises:
        LookwhyError: the checkpoint, the device or the prepared folder does not exist.
    """
    check("data", data, PATH)
    check("out", out, PATH, optional=True)
    run, chosen = _load(checkpoint, device)
    prepared = run.datamodule(Path(data))
    prepared.setup("predict")
    tell_device(device, chosen)
    answers = answer_all(run.head, prepared, chosen)
    folder = Path(out or _default_folder(run.path) / Path(data).name)
    return answers, write_results(answers, folder, _results_name(answers, run))


def report(
    runs: str | Path | Iterable[str | Path], out: str | Path = "report.html", examples: int = EXAMPLES
) -> Path:
    """Write one self-contained page that compares runs over epochs; returns its path.

    Args:
        runs: one run folder or several; the others are compared with the first.
        out: page to write.
        examples: number of questions to browse.

    Raises:
        LookwhyError: a run is named twice or has no analysis, or the page cannot be written.

    Example:
        >>> report(["runs/demo", "runs/san"], "report.html")  # doctest: +SKIP
    """
    check("examples", examples, WHOLE)
    check("out", out, PATH)
    if examples < 1:
        raise LookwhyError(f"expected 1 or more examples, found {examples}; leave it out for {EXAMPLES}")
    listed = [*runs] if isinstance(runs, Iterable) and not isinstance(runs, str) else [runs]
    for run in listed:
        check("runs", run, PATH)
    folders = [Path(run) for run in listed]
    named = dict(zip(run_names(folders), folders, strict=True))
    comparisons = compare(named) if named else []
    return write_report(folders, Path(out), comparisons, examples)


def _folder_to_write(path: Path) -> Path:
    """Make the folder; that of a training is refused, because it holds analyses of the same epochs."""
    if (path / "config.yaml").exists() or (path / "checkpoints").exists():
        raise LookwhyError(
            f"expected a folder of its own for the analysis, found that of a run, {path}; give another "
            f"{option('out')}"
        )
    return make_folder(path)


def _load(checkpoint: str | Path, device: str, moved: Moved | None = None) -> tuple[LoadedRun, str]:
    """Load a checkpoint and move its head to the device; returns the chosen device, too."""
    if not isinstance(checkpoint, (str, Path)):
        raise LookwhyError(
            f"expected the path of a checkpoint, found {str(checkpoint):.60}; name a file that training wrote"
        )
    check("device", device, TEXT)
    run, chosen = load_checkpoint(checkpoint, moved), choose_device(device)
    run.head.to(chosen)
    return run, chosen


def _results_name(answers: Answers, run: LoadedRun) -> str:
    """Name of the result files: a checkpoint outside a run folder gives its own."""
    folder = run.path.parent
    name = folder.parent.name if folder.name == "checkpoints" else run.path.stem
    return results_name(answers.test_set, name, run.epoch)


def _default_folder(checkpoint: Path) -> Path:
    """Folder for the analysis of a checkpoint: <run>/analyze/<checkpoint>, or below the working directory."""
    inside_run = checkpoint.parent.name == "checkpoints"
    return (checkpoint.parent.parent if inside_run else Path.cwd()) / "analyze" / checkpoint.stem


def _plan_of(plan: Plan) -> AnalysisPlan:
    if isinstance(plan, (str, Path)):
        return AnalysisPlan.from_yaml(plan)
    return plan if isinstance(plan, AnalysisPlan) else AnalysisPlan.from_dict(plan, "plan")


def _settings(run: LoadedRun, plan: Plan | None, limit: int | None, grid: int | None) -> AnalysisPlan:
    plan = AnalysisPlan.from_dict(run.plan, str(run.path)) if plan is None else _plan_of(plan)
    if grid is not None:
        plan = plan.on_grid(grid)
    return plan if limit is None else replace(plan, num_questions=min(limit, plan.num_questions or limit))
