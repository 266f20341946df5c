"""The command `analyze.py workspace`: a view of the logged keys, checked and written without any network."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest
from made_results import make_result, make_run

from lookwhy.cli.analyze import main
from lookwhy.errors import LookwhyError
from lookwhy.reporting.wandb import workspace as views
from lookwhy.reporting.wandb.log import logged_keys
from lookwhy.reporting.wandb.project import TRAINING_KEYS, keys_of, usual_result

ROOT = Path(__file__).parent.parent.parent
AGREEMENT, SPECIFIC = "Agreement with simulated annotators", "Question-specific agreement"


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
    monkeypatch.chdir(tmp_path)


def view_of(folder: Path, *more: str, **settings) -> dict:
    """The view of one run, as the command writes it."""
    run, out = make_run(folder / "run", None, **settings), folder / "view.json"
    assert main(["workspace", str(run), "--out", str(out), *more]) == 0
    return json.loads(out.read_text())


def panels(view: dict) -> dict[str, list[dict]]:
    """The panels of each section."""
    sections = view["spec"]["section"]["panelBankConfig"]["sections"]
    return {section["name"]: section["panels"] for section in sections}


def agreement(*methods: str) -> list[str]:
    return [
        f"analysis/image/{name}/rank_correlation" for name in (*methods, "random", "centre_prior", "human")
    ]


def test_the_view_of_a_run_has_a_panel_for_everything_it_logs(tmp_path, capsys):
    view = view_of(tmp_path, "--project", "mine", "--entity", "me")
    said = capsys.readouterr().out
    assert str(tmp_path / "view.json") in said
    assert said.count("wandb login") == 1
    assert (view["entity"], view["project"]) == ("me", "mine")
    found = panels(view)
    assert list(found) == [
        AGREEMENT, SPECIFIC, "Which words count", "Predicting failure", "Examples", "Accuracy",
        "Runs and questions",
    ]  # fmt: skip
    lines = [p["config"] for many in found.values() for p in many if p["viewType"] == "Run History Line Plot"]
    assert {line["xAxis"] for line in lines} == {"epoch"}
    assert found[AGREEMENT][1]["config"]["metrics"] == agreement("guided_backprop")
    kinds = {p["viewType"] for many in found.values() for p in many}
    assert {"Run Comparer", "Media Browser", "Vega2", "Weave", "Markdown Panel"} <= kinds
    assert found["Examples"][0]["config"]["mediaKeys"][0] == "analysis/examples"
    for section, words in (
        (
            "Predicting failure",
            [f"failure/all/{name}_table" for name in ("roc", "risk_coverage", "calibration")],
        ),
        ("Runs and questions", ["analysis/questions", "simulated annotators"]),
    ):
        assert all(word in json.dumps(found[section]) for word in words)
    shown = views.shown_keys(view)
    assert len(shown) > 60
    assert shown - logged_keys(make_result(2)) == set(TRAINING_KEYS) & shown


def test_without_a_run_it_is_the_view_of_a_usual_one(tmp_path):
    assert main(["workspace"]) == 0
    found = panels(json.loads((tmp_path / "workspace.json").read_text()))
    assert "Agreement with annotators" in found
    assert len(found) == 7
    # The usual result assumes no key that a made result lacks, except for parts of speech.
    missing = logged_keys(usual_result()) - logged_keys(make_result(2))
    assert {key for key in missing if "/most_important/" not in key} == set()


@pytest.mark.parametrize(
    "settings", [{"annotators": False}, {"defined": False}, {"annotators": False, "defined": False}]
)
def test_keys_that_no_run_logs_have_no_panel(settings, tmp_path):
    found = panels(view_of(tmp_path, **settings))
    assert "Examples" in found
    assert (SPECIFIC in found) == settings.get("annotators", True) * settings.get("defined", True)


def test_a_run_without_image_methods_shows_its_controls(tmp_path):
    def words_only(result):
        methods = ("guided_backprop", "occlusion")
        result.summary = {k: v for k, v in result.summary.items() if not any(m in k for m in methods)}

    found = panels(view_of(tmp_path, change=words_only))
    assert found[AGREEMENT][0]["config"]["metrics"] == agreement()


@pytest.mark.parametrize("key", ["failure/all/auroc", "questions", "failure/all/roc_table"])
def test_a_panel_of_a_key_that_is_not_logged_is_refused(key):
    shown = keys_of([make_result(1)])
    view = views.build(shown, "me", "mine")
    views.checked_json(view, shown)
    with pytest.raises(LookwhyError, match=f"found analysis/{key} logged by none"):
        views.checked_json(view, replace(shown, keys=shown.keys - {f"analysis/{key}"}))


class Server(BaseHTTPRequestHandler):
    """A server that answers W&B's client as the real one does, and keeps the views that are sent."""

    views: ClassVar[list[dict]] = []

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        viewer = {"id": "1", "entity": "my-team", "username": "me", "email": "", "flags": "{}"}
        data = {"viewer": viewer | {"teams": {"edges": []}}}
        if b"upsertView" in body:
            self.views.append(json.loads(body)["variables"])
            data = {"upsertView": {"view": {"id": "1", "name": self.views[-1]["name"]}, "inserted": True}}
        answer = json.dumps({"data": data}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_):
        pass


def test_with_a_key_the_view_is_saved_and_its_address_printed(tmp_path):
    with ThreadingHTTPServer(("127.0.0.1", 0), Server) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}"
        key = {"WANDB_API_KEY": "a" * 40, "WANDB_BASE_URL": address, "OMP_NUM_THREADS": "1"}
        run = make_run(tmp_path / "run", None, 1)
        done = subprocess.run(
            [sys.executable, str(ROOT / "analyze.py"), "workspace", str(run), "--project", "mine"],
            env=dict(os.environ) | key, capture_output=True, text=True, timeout=120,
        )  # fmt: skip
        server.shutdown()
    assert done.returncode == 0, done.stderr
    assert f"view  {address}/my-team/mine?nw=" in done.stdout
    (sent,) = Server.views
    assert (sent["entityName"], sent["projectName"]) == ("my-team", "mine")
    shown = views.shown_keys({"spec": json.loads(sent["spec"])})
    assert "analysis/image/occlusion/rank_correlation" in shown
    assert not (tmp_path / "workspace.json").exists()


def test_help_answers_without_loading_torch():
    script = (
        "import runpy, sys\nsys.argv = ['analyze.py', 'workspace', '--help']\n"
        f"try:\n    runpy.run_path({str(ROOT / 'analyze.py')!r}, run_name='__main__')\n"
        "except SystemExit as leave:\n    assert not leave.code\n"
        "assert not {'torch', 'wandb'} & set(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "usage" in done.stdout
