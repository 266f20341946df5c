"""RecordedSystem training steps: the same training as the plain path, with a recorder in place of CUDA's."""

import pytest
import pytorch_lightning as pl
import torch
from tiny_runs import make_data, make_head, make_trainer

from lookwhy.data.dataset import QuestionDataset
from lookwhy.data.feature_rows import place_features
from lookwhy.models import MCAN, SAN, DeeperLSTM, VQASystem, final_states
from lookwhy.models.graphed import BatchLoss, GraphedLoss, cross_entropy

HEADS = pytest.mark.parametrize("kind", [DeeperLSTM, SAN])


class Recorder:
    """Runs the passes some times before, as CUDA's recorder does, and replays by running them again."""

    def __init__(self, error=None):
        self.shapes, self.replays, self.error = [], 0, error

    def __call__(self, module, samples):
        assert isinstance(module, BatchLoss)
        self.shapes.append([tuple(one.shape) for one in samples])
        torch.rand(1000)
        parameters = [one for one in module.parameters() if one.requires_grad]
        for _ in range(3):
            torch.autograd.grad(module(*samples), parameters, allow_unused=True)
        if self.error:
            raise self.error

        def replay(*batch):
            self.replays += 1
            for one, other in zip(samples, batch, strict=True):
                assert one.data_ptr() != other.data_ptr()
                one.copy_(other)
            return module(*samples)

        return replay


class RecordedSystem(VQASystem):
    """A system that records on any device."""

    def __init__(self, *arguments, recorder, **settings):
        super().__init__(*arguments, **settings)
        self.recorder = recorder

    def capture(self):
        return self.recorder


def fit(world, folder, recorder=None, kind=DeeperLSTM, epochs=2, head=None, trainer=None, **settings):
    pl.seed_everything(3)
    data = make_data(world, **settings)
    own = {"recorder": recorder} if recorder else {}
    system = (RecordedSystem if recorder else VQASystem)(make_head(data, kind, **(head or {})), **own)
    losses = []

    class Losses(pl.Callback):
        def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
            logged = trainer.callback_metrics["train/loss"]
            losses.append(
                (float(outputs["loss"]), float(logged), trainer.optimizers[0].param_groups[0]["lr"])
            )

    make_trainer(folder, epochs, [Losses()], **(trainer or {})).fit(system, data)
    return system, losses


def check_equal(one, other):
    for (name, a), (_, b) in zip(one.state_dict().items(), other.state_dict().items(), strict=True):
        assert torch.equal(a, b), name


@HEADS
@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
@pytest.mark.parametrize(("dropout", "reference"), [(0.0, None), (0.5, lambda module, samples: module)])
def test_a_recorded_training_is_the_plain_one(tiny_world, tmp_path, kind, precision, dropout, reference):
    # Dropout draws for the padding, too, so its reference is a training with the same padding.
    recorder, settings = Recorder(), {"head": {"dropout": dropout}, "trainer": {"precision": precision}}
    plain, losses = fit(tiny_world, tmp_path, reference, kind, **settings)
    recorded, found = fit(tiny_world, tmp_path, recorder, kind, **settings)
    if reference:
        check_equal(plain, recorded)
        assert found == losses
    for one, other in zip(plain.parameters(), recorded.parameters(), strict=True):
        # More columns of zeros are added up in another order.
        torch.testing.assert_close(one, other)
    torch.testing.assert_close(found, losses)
    assert recorder.replays == len(losses)
    # One recording for each shape, and widths in steps of 4 words.
    assert len(recorder.shapes) == len({str(one) for one in recorder.shapes}) < len(losses)
    assert {tokens[1] % 4 for _, tokens, _, _ in recorder.shapes} == {0}


def test_a_recorded_training_of_attention_layers_is_the_plain_one_of_the_same_padding(tiny_world, tmp_path):
    plain, losses = fit(tiny_world, tmp_path, lambda module, samples: module, MCAN)
    recorded, found = fit(tiny_world, tmp_path, Recorder(), MCAN)
    check_equal(plain, recorded)
    assert found == losses


