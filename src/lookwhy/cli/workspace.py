"""The command `analyze.py workspace`: the project's saved view in W&B, or its JSON without an API key."""

from __future__ import annotations

import os
from pathlib import Path

from lookwhy import store
from lookwhy.analysis import AnalysisPlan
from lookwhy.analysis.part_of_speech import GROUPS
from lookwhy.errors import extra
from lookwhy.files import atomic_path, writing
from lookwhy.reporting.selective import BOTH, RANKING, SCORES, WORTH
from lookwhy.reporting.style import BASELINES
from lookwhy.reporting.wandb.environment import has_credentials
from lookwhy.reporting.wandb.media import CURVES
from lookwhy.types import AnalysisResult, Curve

FEATURE_SETS = ("confidence", "flips", "maps", "all", "confidence_and_all")
ANSWER_TYPES = ("yes/no", "number", "other")
_SILENT_MODES = ("offline", "disabled", "dryrun")


def save_workspace(runs: list[Path], project: str, entity: str | None, out: Path | None) -> None:
    """Build and check the view; save it if there is an API key, else write its JSON.

    Args:
        runs: run folders whose logged keys the view shows; empty: the keys of a run of the default plan.
        project: W&B project.
        entity: W&B user or team; None: `WANDB_ENTITY`, else the owner of the API key.
        out: file for the JSON; None: workspace.json, or no file if the view is saved in W&B.

    Raises:
        LookwhyError: a run has no analysis, wandb-workspaces is not installed, or W&B refuses.
    """
    with extra("workspace", "wandb-workspaces"):
        from lookwhy.reporting.wandb import workspace as views
    online = has_credentials() and os.environ.get("WANDB_MODE") not in _SILENT_MODES
    owner = entity or os.environ.get("WANDB_ENTITY") or (views.default_entity() if online else "")
    last = [store.load_scalars([*store.stored_epochs(run).values()][-1]) for run in runs]
    shown = views.Project(last or [usual_result()])
    view = views.build(shown, owner, project)
    text = views.checked_json(view)
    if out or not online:
        path = out or Path("workspace.json")
        with writing("a file that can be written", path), atomic_path(path) as partial:
            partial.write_text(text)
        print(f"view  {path}: {len(view.sections)} sections, {len(shown.keys)} keys known, checked offline")
    if online:
        print(f"view  {views.save(view)}")
    else:
        reason = "WANDB_MODE is offline" if has_credentials() else "no API key found"
        how = "after `wandb login`, or with WANDB_API_KEY, the same command saves the view in the project"
        print(f"{reason}, so nothing was sent: {how}")


def usual_result() -> AnalysisResult:
    """A result with the keys that a run of the default plan logs; its values have no meaning."""
    plan = AnalysisPlan()
    image = [*(method.name for method in plan.image_methods), *BASELINES]
    agreement = ("rank_correlation", "mean_map", "other_question", "other_image", "specificity")
    keys = [f"image/{method}/{name}" for method in image for name in agreement]
    words = [method.name for method in plan.question_methods]
    keys += [f"question/{method}/most_important/{group}" for method in words for group in GROUPS]
    quality = ("accuracy", "majority_accuracy", "accuracy_gain", "auroc", "aurc")
    keys += [f"failure/{feature_set}/{name}" for feature_set in FEATURE_SETS for name in quality]
    probabilities = [*SCORES[:1], *SCORES[3:]]
    keys += [f"selective/{score}/{one.key}" for score in SCORES for one in RANKING]
    keys += [f"selective/{score}/{one.key}" for score in probabilities for one in WORTH]
    keys += [f"selective/{BOTH}/auroc_increment{end}" for end in ("", "/ci_low", "/ci_high", "/expected")]
    keys += ["accuracy/overall", *(f"accuracy/answer_type/{name}" for name in ANSWER_TYPES)]
    names = [f"failure/{feature_set}/{curve}" for feature_set in FEATURE_SETS for curve in CURVES]
    curves: dict[str, Curve] = {name: {"x": [], "y": []} for name in names}
    return AnalysisResult(dict.fromkeys(keys, 0.0), manifest={"examples": [0]}, curves=curves)
