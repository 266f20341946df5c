"""The keys that the runs of a W&B project log, and that its saved view shows."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lookwhy import store
from lookwhy.analysis import AnalysisPlan
from lookwhy.analysis.part_of_speech import GROUPS
from lookwhy.reporting.style import BASELINES
from lookwhy.reporting.wandb.charts import CURVES
from lookwhy.reporting.wandb.log import logged_keys
from lookwhy.types import AnalysisResult

TRAINING_KEYS = ("train/loss", "val/loss", "val/accuracy/overall", "val/accuracy_most_frequent_answer")
"""Keys that training logs beside the analyses, at its own steps."""


@dataclass(frozen=True)
class ProjectKeys:
    """Everything that a view can show.

    Attributes:
        keys: all keys logged.
        result: one analysis with the scalars of all runs, from which methods, groups and the like are read.
        annotators: name for the annotators.
        note: notes on the data.
    """

    keys: set[str]
    result: AnalysisResult
    annotators: str
    note: str


def project_keys(runs: list[Path]) -> ProjectKeys:
    """The keys of the last analysis of each run; without runs, those of a usual run.

    Raises:
        LookwhyError: a run has no analysis.
    """
    epochs = [store.stored_epochs(run) for run in runs]
    return keys_of([store.load_scalars(found[max(found)]) for found in epochs] or [usual_result()])


def keys_of(results: list[AnalysisResult]) -> ProjectKeys:
    """The keys of some analyses."""
    known = [{key: one for key, one in result.summary.items() if one == one} for result in results]
    every = [*(result.summary for result in results), *known]  # a defined value replaces NaN
    joined = _result({key: value for summary in every for key, value in summary.items()})
    joined.manifest |= {key: value for result in results for key, value in result.manifest.items()}
    facts = {
        name: list(dict.fromkeys(str(one) for result in results if (one := result.manifest.get(name))))
        for name in ("annotators", "data_note")
    }
    return ProjectKeys(
        keys={*TRAINING_KEYS, *(key for result in results for key in logged_keys(result))},
        result=joined,
        annotators=", ".join(facts["annotators"]) or "annotators",
        note=" ".join(facts["data_note"]),
    )


def usual_result() -> AnalysisResult:
    """A result with the keys that a run of the default plan logs; its values have no meaning."""
    plan = AnalysisPlan()
    methods = [*(method.name for method in plan.image_methods), *BASELINES]
    agreement = ("rank_correlation", "mean_map", "other_question", "other_image", "specificity")
    feature_sets = ("confidence", "flips", "maps", "all")
    quality = ("accuracy", "majority_accuracy", "auroc", "aurc")
    accuracies = ("overall", *(f"answer_type/{name}" for name in ("yes/no", "number", "other")))
    keys = [
        *(f"image/{method}/{name}" for method, name in itertools.product(methods, agreement)),
        *(f"question/{one.name}/most_important/{group}" for one in plan.question_methods for group in GROUPS),
        *(f"failure/{features}/{name}" for features, name in itertools.product(feature_sets, quality)),
        *(f"accuracy/{name}" for name in accuracies),
    ]
    result = _result(dict.fromkeys(keys, 0.0))
    result.manifest["examples"] = [0]
    result.curves = {
        f"failure/{features}/{curve}": {"x": [], "y": []} for features in feature_sets for curve in CURVES
    }
    return result


def _result(summary: dict[str, float]) -> AnalysisResult:
    return AnalysisResult(
        summary=summary,
        records=[],
        maps={},
        human=np.zeros((0, 0, 1, 1), np.float32),
        question_ids=np.zeros(0, np.int64),
        manifest={},
    )
