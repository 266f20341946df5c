"""The way back from masks alone, against autograd through the whole network and against Captum."""

import captum.attr
import pytest
import torch
from known_models import draw, make_batch
from torch import nn

from lookwhy.attribution import GuidedBackprop
from lookwhy.towers import backward as frozen_backward
from lookwhy.towers import winograd
from lookwhy.towers.backward import BackwardPass
from lookwhy.towers.relu_rules import deconv, guided, plain, relu_rule


def vgg_like():
    return nn.Sequential(
        nn.Conv2d(3, 6, 3, padding=1), nn.ReLU(inplace=True), nn.Conv2d(6, 6, 3, padding=(0, 2), bias=False),
        nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 8, 3, padding=1), nn.ReLU(inplace=True), nn.MaxPool2d(2),
        nn.Sequential(nn.AdaptiveAvgPool2d(3), nn.Flatten(), nn.Linear(72, 20), nn.ReLU(), nn.Dropout(),
        nn.Linear(20, 9), nn.ReLU(inplace=True)),
    )  # fmt: skip


def alexnet_like():
    return nn.Sequential(
        nn.Conv2d(3, 6, 7, stride=2, padding=2), nn.ReLU(), nn.MaxPool2d(3, 2, padding=1),
        nn.Conv2d(6, 6, 5, padding=2, groups=2), nn.BatchNorm2d(6), nn.ReLU(), nn.MaxPool2d(3, 1, dilation=2),
        nn.Conv2d(6, 4, 3, padding=1, dilation=2), nn.ReLU(), nn.AvgPool2d(2),
    )  # fmt: skip


def ready(make):
    torch.manual_seed(0)
    net = make().double().eval()
    for layer in net.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.running_mean.normal_()
            layer.running_var.uniform_(0.5, 2)
        elif isinstance(layer, (nn.Conv2d, nn.Linear)):
            nn.init.kaiming_normal_(layer.weight)
    return net


@pytest.mark.parametrize("fewest", [1, 1000], ids=["winograd", "direct"])
@pytest.mark.parametrize("rule", [plain, guided, deconv], ids=lambda rule: rule.__name__)
@pytest.mark.parametrize("make", [vgg_like, alexnet_like], ids=lambda make: make.__name__)
@pytest.mark.parametrize("at_once", [1, frozen_backward.AT_ONCE], ids=["one by one", "together"])
def test_equals_autograd_also_from_packed_masks(make, rule, fewest, at_once, monkeypatch):
    monkeypatch.setattr(winograd, "FEWEST_CHANNELS", fewest)
    monkeypatch.setattr(frozen_backward, "AT_ONCE", at_once)
    net, image = ready(make), draw(3, 37, 45, seed=1)
    back = BackwardPass(net)
    trace = back.forward(image)
    given = draw(3, *trace.features.shape[1:], seed=2)
    pixels = image.expand(3, -1, -1, -1).clone().requires_grad_()
    with relu_rule(net, rule):
        features = net(pixels)
        (expected,) = torch.autograd.grad(features, pixels, given)
    torch.testing.assert_close(trace.features, features[:1].detach(), atol=1e-12, rtol=0)
    assert expected.abs().max() > 1e-3
    torch.testing.assert_close(back.backward(trace, given, rule, image), expected, atol=1e-10, rtol=0)
    again = BackwardPass(net)
    packed = trace.pack()
    found = again.backward(again.unpack(packed, image), given, rule, image)
    torch.testing.assert_close(found, expected, atol=1e-10, rtol=0)
    assert packed["active"].nbytes < sum(mask.numel() for mask in trace.active) / 8 + len(trace.active)
    assert packed["chosen"].dtype == "uint8"


@pytest.mark.parametrize("size", [1, 2, 3, 8])
def test_images_together_get_what_each_alone_would(size, small_pipeline):
    images = draw(3, 3, 16, 16, seed=5)[[0, 0, 1, 1, 1, 2]]
    batch = make_batch(images, ((1, 2), (3,), (4, 5), (6,), (7, 8), (2, 4)), image_ids=[0, 0, 1, 1, 1, 2])
    target = torch.tensor([0, 1, 2, 3, 4, 0])
    found = GuidedBackprop(grid=4, batch_size=size)(small_pipeline, batch, target)
    for row in range(6):
        question = batch.tokens[row, : batch.lengths[row]].tolist()
        single = make_batch(images[row : row + 1], (question,))
        gradients = GuidedBackprop().pixel_gradients(small_pipeline, single, target[row : row + 1])
        alone = gradients.abs().amax(1).view(4, 4, 4, 4).mean((1, 3))
        torch.testing.assert_close(found.values[row].double(), alone, atol=1e-7, rtol=0)


def test_a_network_not_understood_says_why():
    assert BackwardPass(nn.Sequential(nn.Conv2d(3, 4, 3), nn.GELU())).why_not.startswith("GELU is not")


def test_guided_backprop_is_captums():
    net, image = ready(vgg_like), draw(3, 40, 32, seed=1)
    pixels = image[None].clone().requires_grad_()
    with pytest.warns(UserWarning, match="backward hooks"):
        expected = captum.attr.GuidedBackprop(net).attribute(pixels, target=4).detach()
    back = BackwardPass(net)
    given = torch.eye(9, dtype=torch.float64)[4:5]
    found = back.backward(back.forward(image), given, guided, image)
    torch.testing.assert_close(found, expected, atol=1e-10, rtol=0)
