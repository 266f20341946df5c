"""The tower: one forward pass for everything about an image, and any network as a tower."""

import inspect
import logging

import pytest
import torch
from known_models import draw
from networks import Residual
from pipelines import TARGET
from torch import nn

from lookwhy.attribution import Deconvnet, Gradient, GuidedBackprop, Occlusion
from lookwhy.errors import LookwhyError
from lookwhy.models import Pipeline
from lookwhy.towers import IncrementalOcclusion, Memory, Tower
from lookwhy.towers.backward import BackwardPass
from lookwhy.towers.relu_rules import guided, plain

BLACK = torch.zeros(3, dtype=torch.float64)


class Times(nn.Identity):
    """Changes nothing, and is no layer that is known."""


@pytest.mark.parametrize("method", [Gradient, GuidedBackprop, Deconvnet])
def test_gradients_cost_one_forward_pass_for_each_image_and_equal_autograd(
    method, small_pipeline, small_batch, tmp_path, monkeypatch
):
    passes, forward = [], BackwardPass.forward
    monkeypatch.setattr(BackwardPass, "forward", lambda self, x: passes.append(1) or forward(self, x))
    small_pipeline.tower.memory = Memory(tmp_path)
    ours = method(grid=4)(small_pipeline, small_batch, TARGET)
    assert len(passes) == 2  # three questions about two images
    again = method(grid=4)(small_pipeline, small_batch, TARGET)
    assert torch.equal(ours.values, again.values)
    unknown = Pipeline(nn.Sequential(small_pipeline.tower.network, Times()), small_pipeline.head)
    slow = method(grid=4)(unknown, small_batch, TARGET)
    torch.testing.assert_close(ours.values, slow.values, atol=1e-7, rtol=0)
    assert len(passes) == 2


def by_hooks(network, images, given):
    """Guided backpropagation by hooks on the ReLUs, the way of other libraries."""
    relu, pixels = network.relu, images.clone().requires_grad_()
    hook = relu.register_full_backward_hook(lambda module, grad_in, grad_out: (grad_in[0].clamp(min=0),))
    (found,) = torch.autograd.grad(network(pixels), pixels, given)
    hook.remove()
    return found


def test_any_network_is_a_tower_in_plain_batches_and_through_autograd(caplog):
    torch.manual_seed(0)
    network, images = Residual().double(), draw(2, 3, 10, 8, seed=1)
    tower = Tower(network)
    assert not tower.train().network.training
    assert not any(parameter.requires_grad for parameter in network.parameters())
    with caplog.at_level(logging.WARNING):
        features, at_pixels = tower.with_gradients([images[0], images[1]], [1, 2], guided)
    assert [one for one in caplog.messages if one.startswith("gradients go through autograd: Residual")]
    torch.testing.assert_close(features, network(images[[0, 1, 1]]))
    given = draw(3, 6, seed=2)
    torch.testing.assert_close(at_pixels(given), by_hooks(network, images[[0, 1, 1]], given))
    clean, occluded = tower.occluded(images[0], 2, BLACK)
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


RECTIFIER = nn.Sequential(nn.ReLU(inplace=True), nn.Conv2d(3, 4, 3), nn.Linear(6, 4), nn.ReLU(inplace=True))


@pytest.mark.parametrize("network", [InPlace(), RECTIFIER], ids=["any module", "known layers"])
def test_a_network_that_works_in_place_leaves_images_alone_and_its_gradient_is_right(network):
    tower, image = Tower(network.double()), draw(3, 8, 8, seed=6)
    before = image.clone()
    expected = network(image[None].clone())
    torch.testing.assert_close(tower(image[None]), expected)
    clean, _ = tower.occluded(image, 2, BLACK)
    features, at_pixels = tower.with_gradients([image], [1], plain)
    torch.testing.assert_close(torch.stack([clean, features[0]]), expected.expand(2, -1, -1, -1))
    given = draw(*features.shape, seed=7)
    moved = [network(image[None] + sign * 1e-6 * torch.eye(8)[2].double()) for sign in (1, -1)]
    slope = ((moved[0] - moved[1]) * given).sum() / 2e-6
    torch.testing.assert_close(at_pixels(given)[0, :, :, 2].sum(), slope, atol=1e-6, rtol=1e-6)
    assert torch.equal(image, before)


class Pair(nn.Module):
    def forward(self, x):
        return x.mean((2, 3)), x


