"""The project's saved view in W&B: sections of panels over the keys that runs log.

A panel is made only for keys that some run logs. The finished view is checked against W&B's schema in the
form in which W&B receives it, as JSON.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import wandb
import wandb_workspaces.reports.v2 as panels
import wandb_workspaces.workspaces as workspaces
from wandb_workspaces.workspaces.internal import View

from lookwhy.analysis.together import MEASURES as TOGETHER_MEASURES
from lookwhy.analysis.together import TOGETHER
from lookwhy.errors import LookwhyError
from lookwhy.keys import parse
from lookwhy.reporting import measures, reading, sanity, selective, style
from lookwhy.reporting.figures.catalogue import EPOCH_CHARTS
from lookwhy.reporting.wandb.log import EPOCH, PREFIX, logged_keys
from lookwhy.reporting.wandb.media import CURVES, DELETION, GROUP, LINE, PROBABILITY, SHARE, WORDS
from lookwhy.reporting.wandb.summary import BEST
from lookwhy.types import AnalysisResult

TITLE = "lookwhy: where it looks and why it answers"
TRAINING_KEYS = ("train/loss", "val/loss", "val/accuracy/overall", "val/accuracy_most_frequent_answer")
"""Keys that training logs beside the analyses, at its own steps."""
MOST_RUNS = 20

Panel = Any
Section = tuple[str, list[Panel]]
"""Title of a section and its panels; a panel whose keys no run logs is left out."""


class Project:
    """Keys and names that the runs of a project log, from one analysis of each."""

    def __init__(self, results: list[AnalysisResult]) -> None:
        def each(names: Callable[[AnalysisResult], list[str]]) -> list[str]:
            return list(dict.fromkeys(name for result in results for name in names(result) if name))

        self.keys = set(TRAINING_KEYS).union(*(logged_keys(result) for result in results))
        self.image_methods = each(reading.image_methods)
        self.question_methods = each(reading.question_methods)
        self.feature_sets = each(reading.feature_sets)
        self.groups = each(reading.groups)
        annotators = each(lambda result: [result.manifest.get("annotators") or ""])
        self.annotators = ", ".join(annotators) or "annotators"
        self.compared = " or ".join(each(lambda result: [reading.compared(result)])) or "magnitudes"
        self.note = " ".join(each(lambda result: [result.manifest.get("data_note") or ""]))


def build(shown: Project, entity: str, project: str) -> workspaces.Workspace:
    """Build the view of a project, without any server."""
    makers = (
        _agreement,
        _specific,
        _believe,
        _sanity,
        _modality,
        _words,
        _failure,
        _selective,
        _examples,
        _accuracy,
        _runs,
    )
    sections = []
    settings = workspaces.SectionPanelSettings(x_axis=EPOCH)
    for name, found in (maker(shown) for maker in makers):
        if found:
            layout = workspaces.SectionLayoutSettings(columns=3, rows=-(-min(len(found), 9) // 3))
            section = workspaces.Section(
                name=name, panels=found, is_open=True, panel_settings=settings, layout_settings=layout
            )
            sections.append(section)
    measures = ["accuracy/overall", *(f"image/{method}/specificity" for method in shown.image_methods)]
    best = [f"{PREFIX}{measure}{BEST[0]}" for measure in measures]
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


def checked_json(workspace: workspaces.Workspace) -> str:
    """The view as W&B receives it, checked against its schema."""
    text: str = workspace._to_model().model_dump_json(by_alias=True, exclude_none=True, indent=2)
    View.model_validate_json(text)
    return text + "\n"


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


def _lines(shown: Project, title: str, keys: list[str], label: str = "") -> list[Panel]:
    """A panel of lines over the epochs for the keys that are logged; none if no run logs any."""
    found: list[Any] = [f"{PREFIX}{key}" for key in keys if f"{PREFIX}{key}" in shown.keys]
    panel = panels.LinePlot(
        title=title, x=EPOCH, y=found, title_x="epoch (-1: untrained)", title_y=label or None,
        max_runs_to_show=MOST_RUNS,
    )  # fmt: skip
    return [panel] if found else []


def _chart(shown: Project, key: str, preset: str, fields: dict[str, str], title: str) -> list[Panel]:
    """A panel with a custom chart of the newest table of each run; none if no run logs it."""
    table = f"{PREFIX}{key}_table"
    query = {"summaryTable": {"tableKey": table}, "_defaultColorIndex": None}
    strings = {"title": title}
    panel = panels.CustomChart(query=query, chart_name=preset, chart_fields=fields, chart_strings=strings)
    return [panel] if table in shown.keys else []


def _agreement(shown: Project) -> Section:
    label = f"rank correlation of {shown.compared} with {shown.annotators}"
    titles = {f"{style.method_name(method)} and controls": [method] for method in shown.image_methods}
    found = []
    for title, methods in ({"All methods and controls": shown.image_methods} | titles).items():
        keys = [f"image/{name}/rank_correlation" for name in (*methods, *style.BASELINES)]
        found += _lines(shown, title, keys, label)
    return f"Agreement with {shown.annotators}", found


def _specific(shown: Project) -> Section:
    label = f"rank correlation of {shown.compared}"
    every = [f"image/{method}/specificity" for method in (*shown.image_methods, *style.BASELINES)]
    found = _lines(shown, "Own question minus another question of the image", every, label)
    for method in shown.image_methods:
        keys = [f"image/{method}/{name}" for name in ("rank_correlation", "other_question", "other_image")]
        title = f"{style.method_name(method)}: own map, another question's, another image's"
        found += _lines(shown, title, keys, label)
    return "Question-specific agreement", found


def _believe(shown: Project) -> Section:
    found = []
    for measure in measures.IMAGE:
        methods = (*shown.image_methods, *style.BASELINES)
        found += _lines(shown, measure.name, [f"image/{one}/{measure.key}" for one in methods], measure.axis)
    for name, (title, x) in DELETION.items():
        fields = {"x": x, "y": PROBABILITY, "stroke": LINE}
        found += _chart(shown, f"curves/{name}", "wandb/line/v0", fields, title)
    for kind, better in (("deletion", "lower"), ("insertion", "higher")):
        keys = [f"question/{one}/faithfulness/{kind}" for one in (*shown.question_methods, "random")]
        title = f"{style.in_words(kind)} of words: {better} is better"
        found += _lines(shown, title, keys, "area under the probability of the answer")
    keys = [f"{TOGETHER}/{measure}" for measure in TOGETHER_MEASURES]
    title = "Over questions: does agreement go with faithfulness, with the masks?"
    return "Which map to believe", found + _lines(shown, title, keys, "Spearman, mean over methods")


def _sanity(shown: Project) -> Section:
    found = []
    for part, title in sanity.SHOWN.items():
        methods = [f"image/{one}" for one in shown.image_methods]
        methods += [f"question/{one}" for one in shown.question_methods]
        keys = [f"{name}/sanity/{part}/spearman_magnitude" for name in methods]
        found += _lines(shown, f"{title}: similarity of the maps", keys, "rank correlation of magnitudes")
    return sanity.TITLE, found


def _modality(shown: Project) -> Section:
    fills = ("", *(f"_{fill}" for fill in measures.FILLS))
    titles = {
        "T-SHAP: share of the words": [f"modality/text_share{fill}" for fill in fills],
        "Two players: share of the question": [f"modality/two_player_text_share{fill}" for fill in fills],
        "As probable without the image": [f"modality/image_not_needed{fill}" for fill in fills],
    }
    found = [panel for title, keys in titles.items() for panel in _lines(shown, title, keys)]
    rows = [parse(key.removeprefix(PREFIX)) for key in shown.keys]
    types = sorted(
        row.key
        for row, field in rows
        if field == "value" and (row.domain, row.measure) == ("modality", "text_share")
        if row.slice and row.slice[0] == "question_type"
    )
    found += _lines(shown, "T-SHAP by type of question", types)
    return "How much of the answer comes from the question", found


def _words(shown: Project) -> Section:
    found = []
    for method in shown.question_methods:
        name = style.method_name(method).lower()
        fields = {"label": GROUP, "value": SHARE}
        title = f"{SHARE} by part of speech, {name}"
        found += _chart(shown, f"{WORDS}/{method}", "wandb/bar/v0", fields, title)
        keys = [f"question/{method}/most_important/{group}" for group in shown.groups]
        found += _lines(shown, f"Over epochs, {name}", keys, SHARE)
    return "Which words count", found


def _failure(shown: Project) -> Section:
    found = []
    titles = {
        "accuracy_gain": "Accuracy above the majority",
        "auroc": "AUROC",
        "aurc": "AURC, lower is better",
        "accuracy": "Accuracy",
    }
    for name, title in titles.items():
        keys = [f"failure/{feature_set}/{name}" for feature_set in shown.feature_sets]
        keys += ["failure/all/majority_accuracy"] if name == "accuracy" else []
        found += _lines(shown, title, keys)
    for feature_set in shown.feature_sets:
        for curve, (title, x, y) in CURVES.items():
            fields = {"x": x, "y": y, "stroke": "run"}
            words = f"{title}: {style.in_words(feature_set).lower()}"
            found += _chart(shown, f"failure/{feature_set}/{curve}", "wandb/line/v0", fields, words)
    return "Predicting failure", found


def _selective(shown: Project) -> Section:
    titles = {
        "auroc": "AUROC",
        "aurc_soft": "AURC, lower is better",
        "coverage_at_5_percent_risk_soft": "Coverage at 5% risk",
        "effective_reliability_10": "Effective reliability, a wrong answer costs 10",
        "ece": "Calibration error, lower is better",
        "brier": "Brier score, lower is better",
    }
    found = []
    for measure, title in titles.items():
        found += _lines(shown, title, [f"selective/{score}/{measure}" for score in selective.SCORES])
    key = f"selective/{selective.BOTH}/auroc_increment"
    keys = [f"{key}{end}" for end in ("", "/ci_low", "/ci_high", "/expected")]
    title = "Increment of the AUROC by the explanations, its interval, and by chance"
    return "Selective prediction", found + _lines(shown, title, keys, "AUROC")


def _examples(shown: Project) -> Section:
    keys = {"Examples, step by step": "examples"}
    keys |= {style.in_words(name): f"figures/{name}" for name in EPOCH_CHARTS}
    return "Examples", [
        panels.MediaBrowser(title=title, media_keys=[f"{PREFIX}{key}"], num_columns=1)
        for title, key in keys.items()
        if f"{PREFIX}{key}" in shown.keys
    ]


def _accuracy(shown: Project) -> Section:
    logged = [key.removeprefix(PREFIX) for key in shown.keys if not key.endswith(BEST)]
    rows = [parse(key)[0] for key in logged]
    types = sorted(row.key for row in rows if (row.slice, row.measure) == (None, "answer_type"))
    training: list[Any] = [key for key in TRAINING_KEYS if "accuracy" in key]
    return "Accuracy", [
        *_lines(shown, "Analysed questions", ["accuracy/overall"], "VQA accuracy"),
        *_lines(shown, "By answer type", types, "VQA accuracy"),
        panels.LinePlot(title="All validation questions", x=EPOCH, y=training, title_y="VQA accuracy"),
    ]


def _runs(shown: Project) -> Section:
    markdown = f"Annotators: {shown.annotators}. {shown.note}".strip()
    questions = panels.WeavePanelSummaryTable(table_name=f"{PREFIX}questions")
    return "Runs and questions", [
        panels.MarkdownPanel(markdown=markdown), panels.RunComparer(diff_only="split"), questions,
    ]  # fmt: skip
