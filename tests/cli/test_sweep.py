"""Many trainings in one group: W&B's sweep file, and the shell loop of docs/dashboards.md."""

from __future__ import annotations

import itertools
import json
import os
import re
import sys
from pathlib import Path

import pytest
import yaml
from tiny_runs import ROOT, parse_only, run, small_config
from wandb.sdk.launch.sweeps import utils as wandb_sweeps

SWEEP = "configs/sweep.yaml"

AGENT = f"""
import os, sys
from wandb.sdk.launch.sweeps.utils import load_sweep_config
from wandb.wandb_agent import Agent

sweep = load_sweep_config({SWEEP!r})
os.environ["WANDB_SWEEP_ID"] = "swe3p"  # as `wandb agent` does before it starts
agent = Agent(api=None, queue=None, sweep_id="swe3p")
agent._sweep_command = sweep["command"]
chosen = {{name: {{"value": spec["values"][-1]}} for name, spec in sweep["parameters"].items()}}
agent._command_run({{"run_id": "fr0magent", "program": sweep["program"], "args": chosen}})
sys.exit(agent._run_processes["fr0magent"].wait())
"""
"""The part of `wandb agent` that needs no server: it makes the command of a run, and starts it."""


STAND_IN = """
import json, pathlib, sys

words = sys.argv[1:]
print(json.dumps(words))
folder = pathlib.Path("runs", words[words.index("--name") + 1])
folder.mkdir(parents=True)
(folder / "metrics.json").touch()
"""
"""A train.py that prints its arguments and leaves what a finished training leaves."""


@pytest.fixture
def project(tiny_world, tmp_path):
    """A folder with the project's commands and configs, the training cut down to a second."""
    data = {"folder": str(tiny_world), "annotator_maps": str(tiny_world / "annotators")}
    small_config(tmp_path, data=data, analysis={"epochs": [], "untrained": False})
    (tmp_path / "train.py").symlink_to(ROOT / "train.py")
    (tmp_path / SWEEP).symlink_to(ROOT / SWEEP)
    return tmp_path


def run_in(project, *command, **environment):
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    return run(command, project, PATH=path, WANDB_MODE="offline", **environment)


def test_every_combination_that_an_agent_gives_is_understood_by_a_training(monkeypatch):
    monkeypatch.chdir(ROOT)
    sweep = yaml.safe_load(Path(SWEEP).read_text())
    fixed = [word for word in sweep["command"] if not word.startswith("${")]
    assert sweep["program"] == "train.py"
    assert sweep["command"][3:] == [*fixed, "${args}"]
    choices = [spec["values"] for spec in sweep["parameters"].values()]
    combinations = [dict(zip(sweep["parameters"], one, strict=True)) for one in itertools.product(*choices)]
    assert len(combinations) == 8
    blind = combinations[0] | {"model.head.init_args.use_image": False}
    for chosen in (combinations[0], combinations[-1], blind):
        command = {"args": {name: {"value": value} for name, value in chosen.items()}}
        arguments = wandb_sweeps.create_sweep_command_args(command)["args"]
        options = parse_only(["fit", *fixed, *arguments]).fit
        assert options.group == "shapes-sweep"
        assert {name: options[name] for name in chosen} == chosen


@pytest.mark.slow
def test_the_sweep_file_trains_under_wandb_agent(project):
    done = run_in(project, sys.executable, "-c", AGENT, WANDB_PROJECT="theirs")
    assert done.returncode == 0, done.stderr
    assert "Ignoring" not in done.stderr
    folder = project / "runs/shapes-fr0magent"
    assert json.loads((folder / "metrics.json").read_text())["val/accuracy/overall"] >= 0
    saved = yaml.safe_load((folder / "config.yaml").read_text())
    assert (saved["group"], saved["model"]["learning_rate"], saved["seed_everything"]) == (
        "shapes-sweep",
        0.003,
        2,
    )
    (file,) = (folder / "wandb").glob("offline-run-*/run-fr0magent.wandb")
    lines = run_in(project, "wandb", "leet", "inspect", "--json", str(file)).stdout.splitlines()
    logged = next(one["run"] for one in map(json.loads, lines) if one["type"] == "run")
    assert [logged[name] for name in ("run_id", "project", "run_group")] == [
        "fr0magent",
        "theirs",
        "shapes-sweep",
    ]
    assert logged["tags"] == ["DeeperLSTM", "shapes", "simulated annotators"]


def test_the_loop_of_the_docs_trains_a_group_skips_finished_runs_and_ends_with_an_error(tmp_path):
    (loop,) = re.findall(r"```\n(for .*?\ndone)\n```", (ROOT / "docs/dashboards.md").read_text(), re.DOTALL)
    assert len(loop.splitlines()) == 3
    (tmp_path / "train.py").write_text(STAND_IN)
    (tmp_path / "runs/seed-3").mkdir(parents=True)
    (tmp_path / "runs/seed-3/metrics.json").touch()  # finished before
    done = run_in(tmp_path, "sh", "-c", loop)
    assert done.returncode == 0, done.stderr
    calls = [parse_only(["fit", *json.loads(line)]).fit for line in done.stdout.splitlines()]
    found = [(one.name, one.group, one.seed_everything) for one in calls]
    assert found == [("seed-1", "seeds", 1), ("seed-2", "seeds", 2)]
    again = run_in(tmp_path, "sh", "-c", loop)
    assert (again.returncode, again.stdout) == (0, "")
    for file in (tmp_path / "runs").glob("*/metrics.json"):
        file.unlink()
    (tmp_path / "train.py").write_text("import sys\nsys.exit('failed')\n")
    assert run_in(tmp_path, "sh", "-c", loop).stderr.count("failed") == 1