IMAGE, PAIR = draw(3, 4, 4), "expected one tensor of features from Pair, found a tuple; wrap the network"
# Bare functions, because the type checker of the tests would refuse these arguments first.
INIT, MASKED = map(inspect.unwrap, (Tower.__init__, Tower.masked))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: INIT(Tower.__new__(Tower), None), r"expected an nn.Module .*, found a NoneType; give the"),
        (lambda: Tower(Pair())(IMAGE[None]), PAIR),
        (lambda: Tower(Pair()).occluded(IMAGE, 2, BLACK), PAIR),
        (lambda: Tower(Pair()).with_gradients([IMAGE], [1], plain), PAIR),
        (lambda: Tower(Pair()).masked(IMAGE, IMAGE.abs(), BLACK), PAIR),
        (lambda: MASKED(Tower(Times()), IMAGE, IMAGE > 0, BLACK), "expected masks of .* torch.bool; give"),
        (lambda: IncrementalOcclusion(nn.ReLU(), grid=0), "grid of 1 or more cells a side, found 0"),
    ],
)
def test_a_tower_that_cannot_work_is_refused_in_one_line(call, message):
    with pytest.raises(LookwhyError, match=message) as error:
        call()
    assert "\n" not in str(error.value)


METHODS = Occlusion(grid=4), GuidedBackprop(grid=4)


def maps(pipeline, batch, target=TARGET):
    return [method(pipeline, batch, target).values for method in METHODS]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no second device")
def test_a_tower_with_results_in_memory_may_move_to_another_device(small_pipeline, small_batch):
    small_pipeline.tower.memory = Memory(images=2)
    before = maps(small_pipeline, small_batch)
    after = maps(small_pipeline.cuda(), small_batch.to("cuda"), TARGET.cuda())
    for one, other in zip(before, after, strict=True):
        torch.testing.assert_close(one, other, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("network", [Residual(), nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten())])
def test_features_under_any_set_of_masks_are_those_of_the_masked_images(network):
    image, masks = draw(3, 9, 9, seed=3), draw(5, 9, 9, seed=4).sigmoid()
    tower = Tower(network.double())
    for fill in (torch.tensor([1.0, -2.0, 3.0], dtype=torch.float64), draw(3, 9, 9, seed=5)):
        under = fill if fill.ndim == 3 else fill[:, None, None].expand(3, 9, 9)
        by_hand = torch.stack([mask * image + (1 - mask) * under for mask in masks])
        torch.testing.assert_close(tower.masked(image, masks, fill, batch_size=2), network(by_hand))
    torch.testing.assert_close(tower.masked(image, torch.ones(1, 9, 9), fill)[0], network(image[None])[0])


def test_results_of_another_network_are_never_used(small_pipeline, small_batch, tmp_path):
    network, head = small_pipeline.tower.network, small_pipeline.head
    small_pipeline.tower.memory = Memory(tmp_path)
    before = maps(small_pipeline, small_batch)
    network[0].weight.data.mul_(1.5)
    after = maps(Pipeline(Tower(network, memory=Memory(tmp_path)), head), small_batch)
    for old, new, right in zip(before, after, maps(Pipeline(network, head), small_batch), strict=True):
        assert not torch.equal(old, new)
        torch.testing.assert_close(new, right, atol=1e-4, rtol=0)
    assert len(list(tmp_path.iterdir())) == 4


def test_differences_beyond_half_precision_are_computed_each_time(small_pipeline, small_batch, tmp_path):
    network = small_pipeline.tower.network
    network[3].weight.data.mul_(1e7)
    tower, image = Tower(network, memory=Memory(tmp_path)), small_batch.images[0]
    exact = IncrementalOcclusion(network, 4)(image)
    for _ in range(2):
        assert torch.equal(tower.occluded(image, 4, BLACK)[1], exact)
    assert not list(tmp_path.iterdir())


def test_two_towers_or_nested_ones_may_share_a_memory_which_rounds_nothing(small_pipeline, small_batch):
    network = nn.Sequential(small_pipeline.tower.network, nn.Linear(96, 3).double())
    exact, image = maps(small_pipeline, small_batch)[0], small_batch.images[0]
    small_pipeline.tower.memory = memory = Memory(images=2)
    other = Tower(network, memory=memory)
    for _ in range(2):
        torch.testing.assert_close(other.occluded(image, 4, BLACK)[0], network(image[None])[0])
        assert torch.equal(maps(small_pipeline, small_batch)[0], exact)
    outer = Tower(small_pipeline.tower)
    assert outer._occlusion.incremental
    assert outer.memory is memory
