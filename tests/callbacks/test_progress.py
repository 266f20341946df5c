"""The progress of a training and its analysis: bars on a terminal, and a line an epoch everywhere."""

from __future__ import annotations

import re

import pytest
import pytorch_lightning as pl
from jsonargparse import Namespace
from pytorch_lightning.callbacks import RichProgressBar, TQDMProgressBar
from terminals import terminal
from tiny_runs import Recorder, make_data, make_head, make_trainer

from lookwhy.analysis import AnalysisPlan
from lookwhy.callbacks import ImportanceCallback
from lookwhy.callbacks.progress import LOSS, TrainingProgress, progress_bars
from lookwhy.models import VQASystem

LINE = re.compile(
    r"epoch (\d+): loss (\d\.\d{3}), validation loss (\d\.\d{3}), validation accuracy (\d+\.\d\d)%, \d+\.\d s"
)


def train(world, folder, **settings):
    pl.seed_everything(7)
    data, recorder = make_data(world), Recorder()
    plan = AnalysisPlan(num_questions=12, num_examples=1, bootstrap_samples=20)
    callbacks = [recorder, ImportanceCallback(plan, untrained=False), TrainingProgress()]
    trainer = make_trainer(folder, 2, callbacks, enable_progress_bar=True, **settings)
    trainer.fit(VQASystem(make_head(data), learning_rate=1e-3), data)
    return recorder


def test_without_a_terminal_an_epoch_is_one_line_and_nothing_else(tiny_world, tmp_path, capsys):
    recorder = train(tiny_world, tmp_path)
    output = capsys.readouterr()
    assert "\r" not in output.out + output.err
    assert "%|" not in output.out + output.err
    found = [LINE.fullmatch(line) for line in output.out.splitlines()]
    assert all(found)
    assert [int(one[1]) for one in found] == [0, 1]
    means = [sum(losses) / len(losses) for losses in recorder.losses[:2]]
    assert [float(one[2]) for one in found] == pytest.approx(means, abs=6e-4)
    assert [float(one[4]) for one in found] == pytest.approx([100 * a for a in recorder.accuracies], abs=6e-3)
    train(tiny_world, tmp_path, check_val_every_n_epoch=2)
    first, second = capsys.readouterr().out.splitlines()
    assert re.fullmatch(r"epoch 0: loss \d\.\d{3}, \d+\.\d s", first), "no accuracy of an earlier epoch"
    assert LINE.fullmatch(second)


def test_without_a_terminal_a_long_epoch_tells_how_far_it_is(tiny_world, tmp_path, monkeypatch, capfd):
    monkeypatch.setattr("lookwhy.progress.SECONDS_BETWEEN_LINES", 0.2)
    monkeypatch.setattr(Recorder, "pause", 0.12)
    train(tiny_world, tmp_path)
    lines = [line for line in capfd.readouterr().err.splitlines() if line.startswith("epoch ")]
    steps = r" +\d+% [1-8]/8 \[00:0\d<00:0\d, +\d+\.\d\d(step/s|s/step).*\]"
    for epoch in ("epoch 0/1:", "epoch 1/1:"):
        assert sum(re.fullmatch(epoch + steps, line) is not None for line in lines) >= 2, lines


def test_a_terminal_shows_what_is_computed_and_the_time_left(tiny_world, tmp_path, monkeypatch):
    with terminal(monkeypatch, 80) as shown:
        train(tiny_world, tmp_path)
    states = shown.states
    assert any(re.match(r"epoch 0/1: +\d+%\|.*left, loss=\d", state) for state in states)
    assert any(re.match(r"epoch 1/1: .*accuracy=\d+\.\d%, all=\d\d:\d\d left", state) for state in states)
    assert any(re.match(r"validating: +\d+%\|.*left", state) for state in states)
    for method in ("guided backprop", "occlusion", "gradient", "word drop"):
        assert any(state.startswith(f"explaining: {method}") for state in states), method
    assert any(re.search(r"explaining: .*12/12 \[\d\d:\d\d<", state) for state in states)
    lines = [found for state in states if (found := LINE.fullmatch(state))]
    assert [int(line[1]) for line in lines] == [0, 1], "the lines of a log stay on a terminal, too"
    assert max(map(len, states)) <= 80


def test_validation_alone_has_its_bar(tiny_world, tmp_path, monkeypatch, capsys):
    data = make_data(tiny_world)
    trainer = make_trainer(tmp_path, 1, [TrainingProgress()], enable_progress_bar=True)
    with terminal(monkeypatch) as shown:
        trainer.validate(VQASystem(make_head(data)), data, verbose=False)
    assert any(state.startswith("validating: ") for state in shown.states)
    trainer.validate(VQASystem(make_head(data)), data, verbose=False)
    assert "%|" not in "".join(capsys.readouterr())


@pytest.mark.parametrize(
    ("enabled", "callbacks", "there"),
    [
        (None, None, True),
        (True, [pl.Callback()], True),
        (False, None, False),
        (None, [RichProgressBar()], False),
        (None, RichProgressBar(), False),
    ],
)
def test_bars_can_be_switched_off_or_replaced(enabled, callbacks, there):
    options = Namespace(enable_progress_bar=enabled, callbacks=callbacks)
    assert [type(one) for one in progress_bars(options)] == [TrainingProgress] * there


class MetricNames(pl.Callback):
    """Record which numbers Lightning has read for a bar, and which callbacks can read themselves, at each step."""

    def __init__(self):
        self.for_bars, self.for_callbacks = set(), set()

    def on_train_batch_start(self, trainer, *_):
        self.for_bars |= {*trainer.progress_bar_metrics}
        self.for_callbacks |= {*trainer.callback_metrics}


@pytest.mark.parametrize(
    ("bar", "read"), [(TrainingProgress(), set()), (TQDMProgressBar(), {LOSS}), (None, set())]
)
def test_lightning_reads_the_loss_at_every_step_only_for_a_bar_that_needs_it(tiny_world, tmp_path, bar, read):
    shown = MetricNames()
    bars = [bar] * (bar is not None)
    settings = {"enable_progress_bar": bar is not None, "limit_val_batches": 0}
    trainer = make_trainer(tmp_path, 1, [*bars, shown], **settings)
    trainer.fit(VQASystem(make_head(make_data(tiny_world))), make_data(tiny_world))
    assert shown.for_bars == read
    assert LOSS in shown.for_callbacks
