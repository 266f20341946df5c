"""The image network of the synthetic shapes data: a small VGG-style CNN for pictures of 64x64 pixels.

Four 3x3 convolutions with pooling reduce a picture to a 3x3 grid, one cell for each place of a scene. A 1x1
convolution computes the features of each place. `lookwhy.data.shapes.network` trains the network.
"""

from __future__ import annotations

from torch import nn

from lookwhy.towers.recipe import ImageRecipe

SIDE = 64
"""Height and width of a picture, in pixels."""
RECIPE = ImageRecipe("caffe", SIDE, SIDE)
CHANNELS = 96
"""Number of features of each place; the feature vector has CHANNELS x 3 x 3 numbers."""


def build_shapes_cnn() -> nn.Sequential:
    """Build the network: pixels (B, 3, 64, 64) of the Caffe recipe to features (B, CHANNELS * 9)."""
    return nn.Sequential(
        nn.Conv2d(3, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(64, 96, 3), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(96, CHANNELS, 1), nn.ReLU(), nn.Flatten(),
    )  # fmt: skip
