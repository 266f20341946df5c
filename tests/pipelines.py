"""A small real pipeline and a batch for it, shared by the tests of several rooms (see conftest.py)."""

import pytest
import torch
from known_models import make_batch
from torch import nn

from lookwhy.models import DeeperLSTM, Pipeline

TARGET = torch.tensor([1, 2, 3])
"""Answers of the small pipeline to explain, one for each question of the small batch."""


@pytest.fixture
def small_pipeline():
    """A real pipeline in double precision, small enough for finite differences."""
    torch.manual_seed(0)
    tower = nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(inplace=True), nn.MaxPool2d(2),
        nn.Conv2d(4, 6, 3, padding=1), nn.ReLU(inplace=True), nn.MaxPool2d(2), nn.Flatten(),
    )  # fmt: skip
    head = DeeperLSTM(9, 5, 6 * 4 * 4, embedding_size=6, hidden_size=5, common_size=8)
    for parameter in head.parameters():
        parameter.data.mul_(12)  # the +-0.08 start would answer everything alike
    return Pipeline(tower, head).double().eval()


@pytest.fixture
def small_batch():
    generator = torch.Generator().manual_seed(5)
    images = torch.randn(2, 3, 16, 16, generator=generator, dtype=torch.float64)
    return make_batch(images[[0, 0, 1]], ((1, 2, 3, 4), (5, 6), (7,)), image_ids=[10, 10, 11])
