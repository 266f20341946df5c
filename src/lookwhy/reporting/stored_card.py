"""The sanity card of a checkpoint, read from a stored analysis of the very same weights and methods."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lookwhy import store
from lookwhy.analysis.plan import AnalysisPlan
from lookwhy.analysis.session import fingerprint
from lookwhy.errors import LookwhyError
from lookwhy.models.checkpoint import LoadedRun
from lookwhy.reporting import sanity
from lookwhy.types import AnalysisResult

_METHODS = {"image": "image_methods", "question": "question_methods"}
"""Setting of a plan with the methods of each domain."""


def stored_card(run: LoadedRun, plan: AnalysisPlan) -> AnalysisResult:
    """The sanity card of the checkpoint's run folder, or of an analysis of the checkpoint there.

    Returns:
        A result with the manifest of that analysis, and in its summary the card of those methods of the plan
        that were analysed with the same settings; without any scalar if there is no such analysis. A damaged
        analysis counts as none.
    """
    folder = run.path.resolve().parent
    is_inside = folder.name == "checkpoints"
    home = folder.parent if is_inside else Path.cwd()
    own = fingerprint(run.head)
    for place in ([home] if is_inside else []) + sorted((home / "analyze").glob("*")):
        try:
            found = store.load_scalars(store.epoch_folder(place, run.epoch))
        except LookwhyError:
            continue
        if found.manifest.get("weights_sha256") != own:
            continue
        starts = tuple(f"{name}/sanity/" for name in _same_methods(plan, found.manifest.get("plan") or {}))
        card = {key: value for key, value in found.summary.items() if key.startswith(starts)}
        if card:
            return AnalysisResult(card, manifest=found.manifest)
    return AnalysisResult({})


def lights(card: AnalysisResult) -> dict[str, sanity.Light]:
    """Light of each method of a card by name, "image/occlusion"."""
    return {name: light for name in sanity.methods(card) if (light := sanity.light(card, name))}


def _same_methods(plan: AnalysisPlan, analysed: Mapping[str, Any]) -> list[str]:
    """Methods "image/occlusion" of the plan that have the same settings in the plan of an analysis."""
    # The stored plan went through JSON, which has no tuples.
    described = json.loads(json.dumps(plan.describe()))
    return [
        f"{domain}/{method.name}"
        for domain, setting in _METHODS.items()
        for method, settings in zip(getattr(plan, setting), described[setting], strict=True)
        if settings in analysed.get(setting, ())
    ]
