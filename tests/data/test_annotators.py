"""Annotator maps on the grid, judged by NumPy."""

import numpy as np
import pytest
from PIL import Image

from lookwhy.data.annotators import find_annotator_maps, load_annotator_maps


@pytest.fixture
def picture(tmp_path):
    gray = np.random.default_rng(0).integers(0, 256, (32, 48), np.uint8)
    Image.fromarray(gray).save(tmp_path / "77_1.png")
    return gray.astype(float), find_annotator_maps(tmp_path)


def test_area_averages_over_each_cell(picture):
    gray, files = picture
    found = load_annotator_maps(files, [77], 16)[77][0]
    np.testing.assert_allclose(found, gray.reshape(16, 2, 16, 3).mean((1, 3)), rtol=1e-5)


def test_bilinear_weighs_neighbours_by_their_distance(picture):
    gray, files = picture
    found = load_annotator_maps(files, [77], 16, "bilinear")[77][0]

    def weights(length):  # a triangle as wide as two cells round each cell's middle
        scale = length / 16
        apart = np.abs(np.arange(length) + 0.5 - (np.arange(16)[:, None] + 0.5) * scale) / scale
        triangle = np.clip(1 - apart, 0, None)
        return triangle / triangle.sum(1, keepdims=True)

    np.testing.assert_allclose(found, weights(32) @ gray @ weights(48).T, rtol=1e-4)
