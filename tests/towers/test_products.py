"""Products: those of float64, by both libraries, for weights in any order in memory."""

from functools import partial

import pytest
import torch

from lookwhy.towers import products
from lookwhy.towers.products import FixedMatrices, Linear, few_rows_product, linear, matrix_product

X, W, BIAS = torch.randn(5, 40), torch.randn(30, 40), torch.randn(30)


@pytest.fixture(autouse=True, params=[False, True], ids=["MKL", "oneDNN"])
def library(request, monkeypatch):
    if request.param and not products.HAS_FAST_ONEDNN:
        pytest.skip("oneDNN has no AVX-512 here")
    monkeypatch.setattr(products, "TAKES_ONEDNN", request.param)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize(
    "weight", [W, W.mT.contiguous().mT, torch.randn(30, 80)[:, ::2]], ids=["rows", "columns", "strided"]
)
def test_products_are_those_of_float64(weight, dtype):
    found = linear(X.to(dtype), weight.to(dtype), BIAS.to(dtype))
    torch.testing.assert_close(found, (X.double() @ weight.double().mT + BIAS.double()).to(dtype))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize(("outputs", "inputs"), [(30, 40), (70, 65)], ids=["small", "large"])
def test_fixed_matrices_multiply_their_own_rows(outputs, inputs, dtype):
    weights, x = torch.randn(3, outputs, inputs, dtype=dtype), torch.randn(3, 5, inputs, dtype=dtype)
    out = torch.full((3, 5, outputs), torch.nan, dtype=dtype)
    FixedMatrices(weights).multiply(x, out)
    torch.testing.assert_close(out, (x.double() @ weights.double().mT).to(dtype))


@pytest.mark.parametrize(
    ("processor", "expected"),
    [
        ("vendor_id\t: GenuineIntel\nmodel name\t: any\n", "GenuineIntel"),
        ("processor\t: 0\nvendor_id\t: AuthenticAMD\n", "AuthenticAMD"),
        ("CPU implementer\t: 0x41\n", ""),
    ],
)
def test_the_library_is_chosen_by_the_maker_of_the_processor(processor, expected, tmp_path):
    (tmp_path / "cpuinfo").write_text(processor)
    assert products.vendor(tmp_path / "cpuinfo") == expected
    assert products.vendor(tmp_path / "none") in ("", products.INTEL)


def test_a_linear_layer_computes_the_same_with_and_without_gradients():
    layer = Linear(40, 30)
    with torch.no_grad():
        without = layer(X)
    torch.testing.assert_close(without, layer(X).detach())
    assert layer(X).requires_grad


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("nonzero", [0.0, 0.05, 0.3, 1.0])
@pytest.mark.parametrize("rows", [1, 3, 8])
def test_products_with_zeros_are_those_of_float64(rows, nonzero, dtype):
    a = torch.randn(rows, 200, dtype=dtype) * (torch.rand(rows, 200) < nonzero)
    a[-1] = 0  # a row of zeros alone
    b = torch.randn(200, 30, dtype=dtype)
    expected = (a.double() @ b.double()).to(dtype)
    # Sums of 200 products in single precision: in 8,000 draws the largest error was 4.3e-5.
    close = partial(torch.testing.assert_close, atol=1e-4 if dtype == torch.float32 else 1e-12, rtol=1e-6)
    close(few_rows_product(a, b), expected)
    close(few_rows_product(a, b.mT.contiguous().mT), expected)
    close(matrix_product(a, b), expected)


def test_rows_that_are_multiplied_by_zero_are_not_read():
    a, b = torch.zeros(2, 40), torch.randn(40, 30)
    a[0, 3], a[1, 5] = 2.0, -1.0
    b[7] = torch.nan
    torch.testing.assert_close(few_rows_product(a, b), torch.stack([2 * b[3], -b[5]]))
