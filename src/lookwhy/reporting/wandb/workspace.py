"""The project's saved view in W&B: sections of panels over the keys that runs log.

A panel is made only for keys that some run logs. The finished view is checked in the form in which W&B
receives it, as JSON: against the schema, and key by key.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import wandb
import wandb_workspaces.reports.v2 as panels
import wandb_workspaces.workspaces as workspaces
from wandb_workspaces.workspaces.internal import View

from lookwhy.errors import LookwhyError
from lookwhy.keys import parse
from lookwhy.reporting import style
from lookwhy.reporting.figures.catalogue import EPOCH_CHARTS
from lookwhy.reporting.wandb.charts import CURVES, GROUP, SHARE, WORDS
from lookwhy.reporting.wandb.log import EPOCH, PREFIX
from lookwhy.reporting.wandb.summary import BEST, BEST_EPOCH

TITLE = "lookwhy: where it looks and why it answers"
TRAINING_KEYS = ("train/loss", "val/loss", "val/accuracy/overall", "val/accuracy_most_frequent_answer")
"""Keys that training logs beside the analyses, at its own steps."""
MOST_RUNS = 20

Panel = Any


@dataclass
class ProjectKeys:
    """Keys and names that the runs of a project log, so that its view can show them.

    Attributes:
        keys: all keys logged.
        image_methods: names of the attribution methods for images.
        question_methods: names of the attribution methods for words.
        feature_sets: feature sets of the failure predictor.
        groups: parts of speech.
        annotators: name for the annotators.
        note: note on the data.
    """

    keys: set[str]
    image_methods: list[str]
    question_methods: list[str]
    feature_sets: list[str]
    groups: list[str]
    annotators: str = "annotators"
    note: str = ""


def build(shown: ProjectKeys, entity: str, project: str) -> workspaces.Workspace:
    """Build the view of a project, without any server."""
    makers = (_agreement, _specific, _words, _failure, _examples, _accuracy, _runs)
    sections = []
    for maker in makers:
        name, found = maker(shown)
        kept = [panel for panel in found if panel is not None]
        if kept:
            settings = workspaces.SectionPanelSettings(x_axis=EPOCH)
            layout = workspaces.SectionLayoutSettings(columns=3, rows=-(-min(len(kept), 9) // 3))
            section = workspaces.Section(
                name=name, panels=kept, is_open=True, panel_settings=settings, layout_settings=layout
            )
            sections.append(section)
    best = [f"{PREFIX}accuracy/overall/{BEST}"]
    best += [f"{PREFIX}image/{method}/specificity/{BEST}" for method in shown.image_methods]
    return workspaces.Workspace(
        entity=entity,
        project=project,
        name=TITLE,
        sections=sections,
        settings=workspaces.WorkspaceSettings(x_axis=EPOCH, max_runs=MOST_RUNS),
        runset_settings=workspaces.RunsetSettings(
            pinned_columns=[f"summary:{key}" for key in best if key in shown.keys]
        ),
    )


def checked_json(workspace: workspaces.Workspace, shown: ProjectKeys) -> str:
    """The view as W&B receives it, checked against its schema and against the keys that runs log.

    Raises:
        LookwhyError: a panel shows a key that no run logs.
    """
    text: str = workspace._to_model().model_dump_json(by_alias=True, exclude_none=True, indent=2)
    View.model_validate_json(text)
    unknown = sorted(shown_keys(json.loads(text)) - shown.keys)
    if unknown:
        raise LookwhyError(
            f"expected panels of what the runs log, found {unknown[0]} logged by none; name runs that have it"
        )
    return text + "\n"


def shown_keys(view: dict[str, Any]) -> set[str]:
    """Keys that a view, as JSON, reads in its panels, its columns and its axis."""
    section = view["spec"]["section"]
    return {key for name in ("panelBankConfig", "runSets", "settings") for key in _keys_in(section[name])}


def _keys_in(part: Any) -> Iterator[str]:
    if isinstance(part, list):
        for item in part:
            yield from _keys_in(item)
    if not isinstance(part, dict):
        return
    for name, value in part.items():
        if name in ("metrics", "mediaKeys"):
            yield from (key.removeprefix("summary_metrics.") for key in value)
        elif name == "xAxis":
            yield value
        elif name == "columnPinned":
            yield from (key.removeprefix("summary:") for key in value if key.startswith("summary:"))
        else:
            yield from _keys_in(value)
    # A chart holds {"name": "tableKey", "value": KEY}; a table {"nodeType": "const", "val": KEY}.
    if part.get("name") == "tableKey":
        yield part["value"]
    if part.get("nodeType") == "const" and isinstance(part.get("val"), str):
        yield part["val"]


def save(workspace: workspaces.Workspace) -> str:
    """Save the view in W&B and return its address.

    Raises:
        LookwhyError: the server cannot be reached or refuses.
    """
    try:
        workspace.save()
        return str(workspace.url)
    # The errors of W&B's clients have no common class and are not documented.
    except Exception as error:
        raise LookwhyError(
            f"expected W&B to save a view of {workspace.entity}/{workspace.project}, found "
            f"{' '.join(str(error).split())[:200]}; correct --entity, --project or the API key"
        ) from error


def default_entity() -> str:
    """The entity (user or team) of the API key's owner.

    Raises:
        LookwhyError: the server cannot be reached or refuses, or the owner has no entity.
    """
    try:
        entity = wandb.Api().default_entity
    except Exception as error:  # as above
        raise LookwhyError(
            f"expected W&B to know the API key, found {' '.join(str(error).split())[:200]}; give --entity"
        ) from error
    if not entity:
        raise LookwhyError("expected the API key's owner to have an entity, found none; give --entity")
    return str(entity)


def _lines(shown: ProjectKeys, title: str, keys: list[str], label: str = "") -> Panel | None:
    """A panel of lines over the epochs for the keys that are logged; None if none is."""
    found: list[Any] = [f"{PREFIX}{key}" for key in keys if f"{PREFIX}{key}" in shown.keys]
    if not found:
        return None
    return panels.LinePlot(
        title=title, x=EPOCH, y=found, title_x="epoch (-1: untrained)", title_y=label or None,
        max_runs_to_show=MOST_RUNS,
    )  # fmt: skip


def _chart(shown: ProjectKeys, key: str, preset: str, fields: dict[str, str], title: str) -> Panel | None:
    """A panel with a custom chart of the newest table of each run; None if no run logs it."""
    table = f"{PREFIX}{key}_table"
    if table not in shown.keys:
        return None
    return panels.CustomChart(
        query={"summaryTable": {"tableKey": table}, "_defaultColorIndex": None},
        chart_name=preset,
        chart_fields=fields,
        chart_strings={"title": title},
    )


def _agreement(shown: ProjectKeys) -> tuple[str, list[Panel | None]]:
    controls = [f"image/{name}/rank_correlation" for name in style.BASELINES]
    label = f"rank correlation with {shown.annotators}"
    found = [
        _lines(
            shown, f"{style.method_name(method)} and controls",
            [f"image/{method}/rank_correlation", *controls], label,
        )
        for method in shown.image_methods
    ]  # fmt: skip
    every = [f"image/{method}/rank_correlation" for method in shown.image_methods]
    overview = _lines(shown, "All methods and controls", [*every, *controls], label)
    return f"Agreement with {shown.annotators}", [overview, *found]


def _specific(shown: ProjectKeys) -> tuple[str, list[Panel | None]]:
    every = [f"image/{method}/specificity" for method in (*shown.image_methods, *style.BASELINES)]
    found = [_lines(shown, "Own question minus another question of the image", every, "rank correlation")]
    for method in shown.image_methods:
        keys = [f"image/{method}/{name}" for name in ("rank_correlation", "other_question", "other_image")]
        title = f"{style.method_name(method)}: own map, another question's, another image's"
        found.append(_lines(shown, title, keys, "rank correlation"))
    return "Question-specific agreement", found


def _words(shown: ProjectKeys) -> tuple[str, list[Panel | None]]:
    found = []
    for method in shown.question_methods:
        name = style.method_name(method).lower()
        fields = {"label": GROUP, "value": SHARE}
        title = f"{SHARE} by part of speech, {name}"
        found.append(_chart(shown, f"{WORDS}/{method}", "wandb/bar/v0", fields, title))
        keys = [f"question/{method}/most_important/{group}" for group in shown.groups]
        found.append(_lines(shown, f"Over epochs, {name}", keys, SHARE))
    return "Which words count", found


def _failure(shown: ProjectKeys) -> tuple[str, list[Panel | None]]:
    found = []
    for name, title in (("auroc", "AUROC"), ("aurc", "AURC, lower is better"), ("accuracy", "Accuracy")):
        keys = [f"failure/{feature_set}/{name}" for feature_set in shown.feature_sets]
        keys += ["failure/all/majority_accuracy"] if name == "accuracy" else []
        found.append(_lines(shown, title, keys))
    for feature_set in shown.feature_sets:
        for curve, (title, x, y) in CURVES.items():
            fields = {"x": x, "y": y, "stroke": "run"}
            words = f"{title}: {style.feature_set_name(feature_set).lower()}"
            found.append(_chart(shown, f"failure/{feature_set}/{curve}", "wandb/line/v0", fields, words))
    return "Predicting failure", found


def _examples(shown: ProjectKeys) -> tuple[str, list[Panel | None]]:
    keys = {"Examples, step by step": "examples"} | {_title(name): f"figures/{name}" for name in EPOCH_CHARTS}
    return "Examples", [
        panels.MediaBrowser(title=title, media_keys=[f"{PREFIX}{key}"], num_columns=1)
        for title, key in keys.items()
        if f"{PREFIX}{key}" in shown.keys
    ]


def _title(name: str) -> str:
    return name.replace("_", " ").capitalize()


def _accuracy(shown: ProjectKeys) -> tuple[str, list[Panel | None]]:
    logged = [key for key in shown.keys if not key.endswith((f"/{BEST}", f"/{BEST_EPOCH}"))]
    rows = [parse(key.removeprefix(PREFIX))[0] for key in logged]
    types = sorted(row.key for row in rows if (row.slice, row.measure) == (None, "answer_type"))
    found = [
        _lines(shown, "Analysed questions", ["accuracy/overall"], "VQA accuracy"),
        _lines(shown, "By answer type", types, "VQA accuracy"),
    ]
    training: list[Any] = [key for key in TRAINING_KEYS if key in shown.keys and "accuracy" in key]
    if training:
        found.append(
            panels.LinePlot(title="All validation questions", x=EPOCH, y=training, title_y="VQA accuracy")
        )
    return "Accuracy", found


def _runs(shown: ProjectKeys) -> tuple[str, list[Panel | None]]:
    markdown = f"Annotators: {shown.annotators}. {shown.note}".strip()
    found: list[Panel | None] = [panels.RunComparer(diff_only="split")]
    if f"{PREFIX}questions" in shown.keys:
        found.append(panels.WeavePanelSummaryTable(table_name=f"{PREFIX}questions"))
    return "Runs and questions", [panels.MarkdownPanel(markdown=markdown), *found]
