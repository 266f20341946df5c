"""The tower: one forward pass an image for everything, and any network as a tower."""

import logging

import pytest
import torch
from known_models import draw
from torch import nn

from lookwhy.attribution import Deconvnet, Gradient, GuidedBackprop, Occlusion
from lookwhy.models import Pipeline
from lookwhy.towers import IncrementalOcclusion, Memory, Tower
from lookwhy.towers.backward import BackwardPass
from lookwhy.towers.relu_rules import guided, plain

TARGET = torch.tensor([1, 2, 3])


class Times(nn.Module):
    """Changes nothing, and is no layer that is known."""

    def forward(self, x):
        return x * 1


class Functional(nn.Module):
    """Not a sequence: a residual connection, a module ReLU, a mean over all places."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 6, 3, padding=1), nn.Conv2d(6, 6, 3, padding=1)
        self.relu = nn.ReLU()

    def forward(self, x):
        x = self.relu(self.first(x))
        return (x + self.relu(self.second(x))).mean((2, 3))


@pytest.mark.parametrize("method", [Gradient, GuidedBackprop, Deconvnet])
def test_gradients_cost_one_forward_pass_an_image_and_equal_autograd(
    method, small_pipeline, small_batch, tmp_path, monkeypatch
):
    passes, forward = [], BackwardPass.forward
    monkeypatch.setattr(BackwardPass, "forward", lambda self, x: passes.append(1) or forward(self, x))
    small_pipeline.tower.memory = Memory(tmp_path)
    ours = method(grid=4)(small_pipeline, small_batch, TARGET)
    assert len(passes) == 2  # three questions about two images
    again = method(grid=4)(small_pipeline, small_batch, TARGET)
    assert len(passes) == 2
    assert torch.equal(ours.values, again.values)
    unknown = Pipeline(nn.Sequential(small_pipeline.tower.network, Times()), small_pipeline.head)
    slow = method(grid=4)(unknown, small_batch, TARGET)
    torch.testing.assert_close(ours.values, slow.values, atol=1e-7, rtol=0)
    assert len(passes) == 2


def test_any_network_is_a_tower_in_plain_batches_and_through_autograd(caplog):
    torch.manual_seed(0)
    network, images = Functional().double(), draw(2, 3, 10, 8, seed=1)
    tower = Tower(network)
    assert not tower.train().network.training
    assert not any(parameter.requires_grad for parameter in network.parameters())
    with caplog.at_level(logging.WARNING):
        features, at_pixels = tower.with_gradients([images[0], images[1]], [1, 2], guided)
    assert [one for one in caplog.messages if one.startswith("gradients go through autograd: Functional")]
    torch.testing.assert_close(features, network(images[[0, 1, 1]]))
    given = draw(3, 6, seed=2)
    torch.testing.assert_close(at_pixels(given), by_hooks(network, images[[0, 1, 1]], given))
    clean, occluded = tower.occluded(images[0], 2, torch.zeros(3, dtype=torch.float64))
    painted = images[0].clone()
    painted[:, 5:, :4] = 0
    torch.testing.assert_close(torch.stack([clean, occluded[2]]), network(torch.stack([images[0], painted])))


class InPlace(nn.Module):
    """Normalises its input and rectifies in place, as many published networks do."""

    def __init__(self):
        super().__init__()
        self.conv, self.act = nn.Conv2d(3, 4, 3), nn.LeakyReLU(0.1, inplace=True)

    def forward(self, x):
        return self.act(self.conv(x.sub_(0.5)))


@pytest.mark.parametrize(
    "network",
    [
        InPlace(),
        nn.Sequential(nn.ReLU(inplace=True), nn.Conv2d(3, 4, 3), nn.Linear(6, 4), nn.ReLU(inplace=True)),
    ],
    ids=["any module", "known layers"],
)
def test_a_network_that_works_in_place_leaves_images_alone_and_its_gradient_is_right(network):
    tower, image = Tower(network.double()), draw(3, 8, 8, seed=6)
    before = image.clone()
    expected = network(image[None].clone())
    torch.testing.assert_close(tower(image[None]), expected)
    clean, _ = tower.occluded(image, 2, torch.zeros(3, dtype=torch.float64))
    features, at_pixels = tower.with_gradients([image], [1], plain)
    torch.testing.assert_close(torch.stack([clean, features[0]]), expected.expand(2, -1, -1, -1))
    given = draw(*features.shape, seed=7)
    moved = [network(image[None] + sign * 1e-6 * torch.eye(8)[2].double()) for sign in (1, -1)]
    slope = ((moved[0] - moved[1]) * given).sum() / 2e-6
    torch.testing.assert_close(at_pixels(given)[0, :, :, 2].sum(), slope, atol=1e-6, rtol=1e-6)
    assert torch.equal(image, before)


def test_two_towers_may_share_a_memory():
    memory, image = Memory(images=4), draw(3, 8, 8, seed=8).float()
    for _ in range(2):
        network = nn.Sequential(nn.Conv2d(3, 2, 3), nn.Flatten())
        found = Tower(network, memory=memory).occluded(image, 2, torch.zeros(3))
        torch.testing.assert_close(found[0], network(image[None])[0])


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no second device")
def test_a_tower_with_results_in_memory_may_move_to_another_device(small_pipeline, small_batch):
    small_pipeline.tower.memory, methods = Memory(images=2), (Occlusion(grid=4), GuidedBackprop(grid=4))
    before = [method(small_pipeline, small_batch, TARGET).values for method in methods]
    small_pipeline.cuda()
    after = [method(small_pipeline, small_batch.to("cuda"), TARGET.cuda()).values for method in methods]
    for one, other in zip(before, after, strict=True):
        torch.testing.assert_close(one, other, atol=1e-6, rtol=1e-5)


def by_hooks(network, images, given):
    """Guided backpropagation by hooks on the ReLUs, as the libraries do it."""
    relu, pixels = network.relu, images.clone().requires_grad_()
    hook = relu.register_full_backward_hook(lambda module, grad_in, grad_out: (grad_in[0].clamp(min=0),))
    try:
        (found,) = torch.autograd.grad(network(pixels), pixels, given)
    finally:
        hook.remove()
    return found


@pytest.mark.parametrize(
    "network", [Functional(), nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten())]
)
def test_features_under_any_set_of_masks_are_those_of_the_masked_images(network):
    image, masks = draw(3, 9, 9, seed=3), draw(5, 9, 9, seed=4).sigmoid()
    tower = Tower(network.double())
    for fill in (torch.tensor([1.0, -2.0, 3.0], dtype=torch.float64), draw(3, 9, 9, seed=5)):
        under = fill if fill.ndim == 3 else fill[:, None, None].expand(3, 9, 9)
        by_hand = torch.stack([mask * image + (1 - mask) * under for mask in masks])
        found = tower.masked(image, masks, fill, batch_size=2)
        torch.testing.assert_close(found, network(by_hand))
    torch.testing.assert_close(tower.masked(image, torch.ones(1, 9, 9), fill)[0], network(image[None])[0])


def test_results_of_another_network_are_never_used(small_pipeline, small_batch, tmp_path):
    methods = Occlusion(grid=4), GuidedBackprop(grid=4)
    small_pipeline.tower.memory = Memory(tmp_path)
    before = [method(small_pipeline, small_batch, TARGET).values for method in methods]
    network = small_pipeline.tower.network
    network[0].weight.data.mul_(1.5)
    other = Pipeline(Tower(network, memory=Memory(tmp_path)), small_pipeline.head)
    after = [method(other, small_batch, TARGET).values for method in methods]
    fresh = [method(Pipeline(network, small_pipeline.head), small_batch, TARGET).values for method in methods]
    for old, new, right in zip(before, after, fresh, strict=True):
        assert not torch.equal(old, new)
        torch.testing.assert_close(new, right, atol=1e-4, rtol=0)
    assert len(list(tmp_path.iterdir())) == 4


def test_differences_beyond_half_precision_are_computed_each_time(small_pipeline, small_batch, tmp_path):
    network = small_pipeline.tower.network
    network[3].weight.data.mul_(1e7)
    tower, image = Tower(network, memory=Memory(tmp_path)), small_batch.images[0]
    exact = IncrementalOcclusion(network, 4)(image)
    for _ in range(2):
        assert torch.equal(tower.occluded(image, 4, torch.zeros(3, dtype=image.dtype))[1], exact)
    assert not list(tmp_path.iterdir())


def test_the_memory_in_ram_rounds_nothing(small_pipeline, small_batch):
    exact = Occlusion(grid=4)(small_pipeline, small_batch, TARGET)
    small_pipeline.tower.memory = Memory(images=2)
    for _ in range(2):
        assert torch.equal(Occlusion(grid=4)(small_pipeline, small_batch, TARGET).values, exact.values)


def test_a_tower_made_of_a_tower_keeps_its_memory_and_is_recomputed_in_windows(small_pipeline, tmp_path):
    small_pipeline.tower.memory = memory = Memory(tmp_path)
    outer = Tower(small_pipeline.tower)
    assert outer._occlusion.incremental
    assert outer.memory is memory
