"""Winograd's convolutions, against the direct ones."""

import pytest
import torch
from known_models import draw
from torch import nn
from torch.nn import functional as F

from lookwhy.towers import winograd
from lookwhy.towers.winograd import FullConvolution, Scratch, Tiling, suits, tiling


def channels_last(x):
    return x.permute(0, 2, 3, 1)


def direct(d, weight):
    return channels_last(F.conv2d(d.permute(0, 3, 1, 2), weight, padding=2))


@pytest.mark.parametrize("size", [4, 5])
@pytest.mark.parametrize(
    "shape", [(2, 9, 14), (1, 70, 61), (3, 4, 4), (1, 1, 1), (70, 7, 13), (2, 2, 200)], ids=str
)
def test_equals_the_convolution_of_maps_with_two_rows_and_columns_of_margin(shape, size):
    cut = Tiling(size, -(-shape[1] // size), -(-shape[2] // size))
    weight, d, g = draw(5, 3, 3, 3), draw(*shape, 3, seed=1), draw(*shape, 5, seed=2)
    found = FullConvolution(weight, Scratch())(d, cut)
    torch.testing.assert_close(found, direct(d, weight), atol=1e-11, rtol=0)
    back = FullConvolution(weight, Scratch(), transposed=True)(g, cut)
    expected = F.conv_transpose2d(g.permute(0, 3, 1, 2), weight)
    torch.testing.assert_close(back, channels_last(expected), atol=1e-11, rtol=0)


def test_single_precision_errs_by_little_more_than_the_direct_sum_does(monkeypatch):
    weight, d = draw(64, 64, 3, 3) / 24, draw(4, 12, 12, 64, seed=1)
    exact, found = direct(d, weight), FullConvolution(weight.float(), Scratch())(d.float())
    usual = direct(d.float(), weight.float())
    error, usual = ((x.double() - exact).square().mean().sqrt() for x in (found, usual))
    assert error < 5 * usual
    larger = FullConvolution(weight.float(), Scratch())(d.float(), Tiling(5, 3, 3))
    assert (larger.double() - exact).square().mean().sqrt() < 3 * error
    monkeypatch.setitem(winograd.AT, 4, (0, 1, -1, 2, -2))
    textbook = FullConvolution(weight.float(), Scratch())(d.float())
    assert error < 0.6 * (textbook.double() - exact).square().mean().sqrt()


def test_other_weights_are_noticed():
    weight = draw(4, 3, 3, 3)
    made = FullConvolution(weight, Scratch())
    assert made.is_of(weight)
    assert made.is_of(weight.detach())
    assert not made.is_of(weight.clone())
    assert not made.is_of(weight.float())
    weight[0, 0, 0, 0] += 1e-9
    assert not made.is_of(weight)


def test_weights_changed_behind_pytorchs_back_are_noticed():
    layer = nn.Conv2d(64, 32, 3)
    made = FullConvolution(layer.weight, Scratch())
    layer.weight.data.mul_(0)
    assert not made.is_of(layer.weight)
    made = FullConvolution(layer.weight, Scratch())
    layer.weight.data = layer.weight.data.clone()
    assert not made.is_of(layer.weight)


@torch.inference_mode()
def test_weights_without_a_count_of_changes_are_compared():
    weight = draw(40, 32, 3, 3)
    made = FullConvolution(weight, Scratch())
    assert made.is_of(weight)
    weight += 1
    assert not made.is_of(weight)


@pytest.mark.parametrize(
    ("layer", "expected"),
    [
        (nn.Conv2d(4, 4, 3, padding=1), True), (nn.Conv2d(4, 4, 3, padding=(0, 2), bias=False), True),
        (nn.Conv2d(4, 4, 3, stride=2), False), (nn.Conv2d(4, 4, 3, dilation=2), False),
        (nn.Conv2d(4, 4, (3, 1)), False), (nn.Conv2d(4, 4, 3, groups=2), False),
        (nn.Conv2d(3, 4, 3), False), (nn.MaxPool2d(3, 1), False),
    ],
    ids=str,
)  # fmt: skip
def test_only_plain_convolutions_of_many_channels_are_taken(layer, expected, monkeypatch):
    monkeypatch.setattr(winograd, "FEWEST_CHANNELS", 4)
    assert suits(layer) == expected


def test_the_tiling_with_the_fewest_products_is_taken():
    for side in range(1, 60):
        cut = tiling(side, 12)
        assert cut.size * cut.down >= side
        assert cut.size * cut.across >= 12
        for size in (4, 5):
            assert cut.products <= -(-side // size) * -(-12 // size) * (size + 2) ** 2
    assert tiling(12, 12) == (4, 3, 3)
    assert tiling(10, 10) == (5, 2, 2)
