"""Families of masks: their distributions, that the image fixes them, and the fills."""

import numpy as np
import pytest
import torch
from torch import nn

from lookwhy.towers import ImageRecipe, Memory, Tower
from lookwhy.towers.masks import Coalitions, SoftMasks, Squares, copies_of, fill_of

IMAGE = torch.rand(3, 24, 36, generator=torch.Generator().manual_seed(0))
FAMILIES = [SoftMasks(200), Coalitions(200, cells=4), Coalitions(200, cells=4, drawn="shapley"), Squares(200)]


@pytest.mark.parametrize(
    "family", FAMILIES, ids=lambda one: f"{type(one).__name__} {getattr(one, 'drawn', '')}"
)
def test_the_image_and_the_seed_fix_the_masks(family):
    masks = family.masks(IMAGE)
    assert masks.shape == (200, 24, 36)
    assert 0 <= float(masks.min()) <= float(masks.max()) <= 1
    assert torch.equal(family.masks(IMAGE.clone()), masks)
    assert not torch.equal(family.masks(IMAGE + 1e-3), masks)
    assert not torch.equal(type(family)(200, seed=1).masks(IMAGE), masks)
    shares = family.shares(IMAGE, 4)
    by_hand = masks.view(200, 4, 6, 4, 9).mean((2, 4))
    torch.testing.assert_close(shares, by_hand)


@pytest.mark.parametrize("family", FAMILIES, ids=lambda one: type(one).__name__)
def test_a_changed_copy_of_an_image_may_have_its_masks(family):
    copy = IMAGE + 1e-3
    with copies_of([IMAGE], [copy]):
        assert torch.equal(family.masks(copy), family.masks(IMAGE))
    assert not torch.equal(family.masks(copy), family.masks(IMAGE))


def test_soft_masks_keep_each_pixel_with_their_probability_and_are_smooth():
    masks = SoftMasks(4000, kept=0.3, cells=5).masks(IMAGE)
    assert float(masks.mean(0).sub(0.3).abs().max()) < 0.05
    # From a kept cell to a hidden one the mask falls over a cell's side: 5 rows, 8 columns.
    assert float(masks.diff(dim=1).abs().max()) <= 1 / 5 + 1e-6
    assert float(masks.diff(dim=2).abs().max()) <= 1 / 8 + 1e-6
    assert 0 < float(((masks > 0.01) & (masks < 0.99)).float().mean()) < 1


def test_coalitions_are_of_whole_cells_and_all_of_them_if_there_are_as_many():
    every = Coalitions(16, cells=2)
    assert every.is_complete
    assert len({tuple(row) for row in every.kept(IMAGE)}) == 16
    assert not every.kept(IMAGE)[0].any()
    assert np.array_equal(every.kept(IMAGE), every.kept(IMAGE + 1))
    assert not Coalitions(15, cells=2).is_complete
    drawn = Coalitions(15, cells=2)
    masks = drawn.masks(IMAGE).view(15, 2, 12, 2, 18)
    assert torch.equal(masks.amin((2, 4)), masks.amax((2, 4)))
    assert np.array_equal(masks[:, :, 0, :, 0].flatten(1).bool().numpy(), drawn.kept(IMAGE))


def test_the_sizes_of_shapley_coalitions_follow_the_kernel():
    kept = Coalitions(20_001, cells=4, drawn="shapley").kept(IMAGE)[1:]
    sizes = np.bincount(kept.sum(1), minlength=17)[1:16] / len(kept)
    kernel = np.array([1 / (s * (16 - s)) for s in range(1, 16)])
    np.testing.assert_allclose(sizes, kernel / kernel.sum(), atol=0.012)
    np.testing.assert_allclose(kept.mean(0), 0.5, atol=0.015)


def test_squares_remove_one_square_inside_the_image():
    masks = 1 - Squares(300, smallest=0.25, largest=0.5).masks(IMAGE)
    for mask in masks:
        rows, columns = (mask.amax(axis).bool().sum().item() for axis in (1, 0))
        assert rows == columns == round(float(mask.sum()) ** 0.5)
        assert 6 <= rows <= 12
    assert float((masks.mean(0) > 0).float().mean()) > 0.97  # corners are removed rarely


def test_fills_are_the_gray_patch_or_the_blurred_image():
    recipe = ImageRecipe("caffe", 24, 36)
    torch.testing.assert_close(fill_of(IMAGE, recipe, "patch"), torch.zeros(3), atol=1e-4, rtol=0)
    blurred = fill_of(IMAGE, recipe, "blur")
    assert blurred.shape == IMAGE.shape
    assert float(blurred.std()) < 0.6 * float(IMAGE.std())
    line = torch.zeros(3, 224, 224)
    line[:, :, 112] = 1.0
    profile = fill_of(line, None, "blur")[0, 112]
    expected = np.exp(-((np.arange(224) - 112.0) ** 2) / 50)
    np.testing.assert_allclose(profile, expected / expected.sum(), atol=2e-5)


def test_the_bank_is_stored_by_image_family_fill_and_network_and_goes_on_after_a_kill(tmp_path):
    passes = []

    class Counter(nn.Module):
        def forward(self, x):
            passes.append(len(x))
            return x.flatten(1)

    tower = Tower(Counter(), memory=Memory(tmp_path))
    family = Coalitions(16, cells=2)
    clean, masked = tower.under_masks(IMAGE, family)
    assert sum(passes) == 17
    assert tower.has_under_masks(IMAGE, family, "patch")
    assert not tower.has_under_masks(IMAGE, family, "blur")
    assert not tower.has_under_masks(IMAGE, SoftMasks(16), "patch")
    torch.testing.assert_close(
        masked.view(16, 3, 24, 36), IMAGE * family.masks(IMAGE)[:, None], atol=1e-3, rtol=0
    )
    torch.testing.assert_close(clean, IMAGE.flatten())
    again = Tower(Counter(), memory=Memory(tmp_path))
    assert torch.equal(again.under_masks(IMAGE, family)[1], masked)
    assert sum(passes) == 17
    again.under_masks(IMAGE + 1, family)  # the next image of a bank that was stopped
    assert sum(passes) == 34
