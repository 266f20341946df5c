"""The command `analyze.py workspace`: a view of the logged keys, checked and written without any network."""

from __future__ import annotations

import json
import os
import re
import socket
import sys
from pathlib import Path
from typing import ClassVar

import pytest
from made_measures import add_measures
from made_results import make_result, make_run
from made_selective import add_selective
from tiny_runs import ROOT, run
from web_server import QuietHandler, serving

from lookwhy.cli.analyze import main
from lookwhy.cli.workspace import usual_result
from lookwhy.reporting.wandb.log import logged_keys
from lookwhy.reporting.wandb.workspace import TRAINING_KEYS


@pytest.fixture(autouse=True)
def no_key_and_no_network(monkeypatch, tmp_path):
    for name in list(os.environ):
        if name.startswith("WANDB_") or name == "NETRC":
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))

    def refuse(*_):
        raise AssertionError("the network was touched")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


def view_of(folder: Path, *words, **settings) -> dict:
    """The view of one run, as the command writes it."""
    own, out = make_run(folder / "run", None, **settings), folder / "view.json"
    assert main(["workspace", str(own), "--out", str(out), *words]) == 0
    return json.loads(out.read_text())


def panels(view: dict) -> dict[str, list[dict]]:
    """The panels of each section."""
    return {one["name"]: one["panels"] for one in view["spec"]["section"]["panelBankConfig"]["sections"]}


def agreement(found: dict[str, list[dict]], panel: int) -> list[str]:
    """Methods whose correlation a panel shows."""
    metrics = found["Agreement with simulated annotators"][panel]["config"]["metrics"]
    return [re.fullmatch("analysis/image/(.*)/rank_correlation", key)[1] for key in metrics]


def test_the_view_of_a_run_has_a_panel_for_everything_it_logs_and_no_other_key(tmp_path, capsys):
    view = view_of(tmp_path, "--project", "mine", "--entity", "me")
    said = capsys.readouterr().out
    assert str(tmp_path / "view.json") in said
    assert said.count("wandb login") == 1
    assert (view["entity"], view["project"]) == ("me", "mine")
    found = panels(view)
    assert list(found) == [
        "Agreement with simulated annotators", "Question-specific agreement",
        "Which words count", "Predicting failure", "Examples", "Accuracy", "Runs and questions",
    ]  # fmt: skip
    lines = [p["config"] for many in found.values() for p in many if p["viewType"] == "Run History Line Plot"]
    assert {line["xAxis"] for line in lines} == {"epoch"}
    assert agreement(found, 1) == ["guided_backprop", "random", "centre_prior", "human"]
    kinds = {p["viewType"] for many in found.values() for p in many}
    assert {"Run Comparer", "Media Browser", "Vega2", "Weave", "Markdown Panel"} <= kinds
    media = [key for p in found["Examples"] for key in p["config"]["mediaKeys"]]
    assert media[0] == "analysis/examples"
    text = json.dumps(found["Predicting failure"])
    for curve in ("roc", "risk_coverage", "calibration"):
        assert f"analysis/failure/all/{curve}_table" in text
    assert "analysis/questions" in json.dumps(found["Runs and questions"])
    assert "simulated annotators" in json.dumps(found["Runs and questions"])
    shown = keys_of(view["spec"]["section"])
    assert {"analysis/failure/all/auroc", "analysis/questions", "analysis/failure/all/roc_table"} <= shown
    assert len(shown) > 60
    assert shown - logged_keys(make_result(2)) == set(TRAINING_KEYS) & shown


def test_the_measures_of_a_run_with_faithfulness_have_two_sections_and_no_key_that_is_not_logged(tmp_path):
    view = view_of(tmp_path, change=add_measures)
    found = panels(view)
    assert list(found)[2:4] == ["Which map to believe", "How much of the answer comes from the question"]
    believe = found["Which map to believe"]
    titles = [one["config"].get("chartTitle") for one in believe]
    assert titles[:2] == [
        "Faithfulness correlation: higher is better",
        "Deletion, gray patch: lower is better",
    ]
    methods = ("guided_backprop", "occlusion", "random", "centre_prior")
    deletion = [f"analysis/image/{one}/faithfulness/deletion_patch" for one in methods]
    assert believe[1]["config"]["metrics"] == deletion
    text = json.dumps(believe)
    for name in ("deletion_patch", "insertion_blur", "words_insertion"):
        assert f"analysis/curves/{name}_table" in text
    assert "analysis/image/human/localisation/mass_accuracy" in text
    shares = json.dumps(found["How much of the answer comes from the question"])
    assert "analysis/slice/question_type/how many/modality/text_share" in shares
    result = make_result(2)
    add_measures(result)
    shown = keys_of(view["spec"]["section"])
    assert shown - logged_keys(result) == set(TRAINING_KEYS) & shown
    assert "analysis/figures/deletion_curves" in shown
    assert "analysis/figures/deletion_curves" not in logged_keys(make_result(2))


