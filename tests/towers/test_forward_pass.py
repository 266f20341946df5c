import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from lookwhy.towers.forward_pass import forward_pass
from lookwhy.towers.tower import Tower

CHAINS = {
    "vgg": lambda: [
        *(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(8, 8, 3), nn.ReLU()),
        *(nn.AdaptiveAvgPool2d(3), nn.Flatten(), nn.Linear(72, 5), nn.ReLU(), nn.Dropout()),
    ],
    "strides, overlap, padded pooling": lambda: [
        *(nn.Conv2d(3, 8, (5, 3), (2, 1), (1, 2)), nn.MaxPool2d(3, 2, 1), nn.ReLU(inplace=True)),
    ],
    "groups, holes, no bias": lambda: [
        *(nn.Conv2d(3, 8, 3, dilation=2, bias=False), nn.ReLU(), nn.MaxPool2d(2, dilation=2)),
        *(nn.Conv2d(8, 4, 3, groups=4), nn.ReLU(), nn.ReLU()),
    ],
    "normalised, nested": lambda: [
        *(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.AvgPool2d(2)),
        nn.Sequential(nn.Conv2d(8, 8, 3), nn.Sequential(nn.Identity(), nn.ReLU()), nn.MaxPool2d(2)),
    ],
    "one layer": lambda: [nn.Conv2d(3, 2, 1)],
    "no convolution first": lambda: [nn.ReLU(), nn.Conv2d(3, 2, 3)],
    "no layer": list,
}


@pytest.fixture(params=CHAINS)
def network(request):
    torch.manual_seed(0)
    return nn.Sequential(*CHAINS[request.param]()).eval()


@pytest.mark.parametrize("count", [0, 1, 2, 16])
def test_it_is_the_plain_pass(network, count):
    images = torch.randn(count, 3, 19, 23)
    given = images.clone()
    with torch.no_grad():
        expected = network(images.clone())
        found = forward_pass(network, images)
    assert torch.equal(images, given)
    assert found.layout == torch.strided
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)
    with torch.inference_mode():
        torch.testing.assert_close(forward_pass(network, images), expected, rtol=1e-5, atol=1e-6)


def test_gradients_and_double_precision_take_the_plain_pass(network):
    images = torch.randn(2, 3, 19, 23, requires_grad=True)
    expected = torch.autograd.grad(network(images.clone()).sum(), images)[0]
    assert torch.equal(torch.autograd.grad(forward_pass(network, images).sum(), images)[0], expected)
    precise = network.double()
    with torch.no_grad():
        found = forward_pass(precise, images.double())
        torch.testing.assert_close(found, precise(images.double()))
    assert found.dtype == torch.float64


def test_hooks_and_methods_of_ones_own_are_called():
    network = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten()).eval()
    handle = network[1].register_forward_hook(lambda layer, given, result: 0 * result)
    with torch.no_grad():
        assert not forward_pass(network, torch.rand(2, 3, 9, 9)).any()
        handle.remove()
        assert forward_pass(network, torch.rand(2, 3, 9, 9)).any()
        network[2].forward = lambda x: 0 * x
        assert not forward_pass(network, torch.rand(2, 3, 9, 9)).any()


@pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="PyTorch without oneDNN")
def test_a_tower_of_common_layers_keeps_its_maps_in_onednns_layout():
    network = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten()).eval()
    images = torch.rand(2, 3, 9, 9)
    with torch.no_grad(), FlopCounterMode(display=False) as plain:
        network(images)
    with torch.no_grad(), FlopCounterMode(display=False) as own:
        Tower(network)(images)
    # PyTorch counts the operations of its own convolutions alone.
    assert plain.get_total_flops() > 0
    assert own.get_total_flops() == 0
