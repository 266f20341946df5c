"""`analyze.py compare`: the differences that it computes and shows."""

from __future__ import annotations

import numpy as np
import pytest
from made_results import make_run

from lookwhy.cli.analyze import main
from lookwhy.reporting.comparisons import compare


def better(result):
    for record in result.records:
        record["accuracy"] = 1.0
        if record["rho"] is not None:
            record["rho"] += 0.1 * (record["method"] == "occlusion") + 0.01 * result.manifest["epoch"]


@pytest.fixture
def runs(tmp_path):
    return {
        "first": make_run(tmp_path / "first", None, range(-1, 2)),
        "second": make_run(tmp_path / "second", None, range(3), better),
        "single": make_run(tmp_path / "single", None, 1),
    }


def test_runs_and_epochs_are_compared_with_the_first_and_methods_with_each_other(runs):
    found = {one.title: one.differences for one in compare(runs)}
    assert list(found) == [
        "second, epoch 2, minus first, epoch 1",
        "single, epoch 0, minus first, epoch 1",
        "first: epoch 1 minus untrained",
        "first, epoch 1: methods against each other",
        "second: epoch 2 minus epoch 0",
        "second, epoch 2: methods against each other",
        "single, epoch 0: methods against each other",
    ]
    between = {(one.measure, one.second): one for one in found["second, epoch 2, minus first, epoch 1"]}
    assert between["rank_correlation", "occlusion"].estimate.mean == pytest.approx(0.12)
    assert between["rank_correlation", "guided_backprop"].estimate.mean == pytest.approx(0.02)
    wrong = np.mean([row % 3 == 0 for row in range(12)])
    assert between["accuracy", ""].estimate.mean == pytest.approx(wrong)
    (methods,) = found["second, epoch 2: methods against each other"]
    assert (methods.first, methods.second) == ("guided_backprop", "occlusion")
    assert methods.estimate.mean == pytest.approx(0.1)


def test_the_command_writes_the_page_with_these_differences(runs, tmp_path, capsys):
    out = tmp_path / "report.html"
    assert main(["compare", *map(str, runs.values()), "--out", str(out), "--examples", "5"]) == 0
    assert str(out) in capsys.readouterr().out
    page = out.read_text()
    assert "second, epoch 2, minus first, epoch 1" in page
    assert 'id="maps-0-4"' in page
    assert 'id="maps-0-5"' not in page
