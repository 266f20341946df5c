"""Word drop and word gradient, by hand and against finite differences."""

import pytest
import torch
from known_models import LinearBlackBox, make_batch
from pipelines import TARGET
from torch.testing import assert_close

from lookwhy.attribution import WordDrop, WordGradient
from lookwhy.attribution.word_drop import whole_and_without

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
