"""The project's saved view in W&B: sections of panels over the keys that runs log.

A panel is made only for keys that some run logs. The finished view is checked in the form in which W&B
receives it, as JSON: against the schema, and key by key.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from typing import Any

import wandb
import wandb_workspaces.reports.v2 as panels
import wandb_workspaces.workspaces as workspaces
from wandb_workspaces.workspaces.internal import View

from lookwhy.errors import LookwhyError
from lookwhy.keys import parse
from lookwhy.reporting import reading, style
from lookwhy.reporting.figures.catalogue import EPOCH_CHARTS
from lookwhy.reporting.wandb.charts import CURVES, GROUP, SHARE, WORDS
from lookwhy.reporting.wandb.log import EPOCH, PREFIX
from lookwhy.reporting.wandb.project import TRAINING_KEYS, ProjectKeys
from lookwhy.reporting.wandb.summary import BEST, BEST_EPOCH

TITLE = "lookwhy: where it looks and why it answers"
MOST_RUNS = 20

Panel = Any


def build(shown: ProjectKeys, entity: str, project: str) -> workspaces.Workspace:
    """Build the view of a project, without any server."""
    sections = {
        f"Agreement with {shown.annotators}": _agreement(shown),
        "Question-specific agreement": _specific(shown),
        "Which words count": _words(shown),
        "Predicting failure": _failure(shown),
        "Examples": _examples(shown),
        "Accuracy": _accuracy(shown),
        "Runs and questions": _runs(shown),
    }
    best = [f"{PREFIX}accuracy/overall/{BEST}"]
    best += [f"{PREFIX}image/{name}/specificity/{BEST}" for name in reading.image_methods(shown.result)]
    return workspaces.Workspace(
        entity=entity,
        project=project,
        name=TITLE,
        sections=[_section(name, found) for name, found in sections.items() if any(found)],
        settings=workspaces.WorkspaceSettings(x_axis=EPOCH, max_runs=MOST_RUNS),
        runset_settings=workspaces.RunsetSettings(
            pinned_columns=[f"summary:{key}" for key in best if key in shown.keys]
        ),
    )


def _section(name: str, found: list[Panel | None]) -> workspaces.Section:
    filled = [panel for panel in found if panel is not None]
    return workspaces.Section(
        name=name,
        panels=filled,
        is_open=True,
        panel_settings=workspaces.SectionPanelSettings(x_axis=EPOCH),
        layout_settings=workspaces.SectionLayoutSettings(columns=3, rows=-(-min(len(filled), 9) // 3)),
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
    texts = _texts([section[name] for name in ("panelBankConfig", "runSets", "settings")])
    found = {text.removeprefix("summary:").removeprefix("summary_metrics.") for text in texts}
    return {key for key in found if key == EPOCH or key.startswith((PREFIX, "train/", "val/"))}


def _texts(part: Any) -> Iterator[str]:
    """All strings in JSON that are values."""
    if isinstance(part, str):
        yield part
    elif isinstance(part, (dict, list)):
        for one in part.values() if isinstance(part, dict) else part:
            yield from _texts(one)


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


def _agreement(shown: ProjectKeys) -> list[Panel | None]:
    controls = [f"image/{name}/rank_correlation" for name in style.BASELINES]
    label = f"rank correlation with {shown.annotators}"
    methods = {
        f"{style.method_name(one)} and controls": f"image/{one}/rank_correlation"
        for one in reading.image_methods(shown.result)
    }
    overview = _lines(shown, "All methods and controls", [*methods.values(), *controls], label)
    return [overview, *(_lines(shown, title, [key, *controls], label) for title, key in methods.items())]


def _specific(shown: ProjectKeys) -> list[Panel | None]:
    methods = reading.image_methods(shown.result)
    titles = {
        "Own question minus another question of the image": [
            f"image/{method}/specificity" for method in (*methods, *style.BASELINES)
        ]
    }
    for method in methods:
        title = f"{style.method_name(method)}: own map, another question's, another image's"
        names = ("rank_correlation", "other_question", "other_image")
        titles[title] = [f"image/{method}/{name}" for name in names]
    return [_lines(shown, title, keys, "rank correlation") for title, keys in titles.items()]


def _words(shown: ProjectKeys) -> list[Panel | None]:
    found = []
    for method in reading.question_methods(shown.result):
        name, fields = style.method_name(method).lower(), {"label": GROUP, "value": SHARE}
        title = f"{SHARE} by part of speech, {name}"
        found.append(_chart(shown, f"{WORDS}/{method}", "wandb/bar/v0", fields, title))
        groups = reading.groups(shown.result)
        keys = [f"question/{method}/most_important/{group}" for group in groups]
        found.append(_lines(shown, f"Over epochs, {name}", keys, SHARE))
    return found


def _failure(shown: ProjectKeys) -> list[Panel | None]:
    found, feature_sets = [], reading.feature_sets(shown.result)
    for name, title in (("auroc", "AUROC"), ("aurc", "AURC, lower is better"), ("accuracy", "Accuracy")):
        keys = [f"failure/{features}/{name}" for features in feature_sets]
        keys += ["failure/all/majority_accuracy"] if name == "accuracy" else []
        found.append(_lines(shown, title, keys))
    for features, (curve, (title, x, y)) in itertools.product(feature_sets, CURVES.items()):
        title = f"{title}: {style.feature_set_name(features).lower()}"
        fields = {"x": x, "y": y, "stroke": "run"}
        found.append(_chart(shown, f"failure/{features}/{curve}", "wandb/line/v0", fields, title))
    return found


def _examples(shown: ProjectKeys) -> list[Panel | None]:
    keys = {"Examples, step by step": "examples"}
    keys |= {name.replace("_", " ").capitalize(): f"figures/{name}" for name in EPOCH_CHARTS}
    return [
        panels.MediaBrowser(title=title, media_keys=[f"{PREFIX}{key}"], num_columns=1)
        for title, key in keys.items()
        if f"{PREFIX}{key}" in shown.keys
    ]


def _accuracy(shown: ProjectKeys) -> list[Panel | None]:
    logged = [key for key in shown.keys if not key.endswith((f"/{BEST}", f"/{BEST_EPOCH}"))]
    rows = [parse(key.removeprefix(PREFIX))[0] for key in logged]
    types = sorted(row.key for row in rows if (row.slice, row.measure) == (None, "answer_type"))
    training: list[Any] = [key for key in TRAINING_KEYS if key in shown.keys and "accuracy" in key]
    found = [
        _lines(shown, "Analysed questions", ["accuracy/overall"], "VQA accuracy"),
        _lines(shown, "By answer type", types, "VQA accuracy"),
    ]
    if training:
        title = "All validation questions"
        found.append(panels.LinePlot(title=title, x=EPOCH, y=training, title_y="VQA accuracy"))
    return found


def _runs(shown: ProjectKeys) -> list[Panel | None]:
    markdown = f"Annotators: {shown.annotators}. {shown.note}".strip()
    found: list[Panel | None] = [
        panels.MarkdownPanel(markdown=markdown),
        panels.RunComparer(diff_only="split"),
    ]
    if f"{PREFIX}questions" in shown.keys:
        found.append(panels.WeavePanelSummaryTable(table_name=f"{PREFIX}questions"))
    return found
