"""Failure prediction: features of the maps, cross-validation by image, areas by scikit-learn."""

import numpy as np
import pytest
import torch
from sklearn.metrics import auc, roc_auc_score

from lookwhy.analysis.failure import area_under_risk_coverage, failure_features, map_shape, predict_failure
from lookwhy.types import ImportanceMaps


def image_maps(values, flips=None):
    values, rows = torch.as_tensor(values), torch.arange(len(values))
    valid = torch.ones_like(values, dtype=torch.bool)
    return ImportanceMaps("occlusion", "image", values, valid, True, "", rows, rows, flips)


def test_a_telling_feature_predicts_and_a_random_one_does_not():
    random = np.random.default_rng(0)
    correct = random.random(600) < 0.7
    groups = np.repeat(np.arange(200), 3)
    telling = correct[:, None] + random.normal(scale=0.3, size=(600, 1))
    found = predict_failure(telling, correct, groups)
    assert found.accuracy > 0.9
    assert found.auroc > 0.95
    assert found.majority_accuracy == pytest.approx(correct.mean())
    silent = predict_failure(random.normal(size=(600, 2)), correct, groups)
    assert silent.auroc == pytest.approx(0.5, abs=0.07)


def test_questions_of_one_image_are_never_in_training_and_test():
    # The feature names the image and the outcome belongs to the image: only leakage could predict it.
    random = np.random.default_rng(1)
    outcome = random.permutation(np.repeat([True, False], 30))
    groups = np.repeat(np.arange(60), 10)
    features = np.eye(60)[groups]
    assert predict_failure(features, outcome[groups], groups).auroc < 0.6


def test_one_outcome_alone_is_undefined_and_says_why():
    found = predict_failure(np.zeros((10, 1)), np.ones(10, bool), np.arange(10))
    assert np.isnan(found.auroc)
    assert "0 questions of the rarer outcome" in found.reason
    assert found.curves == {}


def test_risk_coverage_of_ties_is_the_mean_over_their_orders():
    random = np.random.default_rng(2)
    probability, correct = random.integers(0, 4, 40) / 4, random.random(40) < 0.6
    jitters = 1e-6 * np.random.default_rng(0).random((400, 40))
    shuffled = [area_under_risk_coverage(probability + jitter, correct) for jitter in jitters]
    assert area_under_risk_coverage(probability, correct) == pytest.approx(np.mean(shuffled), abs=0.005)


def test_shape_of_a_point_and_of_a_flat_map():
    point = np.zeros((1, 4, 4))
    point[0, 1, 2] = -3.0
    flat = (1.0, 1 / 16, 0.0)
    for values, shape in (
        (point, (0.0, 1.0, 15 / 16)),
        (np.ones((1, 4, 4)), flat),
        (np.zeros((1, 4, 4)), flat),
    ):
        assert map_shape(image_maps(values))[0] == pytest.approx(shape)


def test_flips_are_a_share_of_the_removed_cells():
    maps = {"image/occlusion": image_maps(np.zeros((2, 4, 4)), torch.tensor([4, 16]))}
    sets = failure_features(maps, np.array([0.5, 0.9]))
    assert sets["flips"].ravel().tolist() == [0.25, 1.0]
    assert sets["all"].shape == (2, 4)


def test_auroc_is_scikit_learns_on_the_out_of_fold_probabilities():
    random = np.random.default_rng(3)
    correct = random.random(200) < 0.5
    feature = correct + random.normal(size=200)
    found = predict_failure(feature[:, None], correct, np.arange(200))
    # A logistic regression of one feature ranks as the feature does, fold by fold.
    assert found.auroc == pytest.approx(roc_auc_score(correct, feature), abs=0.02)
    assert auc(found.curves["roc"]["x"], found.curves["roc"]["y"]) == pytest.approx(found.auroc, abs=0.005)
