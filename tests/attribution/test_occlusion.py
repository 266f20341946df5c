import pytest
import torch
from known_models import LinearBlackBox, OnlyScores, make_batch

from lookwhy.attribution import Occlusion, WordDrop, explaining
from lookwhy.errors import LookwhyError
from lookwhy.towers import Memory
from lookwhy.towers.incremental import IncrementalOcclusion

TARGET = torch.zeros(1, dtype=torch.int64)


def test_importance_in_a_linear_model_is_weight_times_change():
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(3, 8, 8, generator=generator, dtype=torch.float64)
    image = torch.randn(1, 3, 8, 8, generator=generator, dtype=torch.float64)
    model = LinearBlackBox(weight, torch.zeros(10, dtype=torch.float64))
    maps = Occlusion(grid=4)(model, make_batch(image), TARGET)
    expected = (weight * image[0]).sum(0).view(4, 2, 4, 2).sum((1, 3))  # the patch is 0 without a recipe
    torch.testing.assert_close(maps.values[0].double(), expected, atol=1e-6, rtol=0)
    assert maps.signed


def test_disjoint_occlusions_of_a_linear_model_sum_up_to_occluding_everything():
    weight = torch.rand(3, 7, 7, dtype=torch.float64)
    image = torch.rand(1, 3, 7, 7, dtype=torch.float64)
    maps = Occlusion(grid=3)(LinearBlackBox(weight, torch.zeros(10)), make_batch(image), TARGET)
    torch.testing.assert_close(maps.values.sum().double(), (weight * image[0]).sum(), atol=1e-5, rtol=0)


def test_a_pipeline_equals_the_black_box_way_and_its_memory_answers_again(
    small_pipeline, small_batch, tmp_path, monkeypatch
):
    computed, way = [], IncrementalOcclusion.clean_and_occluded
    occlusion = Occlusion(grid=4)
    with explaining(small_pipeline), torch.no_grad():
        given = small_batch.images, small_batch.tokens, small_batch.lengths
        target = small_pipeline.answer_scores(*given).argmax(1)
        plain = occlusion(OnlyScores(small_pipeline), small_batch, target)
        exact = occlusion(small_pipeline, small_batch, target)
        monkeypatch.setattr(
            IncrementalOcclusion, "clean_and_occluded", lambda self, x: computed.append(1) or way(self, x)
        )
        small_pipeline.tower.memory = Memory(tmp_path)
        first = occlusion(small_pipeline, small_batch, target)
        second = occlusion(small_pipeline, small_batch, target)
    torch.testing.assert_close(exact.values, plain.values, atol=1e-7, rtol=0)
    # Stored in half precision; the first analysis already computes with the numbers that are read later.
    torch.testing.assert_close(first.values, exact.values, atol=1e-4, rtol=0)
    assert torch.equal(first.values, second.values)
    assert torch.equal(first.flips, plain.flips)
    (folder,) = tmp_path.iterdir()
    assert folder.name.startswith("occluded-features-")
    assert computed == [1, 1]  # once a picture, not once a question or a pass


@pytest.mark.parametrize("method", [Occlusion(grid=4, explains="logit"), WordDrop(explains="logit")])
def test_the_logit_falls_by_the_difference_of_two_forward_passes(small_pipeline, small_batch, method):
    target = torch.tensor([1, 2, 3])
    with torch.no_grad():
        maps = method(small_pipeline, small_batch, target)
        whole = small_pipeline(small_batch.images, small_batch.tokens, small_batch.lengths)[1, 2]
        images, tokens = small_batch.images[1:2].clone(), small_batch.tokens[1:2]
        if method.domain == "image":
            images[:, :, 4:8, 8:12] = 0
            without = small_pipeline(images, tokens, torch.tensor([2]))[0, 2]
        else:
            without = small_pipeline(images, tokens[:, 1:], torch.tensor([1]))[0, 2]
    value = maps.values[1, 1, 2] if method.domain == "image" else maps.values[1, 0]
    torch.testing.assert_close(value.double(), whole - without, rtol=1e-5, atol=1e-6)
    assert maps.target == "logit of the predicted answer"
    with pytest.raises(LookwhyError, match="leave `explains` at probability"):
        method(LinearBlackBox(torch.ones(3, 16, 16), torch.ones(10)), small_batch, target)


def test_flips_count_the_cells_that_change_the_answer():
    weight = torch.zeros(3, 4, 4, dtype=torch.float64)
    weight[:, 0, 0] = weight[:, 3, 3] = 0.2  # 0.6 + 0.6 - 0.5: either one alone decides
    worth = torch.tensor([0.0, -0.5], dtype=torch.float64)
    image = torch.ones(1, 3, 4, 4, dtype=torch.float64)
    maps = Occlusion(grid=4)(LinearBlackBox(weight, worth), make_batch(image, ((1,),)), TARGET)
    assert maps.flips.tolist() == [2]
