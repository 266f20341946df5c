"""Small networks that the engines of the towers recompute in part or run as a whole."""

import torch
from torch import nn


def vgg_like():
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(inplace=True), nn.Conv2d(4, 4, 3, padding=(0, 2), bias=False),
        nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 6, 3, padding=1), nn.ReLU(inplace=True), nn.MaxPool2d(2),
    )  # fmt: skip


def nested_with_linear_tail():
    tail = [nn.Linear(150, 20), nn.ReLU(), nn.Dropout(), nn.Linear(20, 9), nn.ReLU(inplace=True)]
    return nn.Sequential(vgg_like(), nn.AdaptiveAvgPool2d(5), nn.Sequential(nn.Flatten(), *tail))


class Residual(nn.Module):
    """No sequence of layers: a residual connection, a module ReLU, a mean over all places."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 6, 3, padding=1), nn.Conv2d(6, 6, 3, padding=1)
        self.relu = nn.ReLU()

    def forward(self, x):
        x = self.relu(self.first(x))
        return (x + self.relu(self.second(x))).mean((2, 3))


def ready(make):
    """The network in double precision and eval mode, with weights of the size of a trained network's."""
    torch.manual_seed(0)
    network = make().to_empty(device="cpu").double().eval()
    for layer in network.modules():
        if hasattr(layer, "reset_parameters"):
            layer.reset_parameters()
        if isinstance(layer, (nn.Conv2d, nn.Linear)):
            nn.init.kaiming_normal_(layer.weight)
        elif isinstance(layer, nn.BatchNorm2d) and layer.track_running_stats:
            layer.running_mean.normal_(std=0.1)
            layer.running_var.uniform_(0.5, 2)
    return network
