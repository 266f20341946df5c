"""The recipe of the original, step by step, against NumPy."""

import json
import re

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from official_files import copy_prepared
from pytorch_lightning.callbacks import ModelCheckpoint
from tiny_runs import make_data, make_head, make_trainer

from lookwhy.errors import LookwhyError
from lookwhy.models import MCAN, SAN, DeeperLSTM, VQASystem, load_checkpoint


class Steps(pl.Callback):
    """One weight matrix at the start and after each step, its gradients before clamping, and the rates."""

    def __init__(self):
        self.weights, self.gradients, self.rates = [], [], []

    def on_train_start(self, trainer, pl_module):
        self.weights.append(pl_module.head.classify.weight.detach().numpy().copy())

    def on_before_optimizer_step(self, trainer, pl_module, optimizer):
        self.gradients.append(pl_module.head.classify.weight.grad.numpy().astype(np.float64))
        self.rates.append(optimizer.param_groups[0]["lr"])

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        self.on_train_start(trainer, pl_module)


def fit(world, folder, epochs=1, callbacks=(), ckpt_path=None, save=None, kind=DeeperLSTM, **settings):
    pl.seed_everything(3)
    data, callbacks = make_data(world), list(callbacks)
    system = VQASystem(make_head(data, kind), **settings)
    if save:
        callbacks.append(ModelCheckpoint(save, save_last=True, save_on_train_epoch_end=True))
    trainer = make_trainer(folder, epochs, callbacks, enable_checkpointing=bool(save))
    trainer.fit(system, data, ckpt_path=ckpt_path)
    return system, trainer


@pytest.mark.parametrize("clamp", [1e-3, 1e9])
def test_updates_are_torch7s_rmsprop_of_clamped_gradients_at_a_shrinking_rate(tiny_world, tmp_path, clamp):
    steps = Steps()
    fit(tiny_world, tmp_path, callbacks=[steps], learning_rate=1e-3, decay=0.99, clamp=clamp)
    assert len(steps.gradients) >= 3
    assert clamp > 1 or 4 * clamp < np.abs(steps.gradients[0]).max()
    square = np.zeros_like(steps.gradients[0])
    for step, gradient in enumerate(steps.gradients):
        # Hooks run before Lightning clips; the step itself shows the clamped gradient.
        clamped, rate = np.clip(gradient, -clamp, clamp), 1e-3 * 0.99**step
        assert steps.rates[step] == pytest.approx(rate)
        square = 0.99 * square + 0.01 * clamped**2
        expected = steps.weights[step] - rate * clamped / (np.sqrt(square) + 1e-8)
        np.testing.assert_allclose(steps.weights[step + 1], expected, rtol=1e-4, atol=1e-7)


def test_the_defaults_are_the_originals(tiny_world):
    system = VQASystem(make_head(make_data(tiny_world)))
    chosen = system.configure_optimizers()
    expected = {"lr": 3e-4, "alpha": 0.99, "eps": 1e-8, "momentum": 0, "centered": False, "weight_decay": 0}
    assert expected.items() <= chosen["optimizer"].param_groups[0].items()
    assert chosen["lr_scheduler"]["scheduler"].gamma == 0.99997592083
    assert (chosen["lr_scheduler"]["interval"], system.clamp) == ("step", 10.0)


@pytest.mark.parametrize("kind", [DeeperLSTM, SAN, MCAN])
@pytest.mark.filterwarnings("ignore:Checkpoint directory:UserWarning")
def test_a_resumed_run_ends_at_the_weights_of_an_uninterrupted_one(tiny_world, tmp_path, kind):
    settings, half = {"learning_rate": 1e-3, "kind": kind}, tmp_path / "half"
    whole, _ = fit(tiny_world, tmp_path, epochs=2, **settings)
    fit(tiny_world, tmp_path, epochs=1, save=half, **settings)
    torch.rand(1000)  # the random state must not matter
    last = str(half / "last.ckpt")
    resumed, trainer = fit(tiny_world, tmp_path, epochs=2, save=half, ckpt_path=last, **settings)
    assert trainer.current_epoch == 2
    for (name, a), (_, b) in zip(whole.state_dict().items(), resumed.state_dict().items(), strict=True):
        assert torch.equal(a, b), name


