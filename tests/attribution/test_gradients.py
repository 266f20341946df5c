"""Gradient, guided backpropagation and deconvnet against references written out by hand."""

import numpy as np
import pytest
import torch
from known_models import OnlyScores, make_batch
from pipelines import TARGET
from torch import nn

from lookwhy.attribution import Deconvnet, Gradient, GuidedBackprop
from lookwhy.errors import LookwhyError
from lookwhy.models import DeeperLSTM, Pipeline
from lookwhy.towers import devices
from lookwhy.towers.backward import BackwardPass
from lookwhy.types import VQABatch

RULES = {
    Gradient: lambda h, g: (h > 0) * g,
    GuidedBackprop: lambda h, g: (h > 0) * (g > 0) * g,
    Deconvnet: lambda h, g: (g > 0) * g,
}


class IdentityHead(nn.Module):
    """Two answers whose logits are the features: p(0) is a logistic function of their difference."""

    def forward(self, features, tokens, lengths):
        return features.flatten(1)


@pytest.mark.parametrize("method", RULES)
def test_pixel_gradients_equal_a_numpy_backward_pass(method):
    random = np.random.default_rng(0)
    w1, w2 = random.normal(size=(5, 12)), random.normal(size=(2, 5))
    tower = nn.Sequential(
        nn.Flatten(), nn.Linear(12, 5, bias=False), nn.ReLU(inplace=True), nn.Linear(5, 2, bias=False), nn.ReLU()
    ).double()  # fmt: skip
    tower[1].weight.data, tower[3].weight.data = torch.tensor(w1), torch.tensor(w2)
    for seed in range(5):
        x = np.random.default_rng(seed + 10).normal(size=12)
        h1, h2 = w1 @ x, w2 @ np.maximum(w1 @ x, 0)
        p = np.exp(np.maximum(h2, 0)) / np.exp(np.maximum(h2, 0)).sum()
        upstream = np.array([p[0] * (1 - p[0]), -p[0] * p[1]])
        expected = w1.T @ RULES[method](h1, w2.T @ RULES[method](h2, upstream))
        batch = make_batch(torch.tensor(x).view(1, 3, 2, 2), ((1,),))
        found = method().pixel_gradients(Pipeline(tower, IdentityHead()), batch, torch.tensor([0]))
        np.testing.assert_allclose(found.numpy().ravel(), expected, atol=1e-14)


@pytest.mark.parametrize("images_at_once", [1, 2, 100])
@pytest.mark.parametrize("method", [Gradient, GuidedBackprop])
def test_images_that_go_through_the_network_together_as_on_a_gpu_give_the_same_maps(
    small_pipeline, small_batch, method, images_at_once, monkeypatch
):
    expected = method(batch_size=1)(small_pipeline, small_batch, TARGET).values
    assert expected.abs().max() > 1e-4
    monkeypatch.setattr(devices, "launches_are_dear", lambda device: True)
    monkeypatch.setattr(BackwardPass, "images_at_once", lambda *_: images_at_once)
    with_two_questions = VQABatch.concatenate([small_batch, small_batch])
    found = method()(small_pipeline, with_two_questions, torch.cat([TARGET, TARGET])).values
    torch.testing.assert_close(found, torch.cat([expected, expected]), atol=0, rtol=1e-6)


@torch.no_grad()
@pytest.mark.parametrize("explains", ["probability", "logit"])
def test_plain_gradient_equals_finite_differences_of_the_whole_model(small_pipeline, small_batch, explains):
    def score(row, channel, y, x, step):
        moved = small_batch.images.clone()
        moved[row, channel, y, x] += step
        scores = small_pipeline(moved, small_batch.tokens, small_batch.lengths)[row]
        return float((scores.softmax(0) if explains == "probability" else scores)[TARGET[row]])

    with torch.enable_grad():
        found = Gradient(explains=explains).pixel_gradients(small_pipeline, small_batch, TARGET)
    for place in ((0, 0, 3, 4), (1, 2, 8, 8), (2, 1, 15, 0)):
        slope = (score(*place, 1e-6) - score(*place, -1e-6)) / 2e-6
        assert float(found[place]) == pytest.approx(slope, abs=1e-8)


@pytest.mark.parametrize("pool", ["mean", "max"])
def test_maps_pool_the_largest_channel_over_each_cell(small_pipeline, small_batch, pool):
    method = GuidedBackprop(grid=4, pool=pool)
    gradients = method.pixel_gradients(small_pipeline, small_batch, TARGET)
    cells = gradients.abs().amax(1).view(3, 4, 4, 4, 4)
    maps = method(small_pipeline, small_batch, TARGET)
    expected = cells.mean((2, 4)) if pool == "mean" else cells.amax((2, 4))
    torch.testing.assert_close(maps.values, expected.float())
    assert not maps.signed


@pytest.mark.parametrize("method", [GuidedBackprop, Deconvnet])
def test_a_black_box_or_a_network_without_relu_modules_is_refused(method, small_pipeline, small_batch):
    head = DeeperLSTM(9, 5, 3 * 16 * 16, 4, 4)
    head.rectified = nn.ReLU()  # one in the head does not help
    model = Pipeline(nn.Flatten(), head).double().eval()
    with pytest.raises(LookwhyError, match=r"expected nn.ReLU modules for .*, found none in Flatten"):
        method()(model, small_batch, TARGET)
    with pytest.raises(
        LookwhyError, match="found OnlyScores; explain .* with Occlusion, RISE, LIME, KernelSHAP or WordDrop"
    ):
        method()(OnlyScores(small_pipeline), small_batch, TARGET)


@pytest.mark.parametrize("method", [GuidedBackprop, Deconvnet])
def test_relu_modules_are_as_before_also_after_an_error(method, small_pipeline, small_batch):
    before = small_pipeline.answer_scores(small_batch.images, small_batch.tokens, small_batch.lengths)
    with pytest.raises(RuntimeError):
        method()(small_pipeline, small_batch, torch.full((3,), 99))  # no such answer
    for module in small_pipeline.modules():
        assert "forward" not in vars(module)
        assert not module._forward_hooks
        assert not module._backward_hooks
    after = small_pipeline.answer_scores(small_batch.images, small_batch.tokens, small_batch.lengths)
    assert torch.equal(before, after)


@pytest.mark.parametrize("method", [Gradient(grid=4), GuidedBackprop(grid=4)])
def test_a_question_only_model_has_no_gradient_but_a_confident_answer_has(
    method, small_pipeline, small_batch
):
    head = DeeperLSTM(9, 5, 6 * 4 * 4, embedding_size=6, hidden_size=5, common_size=8, use_image=False)
    maps = method(Pipeline(small_pipeline.tower, head.double()).eval(), small_batch, TARGET)
    assert not maps.values.any()
    assert method(small_pipeline, small_batch, TARGET).values.any()
    small_pipeline.float()
    small_pipeline.head.classify.bias.data[0] += 40.0  # p rounds to 1 in single precision
    small_batch.images = small_batch.images.float()
    assert (method(small_pipeline, small_batch, 0 * TARGET).values.flatten(1).amax(1) > 0).all()
