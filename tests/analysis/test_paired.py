"""Paired differences: joined by question, whole images drawn, the undefined left out and counted."""

import numpy as np
import pytest
from scipy.stats import bootstrap

from lookwhy.analysis.paired import ACCURACY, CONFIDENCE, RHO, between_analyses, between_methods


def records(values, method="occlusion", images=None, ids=None, domain="image", question="what is it ?"):
    ids = range(len(values)) if ids is None else ids
    images = range(len(values)) if images is None else images
    return [
        {
            "question_id": i, "image_id": image, "question": question, "domain": domain, "method": method,
            "rho": value, "accuracy": 0.5, "confidence": 0.25,
        }
        for i, image, value in zip(ids, images, values, strict=True)
    ]  # fmt: skip


def rho_of(differences):
    return next(one for one in differences if one.measure == RHO)


def test_questions_are_joined_by_id_whatever_their_order():
    first = records([0.1, 0.2, 0.3], ids=[7, 8, 9])
    second = records([0.9, 0.4, 0.2], ids=[9, 7, 11])
    found = rho_of(between_analyses(first, second))
    assert found.estimate.mean == pytest.approx(((0.9 - 0.3) + (0.4 - 0.1)) / 2)
    assert (found.estimate.n, found.unmatched) == (2, 2)
    # The same id with another text is another question.
    assert between_analyses(first, records([0.1, 0.2, 0.3], ids=[7, 8, 9], question="how many ?")) == []


def test_undefined_values_are_left_out_and_counted():
    first = records([0.1, None, 0.3, float("nan")])
    second = records([0.2, 0.4, None, 0.1])
    found = rho_of(between_analyses(first, second)).estimate
    assert (found.n, found.n_undefined) == (1, 3)
    assert found.mean == pytest.approx(0.1)
    # Without annotators there is no difference of rank correlations.
    found = between_analyses(records([None, None]), records([None, None]))
    assert {one.measure for one in found} == {ACCURACY, CONFIDENCE}


def test_the_interval_is_scipys_where_every_image_has_one_question():
    rng = np.random.default_rng(3)
    one, other = rng.normal(0.2, 0.3, 80), rng.normal(0.3, 0.3, 80)
    found = rho_of(between_analyses(records(one), records(other), samples=20000)).estimate
    judge = bootstrap((other - one,), np.mean, n_resamples=20000, method="percentile", rng=rng)
    assert found.mean == pytest.approx((other - one).mean())
    assert found.ci_low == pytest.approx(judge.confidence_interval.low, abs=0.003)
    assert found.ci_high == pytest.approx(judge.confidence_interval.high, abs=0.003)


def test_whole_images_are_drawn():
    rng = np.random.default_rng(4)
    images = np.repeat(np.arange(30), 4)
    shift = np.repeat(rng.normal(0.1, 0.3, 30), 4)  # questions of an image shift together
    one = rng.normal(0, 0.05, 120)
    both = records(one, images=images), records(one + shift, images=images)
    found = rho_of(between_analyses(*both, samples=4000)).estimate
    means = [shift.reshape(30, 4)[rng.integers(30, size=30)].mean() for _ in range(4000)]
    low, high = np.percentile(means, [2.5, 97.5])
    assert found.ci_low == pytest.approx(low, abs=0.01)
    assert found.ci_high == pytest.approx(high, abs=0.01)
    apart = bootstrap((shift,), np.mean, n_resamples=4000, method="percentile", rng=rng).confidence_interval
    assert found.ci_high - found.ci_low > 1.5 * np.ptp(apart)


def test_the_interval_is_narrower_than_that_of_unpaired_values():
    rng = np.random.default_rng(5)
    hard = rng.normal(0, 1, 200)
    one, other = hard, hard + rng.normal(0.05, 0.02, 200)
    found = rho_of(between_analyses(records(one), records(other))).estimate
    assert found.ci_low > 0
    assert found.ci_high - found.ci_low < 0.01


def test_accuracy_and_confidence_are_counted_once_a_question():
    first = records([0.1, 0.2]) + records([None, None], "word_drop", domain="question")
    second = [dict(record, accuracy=1.0, confidence=0.5) for record in first]
    found = {one.measure: one for one in between_analyses(first, second)}
    assert (found[ACCURACY].estimate.mean, found[ACCURACY].estimate.n) == (0.5, 2)
    assert (found[CONFIDENCE].estimate.mean, found[CONFIDENCE].estimate.n) == (0.25, 2)


def test_methods_of_one_analysis_are_taken_against_each_other():
    both = records([0.1, 0.3], "guided_backprop") + records([0.2, 0.1], "occlusion")
    (found,) = between_methods(both + records([None, None], "word_drop", domain="question"))
    assert (found.first, found.second) == ("guided_backprop", "occlusion")
    assert found.estimate.mean == pytest.approx((0.1 - 0.2) / 2)
    assert len(between_methods(both + records([0.0, 0.5], "attention"))) == 3


def test_only_methods_of_both_analyses_are_compared():
    second = records([0.2, 0.3], "attention") + records([0.4, 0.5], "occlusion")
    found = [one for one in between_analyses(records([0.1, 0.2]), second) if one.measure == RHO]
    assert [one.first for one in found] == ["occlusion"]
