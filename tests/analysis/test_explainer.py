"""The core of explain and serve against the attribution methods themselves, called directly."""

from concurrent.futures import ThreadPoolExecutor
from itertools import product

import numpy as np
import pytest
import torch
from PIL import Image

from lookwhy.analysis import AnalysisPlan
from lookwhy.analysis.explain import Explainer
from lookwhy.attribution import GuidedBackprop, Occlusion, WordDrop, WordGradient, explaining
from lookwhy.errors import LookwhyError
from lookwhy.models import load_checkpoint
from lookwhy.towers.recipe import read_rgb
from lookwhy.types import VQABatch

QUESTION = "what color is the ball ?"


@pytest.fixture(scope="module")
def run(tiny_checkpoint):
    return load_checkpoint(tiny_checkpoint)


@pytest.fixture(scope="module")
def pictures(tiny_world):
    return [read_rgb(path) for path in sorted((tiny_world / "images" / "shapes_val").glob("*.png"))[:3]]


@pytest.fixture(scope="module")
def explainer(run):
    return Explainer(run, AnalysisPlan())


def answer(run, pixels, question):
    """Probabilities of the answers by a model of its own."""
    tokens, lengths, words = run.encode(question)
    with torch.no_grad():
        return run.pipeline().answer_scores(pixels[None], tokens, lengths), tokens, lengths, words


def direct(run, explainer, picture, question, method):
    """A method's own call, on pixels, with a model of its own."""
    pixels, none = explainer.recipe.pixels(picture), torch.tensor([-1])
    scores, tokens, lengths, _ = answer(run, pixels, question)
    model = run.pipeline()
    with explaining(model):
        batch = VQABatch(none, tokens, lengths, none, none, images=pixels[None])
        return method(model, batch, scores.argmax(1))


@pytest.mark.parametrize(
    "method", [GuidedBackprop(), Occlusion(), WordGradient(), WordDrop()], ids=lambda m: m.name
)
def test_maps_are_those_of_the_method_called_directly(run, explainer, pictures, method):
    for question in (QUESTION, "is there a red box ?"):
        found = explainer.explain(explainer.look(pictures[0]), question)
        (ours,) = [one for one in found.of(method.domain) if one.method == method.name]
        theirs = direct(run, explainer, pictures[0], question, method)
        np.testing.assert_allclose(ours.values, theirs.values[0].numpy(), rtol=1e-4, atol=1e-7)
        assert ours.signed == theirs.signed
        assert np.abs(ours.values).max() > 0


def test_answers_are_the_five_likeliest_of_the_pipeline(run, explainer, pictures):
    found = explainer.explain(explainer.look(pictures[1]), QUESTION)
    scores, _, _, words = answer(run, explainer.recipe.pixels(pictures[1]), QUESTION)
    order = scores[0].argsort(descending=True)[:5].tolist()
    assert [one.text for one in found.answers] == [run.answers[i] for i in order]
    assert [one.probability for one in found.answers] == pytest.approx(scores[0, order].tolist())
    assert list(found.words) == words


def decreases(explainer, picture, question, key, places):
    """Decrease of the best answer's probability without each of some cells or words."""
    seen = explainer.look(picture)
    best = explainer.explain(seen, question).answers[0]
    for place in places:
        after = explainer.change(seen, question, asked=[best.answer_id], **{key: [place]})
        yield best.probability - after.probabilities[0]


def test_a_cell_painted_over_costs_what_occlusion_says(run, explainer, pictures):
    expected = direct(run, explainer, pictures[0], QUESTION, Occlusion()).values[0].flatten()
    cells = [0, 255, int(expected.abs().argmax())]
    found = list(decreases(explainer, pictures[0], QUESTION, "cells", cells))
    assert found == pytest.approx(expected[cells].tolist(), abs=1e-5)


def test_a_word_dropped_costs_what_word_drop_says_also_with_unknown_in_its_place(run, explainer, pictures):
    drop = WordDrop(unknown=len(run.vocabulary))
    with_unknown = Explainer(run, AnalysisPlan(question_methods=[drop]))
    for one, method, question in ((explainer, WordDrop(), QUESTION), (with_unknown, drop, "ball")):
        expected = direct(run, explainer, pictures[0], question, method).values[0].tolist()
        found = list(decreases(one, pictures[0], question, "words", range(len(question.split()))))
        assert found == pytest.approx(expected, abs=1e-6)


