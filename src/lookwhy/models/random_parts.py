"""Copies of models with random weights, for sanity checks of attribution methods.

Weights become what they were before any training: a `VQAHead` is made anew from its settings, and any other
module resets each of its layers. Weights of a layer that cannot reset itself are shuffled, so that no trained
weight stays in its place.
"""

from __future__ import annotations

import copy

import torch
from torch import nn

from lookwhy.errors import LookwhyError
from lookwhy.models.protocol import VQAHead


def with_random_weights(module: nn.Module, seed: int) -> nn.Module:
    """A copy of a module with the weights of an untrained one; the seed's layers all differ.

    The random state of the process is unchanged.

    Example:
        >>> layer = nn.Linear(2, 2)
        >>> with_random_weights(layer, seed=0).weight.equal(layer.weight)
        False
    """
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        if isinstance(module, VQAHead) and hasattr(module, "settings"):
            head = copy.deepcopy(module)
            head.load_state_dict(type(module)(**module.settings).state_dict())
            return head
        found = copy.deepcopy(module).cpu()
        for layer in found.modules():
            if callable(reset := getattr(layer, "reset_parameters", None)):
                reset()
            else:
                for weight in layer.parameters(recurse=False):
                    weight.copy_(weight.flatten()[torch.randperm(weight.numel())].view_as(weight))
    device = next((one.device for one in module.parameters()), torch.device("cpu"))
    return found.to(device)


def with_random_classifier(head: nn.Module, seed: int) -> nn.Module:
    """A copy of a head whose last layer, which gives the answers, is that of `with_random_weights`."""
    found, fresh = copy.deepcopy(head), with_random_weights(head, seed)
    name = classifier_of(head)
    found.get_submodule(name).load_state_dict(fresh.get_submodule(name).state_dict())
    return found


def classifier_of(head: nn.Module) -> str:
    """Name of the last layer with own weights: "classify".

    Raises:
        LookwhyError: the head has no weights.

    Example:
        >>> classifier_of(nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 3)))
        '2'
    """
    names = [name for name, layer in head.named_modules() if [*layer.parameters(recurse=False)]]
    if not names:
        raise LookwhyError(
            f"expected a head with weights, which the sanity card makes random, found none in "
            f"{type(head).__name__}; leave sanity out of the plan"
        )
    return names[-1]
