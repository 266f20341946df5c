"""The commands on a terminal and without one: bars with names and time left there, silence here."""

from __future__ import annotations

import re
import zipfile

import pytest
from made_results import make_result, make_run
from terminals import terminal
from tiny_runs import train_options

from lookwhy.cli.analyze import main as analyze
from lookwhy.cli.prepare import main as prepare
from lookwhy.cli.train import main as train
from lookwhy.data.download import download
from lookwhy.data.sources import Source
from lookwhy.reporting.publish import publish
from lookwhy.reporting.terminal.tables import print_tables, report_console

STEPS = [
    "drawing train", "drawing val", "training the image network", "reading train questions",
    "reading validation questions", "features train", "features test",
]  # fmt: skip


def test_preparing_names_each_step_and_its_time_left(tmp_path, monkeypatch):
    with terminal(monkeypatch, 80) as shown:
        sizes = ["--train-scenes=20", "--val-scenes=6", "--epochs=1"]
        assert prepare(["shapes", "--out", str(tmp_path / "shapes"), *sizes]) == 0
    for step in STEPS:
        assert any(re.match(rf"{step}: +\d+%\|.*\[\d\d:\d\d<", state) for state in shown.states), step
    assert max(len(state) for state in shown.states if "%|" in state) <= 80


def test_unpacking_publishing_and_drawing_name_what_they_do(tmp_path, monkeypatch):
    with zipfile.ZipFile(tmp_path / "maps.zip", "w") as archive:
        archive.writestr("maps/1.png", b"x" * 4096)
    with terminal(monkeypatch, 80) as shown:
        download("maps", [Source("http://nowhere.invalid/maps.zip")], tmp_path)
        publish(make_result(), tmp_path / "run", 2, None)
        own = make_run(tmp_path / "own", None, 1)
        assert analyze(["figures", str(own), "--out", str(tmp_path / "figures")]) == 0
    assert any(re.match(r"unpacking maps.zip: 100%\|.*1/1 \[\d\d:\d\d<", one) for one in shown.states)
    assert any(re.match(r"drawing pictures: +\d+%\|.*/3 \[\d\d:\d\d<", one) for one in shown.states)
    assert any(re.match(r"drawing failure_curves: +\d+%\|.*\[\d\d:\d\d<", one) for one in shown.states)


def test_without_a_logger_no_line_names_its_folder(tiny_world, tmp_path, capsys):
    options = [f"--runs={tmp_path}", "--name=quiet", "--trainer.max_epochs=1", "--trainer.logger=false"]
    assert train(train_options(tiny_world, *options)) == 0
    output = capsys.readouterr()
    assert f"run folder  {tmp_path / 'quiet'}" in output.out
    assert "wandb" not in output.out
    assert "\x1b" not in output.out + output.err


@pytest.mark.parametrize("columns", [80, 120])
def test_the_closing_tables_are_coloured_on_a_terminal_and_no_line_is_broken(columns, monkeypatch, capsys):
    with terminal(monkeypatch, columns) as shown:
        print_tables(make_result(), report_console())
    assert "\x1b[" in shown.raw
    assert max(map(len, shown.states)) <= columns
    # A line of a table begins with a name: one that the terminal had to break would begin with a number.
    starts = [state.split()[0] for state in shown.states if re.search(r"0\.370|0\.07164|69\.0%", state)]
    assert starts == ["Occlusion"] * (2 if columns == 80 else 1) + ["Flips"]
    with terminal(monkeypatch, columns) as shown:
        monkeypatch.setenv("NO_COLOR", "1")
        print_tables(make_result(), report_console())
    codes = {int(part) for code in re.findall(r"\x1b\[([\d;]+)m", shown.raw) for part in code.split(";")}
    assert codes <= {0, 1, 2, 22}, "bold and dim are no colours"
    monkeypatch.delenv("NO_COLOR")
    print_tables(make_result(), report_console())
    assert "\x1b" not in capsys.readouterr().out, "no terminal"
