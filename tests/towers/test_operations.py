"""Networks that are no sequence of layers: the way back from stored masks, against autograd."""

import pytest
import torch
from known_models import draw, make_batch
from networks import Residual, ready
from torch import nn
from torchvision.models.mnasnet import _InvertedResidual
from torchvision.models.resnet import BasicBlock, Bottleneck, ResNet
from torchvision.models.squeezenet import Fire
from torchvision.ops import SqueezeExcitation

from lookwhy.attribution import GuidedBackprop
from lookwhy.models import SAN, Pipeline
from lookwhy.towers import backward, devices, operations, winograd
from lookwhy.towers.backward import BackwardPass
from lookwhy.towers.memory import Memory
from lookwhy.towers.operations import as_sequence, plan_of
from lookwhy.towers.relu_rules import deconv, guided, plain, relu_rule
from lookwhy.towers.torchvision_nets import build_network
from lookwhy.towers.tower import Tower


class Own(nn.Module):
    """Sums that convolutions follow, of values that are read up to three times."""

    def __init__(self):
        super().__init__()
        self.first, self.second, self.third = (nn.Conv2d(n, 6, 3, padding=1) for n in (3, 6, 6))
        self.relu = nn.ReLU()

    def forward(self, x):
        x = self.first(x)
        y = self.relu(self.third(self.second(x)) + x)
        y = torch.add(y, y) + self.second(x)
        return torch.flatten(self.third(y + x), 1)


