"""Occlusion in models whose maps are known by hand, and as a pipeline with a memory."""

import pytest
import torch
from known_models import LinearBlackBox, OnlyScores, draw, make_batch
from pipelines import TARGET
from torch.testing import assert_close
from torch.utils._python_dispatch import TorchDispatchMode

from lookwhy.attribution import Occlusion, WordDrop, explaining
from lookwhy.attribution.occlusion import SPACE
from lookwhy.errors import LookwhyError
from lookwhy.towers import Memory, devices
from lookwhy.towers.incremental import IncrementalOcclusion


def explain(grid, weight, image, worth=0.0):
    """Maps of one image in a model where the probability is the sum of weight times pixel, plus a constant."""
    model = LinearBlackBox(weight, torch.tensor([0, worth], dtype=torch.float64))
    return Occlusion(grid)(model, make_batch(image[None], ((1,),)), torch.tensor([0]))


def test_importance_in_a_linear_model_is_weight_times_change_adds_up_over_cells_and_counts_flips():
    weight, image = draw(3, 8, 8), draw(3, 8, 8, seed=1)
    maps = explain(4, weight, image)
    expected = (weight * image).sum(0).view(4, 2, 4, 2).sum((1, 3))  # the patch is 0 without a recipe
    assert_close(maps.values[0].double(), expected, atol=1e-6, rtol=0)
    assert maps.signed
    weight, image = draw(3, 7, 7), draw(3, 7, 7, seed=1)
    assert_close(explain(3, weight, image).values.sum().double(), (weight * image).sum(), atol=1e-5, rtol=0)
    weight = torch.zeros(3, 4, 4, dtype=torch.float64)
    weight[:, 0, 0] = weight[:, 3, 3] = 0.2  # 0.6 + 0.6 - 0.5: either one alone decides
    assert explain(4, weight, torch.ones(3, 4, 4), -0.5).flips.tolist() == [2]


@torch.no_grad()
def test_a_pipeline_equals_the_black_box_way_and_its_memory_answers_again(
    small_pipeline, small_batch, tmp_path, monkeypatch
):
    computed, way = [], IncrementalOcclusion.clean_and_occluded
    recorded = lambda self, image: computed.append(1) or way(self, image)  # noqa: E731
    given = small_batch.images, small_batch.tokens, small_batch.lengths
    with explaining(small_pipeline), torch.no_grad():
        target = small_pipeline.answer_scores(*given).argmax(1)
        models = OnlyScores(small_pipeline), small_pipeline
        plain, exact = (Occlusion(grid=4)(model, small_batch, target) for model in models)
        dropped, ours = (WordDrop()(model, small_batch, target) for model in models)
        monkeypatch.setattr(IncrementalOcclusion, "clean_and_occluded", recorded)
        small_pipeline.tower.memory = Memory(tmp_path)
        first, second = (Occlusion(grid=4)(small_pipeline, small_batch, target) for _ in range(2))
    assert_close(exact.values, plain.values, atol=1e-7, rtol=0)
    assert_close(ours.values, dropped.values, equal_nan=True)
    assert torch.equal(ours.flips, dropped.flips)
    # Stored in half precision; the first analysis already computes with the numbers that are read later.
    assert_close(first.values, exact.values, atol=1e-4, rtol=0)
    assert torch.equal(first.values, second.values)
    assert torch.equal(first.flips, plain.flips)
    (folder,) = tmp_path.iterdir()
    assert folder.name.startswith("occluded-features-")
    assert computed == [1, 1]  # once for each picture, not for each question or pass


class Calls(TorchDispatchMode):
    """Count the calls of operators that compute or copy something."""

    VIEWS = ("detach", "expand", "lift_fresh", "select", "slice", "t.", "transpose", "unsqueeze", "view")

    def __init__(self):
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.count += not function._schema.name.startswith(tuple(f"aten::{one}" for one in self.VIEWS))
        return function(*args, **(kwargs or {}))


@torch.no_grad()
@pytest.mark.parametrize("together", [1, 3, 8])
def test_images_that_share_a_call_of_the_head_as_on_a_gpu_have_the_same_maps(
    small_pipeline, tmp_path, monkeypatch, together
):
    images, asked = draw(20, 3, 16, 16), [0, 0, *range(20), 3, 19]
    words = [tuple(1 + (row + at) % 8 for at in range(1 + row % 4)) for row in range(len(asked))]
    batch = make_batch(images[asked], words, image_ids=asked)
    target, method = torch.arange(len(asked)) % 5, Occlusion(grid=4)
    small_pipeline.tower.memory = Memory(tmp_path)
    looked, look = [], small_pipeline.head.look
    with explaining(small_pipeline):
        expected = method(small_pipeline, batch, target)
        few = make_batch(images[:12], words[:12])
        monkeypatch.setattr(devices, "launches_are_dear", lambda device: True)
        if together < 8:  # memory bounds the number of images, one of which has three questions
            one = SPACE * 17 * 96 * 8
            monkeypatch.setattr(devices, "working_memory", lambda device: one * (2, 4)[together > 1])
        monkeypatch.setattr(small_pipeline.head, "look", lambda x: looked.append(len(x)) or look(x))
        found = method(small_pipeline, batch, target)
        calls = []
        for some, answers in ((batch, target), (few, target[:12])):
            with Calls() as counted:
                method(small_pipeline, some, answers)
            calls.append(counted.count)
    assert expected.values.abs().max() > 1e-4
    assert_close(found.values, expected.values, atol=1e-12, rtol=1e-9)
    assert torch.equal(found.flips, expected.flips)
    sizes = {1: [1] * 20, 3: [1, 3, 3, 3, 3, 3, 3, 1], 8: [8, 8, 4]}[together]
    assert [count // 17 for count in looked[: len(sizes)]] == sizes
    if together == 8:  # eight images and twelve questions more
        assert (calls[0] - calls[1]) / 8 < 12


@torch.no_grad()
@pytest.mark.parametrize("method", [Occlusion(grid=4, explains="logit"), WordDrop(explains="logit")])
def test_the_logit_falls_by_the_difference_of_two_forward_passes(small_pipeline, small_batch, method):
    maps = method(small_pipeline, small_batch, TARGET)
    images, tokens = small_batch.images[1:2], small_batch.tokens[1:2]
    whole = small_pipeline(images, tokens, torch.tensor([2]))[0, 2]
    if method.domain == "image":
        value, painted = maps.values[1, 1, 2], images.clone()
        painted[:, :, 4:8, 8:12] = 0
        without = small_pipeline(painted, tokens, torch.tensor([2]))[0, 2]
    else:
        value, without = maps.values[1, 0], small_pipeline(images, tokens[:, 1:], torch.tensor([1]))[0, 2]
    assert_close(value.double(), whole - without, rtol=1e-5, atol=1e-6)
    assert maps.target == "logit of the predicted answer"
    with pytest.raises(LookwhyError, match="leave `explains` at probability"):
        method(LinearBlackBox(torch.ones(3, 16, 16), torch.ones(10)), small_batch, TARGET)