def test_a_checkpoint_is_read_back_ready_to_answer(tiny_world, tmp_path):
    system, _ = fit(tiny_world, tmp_path, save=tmp_path)
    run = load_checkpoint(tmp_path / "last.ckpt")
    data = run.datamodule()
    data.setup()
    batch = next(iter(data.val_dataloader()))
    asked = batch.features, batch.tokens, batch.lengths
    assert torch.equal(run.head(*asked), system.eval().head(*asked))
    assert (run.answers, run.epoch) == (data.answers, 0)
    tokens, lengths, words = run.encode("What color is the cube?")
    assert words == ["what", "color", "is", "the", "cube", "?"]
    assert run.vocabulary.decode(tokens[0].tolist()) == words
    assert lengths.tolist() == [6]


def test_data_that_were_prepared_otherwise_since_are_refused(tiny_world, tmp_path):
    folder = copy_prepared(tiny_world, tmp_path / "data")
    fit(folder, tmp_path, save=tmp_path / "run")
    run = load_checkpoint(tmp_path / "run/last.ckpt")
    run.datamodule()
    before = (folder / "data_prepro.json").read_text()
    for key, what in (("ix_to_word", "words"), ("ix_to_ans", "answers")):
        names = json.loads(before)
        names[key]["1"], names[key]["2"] = names[key]["2"], names[key]["1"]  # as many as before
        (folder / "data_prepro.json").write_text(json.dumps(names))
        with pytest.raises(LookwhyError, match=f"expected the .* {what} that .*last.ckpt was trained with"):
            run.datamodule()


FOREIGN = [b"", b"not a checkpoint", b"PK\x03\x04 broken zip", b"...", b"image,question"]


def test_a_path_that_is_no_checkpoint_is_refused_in_one_line(tmp_path):
    def fails(found, path=tmp_path / "last.ckpt"):
        line = rf"\Aexpected a checkpoint of lookwhy train, found {found}.*\Z"
        with pytest.raises(LookwhyError, match=line):
            load_checkpoint(path)

    fails("the folder", tmp_path)
    fails("no file")
    for content in FOREIGN:
        (tmp_path / "last.ckpt").write_bytes(content)
        fails("another kind of file in")
    torch.save({"state_dict": {}}, tmp_path / "last.ckpt")
    fails("no lookwhy entry")


WRONG_FIELDS = {
    "epoch": ("last", "epoch: 'last' "),
    "lookwhy.data.words": ("a b", "lookwhy.data.words: 'a b' "),
    "lookwhy.data.answers": ([1], "lookwhy.data.answers.0: 1 "),
    "lookwhy.data.tower.recipe": (None, "lookwhy.data.tower.recipe: None "),
    "lookwhy.head.init_args": ([], "lookwhy.head.init_args: a list "),
    "lookwhy.data.folder": (..., "no lookwhy.data.folder in"),
    "state_dict": (..., "no state_dict in"),
}
"""Field of a checkpoint, its wrong value (...: it is missing), and what the line says."""


@pytest.mark.parametrize("field", WRONG_FIELDS)
def test_a_checkpoint_with_a_wrong_field_is_refused_by_its_name(field, tiny_checkpoint, tmp_path):
    content = torch.load(tiny_checkpoint, weights_only=True)
    value, found = WRONG_FIELDS[field]
    *parents, name = field.split(".")
    inner = content
    for parent in parents:
        inner = inner[parent]
    if value is ...:
        del inner[name]
    else:
        inner[name] = value
    torch.save(content, tmp_path / "last.ckpt")
    with pytest.raises(LookwhyError, match=f"found {re.escape(found)}"):
        load_checkpoint(tmp_path / "last.ckpt")


def test_weights_that_are_not_finite_are_never_written(tiny_world, tmp_path):
    system, trainer = fit(tiny_world, tmp_path)
    with torch.no_grad():
        system.head.classify.weight[0, 0] = float("nan")
    with pytest.raises(LookwhyError, match=r"found others in classify\.weight .*; no checkpoint was written"):
        trainer.save_checkpoint(tmp_path / "last.ckpt")
    assert not (tmp_path / "last.ckpt").exists()