class Overwriting(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.drop, self.relu = nn.Conv2d(3, 3, 1), nn.Dropout(), nn.ReLU(inplace=True)

    def forward(self, x):
        x = self.first(x)
        return self.relu(self.drop(x)) + x


class Choosing(nn.Module):
    def forward(self, x):
        return x if x.sum() > 0 else x + x


def blocks():
    return nn.Sequential(
        nn.Conv2d(3, 8, 3), BasicBlock(8, 8), nn.Sequential(Bottleneck(8, 2), nn.MaxPool2d(2)),
        _InvertedResidual(8, 8, 3, 1, 2), nn.Dropout(), nn.Conv2d(8, 9, (1, 1), (2, 3)),
    )  # fmt: skip


NETS = {
    "basic blocks": lambda: ResNet(BasicBlock, [1, 1, 1, 1]),
    "bottlenecks with groups": lambda: ResNet(Bottleneck, [1, 1, 1, 1], groups=4, width_per_group=4),
    "a sequence of blocks": blocks,
    "sums before convolutions": Own,
    "up to a node": lambda: build_network("resnet18", "layer2.0_mean"),
}


def trained(make):
    network = ready(make)
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            nn.init.normal_(layer.weight)
            nn.init.normal_(layer.bias)
    return network


@pytest.mark.parametrize(("fewest", "at_once"), [(1, 1), (1000, backward.AT_ONCE)])
@pytest.mark.parametrize("rule", [plain, guided, deconv], ids=lambda rule: rule.__name__)
@pytest.mark.parametrize("name", NETS)
def test_gradients_are_those_of_autograd_also_from_packed_masks(name, rule, fewest, at_once, monkeypatch):
    monkeypatch.setattr(winograd, "FEWEST_CHANNELS", fewest)
    monkeypatch.setattr(backward, "AT_ONCE", at_once)
    monkeypatch.setattr(operations, "KNOWN_CODE", ("",))
    net, image = trained(NETS[name]), draw(3, 29, 22, seed=1)
    back = BackwardPass(net)
    assert not back.why_not
    trace = back.forward(image[None])
    given = draw(3, *trace.features.shape[1:], seed=2)
    pixels = image.expand(3, -1, -1, -1).clone().requires_grad_()
    with relu_rule(net, rule):
        features = net(pixels.clone())
        (expected,) = torch.autograd.grad(features, pixels, given)
    torch.testing.assert_close(trace.features, features[:1].detach(), atol=1e-10, rtol=1e-10)
    assert expected.abs().max() > 1e-3
    tolerance = {"rtol": 0, "atol": 1e-10 * max(1, float(expected.abs().max()))}
    torch.testing.assert_close(back.backward(trace, given, rule, image), expected, **tolerance)
    found = back.backward(back.unpack(trace.pack(), image), given, rule, image)
    torch.testing.assert_close(found, expected, **tolerance)


def hooked():
    block = BasicBlock(3, 3)
    block.register_forward_hook(lambda *_: None)
    return block


@pytest.mark.parametrize(
    ("network", "reason"),
    [
        (nn.Sequential(SqueezeExcitation(3, 2)).eval(), "Sigmoid is not a layer known"),
        (nn.Sequential(Fire(3, 2, 2, 2)).eval(), "cat is neither a layer nor a sum"),
        (hooked().eval(), "BasicBlock has hooks"),
        (nn.Sequential(BasicBlock(3, 3), Residual()).eval(), "Residual is not a layer known"),
        (build_network("swin_t", "features"), "Permute is not a layer known"),
    ],
    ids=lambda one: one if isinstance(one, str) else "",
)
def test_a_network_with_an_unknown_part_takes_autograd_and_says_why(network, reason, caplog):
    tower = Tower(network)
    assert not tower.has_own_backward
    assert reason in caplog.text


def test_code_that_the_tracer_cannot_follow_has_no_plan(monkeypatch):
    assert "Choosing is not a layer known" in plan_of(Choosing().eval()).why_not
    monkeypatch.setattr(operations, "KNOWN_CODE", ("",))
    assert "Choosing cannot be traced (TraceError" in plan_of(Choosing().eval()).why_not
    assert "relu works in place on a value that is read" in plan_of(Overwriting().eval()).why_not
    assert plan_of(BasicBlock(3, 3).train()).why_not == "BatchNorm2d has training mode on"
    own = BasicBlock(3, 3).eval()
    own.conv1.forward = lambda x: x
    assert "Conv2d has hooks" in plan_of(own).why_not


def test_guided_backpropagation_of_a_residual_tower_is_that_of_autograd(tmp_path, monkeypatch):
    network = trained(lambda: build_network("resnet18", "layer2"))
    images = draw(2, 3, 16, 16, seed=1)
    batch, target = make_batch(images, ((1, 2, 3), (4, 5))), torch.tensor([1, 2])
    head = SAN(9, 5, 128 * 4, embedding_size=6, hidden_size=5, attention_size=4, regions=4).double()

    def maps(tower):
        return GuidedBackprop(4)(Pipeline(tower, head).eval(), batch, target).values

    through = Tower(network)
    through._backward = None
    expected = maps(through)
    assert expected.abs().max() > 0
    for _ in range(2):  # computes the masks, then reads them
        torch.testing.assert_close(maps(Tower(network, memory=Memory(tmp_path))), expected, rtol=1e-9, atol=0)
    assert [*tmp_path.rglob("traces*")]
    monkeypatch.setattr(devices, "launches_are_dear", lambda device: True)  # as on a GPU
    torch.testing.assert_close(maps(Tower(network)), expected, rtol=1e-9, atol=0)


def test_a_network_that_is_a_sequence_in_effect_has_both_fast_ways():
    network, image = ready(lambda: build_network("alexnet", "features.5_mean")), draw(3, 64, 64, seed=1)
    tower = Tower(network)
    assert tower.has_own_backward
    clean, occluded = tower.occluded(image, 4, torch.zeros(3))
    assert tower._occlusion.incremental
    painted = image.clone()
    painted[:, 16:32, 48:] = 0
    for found, pixels in ((clean, image), (occluded[7], painted)):
        torch.testing.assert_close(found, network(pixels[None])[0], rtol=0, atol=1e-10)
    residual = build_network("resnet18", "layer1")
    assert as_sequence(residual) is residual
    assert not Tower(residual)._occlusion.incremental
