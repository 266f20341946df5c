"""The benchmarks run; their numbers on tiny data mean nothing."""

import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import analysis, attribution, epoch, timing, training

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
    options += [f"--model.head.init_args.{size}_size=8" for size in ("embedding", "hidden", "common")]
    rows = {row.name.strip(): row for row in epoch.measure(options)}
    seconds = {name: float(row.measured.split()[0]) for name, row in rows.items()}
    analysis_seconds = float(rows["analysis : epoch"].measured.split("(")[1].split()[0])
    parts = {name: value for name, value in seconds.items() if rows[name].name.startswith("  ")}
    assert {"image/guided_backprop", "image/occlusion", "question/word_drop", epoch.REST} <= set(parts)
    assert sum(parts.values()) == pytest.approx(analysis_seconds, abs=0.1)
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


@pytest.mark.parametrize("module", [attribution, analysis], ids=lambda module: module.__name__)
def test_the_other_benchmarks_run(module, capsys, tmp_path):
    more = ["--plot", str(tmp_path / "growth.png")] if module is analysis else ["--repeats", "1"]
    assert module.main(["--quick", *more]) in (0, 1)  # on a small network the bars mean nothing
    printed = capsys.readouterr().out
    assert " x " in printed
    if module is analysis:
        assert (tmp_path / "growth.png").stat().st_size > 10_000


def test_a_table_is_as_wide_as_its_rows_and_says_which_bars_are_met(capsys):
    long = ("a quantity with a long name, " * 5).strip()
    rows = [(long, "1 s", "", True), ("b", "2 x", ">= 3 x", False), ("c", "4 x", ">= 3 x", True)]
    timing.print_rows("title", [timing.Row(*row) for row in rows])
    lines = capsys.readouterr().out.splitlines()
    verdicts = {line.split("│")[1].strip(): line.split("│")[4].strip() for line in lines if "│" in line}
    assert verdicts == {long: "", "b": "NO", "c": "yes"}


@pytest.mark.slow
def test_wrong_input_and_damaged_files_drawn_at_random_end_as_promised():
    options = ["--cases", "12", "--mutations", "1", "--seed", "7"]
    command = [sys.executable, "-m", "benchmarks.soak", *options]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1].split() == ["all", "29", "29", "0"]
