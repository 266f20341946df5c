"""Copies of models with random weights: all of them, and of the classifier alone."""

import pytest
import torch
from torch import nn

from lookwhy.errors import LookwhyError
from lookwhy.models import MCAN, SAN, DeeperLSTM
from lookwhy.models.random_parts import classifier_of, with_random_classifier, with_random_weights

HEADS = [
    DeeperLSTM(9, 5, 16, embedding_size=6, hidden_size=5, common_size=8),
    SAN(9, 5, 32, regions=4, embedding_size=6, hidden_size=5, attention_size=4),
    MCAN(9, 5, 32, regions=4, embedding_size=6, hidden_size=8, feed_forward_size=4, common_size=8),
]


class Scale(nn.Module):
    """A weight that cannot reset itself."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.arange(100.0))

    def forward(self, x):
        return x * self.weight.sum()


def network():
    return nn.Sequential(nn.Conv2d(3, 3, 3), nn.ReLU(), nn.Conv2d(3, 3, 3), nn.BatchNorm2d(3), Scale())


@pytest.mark.parametrize("head", HEADS, ids=lambda head: type(head).__name__)
def test_a_random_head_is_an_untrained_one_and_a_random_classifier_changes_the_last_layer_alone(head):
    torch.manual_seed(0)
    before, state = {name: x.clone() for name, x in head.state_dict().items()}, torch.get_rng_state()
    random, classifier = with_random_weights(head, 1), with_random_classifier(head, 1)
    assert torch.get_rng_state().equal(state)
    assert all(x.equal(before[name]) for name, x in head.state_dict().items())
    assert classifier_of(head) == "classify"
    torch.manual_seed(1)
    fresh = type(head)(**head.settings).state_dict()
    for name, x in random.state_dict().items():
        assert x.equal(fresh[name])
        # All new heads have the same constants: scales of 1, biases of 0.
        is_constant = x.numel() > 1 and before[name].unique().numel() == 1
        assert x.equal(before[name]) == is_constant
        wanted = fresh if name.startswith("classify.") else before
        assert classifier.state_dict()[name].equal(wanted[name])
    assert not with_random_weights(head, 2).classify.weight.equal(random.classify.weight)


def test_every_weight_of_any_network_becomes_random_and_layers_alike_become_different():
    first = network()
    for name in ("running_mean", "running_var", "weight", "bias"):
        getattr(first[3], name).data.fill_(3.0)
    again, random = with_random_weights(first, 0), with_random_weights(first, 0)
    for name, x in random.state_dict().items():
        assert x.equal(again.state_dict()[name])
        if name not in ("3.weight", "3.bias", "3.num_batches_tracked"):  # a new batch norm has 1 and 0
            assert not x.equal(first.state_dict()[name]), name
    assert not random[0].weight.equal(random[2].weight)
    assert random[3].running_mean.equal(torch.zeros(3))
    # A weight that cannot reset itself has its values in another order.
    assert random[4].weight.sort().values.equal(first[4].weight)


def test_a_head_without_weights_is_refused():
    with pytest.raises(LookwhyError, match="expected a head with weights, .* found none in ReLU"):
        classifier_of(nn.ReLU())
