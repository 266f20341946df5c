"""TF32 is a setting of training steps: validation and analysis never use it, and it is put back."""

import pytest
import torch
from tiny_runs import make_data, make_head, make_trainer

from lookwhy.analysis import AnalysisPlan
from lookwhy.attribution import WordDrop
from lookwhy.callbacks import ImportanceCallback
from lookwhy.models import DeeperLSTM, VQASystem, load_checkpoint
from lookwhy.store import load


def settings():
    """The settings of a GPU's products, convolutions and LSTMs."""
    backends = torch.backends
    if hasattr(backends.cuda.matmul, "fp32_precision"):
        owners = backends.cuda.matmul, backends.cudnn.conv, backends.cudnn.rnn
        return [owner.fp32_precision for owner in owners]
    return [backends.cuda.matmul.allow_tf32, backends.cudnn.allow_tf32]


def tf32():
    """Whether all of them are TF32; None if they do not agree."""
    found = {setting in ("tf32", True) for setting in settings()}
    return found.pop() if len(found) == 1 else None


class Head(DeeperLSTM):
    """Notes the setting at each forward and backward pass."""

    fails = False

    def forward(self, image_features, tokens, lengths):
        kind = "step" if self.training else "validation"
        self.notes.append((kind, tf32()))
        if self.fails:
            raise RuntimeError("stop")
        logits = super().forward(image_features, tokens, lengths)
        if self.training:
            logits.register_hook(lambda gradient: self.notes.append(("gradient", tf32())))
        return logits

    def answer(self, view, code):
        if not torch.is_grad_enabled() and not self.training:
            self.notes.append(("answer", tf32()))
        return super().answer(view, code)


@pytest.mark.parametrize("chosen", [True, False])
def test_tf32_is_on_in_a_step_and_off_in_validation_and_analysis(tiny_world, tmp_path, chosen):
    before, data = settings(), make_data(tiny_world)
    head = make_head(data, Head)
    head.notes = []
    system = VQASystem(head, tf32=chosen)
    plan = AnalysisPlan([], [WordDrop()], num_questions=4, num_examples=0, bootstrap_samples=5)
    make_trainer(tmp_path, 1, [ImportanceCallback(plan)], precision="bf16-mixed").fit(system, data)
    assert settings() == before
    expected = {("step", chosen), ("gradient", chosen), ("validation", False), ("answer", False)}
    assert set(head.notes) == expected
    head.fails = True
    with pytest.raises(RuntimeError, match="stop"):
        make_trainer(tmp_path, 1, []).fit(system, data)
    assert settings() == before
    assert head.notes[-1] == ("step", chosen)
    for epoch in ("untrained", "epoch=000"):
        found = load(tmp_path / "analysis" / epoch).manifest["training"]
        assert found == {"precision": "bf16-mixed", "tf32": chosen, "device": "cpu"}


def test_a_checkpoint_states_the_precision_of_its_training_and_earlier_ones_do_not(tiny_checkpoint, tmp_path):
    assert load_checkpoint(tiny_checkpoint).training == {
        "precision": "32-true",
        "tf32": False,
        "device": "cpu",
    }
    content = torch.load(tiny_checkpoint, weights_only=True)
    del content["lookwhy"]["training"]
    torch.save(content, tmp_path / "last.ckpt")
    assert load_checkpoint(tmp_path / "last.ckpt").training == {}
