"""An analysis computes in true single precision, whatever the training uses, and puts every setting back."""

import pytest
import torch

from lookwhy.attribution.context import explaining
from lookwhy.towers.precision import true_float32


@pytest.fixture(params=["highest", "high", "medium"])
def chosen(request):
    """A precision of products that a training chose."""
    torch.set_float32_matmul_precision(request.param)
    yield request.param
    torch.set_float32_matmul_precision("highest")


def settings():
    backends = torch.backends
    owners = (backends.cuda.matmul, backends.cudnn.conv, backends.cudnn.rnn, backends.mkldnn.matmul)
    found = [getattr(owner, "fp32_precision", None) for owner in owners]
    return [
        *found,
        backends.cudnn.allow_tf32,
        backends.cuda.matmul.allow_tf32,
        torch.get_float32_matmul_precision(),
    ]


def product():
    numbers = torch.rand(2, 256, 256, generator=torch.Generator().manual_seed(1))
    return numbers[0] @ numbers[1]


@pytest.mark.parametrize("context", [true_float32, lambda: explaining(None)], ids=["alone", "explaining"])
def test_products_are_those_of_single_precision_and_settings_return(chosen, context):
    torch.set_float32_matmul_precision("highest")
    exact = product()
    torch.set_float32_matmul_precision(chosen)
    before, usual = settings(), product()
    if chosen == "medium" and torch.equal(usual, exact):
        pytest.skip("this CPU multiplies in single precision whatever is set")
    with pytest.raises(RuntimeError, match="stop"), context():
        assert torch.equal(product(), exact)
        if hasattr(torch.backends.cuda.matmul, "fp32_precision"):
            assert settings_of_devices() == ["ieee"] * 4
        raise RuntimeError("stop")
    assert settings() == before
    assert torch.equal(product(), usual)


def settings_of_devices():
    backends = torch.backends
    owners = (backends.cuda.matmul, backends.cudnn.conv, backends.cudnn.rnn, backends.mkldnn.matmul)
    return [owner.fp32_precision for owner in owners]
