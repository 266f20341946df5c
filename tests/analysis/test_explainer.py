"""The core of explain and serve, against the attribution methods called directly."""

import numpy as np
import pytest
import torch

from lookwhy.analysis import AnalysisPlan
from lookwhy.analysis.explain import Explainer
from lookwhy.attribution import Occlusion, WordDrop, explaining
from lookwhy.errors import LookwhyError
from lookwhy.models import load_checkpoint
from lookwhy.towers.recipe import read_rgb
from lookwhy.types import VQABatch

QUESTION = "what color is the ball ?"
PLAN = AnalysisPlan()


@pytest.fixture(scope="module")
def run(tiny_checkpoint):
    return load_checkpoint(tiny_checkpoint)


@pytest.fixture(scope="module")
def pictures(tiny_world):
    return [read_rgb(path) for path in sorted((tiny_world / "images" / "shapes_val").glob("*.png"))[:3]]


@pytest.fixture(scope="module")
def explainer(run):
    return Explainer(run, PLAN)


@pytest.fixture(scope="module")
def view(explainer, pictures):
    return explainer.look(pictures[0])


def answer(run, pixels, question):
    """Probabilities of the answers from a model of its own, tokens and lengths."""
    tokens, lengths, _ = run.encode(question)
    with torch.no_grad():
        return run.pipeline().answer_scores(pixels[None], tokens, lengths)[0], tokens, lengths


def direct(run, view, question, method):
    """Maps of a method called on pixels with a model of its own."""
    scores, tokens, lengths = answer(run, view.pixels, question)
    none, model = torch.tensor([-1]), run.pipeline()
    with explaining(model):
        batch = VQABatch(none, tokens, lengths, none, none, images=view.pixels[None])
        return method(model, batch, scores.argmax()[None])


@pytest.mark.parametrize("method", PLAN.methods, ids=lambda method: f"{method.domain} {method.name}")
def test_maps_are_those_of_the_method_called_directly(run, explainer, view, method):
    for question in (QUESTION, "is there a red box ?"):
        found = explainer.explain(view, question)
        (ours,) = [one for one in found.of(method.domain) if one.method == method.name]
        theirs = direct(run, view, question, method)
        np.testing.assert_allclose(ours.values, theirs.values[0].numpy(), rtol=1e-4, atol=1e-7)
        assert ours.signed == theirs.signed
        assert np.abs(ours.values).max() > 0


def test_answers_are_the_five_likeliest_of_the_pipeline_also_when_nothing_is_removed(run, explainer, view):
    found = explainer.explain(view, QUESTION)
    scores, _, _ = answer(run, view.pixels, QUESTION)
    order = scores.argsort(descending=True)[:5].tolist()
    assert [one.text for one in found.answers] == [run.answers[i] for i in order]
    assert [one.probability for one in found.answers] == pytest.approx(scores[order].tolist())
    assert list(found.words) == run.encode(QUESTION)[2]
    after = explainer.change(view, QUESTION, asked=order)
    assert after.probabilities == pytest.approx(scores[order].tolist())
    assert [one.answer_id for one in after.answers] == [one.answer_id for one in found.answers]


def decreases(explainer, view, question, key, places):
    """Decrease of the best answer's probability without each of some cells or words."""
    best = explainer.explain(view, question).answers[0]
    changes = [explainer.change(view, question, asked=[best.answer_id], **{key: [place]}) for place in places]
    return [best.probability - change.probabilities[0] for change in changes]


def test_a_painted_cell_or_a_dropped_word_costs_as_much_as_in_the_method(run, explainer, view):
    (single,) = [one for one in explainer.explain(view, "ball").of("question") if one.method == "word_drop"]
    assert np.isnan(single.values).tolist() == [True]  # a single word has nothing to drop
    cells, expected = [0, 100, 255], direct(run, view, QUESTION, Occlusion()).values[0].flatten()
    cells.append(int(expected.abs().argmax()))
    found = decreases(explainer, view, QUESTION, "cells", cells)
    assert found == pytest.approx(expected[cells].tolist(), abs=1e-5)
    drop = WordDrop(unknown=len(run.vocabulary))
    with_unknown = Explainer(run, AnalysisPlan(question_methods=[drop]))
    for one, method, question in ((explainer, WordDrop(), QUESTION), (with_unknown, drop, "ball")):
        expected = direct(run, view, question, method).values[0]
        found = decreases(one, view, question, "words", range(len(question.split())))
        # oneDNN rounds a question in single precision differently in another batch.
        assert found == pytest.approx(expected.tolist(), abs=1e-5)


def test_several_cells_and_words_equal_a_painted_picture_and_a_shorter_question(run, explainer, pictures):
    view = explainer.look(pictures[2])
    best = explainer.explain(view, QUESTION).answers[0].answer_id
    # The patch is the mean pixel, which has no exact 8-bit colour: paint in the network's input range.
    side, pixels = explainer.recipe.height // 16, view.pixels.clone()
    colour = explainer.recipe.color((123.68, 116.779, 103.939))[:, None, None]
    for row, column in ((2, 5), (15, 0)):
        pixels[:, row * side : (row + 1) * side, column * side : (column + 1) * side] = colour
    expected = float(answer(run, pixels, "what color ball ?")[0][best])
    change = explainer.change(view, QUESTION, [2 * 16 + 5, 15 * 16], [2, 3], [best])
    assert change.probabilities[0] == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    ("removed", "message"),
    [({"words": range(6)}, "expected a word left to ask"), ({"words": [6]}, "expected words from 0 to 5, found 6"),
     ({"cells": [256]}, "expected cells from 0 to 255, found 256"), ({"cells": [-1]}, "found -1"),
     ({"asked": [10_000]}, "expected answers from 0")],
)  # fmt: skip
def test_a_part_that_cannot_be_removed_is_an_error(explainer, view, removed, message):
    with pytest.raises(LookwhyError, match=message):
        explainer.change(view, QUESTION, **removed)


SAME = "unknown words are all the same to it."


@pytest.mark.parametrize(
    ("question", "note", "known"),
    [
        (QUESTION, "", [True] * 6),
        (QUESTION * 200, "The model reads the first 26 words, as in training; 1174 more are left out.", [True] * 26),
        ("what color is the zyx ?", f"The model does not know “zyx”: {SAME}", [True] * 4 + [False, True]),
        ("zyx wvu ?", f"The model knows none of these words: {SAME}", [False, False, True]),
    ],
)  # fmt: skip
def test_notes_name_the_words_that_the_model_did_not_read(explainer, view, question, note, known):
    found = explainer.explain(view, question)
    assert found.notes == ((note,) if note else ())
    assert list(found.known) == known
