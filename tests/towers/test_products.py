"""Products with fixed weights: those of float64, for weights in any order in memory."""

import pytest
import torch

from lookwhy.towers.products import FixedMatrices, Linear, linear

X, W, BIAS = torch.randn(5, 40), torch.randn(30, 40), torch.randn(30)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize(
    "weight", [W, W.mT.contiguous().mT, torch.randn(30, 80)[:, ::2]], ids=["rows", "columns", "strided"]
)
def test_products_are_those_of_float64(weight, dtype):
    found = linear(X.to(dtype), weight.to(dtype), BIAS.to(dtype))
    torch.testing.assert_close(found, (X.double() @ weight.double().mT + BIAS.double()).to(dtype))
    # Fixed matrices multiply their own rows.
    weights, x = torch.randn(3, 30, 40, dtype=dtype), torch.randn(3, 5, 40, dtype=dtype)
    out = torch.full((3, 5, 30), torch.nan, dtype=dtype)
    FixedMatrices(weights).multiply(x, out)
    torch.testing.assert_close(out, (x.double() @ weights.double().mT).to(dtype))


def test_a_linear_layer_computes_the_same_with_and_without_gradients():
    layer = Linear(40, 30)
    with torch.no_grad():
        without = layer(X)
    torch.testing.assert_close(without, layer(X).detach())
    assert layer(X).requires_grad
