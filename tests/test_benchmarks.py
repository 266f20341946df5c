"""The benchmarks run; their numbers on tiny data mean nothing."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from benchmarks import analysis, attribution, bank, epoch, full_size, roofline, timing, training
from benchmarks.gpu import __main__ as gpu
from benchmarks.soak import attempts, trials

ROOT = Path(__file__).parent.parent


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_the_training_benchmark_runs(tmp_path, capsys):
    assert training.main(["--quick", "--folder", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    assert "NOT A MEASUREMENT" in printed
    for quantity in ("step of the fit / bare step", "features auto: peak memory", "start to first step"):
        assert quantity in printed
    assert "equal │ equal" in " ".join(printed.split())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_the_epochs_of_a_config_and_its_analysis_are_measured(tiny_world, capsys):
    options = ["--config=configs/shapes.yaml", f"--data.folder={tiny_world}", "--trainer.logger=false"]
    options += [f"--data.annotator_maps={tiny_world / 'annotators'}", "--analysis.plan.num_questions=6"]
    options += [f"--data.truth_masks={tiny_world / 'truth'}"]
    options += [f"--model.head.init_args.{size}_size=8" for size in ("embedding", "hidden", "common")]
    rows = {row.name.strip(): row for row in epoch.measure(options)}
    seconds = {name: float(row.measured.split()[0]) for name, row in rows.items()}
    analysis_seconds = float(rows["analysis : epoch"].measured.split("(")[1].split()[0])
    parts = {name: value for name, value in seconds.items() if rows[name].name.startswith("  ")}
    assert {"image/guided_backprop", "image/occlusion", "question/word_drop", epoch.REST} <= set(parts)
    assert sum(parts.values()) == pytest.approx(analysis_seconds, abs=0.1)
    assert min(parts.values()) >= 0
    assert parts[epoch.REST] > 0  # six questions are stored and drawn
    # Each of these three numbers is rounded to hundredths of a second, of which the tiny epoch has few.
    epoch_seconds = seconds["training"] + seconds["validation"]
    least = (analysis_seconds - 0.01) / (epoch_seconds + 0.01)
    most = (analysis_seconds + 0.01) / max(epoch_seconds - 0.01, 1e-3)
    assert least - 0.01 <= seconds["analysis : epoch"] <= most + 0.01
    assert rows["analysis : epoch"].met == (seconds["analysis : epoch"] <= 1)


def test_functions_are_called_in_turn_and_the_first_round_is_not_counted():
    called = []
    seconds = timing.interleaved({"a": lambda: called.append("a"), "b": lambda: called.append("b")}, 3)
    assert called == ["a", "b"] * 4
    assert set(seconds) == {"a", "b"}
    assert all(value >= 0 for value in seconds.values())


@pytest.mark.parametrize(
    "module", [attribution, analysis, bank, roofline], ids=lambda module: module.__name__
)
def test_the_other_benchmarks_run(module, capsys, tmp_path):
    more = {analysis: ["--plot", str(tmp_path / "growth.png")], attribution: ["--repeats", "1"]}.get(
        module, []
    )
    assert module.main(["--quick", *more]) in (0, 1)  # on a small network the bars mean nothing
    printed = capsys.readouterr().out
    assert " x " in printed
    if module is analysis:
        assert (tmp_path / "growth.png").stat().st_size > 10_000


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_the_benchmark_of_the_gpu_runs_and_refuses_a_machine_without_one(capsys):
    assert gpu.main(["--device", "cpu", "--quick"]) == 0
    printed = capsys.readouterr().out
    assert "NOT A MEASUREMENT" in printed
    for quantity in (
        "3 questions an image",
        "from the cache",
        "waiting for a file",
        "JPEG files",
        "150,000 such steps",
        "first analysis",
    ):
        assert quantity in printed
    same = [line for line in printed.splitlines() if "Spearman" in line or "relative" in line]
    assert [line.split("│")[4].strip() for line in same if "│" in line] == ["yes"] * 13
    assert "failed" not in printed
    if not torch.cuda.is_available():
        assert gpu.main([]) == 2


@pytest.mark.slow
def test_the_benchmark_of_the_full_size_runs(tmp_path, capsys):
    assert full_size.main(["--quick", "--folder", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    for quantity in ("prepare.py questions", "8 steps, validation, analysis of 4 images", "the slowest step"):
        assert quantity in printed
    memory = [line.split("│")[4].strip() for line in printed.splitlines() if "peak memory" in line]
    assert memory == ["yes", "yes"]
    assert list(tmp_path.iterdir()) == []


def test_a_table_is_as_wide_as_its_rows_and_says_which_bars_are_met(capsys):
    long = ("a quantity with a long name, " * 5).strip()
    rows = [(long, "1 s", "", True), ("b", "2 x", ">= 3 x", False), ("c", "4 x", ">= 3 x", True)]
    timing.print_rows("title", [timing.Row(*row) for row in rows])
    lines = capsys.readouterr().out.splitlines()
    verdicts = {line.split("│")[1].strip(): line.split("│")[4].strip() for line in lines if "│" in line}
    assert verdicts == {long: "", "b": "NO", "c": "yes"}


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="the soak starts its attempts as forks")
def test_a_small_draw_of_the_soak_finds_every_promise_kept():
    """One trial of each kind whose trials take seconds; `make soak` runs all of them."""
    only = ["--only", "^(wrong|damaged|other|stdout|full disk: analyze)"]
    command = [
        sys.executable,
        "-m",
        "benchmarks.soak",
        "--most",
        "1",
        "--mutations",
        "20",
        "--seed",
        "7",
        *only,
    ]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr
    (total,) = [line for line in done.stdout.splitlines() if line.startswith("all ")]
    assert total.split() == ["all", "24", "24", "0"]


def test_the_soak_tells_a_broken_promise_and_how_to_repeat_it(capsys):
    trial = trials.Trial("kind", "it's", lambda own, draw: "")
    table = trials.Table()
    table.add(trial, "", "again")
    table.add(trial, "a traceback", "again")
    table.print(markdown=True)
    printed = capsys.readouterr().out.splitlines()
    assert printed[:2] == ["BROKEN kind: it's | a traceback", "       again"]
    assert printed[-2:] == ["| kind | 2 | 1 | 1 |", "| all | 2 | 1 | 1 |"]


@pytest.mark.parametrize(
    ("code", "err", "broken"),
    [
        (0, "", ""),
        (2, "lookwhy: error: expected a, found b; c\n", ""),
        (2, "", "0 lines of error"),
        (2, "Traceback (most recent call last):\nKeyError", "a traceback"),
        (70, "lookwhy: error: a fault", "exit code 70"),
        (-11, "", "exit code -11"),
        (0, "lookwhy: error: x", "exit code 0 after"),
        (attempts.NO_END, "", "no end"),
    ],
)
def test_the_soak_knows_what_is_promised(code, err, broken):
    found = attempts.Outcome(code, "", err, 1.0).broken
    assert found.startswith(broken) if not broken else broken in found
    assert bool(found) == bool(broken)
