"""The benchmarks run; what they measure on tiny data says nothing."""

import pytest

from benchmarks import timing, training


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


def test_functions_are_called_in_turn_and_the_first_round_is_not_counted():
    called = []
    seconds = timing.interleaved({"a": lambda: called.append("a"), "b": lambda: called.append("b")}, 3)
    assert called == ["a", "b"] * 4
    assert set(seconds) == {"a", "b"}
    assert all(value >= 0 for value in seconds.values())


def test_a_table_is_as_wide_as_its_rows(capsys):
    name = "a quantity with a long name, " * 5
    timing.print_rows("Title", [timing.Row(name, "2", "<= 1", False)])
    assert name.strip() in capsys.readouterr().out
