"""The state of the process and of the model after an explanation."""

import random

import numpy as np
import pytest
import torch
from pipelines import TARGET

from lookwhy.attribution import GuidedBackprop, Occlusion, WordDrop, WordGradient, explaining

METHODS = [GuidedBackprop(grid=4), Occlusion(grid=4), WordGradient(), WordDrop()]


def state(model):
    """Tensors, and all other values, that an explanation must not change."""
    tensors = {name: value.clone() for name, value in model.state_dict().items()}
    modes, gradients = [module.training for module in model.modules()], [p.grad for p in model.parameters()]
    generators = np.random.get_state()[1].tolist(), random.getstate()
    flags = torch.is_grad_enabled(), torch.is_inference_mode_enabled()
    return tensors | {"random": torch.get_rng_state()}, (modes, gradients, generators, flags)


def assert_unchanged(before, after):
    torch.testing.assert_close(before[0], after[0], rtol=0, atol=0)
    assert before[1] == after[1]


@pytest.mark.parametrize("outer", [torch.enable_grad, torch.no_grad, torch.inference_mode])
@pytest.mark.parametrize("method", METHODS, ids=lambda method: type(method).__name__)
def test_explains_alike_in_every_gradient_mode_and_leaves_no_trace(
    method, outer, small_pipeline, small_batch
):
    small_pipeline.train()
    with explaining(small_pipeline):
        expected = method(small_pipeline, small_batch, TARGET)
    before = state(small_pipeline)
    assert not any(gradient is not None for gradient in before[1][1])
    with outer(), explaining(small_pipeline):
        torch.rand(3), np.random.rand(3), random.random()  # noqa: NPY002
        found = method(small_pipeline, small_batch, TARGET)
    assert_unchanged(before, state(small_pipeline))
    assert torch.equal(found.values, expected.values)
    assert found.values.abs().sum() > 0


def test_everything_is_restored_after_an_error(small_pipeline):
    small_pipeline.train()
    before = state(small_pipeline)
    with pytest.raises(ZeroDivisionError), torch.inference_mode(), explaining(small_pipeline):
        torch.rand(3)
        raise ZeroDivisionError
    assert_unchanged(before, state(small_pipeline))
