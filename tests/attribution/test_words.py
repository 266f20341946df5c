import pytest
import torch
from known_models import LinearBlackBox, OnlyScores, make_batch

from lookwhy.attribution import WordDrop, WordGradient, explaining
from lookwhy.attribution.word_drop import whole_and_without
from lookwhy.models import Pipeline
from lookwhy.types import VQABatch


def test_dropping_a_word_shortens_the_question_or_makes_it_unknown():
    variants = whole_and_without(torch.tensor([5, 6, 7, 0, 0]), 3)
    assert [words.tolist() for words in variants] == [[5, 6, 7], [6, 7], [5, 7], [5, 6]]
    variants = whole_and_without(torch.tensor([5, 6, 7, 0]), 3, unknown=9)
    assert [words.tolist() for words in variants] == [[5, 6, 7], [9, 6, 7], [5, 9, 7], [5, 6, 9]]
    worth = torch.tensor([0.0, 0.1, -0.2, 0.4], dtype=torch.float64)
    model = LinearBlackBox(torch.zeros(3, 4, 4, dtype=torch.float64), worth)
    maps = WordDrop(unknown=1)(model, make_batch(torch.zeros(1, 3, 4, 4), ((3,),)), torch.tensor([0]))
    torch.testing.assert_close(maps.values[0], torch.tensor([0.4 - 0.1]))  # defined for one word, too
    assert maps.valid.all()


def test_importance_in_an_additive_model_is_the_worth_of_each_word():
    worth = torch.tensor([0.0, 0.1, -0.2, 0.4], dtype=torch.float64)
    model = LinearBlackBox(torch.zeros(3, 4, 4, dtype=torch.float64), worth)
    batch = make_batch(torch.zeros(1, 3, 4, 4), ((3, 2, 1),))
    maps = WordDrop()(model, batch, torch.tensor([0]))
    torch.testing.assert_close(maps.values[0], torch.tensor([0.4, -0.2, 0.1]))
    # Without the first word -0.1 is left and without the second 0.5, without the third 0.2: p < 0.5
    # speaks for answer 1, and the tie goes to answer 0.
    assert maps.flips.tolist() == [2]
    # A question of one word is undefined and not zero.
    maps = WordDrop()(model, make_batch(torch.zeros(1, 3, 4, 4), ((2,),)), torch.tensor([0]))
    assert not maps.valid.any()


def test_pipeline_and_black_box_agree_on_dropped_words(small_pipeline, small_batch):
    target = torch.tensor([1, 2, 3])
    with explaining(small_pipeline), torch.no_grad():
        ours = WordDrop()(small_pipeline, small_batch, target)
        plain = WordDrop()(OnlyScores(small_pipeline), small_batch, target)
    torch.testing.assert_close(ours.values, plain.values)
    assert torch.equal(ours.flips, plain.flips)


SIZES = {"l2": torch.norm, "l1": lambda g: g.abs().sum(), "max": lambda g: g.abs().max()}


@pytest.mark.parametrize("explains", ["probability", "logit"])
@pytest.mark.parametrize("norm", SIZES)
def test_word_gradient_equals_finite_differences(small_pipeline, small_batch, norm, explains):
    target = torch.tensor([1, 2, 3])
    maps = WordGradient(norm, explains)(small_pipeline, small_batch, target)
    assert maps.target == f"{explains} of the predicted answer"
    head = small_pipeline.head
    view = head.look(small_pipeline.features(small_batch.images)).detach()
    embedded = head.embed(small_batch.tokens).detach()

    def p(moved, row):
        logits = head.answer(view, head.read(moved, small_batch.lengths))
        return (logits.softmax(1) if explains == "probability" else logits)[row, target[row]]

    step = 1e-6
    for row, place in ((0, 0), (0, 3), (1, 1), (2, 0)):
        slope = torch.zeros(embedded.shape[2], dtype=torch.float64)
        for i in range(embedded.shape[2]):
            up, down = embedded.clone(), embedded.clone()
            up[row, place, i] += step
            down[row, place, i] -= step
            slope[i] = (p(up, row) - p(down, row)) / (2 * step)
        torch.testing.assert_close(maps.values[row, place].double(), SIZES[norm](slope), rtol=1e-4, atol=1e-9)
    assert maps.valid.tolist() == [[True] * 4, [True, True, False, False], [True, False, False, False]]


@pytest.mark.parametrize("method", [WordDrop(), WordDrop(unknown=3), WordGradient()])
def test_questions_about_many_images_get_what_each_alone_would(
    small_pipeline, small_batch, method, monkeypatch
):
    monkeypatch.setattr(Pipeline, "questions_at_once", 4)  # so that one question's variants are torn apart
    target = torch.tensor([1, 2, 3])
    small_batch.features = small_pipeline.features(small_batch.images).detach()
    small_batch.images, small_batch.questions = None, []
    parts = []
    for i, length in enumerate(small_batch.lengths.tolist()):
        part = {name: x[i : i + 1] for name, x in vars(small_batch).items() if isinstance(x, torch.Tensor)}
        parts.append(VQABatch(**part | {"tokens": part["tokens"][:, :length]}))
    together = VQABatch.concatenate(parts)
    assert torch.equal(together.tokens, small_batch.tokens)
    found = method(small_pipeline, together, target)
    for i, part in enumerate(parts):
        alone = method(small_pipeline, part, target[i : i + 1])
        length = int(part.lengths)
        torch.testing.assert_close(found.values[i, :length], alone.values[0], atol=1e-8, rtol=0)
        assert torch.equal(found.valid[i, :length], alone.valid[0])
        assert found.flips is None or found.flips[i] == alone.flips[0]
