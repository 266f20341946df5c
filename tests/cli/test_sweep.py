"""`train.py sweep`: the combinations of a W&B sweep file, trained one after the other."""

from __future__ import annotations

import copy
import json
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import yaml

from lookwhy.cli.lightning import parse_only
from lookwhy.cli.sweep_file import read_sweep
from lookwhy.cli.train import main

ROOT = Path(__file__).parent.parent.parent
SHIPPED = ROOT / "configs" / "sweep.yaml"

PROGRAM = """
import json, sys, time
from pathlib import Path
options = dict(word[2:].split("=", 1) for word in sys.argv[1:] if word.startswith("--"))
folder = Path(options["runs"]) / options["name"]
with Path("calls.txt").open("a") as calls:
    calls.write(" ".join(sys.argv[1:]) + "\\n")
print("hello from", options["x"])
if options["x"] == options.get("fails"):
    (folder / "checkpoints").mkdir(exist_ok=True)
    (folder / "checkpoints" / "last.ckpt").touch()
    print("lookwhy: error: expected luck, found none; try again")
    sys.exit(int(options.get("code", 2)))
while "waits" in options and not Path("go").exists():
    time.sleep(0.05)
value = -((float(options["x"]) - 2) ** 2)
(folder / "metrics.json").write_text(json.dumps({"score": value, "score/best": value + 0.5}))
"""
SMALL = {
    "name": "small", "method": "grid", "metric": {"name": "score", "goal": "maximize"},
    "parameters": {"x": {"values": [1, 2, 4]}, "flag": {"value": True}},
}  # fmt: skip


