"""An analysis computes in true single precision, whatever the training uses, and puts every setting back."""

import os
import sys
from pathlib import Path

import pytest
import torch
from tiny_runs import ROOT, run

from lookwhy.attribution.context import explaining
from lookwhy.towers.precision import true_float32

PATH = os.pathsep.join(map(str, (Path(__file__).parent, ROOT / "tests", ROOT / "src")))


@pytest.fixture(params=["highest", "high", "medium"])
def chosen(request):
    """A precision of products that a training chose."""
    torch.set_float32_matmul_precision(request.param)
    yield request.param
    torch.set_float32_matmul_precision("highest")


def nothing():
    """Leave PyTorch's defaults."""


def one_by_one():
    """Settings of single operations, as PyTorch asks for from 2.9 on: the older switches cannot be read then."""
    torch.backends.cudnn.conv.fp32_precision = "ieee"
    torch.backends.mkldnn.matmul.fp32_precision = "tf32"


def by_switches():
    torch.backends.cudnn.allow_tf32 = False
    torch.set_float32_matmul_precision("high")


def everywhere():
    torch.backends.fp32_precision = "tf32"


def settings():
    """Every setting; "refused" where PyTorch refuses to read it."""
    backends = torch.backends
    readers = [lambda: backends.cudnn.allow_tf32, torch.get_float32_matmul_precision]
    readers += [lambda one=one: one.fp32_precision for one in (*owners(), backends.mkldnn.conv, backends)]
    return [value(reader) for reader in readers]


def value(reader):
    try:
        return reader()
    except RuntimeError:
        return "refused"


def owners():
    backends = torch.backends
    return (backends.cuda.matmul, backends.cudnn.conv, backends.cudnn.rnn, backends.mkldnn.matmul)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="each way needs a process, as forks of one that is ready")
def test_every_way_to_choose_a_precision_returns_and_the_switches_work_inside(tmp_path):
    if not hasattr(torch.backends.cuda.matmul, "fp32_precision"):
        pytest.skip("this PyTorch has only switches")
    # The settings cannot all be put back by hand.
    done = run(
        [sys.executable, "-c", "import test_precision; test_precision.fork()"], tmp_path, PYTHONPATH=PATH
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["nothing", "by_switches", "one_by_one", "everywhere"]


def fork():
    """Check each way in a process of its own; print those that are as they should be."""
    for choose in (nothing, by_switches, one_by_one, everywhere):
        child = os.fork()
        if not child:
            check(choose)
            os._exit(0)
        if os.waitpid(child, 0)[1] == 0:
            print(choose.__name__)


def check(choose):
    choose()
    before = settings()
    with true_float32():
        assert [one.fp32_precision for one in owners()] == ["ieee"] * 4
        assert not torch.backends.cudnn.allow_tf32
        with torch.backends.cudnn.flags(enabled=False):
            pass
    assert settings() == before, (settings(), before)


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
        raise RuntimeError("stop")
    assert settings() == before
    assert torch.equal(product(), usual)
