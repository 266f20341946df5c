"""Cross-validated scores: scikit-learn's regressions, fold by fold, with C chosen inside."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from lookwhy.analysis.logistic import logistic_probabilities
from lookwhy.analysis.out_of_fold import SPLITS, STRENGTHS, fitted, image_folds, lacks_an_outcome


def made(n=120, features=4, seed=0):
    random = np.random.default_rng(seed)
    x = random.normal(size=(n, features)) * [1, 20, 0.1, 5][:features] + 3
    correct = random.random(n) < 1 / (1 + np.exp(-(x[:, 0] - 2)))
    return x, correct, np.sort(random.integers(0, n // 3, n))


def judge(x, correct, train, strength):
    model = make_pipeline(StandardScaler(), LogisticRegression(C=strength, max_iter=10_000, tol=1e-10))
    return model.fit(x[train], correct[train]).predict_proba(x)[:, 1]


@pytest.mark.parametrize("strength", [0.001, 0.1, 1.0, 1000.0])
def test_each_of_many_regressions_is_scikit_learns(strength):
    x, correct, _ = made()
    train = np.random.default_rng(1).random((6, len(x))) < 0.6
    found = logistic_probabilities(x, correct, train, np.full(6, strength))
    for row, own in zip(found, train, strict=True):
        np.testing.assert_allclose(row, judge(x, correct, own, strength), atol=2e-5)


def test_separated_outcomes_constant_features_and_many_questions_converge():
    x = np.column_stack([np.r_[-np.ones(20), np.ones(20)], np.full(40, 7.0), np.arange(40.0) % 2])
    correct, train = x[:, 0] > 0, np.ones((2, 40), bool)
    # Constant only within a training part: its coefficient is 0.
    train[1] = x[:, 2] == 0
    found = logistic_probabilities(x, correct, train, np.full(2, 100.0))
    for row, own in zip(found, train, strict=True):
        np.testing.assert_allclose(row, judge(x, correct, own, 100.0), atol=2e-4)
    x, correct, _ = made(9000)
    found = logistic_probabilities(x, correct, np.ones((1, 9000), bool), np.ones(1))
    np.testing.assert_allclose(found[0], judge(x, correct, slice(None), 1.0), atol=2e-5)


def test_scores_are_those_of_nested_loops_over_folds():
    x, correct, images = made()
    folds = image_folds(correct, images, 4)[:2]
    found = fitted(x, correct, folds)
    for split, fold in enumerate(folds):
        for one in range(4):
            inner = np.full((len(STRENGTHS), len(x)), np.nan)
            for row, strength in zip(inner, STRENGTHS, strict=True):
                for other in {*range(4)} - {one}:
                    there = fold == other
                    row[there] = judge(x, correct, (fold != one) & (fold != other), strength)[there]
            loss = -np.log(np.where(correct, inner, 1 - inner)[:, fold != one]).sum(1)
            best = int(np.argmin(loss))
            np.testing.assert_allclose(found.inner[split, one], inner[best], atol=1e-4)
            expected = judge(x, correct, fold != one, STRENGTHS[best])[fold == one]
            np.testing.assert_allclose(found.values[split, fold == one], expected, atol=1e-4)


def test_folds_hold_whole_images_and_differ_between_splits():
    _, correct, images = made()
    folds = image_folds(correct, images, 5)
    assert folds.shape == (SPLITS, len(images))
    assert all(len(np.unique(row[images == one])) == 1 for row in folds for one in np.unique(images))
    assert len(np.unique(folds, axis=0)) == SPLITS
    assert all(len(np.unique(row)) == 5 for row in folds)
    assert (folds == image_folds(correct, images, 5)).all()


def test_an_outcome_in_two_folds_only_is_missing_in_a_training_part():
    folds = np.array([[0, 0, 1, 1, 2, 2, 3, 3]])
    assert not lacks_an_outcome(folds, np.array([1, 0, 1, 0, 1, 0, 1, 1], bool))
    assert lacks_an_outcome(folds, np.array([1, 0, 1, 0, 1, 1, 1, 1], bool))
    assert lacks_an_outcome(folds, np.array([0, 1, 0, 1, 0, 0, 0, 0], bool))


@pytest.mark.parametrize(
    ("count", "folds", "share"), [(60, 3, 0.5), (240, 5, 0.8), (900, 5, 0.3), (400, 10, 0.9)]
)
def test_the_folds_are_those_of_scikit_learn(count, folds, share):
    random = np.random.default_rng(count)
    images = random.integers(0, count // 3, count) * 7
    correct = random.random(count) < share
    found = image_folds(correct, images, folds, seed=4)
    for number, row in enumerate(found):
        split = StratifiedGroupKFold(folds, shuffle=True, random_state=4 + number)
        expected = np.zeros(count, int)
        for fold, (_, test) in enumerate(split.split(correct, correct, images)):
            expected[test] = fold
        assert row.tolist() == expected.tolist()