@pytest.fixture
def sweep(tmp_path, monkeypatch):
    """A sweep over a little program instead of a training: (file, changes to it) -> its path."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "program.py").write_text(PROGRAM)

    def write(**changes) -> str:
        content = copy.deepcopy(SMALL) | {"program": "program.py"} | changes
        (tmp_path / "sweep.yaml").write_text(
            yaml.safe_dump({k: v for k, v in content.items() if v is not None})
        )
        return "sweep.yaml"

    return write


def calls() -> list[str]:
    return Path("calls.txt").read_text().splitlines() if Path("calls.txt").exists() else []


def test_every_combination_is_run_and_the_table_is_sorted(sweep, capsys):
    assert main(["sweep", sweep(), "--extra=7"]) == 0
    said = capsys.readouterr().out
    assert len(calls()) == 3
    assert all("--flag=True" in call and call.endswith("--extra=7") for call in calls())
    assert len({call.split("--name=")[1].split()[0] for call in calls()}) == 3
    assert all("--group=small" in call for call in calls())
    rows = [line for line in said.splitlines() if line.startswith("│ small-")]
    assert [float(row.split("│")[3]) for row in rows] == [0.0, -1.0, -4.0]
    assert [float(row.split("│")[4]) for row in rows] == [0.5, -0.5, -3.5]
    assert [row.split("│")[2].strip() for row in rows] == ["2", "1", "4"], "only what differs"
    folder = next(Path("runs").glob("small-*"))
    assert (folder / "train.log").read_text().startswith("hello from ")


def test_the_same_command_again_skips_what_is_finished(sweep, capsys):
    assert main(["sweep", sweep(), "--count", "2"]) == 0
    assert len(calls()) == 2
    assert main(["sweep", sweep()]) == 0
    assert len(calls()) == 3
    assert capsys.readouterr().out.count("finished before") == 2
    assert main(["sweep", sweep(), "--other=1"]) == 0
    assert len(calls()) == 6, "other settings are other runs"


def test_a_run_that_fails_ends_the_sweep_in_one_line_and_is_resumed(sweep, capsys):
    assert main(["sweep", sweep(), "--fails=2"]) == 2
    (error,) = capsys.readouterr().err.splitlines()
    assert "expected luck, found none; try again" in error
    assert "train.log" in error
    assert len(calls()) == 2
    assert main(["sweep", sweep(), "--fails=2"]) == 2
    assert len(calls()) == 3, "the first is finished"
    name = calls()[2].split("--name=")[1].split()[0]
    assert f"--ckpt_path={Path('runs') / name / 'checkpoints' / 'last.ckpt'}" in calls()[2]


def test_a_training_that_breaks_down_leaves_the_others_to_go_on(sweep, capsys):
    assert main(["sweep", sweep(), "--fails=1", "--code=1"]) == 2
    output = capsys.readouterr()
    assert len(calls()) == 3
    rows = [line.split("│")[2:4] for line in output.out.splitlines() if line.startswith("│ small-")]
    assert [row[0].strip() for row in rows] == ["2", "4", "1"]
    assert rows[-1][1].strip() == "failed"
    (error,) = output.err.splitlines()
    assert "expected 3 runs to finish, found 1 that failed" in error
    assert "expected luck, found none" in error
    assert main(["sweep", sweep(), "--fails=1", "--code=1"]) == 2
    assert len(calls()) == 4, "only that one is tried again"


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 130), (signal.SIGKILL, -signal.SIGKILL)])
def test_two_trainings_never_share_a_folder_whatever_killed_the_sweep(sweep, number, code):
    command = [sys.executable, str(ROOT / "train.py"), "sweep", sweep(), "--count=1", "--waits=1"]
    first = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    while not calls():
        assert first.poll() is None
        time.sleep(0.05)
    first.send_signal(number)
    assert first.wait(20) == code
    if number == signal.SIGKILL:
        # Nobody could tell the training: it still has its folder.
        second = subprocess.run(command, capture_output=True, text=True, timeout=20)
        Path("go").touch()
        assert second.returncode == 2
        assert "found a training that still is" in second.stderr
        assert len(calls()) == 1
    else:
        Path("go").touch()
        assert subprocess.run(command, stdout=subprocess.DEVNULL, timeout=20).returncode == 0
        assert len(calls()) == 2, "the first training was ended, and has left its folder"


def test_a_name_with_slashes_and_brackets_stays_inside_the_folder_of_runs(sweep, capsys):
    assert main(["sweep", sweep(name="../mine/of [red]things[/red]")]) == 0
    assert {folder.name.rpartition("-")[0] for folder in Path("runs").iterdir()} == {"mine-of-red-things-red"}
    assert "Sweep ../mine/of [red]things[/red]" in capsys.readouterr().out
    assert "--group=../mine/of [red]things[/red]" in calls()[0]


def test_what_a_killed_run_without_a_checkpoint_left_is_started_anew(sweep):
    file = sweep()
    chosen = read_sweep(Path(file)).combinations(1, 0)[0]
    left = Path("runs") / read_sweep(Path(file)).run_name(chosen, []) / "config.yaml"
    left.parent.mkdir(parents=True)
    left.touch()
    assert main(["sweep", file, "--count=1"]) == 0
    assert "--ckpt_path" not in calls()[0]
    assert not left.exists()


@pytest.mark.parametrize(
    ("changes", "arguments", "told"),
    [
        ({"method": "bayes"}, [], "found bayes in sweep.yaml; it needs W&B's server"),
        ({"method": "best"}, [], "expected method grid or random"),
        ({"method": "random"}, [], "expected --count N for a random search"),
        ({"metric": None}, [], "expected metric"),
        ({"metric": {"name": "a", "goal": "up"}}, [], "metric.goal minimize or maximize"),
        ({"parameters": {}}, [], "expected parameters"),
        ({"parameters": {"x": 3}}, [], "values, value, or min and max of x"),
        ({"parameters": {"x": {"min": 1, "max": 2}}}, [], "expected values of x for a grid in sweep.yaml, found int_uniform"),
        ({"parameters": {"x": {"distribution": "normal"}}}, [], "found normal"),
        ({"parameters": {"x": {"parameters": {"y": {"value": 1}}}}}, [], "nested parameters of x"),
        ({"method": "random", "parameters": {"x": {"min": 2.5, "max": 1}}}, ["--count=1"], "in order"),
        ({"parameters": {"x": {"values": [1, 2], "probabilities": [0.5, 0.4]}}}, [], "1 in all"),
        ({"parameters": {"x": {"values": [1, 2], "probabilities": ["a", "b"]}}}, [], "1 in all"),
        ({"parameters": {"x": {"values": [1, 2], "probabilities": 1}}}, [], "1 in all"),
        ({"parameters": {"x": {"values": [1, 2], "probabilities": [2, -1]}}}, [], "1 in all"),
        ({"method": "random", "parameters": {"x": {"min": 0.0, "max": math.inf}}}, [], "as numbers"),
        ({"method": "random", "parameters": {"x": {"min": 0.0, "max": math.nan}}}, [], "as numbers"),
        ({"method": "random", "parameters": {"x": {"distribution": "int_uniform", "min": 0.5, "max": 2}}}, [], "as whole"),
        ({"paramters": {}}, [], "found paramters"),
        ({"run_cap": 0}, [], "run_cap of at least 1"),
        ({"command": ["python", "${args_json}"]}, [], "${args_json}"),
        ({"command": ["nowhere", "${args}"]}, [], "expected a command that runs"),
        ({}, ["--count=0"], "expected --count of at least 1"),
        ({}, ["--name=mine"], "found --name=mine, which the sweep sets"),
    ],
)  # fmt: skip
def test_a_wrong_file_or_option_is_one_line(sweep, changes, arguments, told, capsys):
    assert main(["sweep", sweep(**changes), *arguments]) == 2
    (error,) = capsys.readouterr().err.splitlines()
    assert told in error
    assert calls() == []


@pytest.mark.parametrize("content", [None, "a: [", "- a", ""])
def test_what_is_no_sweep_file_is_one_line(content, tmp_path, capsys):
    path = tmp_path / "sweep.yaml"
    if content is not None:
        path.write_text(content)
    assert main(["sweep", str(path)]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_a_random_search_draws_what_the_file_says_and_the_same_again(sweep):
    parameters = {
        "rate": {"distribution": "log_uniform_values", "min": 1e-4, "max": 1e-1},
        "size": {"min": 8, "max": 12}, "share": {"min": 0.0, "max": 0.5},
        "kind": {"values": ["a", "b"], "probabilities": [0.9, 0.1]},
    }  # fmt: skip
    found = read_sweep(Path(sweep(method="random", parameters=parameters)))
    drawn = found.combinations(400, seed=3)
    assert found.combinations(400, seed=3) == drawn
    assert found.combinations(20, seed=3) == drawn[:20], "more runs leave the first ones what they were"
    assert found.combinations(20, seed=4) != drawn[:20]
    assert {type(one["size"]) for one in drawn} == {int}
    assert {one["size"] for one in drawn} == {8, 9, 10, 11, 12}
    rates = np.log10([one["rate"] for one in drawn])
    assert rates.min() >= -4
    assert rates.max() <= -1
    assert rates.mean() == pytest.approx(-2.5, abs=0.15)
    shares = [one["share"] for one in drawn]
    assert (min(shares) >= 0, max(shares) <= 0.5, np.mean(shares)) == (
        True,
        True,
        pytest.approx(0.25, abs=0.03),
    )
    assert np.mean([one["kind"] == "a" for one in drawn]) == pytest.approx(0.9, abs=0.05)


def test_a_draw_that_comes_twice_is_run_once(sweep):
    found = read_sweep(Path(sweep(method="random")))
    assert sorted(one["x"] for one in found.combinations(50, seed=0)) == [1, 2, 4]


def test_the_shipped_file_gives_the_command_that_wandb_agent_gives():
    from wandb.sdk.launch.sweeps import utils

    sweep = read_sweep(SHIPPED)
    chosen = sweep.combinations(None, 0)[0]
    content = yaml.safe_load(SHIPPED.read_text())
    theirs = utils.create_sweep_command_args({"args": {name: {"value": v} for name, v in chosen.items()}})
    theirs |= {"env": [], "interpreter": [sys.executable], "program": [content["program"]]}
    expected = []
    for word in utils.create_sweep_command(content["command"]):
        expected += theirs[word[2:-1]] if word.startswith("${") else [word]
    assert sweep.arguments(chosen) == expected


def test_every_combination_of_the_shipped_file_is_understood_by_a_training(monkeypatch):
    monkeypatch.chdir(ROOT)
    sweep = read_sweep(SHIPPED)
    combinations = sweep.combinations(None, 0)
    assert len(combinations) == 8
    for chosen in (
        combinations[0],
        combinations[-1],
        combinations[0] | {"model.head.init_args.use_image": False},
    ):
        arguments = sweep.arguments(chosen)
        options = parse_only(["fit", *arguments[arguments.index(sweep.program) + 1 :]]).fit
        assert options.model.learning_rate == chosen["model.learning_rate"]
        assert options.model.head.init_args.hidden_size == chosen["model.head.init_args.hidden_size"]
        assert options.seed_everything == chosen["seed_everything"]
    assert options.model.head.init_args.use_image is False


@pytest.mark.parametrize("command", [["train.py", "sweep"], ["analyze.py", "workspace"]])
def test_help_answers_without_loading_torch(command):
    script = (
        f"import runpy, sys\nsys.argv = {[*command, '--help']!r}\n"
        f"try:\n    runpy.run_path({str(ROOT / command[0])!r}, run_name='__main__')\n"
        "except SystemExit as leave:\n    assert not leave.code\n"
        "assert not {'torch', 'wandb'} & set(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "usage" in done.stdout


@pytest.mark.slow
def test_a_sweep_of_real_trainings(tiny_world, tmp_path):
    content = {
        "program": str(ROOT / "train.py"), "method": "grid", "name": "real",
        "metric": {"name": "val/accuracy/overall", "goal": "maximize"},
        "parameters": {"model.learning_rate": {"values": [1e-3, 1e-2]}},
        "command": [
            "${env}", "${interpreter}", "${program}", "--config", str(ROOT / "configs" / "shapes.yaml"), "${args}",
        ],
    }  # fmt: skip
    (tmp_path / "sweep.yaml").write_text(yaml.safe_dump(content))
    command = [
        sys.executable, str(ROOT / "train.py"), "sweep", "sweep.yaml", f"--data.folder={tiny_world}",
        f"--data.annotator_maps={tiny_world / 'annotators'}", "--model.head.init_args.hidden_size=10",
        "--trainer.accelerator=cpu", "--trainer.max_epochs=1", "--analysis.epochs=[]", "--analysis.untrained=false",
    ]  # fmt: skip
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("WANDB", "LOOKWHY_RUN"))}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    folders = sorted((tmp_path / "runs").iterdir())
    assert len(folders) == 2
    values = [json.loads((folder / "metrics.json").read_text())["val/accuracy/overall"] for folder in folders]
    rows = [line for line in done.stdout.splitlines() if line.startswith("│ real-")]
    assert [float(row.split("│")[3]) for row in rows] == pytest.approx(sorted(values, reverse=True), abs=1e-4)
    rates = {
        yaml.safe_load((folder / "config.yaml").read_text())["model"]["learning_rate"] for folder in folders
    }
    assert rates == {1e-3, 1e-2}
    assert all(list((folder / "wandb").glob("offline-run-*")) for folder in folders)
    again = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60)
    assert again.stdout.count("finished before") == 2
