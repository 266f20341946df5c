import random

import numpy as np
import pytest
import torch

from lookwhy.attribution import GuidedBackprop, Occlusion, WordDrop, WordGradient, explaining

TARGET = torch.tensor([1, 2, 3])
METHODS = [GuidedBackprop(grid=4), Occlusion(grid=4), WordGradient(), WordDrop()]


def state(model):
    return (
        {name: value.clone() for name, value in model.state_dict().items()},
        [module.training for module in model.modules()],
        [p.grad for p in model.parameters()],
        torch.get_rng_state(),
        np.random.get_state()[1].tolist(),
        random.getstate(),
        torch.is_grad_enabled(),
        torch.is_inference_mode_enabled(),
    )


def assert_same(a, b):
    torch.testing.assert_close(a[0], b[0], rtol=0, atol=0)
    assert a[1] == b[1]
    assert all(x is None and y is None for x, y in zip(a[2], b[2], strict=True))
    assert torch.equal(a[3], b[3])
    assert a[4:] == b[4:]


@pytest.mark.parametrize("outer", [torch.enable_grad, torch.no_grad, torch.inference_mode])
@pytest.mark.parametrize("method", METHODS, ids=lambda method: type(method).__name__)
def test_explains_alike_in_every_gradient_mode_and_leaves_no_trace(
    method, outer, small_pipeline, small_batch
):
    small_pipeline.train()
    small_pipeline.tower.eval()
    with explaining(small_pipeline):
        expected = method(small_pipeline, small_batch, TARGET)
    before = state(small_pipeline)
    with outer(), explaining(small_pipeline):
        torch.rand(3), np.random.rand(3), random.random()  # noqa: NPY002
        found = method(small_pipeline, small_batch, TARGET)
    assert_same(before, state(small_pipeline))
    assert torch.equal(found.values, expected.values)
    assert found.values.abs().sum() > 0


def test_everything_is_restored_after_an_error(small_pipeline):
    small_pipeline.train()
    before = state(small_pipeline)
    with pytest.raises(ZeroDivisionError), torch.inference_mode(), explaining(small_pipeline):
        torch.rand(3)
        raise ZeroDivisionError
    assert_same(before, state(small_pipeline))
