"""Word drop and word gradient, by hand and against finite differences."""

from dataclasses import replace
from itertools import permutations

import numpy as np
import pytest
import torch
from known_models import LinearBlackBox, make_batch
from pipelines import TARGET
from torch.testing import assert_close

from lookwhy.attribution import WordDrop, WordGradient, WordKernelSHAP
from lookwhy.attribution.word_drop import whole_and_without
from lookwhy.errors import LookwhyError

WORTH = torch.tensor([0.0, 0.1, -0.2, 0.4], dtype=torch.float64)


def explain(method, *words):
    """Maps of one question in a model where the probability is the sum of the words' worth."""
    model = LinearBlackBox(torch.zeros(3, 4, 4).double(), WORTH)
    return method(model, make_batch(torch.zeros(1, 3, 4, 4), (words,)), torch.tensor([0]))


def test_a_dropped_word_shortens_the_question_or_becomes_unknown_and_its_importance_is_its_worth():
    variants = [words.tolist() for words in whole_and_without(torch.tensor([5, 6, 7, 0, 0]), 3)]
    assert variants == [[5, 6, 7], [6, 7], [5, 7], [5, 6]]
    variants = [words.tolist() for words in whole_and_without(torch.tensor([5, 6, 7, 0]), 3, unknown=9)]
    assert variants == [[5, 6, 7], [9, 6, 7], [5, 9, 7], [5, 6, 9]]
    # The importance in an additive model is the worth of each word.
    maps = explain(WordDrop(), 3, 2, 1)
    assert_close(maps.values[0], torch.tensor([0.4, -0.2, 0.1]))
    # -0.1 is left without the first word, 0.5 without the second, 0.2 without the third: p < 0.5 speaks for
    # answer 1, and the tie goes to answer 0.
    assert maps.flips.tolist() == [2]
    # A question of one word is undefined and not zero; with an unknown word in its place, it is defined.
    assert not explain(WordDrop(), 2).valid.any()
    maps = explain(WordDrop(unknown=1), 3)
    assert_close(maps.values[0], torch.tensor([0.4 - 0.1]))
    assert maps.valid.all()


SIZES = {"l2": torch.norm, "l1": lambda g: g.abs().sum(), "max": lambda g: g.abs().max()}


@pytest.mark.parametrize("explains", ["probability", "logit"])
@pytest.mark.parametrize("norm", SIZES)
def test_word_gradient_equals_finite_differences(small_pipeline, small_batch, norm, explains):
    maps = WordGradient(norm, explains)(small_pipeline, small_batch, TARGET)
    assert maps.target == f"{explains} of the predicted answer"
    head = small_pipeline.head
    view = head.look(small_pipeline.features(small_batch.images)).detach()
    embedded = head.embed(small_batch.tokens).detach()

    def score(row, place, step):
        moved = embedded.clone()
        moved[row, place] += step
        logits = head.answer(view, head.read(moved, small_batch.lengths))[row]
        return (logits.softmax(0) if explains == "probability" else logits)[TARGET[row]]

    steps = 1e-6 * torch.eye(embedded.shape[2], dtype=torch.float64)
    for row, place in ((0, 0), (0, 3), (1, 1), (2, 0)):
        slope = torch.stack([score(row, place, step) - score(row, place, -step) for step in steps]) / 2e-6
        assert_close(maps.values[row, place].double(), SIZES[norm](slope), rtol=1e-4, atol=1e-9)
    assert maps.valid.tolist() == [[True] * 4, [True, True, False, False], [True, False, False, False]]


def shapley_by_orders(value, players):
    """Shapley values by their definition: the mean gain over all orders."""
    found, orders = np.zeros(players), list(permutations(range(players)))
    for order in orders:
        asked = set()
        for player in order:
            before = value(asked)
            asked = asked | {player}
            found[player] += (value(asked) - before) / len(orders)
    return found


def test_shapley_values_of_words_are_the_mean_over_all_orders_and_a_sample_comes_near(
    small_pipeline, small_batch
):
    maps = WordKernelSHAP()(small_pipeline, small_batch, TARGET)
    assert maps.valid.sum(1).tolist() == small_batch.lengths.tolist()
    head = small_pipeline.head
    with torch.no_grad():
        view = head.look(small_pipeline.features(small_batch.images))

        def value(asked, row=0):
            tokens = [int(small_batch.tokens[row, place]) for place in sorted(asked)]
            embedded = head.embed(torch.tensor([tokens])) if tokens else torch.zeros(1, 1, 6).double()
            code = head.read(embedded, torch.tensor([max(1, len(tokens))]))
            return float(head.answer(view[row : row + 1], code).softmax(1)[0, TARGET[row]])

        assert_close(maps.values[0].double().numpy(), shapley_by_orders(value, 4), atol=1e-7, rtol=0)
        gain = value({0}, 2) - value(set(), 2)
    assert float(maps.values[2, 0]) == pytest.approx(gain, abs=1e-7)  # a question of one word
    # Seven words have 128 coalitions, so that 127 are a sample.
    long = small_batch.take(torch.tensor([0]))
    long = replace(long, tokens=torch.tensor([[1, 2, 3, 4, 5, 6, 7]]), lengths=torch.tensor([7]))
    exact, sample = (
        WordKernelSHAP(samples)(small_pipeline, long, TARGET[:1]).values for samples in (128, 127)
    )
    assert float(exact.sum()) == pytest.approx(float(sample.sum()), abs=1e-6)
    assert 1e-7 < float((exact - sample).abs().max()) < 0.3 * float(exact.abs().max())


def test_a_model_that_cannot_be_asked_without_words_has_no_shapley_values():
    with pytest.raises(
        LookwhyError, match="VQAHead for WordKernelSHAP, .* found LinearBlackBox; .* WordDrop"
    ):
        explain(WordKernelSHAP(), 1)
    with pytest.raises(LookwhyError, match="samples of at least 64 for WordKernelSHAP, found 3"):
        WordKernelSHAP(3)
