"""Importance of boxes, on a model whose answers are known by hand, and as maps over cells."""

from dataclasses import replace

import pytest
import torch
from known_models import make_batch
from torch import nan

from lookwhy.attribution import Attention, BoxDrop, GradCAM, Occlusion
from lookwhy.attribution.box_maps import cells_of_boxes
from lookwhy.errors import LookwhyError
from lookwhy.models import Pipeline
from lookwhy.models.regions import RegionHead, softmax_over
from lookwhy.towers.boxes import BoxTower


class SumOfBoxes(RegionHead):
    """Logits of the answers: the sum of the features of all boxes. Attention: 2 to 1 for odd places."""

    regions, mask_empty = 4, True

    def embed(self, tokens):
        return tokens[..., None].double()

    def read(self, embedded, lengths):
        return embedded[:, 0]

    def look(self, features):
        return self.marked(self._listed(features), features)

    def answer(self, view, code):
        regions, is_region = self.unmarked(view)
        return (regions * is_region[..., None]).sum(1)

    def attend(self, view, code):
        weights = torch.tensor([1.0, 2.0, 1.0, 2.0]).log().double().expand(len(view), 4)
        return softmax_over(weights, self.unmarked(view)[1])[:, None]


FEATURES = torch.tensor(
    [
        [[3.0, 1.0], [-1.0, 0.5], [0.25, 2.0], [0.0, 0.0]],  # an image with three boxes
        [[1.0, 4.0], [2.0, -3.0], [0.0, 0.0], [0.0, 0.0]],
    ]
)
"""Image, box, answer; zeros are padding."""
BOXES = torch.tensor(
    [
        [[0.0, 0.0, 0.5, 1.0], [0.5, 0.0, 1.0, 0.5], [0.25, 0.25, 0.75, 0.75], [nan] * 4],
        [[0.0, 0.0, 1.0, 1.0], [0.0, 0.5, 1.0, 1.0], [nan] * 4, [nan] * 4],
    ]
)


@pytest.fixture
def model():
    return Pipeline(BoxTower(), SumOfBoxes()).eval()


@pytest.fixture
def batch():
    found = make_batch(torch.zeros(2, 3, 1, 1), ((1, 2), (3,)))
    grid = FEATURES.double().transpose(1, 2)[:, :, None]
    return replace(found, images=None, features=grid, boxes=BOXES)


def test_the_drop_of_a_linear_model_is_the_feature_of_the_box(model, batch):
    maps = BoxDrop(grid=2, explains="logit")(model, batch, torch.tensor([0, 1]))
    expected = torch.tensor([[3.0, -1.0, 0.25, nan], [4.0, -3.0, nan, nan]])
    torch.testing.assert_close(maps.box_values, expected, equal_nan=True)
    # Without its first box, the first image has -0.75 for answer 0 and 2.5 for answer 1; the others leave 0
    # first: 3.25 > 3 and 2 > 1.5. The second image without its first box has 2 and -3.
    assert maps.flips.tolist() == [1, 1]
    assert maps.signed
    assert maps.domain == "image"
    expected = torch.tensor([[3 + 0.25 / 4, -1 + 0.25 / 4], [3 + 0.25 / 4, 0.25 / 4]])
    torch.testing.assert_close(maps.values[0], expected)


def test_the_drop_of_a_probability_is_a_difference_of_softmaxes(model, batch):
    maps = BoxDrop(grid=2)(model, batch, torch.tensor([1, 1]))

    def probability(a, b):
        return 1 / (1 + torch.tensor(a - b).exp())

    # Sums of the first image: 2.25 and 3.5; without box 0, 1, 2: -0.75 and 2.5, 3.25 and 3, 2 and 1.5.
    without = torch.stack([probability(-0.75, 2.5), probability(3.25, 3.0), probability(2.0, 1.5)])
    torch.testing.assert_close(maps.box_values[0, :3], probability(2.25, 3.5) - without)


def test_attention_and_grad_cam_give_a_value_a_box(model, batch):
    maps = Attention(grid=2)(model, batch, torch.tensor([0, 1]))
    expected = torch.tensor([[0.25, 0.5, 0.25, nan], [1 / 3, 2 / 3, nan, nan]])
    torch.testing.assert_close(maps.box_values, expected, equal_nan=True)
    torch.testing.assert_close(maps.values[1], torch.tensor([[1 / 3, 1 / 3], [1.0, 1.0]]))
    # The gradient of the logit is 1 at this answer's feature of each box, so alpha is 1 there.
    maps = GradCAM(grid=2)(model, batch, torch.tensor([0, 1]))
    expected = torch.tensor([[3.0, 0.0, 0.25, nan], [4.0, 0.0, nan, nan]])
    torch.testing.assert_close(maps.box_values, expected, equal_nan=True)


def test_a_cell_gets_each_boxs_value_by_the_share_that_the_box_covers():
    boxes = torch.tensor([[[0.25, 0.0, 1.0, 0.5], [0.0, 0.0, 1.0, 1.0], [nan] * 4]])
    found = cells_of_boxes(boxes, torch.tensor([[2.0, -1.0, nan]]), 2)
    assert found.tolist() == [[[0.0, 1.0], [-1.0, -1.0]]]


@pytest.mark.parametrize("grid", [2, 5, 16])
def test_the_mean_of_the_cells_is_the_sum_of_value_times_area(grid):
    generator = torch.Generator().manual_seed(0)
    corners = torch.rand(3, 6, 2, 2, generator=generator, dtype=torch.float64).sort(dim=2).values
    boxes, values = corners.flatten(2), torch.randn(3, 6, generator=generator, dtype=torch.float64)
    area = (boxes[..., 2] - boxes[..., 0]) * (boxes[..., 3] - boxes[..., 1])
    cells = cells_of_boxes(boxes, values, grid)
    torch.testing.assert_close(cells.mean((1, 2)), (values * area).sum(1))


def test_what_cannot_be_done_is_one_line(model, batch, small_pipeline, small_batch):
    with pytest.raises(LookwhyError, match="expected a head on boxes .* found DeeperLSTM; take Occlusion"):
        BoxDrop()(small_pipeline, small_batch, torch.zeros(3, dtype=torch.int64))
    with pytest.raises(LookwhyError, match="expected features of boxes for box_drop, found others"):
        BoxDrop()(model, replace(batch, boxes=None), torch.tensor([0, 1]))
    pixels = replace(batch, images=torch.zeros(2, 3, 8, 8).double())
    with pytest.raises(LookwhyError, match="expected features of boxes from data_img.h5, found pixels"):
        Occlusion(grid=2)(model, pixels, torch.tensor([0, 1]))
