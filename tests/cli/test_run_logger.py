"""What a W&B run is called and sorted by."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from lookwhy.cli.lightning import parse_only
from lookwhy.cli.run_logger import LONGEST_TAG, tags

CONFIGS = Path(__file__).parent.parent.parent / "configs"


def options(config: str, *more: str):
    return parse_only(["fit", "--config", str(CONFIGS / config), *more]).fit


@pytest.mark.parametrize(
    ("config", "more", "expected"),
    [
        ("shapes.yaml", [], ["DeeperLSTM", "shapes", "simulated annotators"]),
        ("shapes_san.yaml", [], ["SAN", "shapes", "simulated annotators"]),
        ("vqa_v1.yaml", [], ["DeeperLSTM", "vqa_v1"]),
        ("vqa_v2.yaml", ["--data.folder=a/" + "x" * 90], ["DeeperLSTM", "x" * LONGEST_TAG]),
        (
            "vqa_v2.yaml",
            ["--model.head.init_args.use_image=false", "--tags=[mine, SAN, mine]"],
            ["DeeperLSTM", "vqa_v2", "question-only", "mine", "SAN"],
        ),
    ],
)
def test_tags_say_model_data_and_what_must_be_known(config, more, expected, monkeypatch):
    monkeypatch.delenv("WANDB_TAGS", raising=False)
    assert tags(options(config, *more)) == expected


def test_tags_of_the_environment_are_kept(monkeypatch):
    monkeypatch.setenv("WANDB_TAGS", "first, second")
    assert tags(options("vqa_v2.yaml"))[-2:] == ["first", "second"]


SCRIPT = """
import json, sys
from pathlib import Path
from lookwhy.cli.lightning import parse_only
from lookwhy.cli.run_logger import make_logger
from lookwhy.reporting.wandb.environment import prepare_environment

run = Path("runs/one")
run.mkdir(parents=True)
prepare_environment(run)
experiment = make_logger(parse_only(["fit", "--config", sys.argv[1]]).fit, run).experiment
print(json.dumps([experiment.id, experiment.project, experiment.group, list(experiment.tags)]))
experiment.finish()
"""


def test_under_an_agent_the_run_is_the_agents(tmp_path):
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("WANDB", "LOOKWHY_RUN"))}
    agent = {
        "WANDB_SWEEP_ID": "swe3p",
        "WANDB_RUN_ID": "fr0magent",
        "WANDB_PROJECT": "theirs",
        "WANDB_MODE": "offline",
    }
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(CONFIGS / "shapes.yaml")], cwd=tmp_path,
        env=clean | agent | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    told = json.loads(next(line for line in done.stdout.splitlines() if line.startswith("[")))
    assert told == ["fr0magent", "theirs", "shapes", ["DeeperLSTM", "shapes", "simulated annotators"]]
    assert "Ignoring" not in done.stderr
