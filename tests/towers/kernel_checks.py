"""Checks of Triton's kernels against PyTorch: run on a GPU, or on a CPU with TRITON_INTERPRET=1.

TRITON_INTERPRET=1 python -m pytest tests/towers/kernel_checks.py
"""

import os

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from lookwhy.towers.backward import BackwardPass
from lookwhy.towers.relu_gpu import relu_pool
from lookwhy.towers.relu_rules import deconv, guided
from lookwhy.towers.winograd_gpu import GradientAtInput, Pooling, ReluRule

DEVICE = "cpu" if os.environ.get("TRITON_INTERPRET") == "1" else "cuda"
SIZES = [(2, 4, 7, 5, 3, 1), (1, 4, 4, 70, 66, 1), (3, 3, 3, 8, 4, 0), (2, 6, 5, 4, 5, 2)]
"""Maps, rows, columns, channels of the outputs and of the inputs, padding."""
SIDES = (1, 2, 3)
# The interpreter takes seconds for a case: there, each size has one or two sides of a pooling.
CASES = (
    [(size, side) for size in SIZES for side in SIDES]
    if DEVICE == "cuda"
    else [(SIZES[0], 1), (SIZES[0], 2), (SIZES[1], 3), (SIZES[2], 2), (SIZES[3], 1), (SIZES[3], 3)]
)


def random(*shape):
    generator = torch.Generator().manual_seed(sum(shape))
    return torch.randn(*shape, generator=generator)


def unpooled(g, chosen, side, size):
    """The gradient of each output of a pooling, moved to the input that its place names."""
    full = torch.zeros(len(g), *size, g.shape[-1])
    for row in range(size[0] // side * side):
        for column in range(size[1] // side * side):
            here = chosen[:, row // side, column // side] == row % side * side + column % side
            full[:, row, column] = g[:, row // side, column // side] * here
    return full


def close(found, expected):
    assert float((found.cpu() - expected).norm() / expected.norm()) < 3e-6


@pytest.mark.parametrize(("size", "side"), CASES, ids=str)
def test_gradients_at_the_inputs_of_a_convolution(size, side):
    n, h, w, outputs, inputs, padding = size
    owner = torch.tensor([0, 1, 1][:n], dtype=torch.int32)
    weight, g = random(outputs, inputs, 3, 3), random(n, h // side, w // side, outputs)
    places = torch.arange(2 * (h // side) * (w // side) * outputs) * 7 % side**2
    chosen = places.to(torch.uint8).view(2, h // side, w // side, outputs)
    full = unpooled(g, chosen[owner], side, (h, w)) if side > 1 else g
    expected = F.conv_transpose2d(full.permute(0, 3, 1, 2).double(), weight.double(), padding=padding)
    expected = expected.permute(0, 2, 3, 1)
    active = random(2, *expected.shape[1:]) > 0
    made = GradientAtInput(weight.to(DEVICE), padding)
    pooling = Pooling(side, chosen.to(DEVICE)) if side > 1 else None

    def found(rule=None):
        return made(g.to(DEVICE), owner.to(DEVICE), (h, w), pooling, rule)

    close(found(), expected)
    close(found(ReluRule(False, active.to(DEVICE))), expected * active[owner])
    close(found(ReluRule(True, None)), expected.clamp(min=0))
    close(found(ReluRule(True, active.to(DEVICE))), expected.clamp(min=0) * active[owner])


@pytest.mark.parametrize("side", SIDES)
def test_relu_and_pooling(side):
    maps, bias = random(2, 37, 6, 11), random(37)
    out, active, chosen = (one.cpu() for one in relu_pool(maps.to(DEVICE), bias.to(DEVICE), side))
    positive = (maps + bias[:, None, None]).clamp(min=0)
    expected, places = F.max_pool2d(positive, side, return_indices=True)
    torch.testing.assert_close(out, expected)
    assert torch.equal(active, (expected > 0).permute(0, 2, 3, 1))
    if side > 1:
        within = places // 11 % side * side + places % 11 % side
        assert torch.equal(chosen.long(), within.permute(0, 2, 3, 1))


def network():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 32, 3, padding=1), nn.ReLU(), nn.Conv2d(32, 33, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(33, 40, 3), nn.BatchNorm2d(40), nn.ReLU(), nn.Conv2d(40, 36, 3, padding=1, bias=False),
        nn.ReLU(), nn.MaxPool2d(3, 2, 1), nn.Conv2d(36, 32, 3, padding=1), nn.AdaptiveAvgPool2d(2),
        nn.Flatten(), nn.Linear(128, 20), nn.ReLU(), nn.Dropout(), nn.Linear(20, 10),
    ).eval()  # fmt: skip


def doubled(active, gradient):
    return gradient.mul_(active).mul_(2)


@pytest.mark.parametrize("rule", [deconv, guided, doubled])
def test_the_passes_of_a_network_with_all_kinds_of_layers(rule):
    sides = (10, 12) if DEVICE == "cuda" else (7, 8)  # the interpreter takes a second for a tile
    images, gradients, owner = random(2, 3, *sides), random(3, 10), torch.tensor([0, 1, 1]).int()
    ours, usual = BackwardPass(network().to(DEVICE)), BackwardPass(network())
    usual._has_no_kernels = True
    ours_trace, trace = ours.forward(images.to(DEVICE)), usual.forward(images)
    torch.testing.assert_close(ours_trace.features.cpu(), trace.features)
    found = ours.backward(ours_trace, gradients.to(DEVICE), rule, images[0].to(DEVICE), owner.to(DEVICE))
    assert ours._kernels is not None
    assert not ours._has_no_kernels
    close(found, usual.backward(trace, gradients, rule, images[0], owner))
    close(found, usual.backward(trace.of(owner), gradients, rule, images[0]))
