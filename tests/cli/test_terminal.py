"""The commands on a terminal and without one: bars with names and time left there, silence here."""

from __future__ import annotations

import json
import re
import zipfile

import pytest
from made_results import make_result, make_run
from terminals import terminal
from tiny_runs import train_options

from lookwhy import store
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
    runs = tmp_path / ":smile: [bold] a["  # a[/quiet] would close a colour of Rich's markup
    options = [f"--runs={runs}", "--name=quiet]", "--trainer.max_epochs=1", "--trainer.logger=false"]
    assert train(train_options(tiny_world, *options)) == 0
    output = capsys.readouterr()
    assert f"run folder  {runs / 'quiet]'}" in output.out
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


EVIL = "red\x1b[2J\x1b]0;title\x07\x9b31m\r\u202egnp\u2066 [/red] :smile: <b>"
TAME = ("red[2J]0;title31m", "gnp [/red] :smile: ")


def evil(result):
    """Escape sequences, carriage returns and overrides of the writing direction in every text."""
    result.manifest |= {"annotators": EVIL, "tagger": EVIL, "data_note": EVIL, "excluded": {EVIL: 1}}
    result.summary |= {f"accuracy/{kind}_type/{EVIL}": 0.5 for kind in ("answer", "question")}
    for record in result.records:
        texts = ("question", "question_type", "answer_type", "ground_truth", "predicted", "top_word")
        record |= dict.fromkeys(texts, EVIL) | {"words": [EVIL] * 3, "image_file": f"{EVIL}.png"}


def test_texts_of_the_data_cannot_control_the_terminal_or_the_page(tmp_path, monkeypatch, capsys, caplog):
    run = make_run(tmp_path / EVIL.replace("/", "-"), None, 1, count=4, change=evil)
    print_tables(store.load(store.epoch_folder(run, 0)), report_console())
    printed = capsys.readouterr().out
    assert [part for part in TAME if part not in printed] == []
    with terminal(monkeypatch, 300) as shown:
        print_tables(store.load(store.epoch_folder(run, 0)), report_console())
        assert analyze(["compare", str(run), "--out", str(tmp_path / "page.html")]) == 0
        assert analyze(["figures", str(run), "--out", f"{tmp_path}/{EVIL[:9]}", "--format", "svg"]) == 0
        assert analyze(["figures", str(run), "--out", "x", "--names", f"{EVIL}a", EVIL]) == 2
    assert [one for one in caplog.messages if not one.isprintable()] == []
    page = (tmp_path / "page.html").read_text()
    codes = r"\x1b\[(A|K|[\d;]*m)"  # colours and weights of the tables, moves of the bars
    assert "\x1b" not in re.sub(codes, "", shown.raw)
    for text in (shown.raw, page, json.dumps(page, ensure_ascii=True)):
        assert not re.search("[\x07\x9b\u202e\u2066]", text)
        assert not re.search(r"\\u(202e|2066|001b|009b|0007)", text)
    assert "\x1b" not in page
    assert [part for part in (*TAME, "&lt;b&gt;", "\\u003cb>") if part not in page] == []
