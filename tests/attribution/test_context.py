"""Rules for every method: nothing else changes, and a question's map does not depend on the other questions."""

import random

import numpy as np
import pytest
import torch
from known_models import draw, make_batch
from pipelines import TARGET

from lookwhy.attribution import GuidedBackprop, Occlusion, WordDrop, WordGradient, explaining
from lookwhy.models import Pipeline
from lookwhy.types import VQABatch

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
def test_maps_are_equal_in_each_gradient_mode_and_nothing_changes(method, outer, small_pipeline, small_batch):
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


SIZES = [GuidedBackprop(grid=4, batch_size=size) for size in (1, 2, 3)]


@pytest.mark.parametrize("method", [*METHODS, *SIZES, WordDrop(unknown=3)])
def test_questions_about_several_images_get_the_maps_of_each_alone(method, small_pipeline, monkeypatch):
    monkeypatch.setattr(Pipeline, "questions_at_once", 4)  # the variants of one question are in several calls
    images, ids, target = draw(3, 3, 16, 16, seed=5), (0, 0, 1, 1, 1, 2), torch.tensor([0, 1, 2, 3, 4, 0])
    questions = ((1, 2, 3, 4), (3,), (4, 5), (6,), (7, 8), (2, 4))
    alone = [make_batch(images[[i]], (words,), [i]) for i, words in zip(ids, questions, strict=True)]
    if method.domain == "question":
        for one in alone:
            one.features, one.images = small_pipeline.features(one.images).detach(), None
    together = VQABatch.concatenate(alone)
    assert torch.equal(together.tokens, make_batch(images[list(ids)], questions).tokens)
    found = method(small_pipeline, together, target)
    for row, (one, words) in enumerate(zip(alone, questions, strict=True)):
        expected = method(small_pipeline, one, target[row : row + 1])
        places = slice(len(words) if method.domain == "question" else None)
        torch.testing.assert_close(found.values[row, places], expected.values[0], atol=1e-8, rtol=0)
        assert torch.equal(found.valid[row, places], expected.valid[0])
        assert found.flips is None or found.flips[row] == expected.flips[0]