def keys_of(section: dict) -> set[str]:
    """Keys that a view, as JSON, reads in its panels, its columns and its axis."""
    return shown_keys([section[name] for name in ("panelBankConfig", "runSets", "settings")])


def shown_keys(part) -> set[str]:
    if not isinstance(part, dict | list):
        return set()
    found = set().union(*map(shown_keys, part.values() if isinstance(part, dict) else part))
    if isinstance(part, dict):
        found |= {key.removeprefix("summary_metrics.") for key in part.get("metrics", ())}
        found |= {*part.get("mediaKeys", ()), part.get("xAxis")}
        found |= {key[8:] for key in part.get("columnPinned", ()) if key.startswith("summary:")}
        # A chart holds {"name": "tableKey", "value": KEY}; a table {"nodeType": "const", "val": KEY}.
        found |= {part["value"]} if part.get("name") == "tableKey" else set()
        found |= {part["val"]} if part.get("nodeType") == "const" and isinstance(part["val"], str) else set()
    return found - {None}


def test_without_a_run_the_view_is_that_of_a_default_plan(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["workspace"]) == 0
    found = panels(json.loads((tmp_path / "workspace.json").read_text()))
    assert "Agreement with annotators" in found
    assert len(found) == 8
    selective = json.dumps(found["Selective prediction"])
    for key in ("confidence/auroc", "fitted_confidence/ece", "confidence_and_all/auroc_increment/ci_low"):
        assert f"analysis/selective/{key}" in selective
    # The usual result assumes no key that a made result lacks, except for parts of speech.
    made = make_result(2)
    add_selective(made)
    missing = logged_keys(usual_result()) - logged_keys(made)
    assert [key for key in missing if "/most_important/" not in key] == []


@pytest.mark.parametrize(
    "settings", [{"annotators": False}, {"defined": False}, {"annotators": False, "defined": False}]
)
def test_no_panel_shows_a_key_that_no_run_logs(settings, tmp_path):
    found = panels(view_of(tmp_path, **settings))
    assert "Examples" in found
    assert "Question-specific agreement" not in found


def test_a_run_without_image_methods_shows_its_controls(tmp_path):
    def words_only(result):
        methods = ("guided_backprop", "occlusion")
        result.summary = {k: v for k, v in result.summary.items() if not any(m in k for m in methods)}

    found = panels(view_of(tmp_path, change=words_only))
    assert agreement(found, 0) == ["random", "centre_prior", "human"]


class Server(QuietHandler):
    """A server that answers W&B's client as the real one does, and keeps the views that are sent."""

    views: ClassVar[list[dict]] = []

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        data = {"viewer": {"id": "1", "entity": "my-team", "username": "me", "email": "", "flags": "{}"}}
        data["viewer"]["teams"] = {"edges": []}
        if b"upsertView" in body:
            sent = json.loads(body)["variables"]
            self.views.append(sent)
            data = {"upsertView": {"view": {"id": "1", "name": sent["name"]}, "inserted": True}}
        self.reply(200, json.dumps({"data": data}).encode())


def test_with_a_key_the_view_is_saved_and_its_address_printed(tmp_path):
    own = make_run(tmp_path / "run", None, 1)
    command = [sys.executable, ROOT / "analyze.py", "workspace", own, "--project", "mine"]
    with serving(Server) as address:
        done = run(command, tmp_path, WANDB_API_KEY="a" * 40, WANDB_BASE_URL=address)
    assert done.returncode == 0, done.stderr
    assert f"view  {address}/my-team/mine?nw=" in done.stdout
    (sent,) = Server.views
    assert (sent["entityName"], sent["projectName"]) == ("my-team", "mine")
    shown = keys_of(json.loads(sent["spec"])["section"])
    assert "analysis/image/occlusion/rank_correlation" in shown
    assert not (tmp_path / "workspace.json").exists()