def test_a_recording_that_fails_is_one_line_and_the_training_goes_on(tiny_world, tmp_path, capfd):
    recorder = Recorder(RuntimeError("operation not permitted\nwhen stream is capturing"))
    plain, losses = fit(tiny_world, tmp_path)
    capfd.readouterr()
    recorded, found = fit(tiny_world, tmp_path, recorder)
    check_equal(plain, recorded)
    assert found == losses
    assert len(recorder.shapes) == 1
    lines = [line for line in capfd.readouterr().err.splitlines() if line.startswith("lookwhy: ")]
    line = (
        "goes on without CUDA graphs, which failed for a batch of 30 questions (RuntimeError: operation not "
    )
    assert len(lines) == 1
    assert line in lines[0]


def test_gradients_over_several_batches_are_not_recorded(tiny_world, tmp_path):
    recorder, settings = Recorder(), {"trainer": {"accumulate_grad_batches": 2}}
    plain, _ = fit(tiny_world, tmp_path, **settings)
    check_equal(plain, fit(tiny_world, tmp_path, recorder, **settings)[0])
    assert recorder.shapes == []


def test_a_recording_changes_neither_random_state_nor_gradients():
    torch.manual_seed(0)
    head, recorder = DeeperLSTM(9, 5, 32, hidden_size=4), Recorder()
    tokens = torch.tensor([[1, 2, 3, 4, 5, 0, 0, 0], [5, 6, 0, 0, 0, 0, 0, 0]])
    inputs = torch.rand(2, 32), tokens, torch.tensor([5, 2]), torch.tensor([0, 4])
    torch.manual_seed(1)
    expected, after = cross_entropy(head, *inputs), torch.rand(1)
    torch.manual_seed(1)
    assert torch.equal(GraphedLoss(head, recorder)(*inputs), expected)
    assert torch.equal(torch.rand(1), after)
    assert all(weights.grad is None for weights in head.parameters())
    GraphedLoss(head, recorder)(inputs[0], tokens[:, :5], *inputs[2:])
    assert recorder.shapes == 2 * [[(2, 32), (2, 8), (2,), (2,)]]


def test_the_plain_path_is_taken_without_a_gpu(tiny_world, tmp_path):
    system, _ = fit(tiny_world, tmp_path, epochs=1)
    assert system.cuda_graph
    assert system.capture() is None


def test_the_way_of_a_gpu_trains_the_same_weights_in_200_steps(tiny_world, tmp_path, monkeypatch):
    settings = {
        "sampling": "with_replacement",
        "steps_per_epoch": 200,
        "batch_size": 8,
        "head": {"dropout": 0.0},
    }
    settings |= {"epochs": 1, "trainer": {"limit_val_batches": 0}}
    pl.seed_everything(3)
    before = make_head(make_data(tiny_world))
    plain, losses = fit(tiny_world, tmp_path, **settings)
    monkeypatch.setattr(final_states, "by_length", final_states.right_aligned)
    recorded, found = fit(tiny_world, tmp_path, Recorder(), **settings)
    assert len(found) == len(losses) == 200
    for start, one, other in zip(*(x.parameters() for x in (before, plain.head, recorded.head)), strict=True):
        assert float((one - start).detach().abs().max()) > 1e-3
        torch.testing.assert_close(one, other, rtol=1e-4, atol=2e-5)


@pytest.mark.parametrize("kind", [DeeperLSTM, SAN, MCAN])
def test_a_step_on_a_device_reads_nothing_back_to_the_host(tiny_world, kind):
    """On the device without any memory, which refuses every read, from the rows of a batch to the new weights."""
    data = make_data(tiny_world)
    data.setup()
    features = {"train": data.datasets["train"].features}
    placed = place_features(features, torch.device("meta"), free=10**12)["train"]
    batch = QuestionDataset(data.prepro.train, placed, has_texts=False)[torch.arange(6)]
    assert {one.device.type for one in vars(batch).values() if isinstance(one, torch.Tensor)} == {"meta"}
    with torch.device("meta"):
        head = make_head(data, kind)
    optimizer = torch.optim.RMSprop(head.parameters(), foreach=True)
    for _ in range(2):
        cross_entropy(head, batch.features, batch.tokens, batch.lengths, batch.labels).backward()
        torch.nn.utils.clip_grad_value_(head.parameters(), 10.0)
        optimizer.step()
    assert all(weights.grad is not None for weights in head.parameters())
    with pytest.raises((RuntimeError, NotImplementedError)):
        float(batch.lengths.max())
