"""The command `analyze.py workspace`: the project's saved view in W&B, or its JSON without an API key."""

from __future__ import annotations

import os
from pathlib import Path

from lookwhy.errors import LookwhyError, missing_package
from lookwhy.files import atomic_path
from lookwhy.reporting.wandb.environment import has_credentials
from lookwhy.reporting.wandb.project import project_keys

_SILENT_MODES = ("offline", "disabled", "dryrun")


def save_workspace(runs: list[Path], project: str, entity: str | None, out: Path | None) -> None:
    """Build and check the view; save it if there is an API key, else write its JSON.

    Without `entity`, the user or team is `WANDB_ENTITY`, else the owner of the API key.

    Raises:
        LookwhyError: a run has no analysis, wandb-workspaces is not installed, or W&B refuses.
    """
    try:
        from lookwhy.reporting.wandb import workspace as views
    except ModuleNotFoundError as error:
        if not (error.name or "").startswith("wandb_workspaces"):
            raise
        raise missing_package("wandb-workspaces", "workspace", error) from error
    has_key = has_credentials()
    online = has_key and os.environ.get("WANDB_MODE") not in _SILENT_MODES
    owner = entity or os.environ.get("WANDB_ENTITY") or (views.default_entity() if online else "")
    shown = project_keys(runs)
    view = views.build(shown, owner, project)
    text = views.checked_json(view, shown)
    if out or not online:
        path = out or Path("workspace.json")
        try:
            with atomic_path(path) as partial:
                partial.write_text(text)
        except OSError as error:
            raise LookwhyError(
                f"expected a file that can be written, found {path} ({error.strerror}); name another --out"
            ) from error
        print(f"view  {path}: {len(view.sections)} sections, {len(shown.keys)} keys known, checked offline")
    if online:
        print(f"view  {views.save(view)}")
    else:
        reason = "WANDB_MODE is offline" if has_key else "no API key found"
        print(
            f"{reason}, so nothing was sent: after `wandb login`, or with WANDB_API_KEY, the same command "
            "saves the view in the project"
        )