def test_several_cells_and_words_at_once_are_a_picture_painted_by_hand_and_a_shorter_question(
    run, explainer, pictures
):
    seen = explainer.look(pictures[2])
    best = explainer.explain(seen, QUESTION).answers[0]
    side = explainer.recipe.height // 16
    # The patch is the mean pixel, which has no exact 8-bit colour: painted in the network's own range.
    pixels = explainer.recipe.pixels(pictures[2])
    colour = explainer.recipe.color((123.68, 116.779, 103.939))
    for row, column in ((2, 5), (15, 0)):
        pixels[:, row * side : (row + 1) * side, column * side : (column + 1) * side] = colour[:, None, None]
    expected = float(answer(run, pixels, "what color ball ?")[0][0, best.answer_id])
    change = explainer.change(seen, QUESTION, [2 * 16 + 5, 15 * 16], [2, 3], [best.answer_id])
    assert change.probabilities[0] == pytest.approx(expected, abs=1e-6)


def test_nothing_taken_away_changes_nothing(explainer, pictures):
    seen = explainer.look(pictures[0])
    before = explainer.explain(seen, QUESTION).answers
    after = explainer.change(seen, QUESTION, asked=[one.answer_id for one in before])
    assert after.probabilities == pytest.approx([one.probability for one in before])
    assert [one.answer_id for one in after.answers] == [one.answer_id for one in before]


@pytest.mark.parametrize(
    ("gone", "told"),
    [
        ({"words": range(6)}, "expected a word left to ask"),
        ({"words": [6]}, "expected words from 0 to 5, found 6"),
        ({"cells": [256]}, "expected cells from 0 to 255, found 256"),
        ({"cells": [-1]}, "found -1"),
        ({"asked": [10_000]}, "expected answers from 0"),
    ],
)
def test_what_cannot_be_taken_away_is_an_error(explainer, pictures, gone, told):
    with pytest.raises(LookwhyError, match=told):
        explainer.change(explainer.look(pictures[0]), QUESTION, **gone)


def test_a_single_word_has_nothing_to_drop_and_no_word_is_no_question(explainer, pictures):
    found = explainer.explain(explainer.look(pictures[0]), "ball")
    (drop,) = [one for one in found.of("question") if one.method == "word_drop"]
    assert np.isnan(drop.values).tolist() == [True]
    with pytest.raises(LookwhyError, match="expected a question"):
        explainer.explain(explainer.look(pictures[0]), "   ")


def test_notes_say_what_the_model_did_not_read(explainer, pictures):
    seen = explainer.look(pictures[0])
    assert explainer.explain(seen, QUESTION).notes == ()
    (many,) = explainer.explain(seen, "what color is the ball " * 200).notes
    assert many == "The model reads the first 26 words, as in training; 974 more are left out."
    (some,) = explainer.explain(seen, "what color is the zyx ?").notes
    assert "does not know “zyx”" in some
    found = explainer.explain(seen, "zyx wvu ?")
    assert "knows none of these words" in found.notes[0]
    assert found.known == (False, False, True)


def test_threads_get_what_one_at_a_time_gets(explainer, pictures):
    asked = list(product(pictures[:2], (QUESTION, "how many boxes are there ?")))

    def explain(picture, question):
        seen = explainer.look(picture)
        found = explainer.explain(seen, question)
        change = explainer.change(seen, question, cells=[100], words=[1], asked=[0, 1])
        probabilities = [one.probability for one in found.answers], change.probabilities
        return probabilities, [one.values for one in found.maps]

    alone = [explain(*one) for one in asked]
    with ThreadPoolExecutor(len(asked)) as threads:
        together = list(threads.map(explain, *zip(*asked, strict=True)))
    for ours, theirs in zip(together, alone, strict=True):
        assert ours[0] == theirs[0]
        for one, other in zip(ours[1], theirs[1], strict=True):
            np.testing.assert_array_equal(one, other)


def test_an_image_of_any_size_is_seen_as_the_recipe_says(explainer):
    for size in ((1, 1), (300, 20)):
        seen = explainer.look(Image.new("RGB", size, (10, 200, 30)))
        assert seen.pixels.shape == (3, explainer.recipe.height, explainer.recipe.width)
