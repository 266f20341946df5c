"""`analyze.py compare`: the report page of finished runs; nothing here trains or explains."""

from __future__ import annotations

from pathlib import Path

from lookwhy import store
from lookwhy.reporting.html import write_report


def compare_runs(runs: list[Path], out: Path) -> None:
    """Write the report page."""
    runs = list(dict.fromkeys(run.resolve() for run in runs))
    for run in runs:
        store.stored_epochs(run)  # refuses a folder without any analysis, before work is done
    write_report(runs, out)
    print(f"report  {out}")
