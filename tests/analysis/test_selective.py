"""Selective prediction: loops from the definitions, scikit-learn, torchmetrics, and simulations of known truth."""

import numpy as np
import pytest
import torch
from sklearn.metrics import brier_score_loss, roc_auc_score
from torchmetrics.functional.classification import binary_calibration_error

from lookwhy.analysis import area_under_risk_coverage, coverage_at_risk, effective_reliability
from lookwhy.analysis.selective import (
    BINS,
    Order,
    Outcomes,
    best_areas,
    best_threshold,
    errors_if_calibrated,
    probability_measures,
    ranking_measures,
    reliability_by_question,
    risk_at,
    samples_of,
)

ACCURACIES = np.array([0, 0.3, 0.6, 0.9, 1])


def made(n=120, decimals=9, seed=0):
    """A score, soft accuracies that go with it, and images of one to five questions."""
    random = np.random.default_rng(seed)
    score = random.beta(3, 1.5, n).round(decimals)
    accuracy = np.where(
        random.random(n) < score, random.choice(ACCURACIES[2:], n), random.choice(ACCURACIES[:3], n)
    )
    images = np.sort(random.integers(0, n // 3, n))
    return score, accuracy, images


def outcomes(accuracy):
    return Outcomes(accuracy, accuracy >= 0.5)


def measured(score, accuracy, times=None):
    times = np.ones((len(score), 1)) if times is None else times
    found = outcomes(accuracy)
    return ranking_measures(Order(score), found, times, best_areas(found, times)) | probability_measures(
        score, found, times
    )


def thresholds(score):
    """Coverage, and the accepted questions, for each threshold."""
    return [(accepted.mean(), accepted) for accepted in (score >= one for one in np.unique(score))]


@pytest.mark.parametrize("kind", ["soft", "binary"])
def test_areas_are_loops_over_the_sorted_questions(kind):
    score, accuracy, _ = made()
    error = 1 - accuracy if kind == "soft" else (accuracy < 0.5).astype(float)
    ranked, n = error[np.argsort(-score)], len(score)
    risks = [ranked[:k].mean() for k in range(1, n + 1)]
    ideal = [np.sort(error)[:k].mean() for k in range(1, n + 1)]
    found = measured(score, accuracy)
    assert found[f"aurc_{kind}"][0] == pytest.approx(np.mean(risks))
    assert found[f"e_aurc_{kind}"][0] == pytest.approx(np.mean(risks) - np.mean(ideal))
    assert found[f"augrc_{kind}"][0] == pytest.approx(
        np.mean([ranked[:k].sum() / n for k in range(1, n + 1)])
    )
    if kind == "soft":
        assert area_under_risk_coverage(score, accuracy) == pytest.approx(np.mean(risks))


def test_ties_count_as_the_mean_over_their_orders_and_a_perfect_score_has_no_excess():
    score, accuracy, _ = made(40, decimals=1)
    jitters = 1e-6 * np.random.default_rng(0).random((3000, 40))
    shuffled = [area_under_risk_coverage(score + jitter, accuracy) for jitter in jitters]
    spread = np.std(shuffled) / np.sqrt(len(shuffled))
    assert area_under_risk_coverage(score, accuracy) == pytest.approx(np.mean(shuffled), abs=4 * spread)
    assert area_under_risk_coverage(np.full(4, 0.5), np.array([1.0, 0, 1, 0])) == pytest.approx(0.5)
    assert measured(accuracy, accuracy)["e_aurc_soft"][0] == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("decimals", [1, 9], ids=["ties", "no ties"])
@pytest.mark.parametrize("risk", [0.01, 0.05, 0.1, 0.2, 0.4])
def test_coverage_at_risk_is_the_largest_of_all_thresholds(risk, decimals):
    score, accuracy, _ = made(decimals=decimals)
    within = [coverage for coverage, one in thresholds(score) if (1 - accuracy[one]).mean() <= risk + 1e-12]
    assert coverage_at_risk(score, accuracy, risk) == pytest.approx(max(within, default=0.0))


def test_coverage_at_risk_drops_a_tie_as_a_whole_and_is_zero_if_no_coverage_has_the_risk():
    score = np.array([0.9, 0.8, 0.5, 0.5, 0.5])
    # The first of the tie could be accepted; the three together have a risk of 2/5.
    assert coverage_at_risk(score, np.array([1.0, 1, 1, 0, 0]), 0.3) == pytest.approx(0.4)
    assert coverage_at_risk(score, np.array([0.0, 0, 0, 1, 1]), 0.05) == 0
    assert coverage_at_risk(np.arange(20.0), np.r_[0.0, np.ones(19)], 0.05) == 1  # exactly 1 in 20


@pytest.mark.parametrize("cost", [1.0, 10.0, 100.0])
def test_effective_reliability_by_hand_and_its_best_threshold_by_trying_all(cost):
    score, accuracy, _ = made(60, decimals=1, seed=3)

    def gain(threshold):
        each = [0 if s < threshold else a if a > 0 else -cost for s, a in zip(score, accuracy, strict=True)]
        return sum(each) / len(each)

    tried = {one: gain(one) for one in [*np.unique(score), np.inf]}
    assert all(
        effective_reliability(score, accuracy, one, cost) == pytest.approx(value)
        for one, value in tried.items()
    )
    # Equal values go to the smaller threshold, which answers more questions.
    best = min(one for one, value in tried.items() if value == pytest.approx(max(tried.values()), abs=1e-9))
    assert best_threshold(score, accuracy, cost) == best


def test_nothing_is_answered_where_every_threshold_loses():
    assert best_threshold(np.array([0.9, 0.1]), np.array([0.0, 1.0]), 10.0) == np.inf
    assert effective_reliability(np.array([0.9, 0.1]), np.array([0.0, 1.0]), np.inf, 10.0) == 0


def test_a_questions_threshold_comes_from_the_other_folds_of_each_split():
    score, accuracy, images = made(90, seed=5)
    folds = np.stack([images % 3, images // 2 % 3])
    inner = np.broadcast_to(score, (2, 3, 90))
    found = reliability_by_question(np.stack([score, score]), inner, folds, accuracy, 10.0)
    expected = np.zeros(90)
    for fold in folds:
        for one in range(3):
            others = fold != one
            candidates = [*np.unique(score[others]), np.inf]
            gains = [effective_reliability(score[others], accuracy[others], t, 10.0) for t in candidates]
            threshold = candidates[int(np.argmax(np.round(gains, 9)))]
            for row in np.flatnonzero(~others):
                if score[row] >= threshold:
                    expected[row] += (accuracy[row] if accuracy[row] > 0 else -10) / 2
    np.testing.assert_allclose(found, expected)


@pytest.mark.parametrize("decimals", [1, 9], ids=["ties", "no ties"])
def test_auroc_and_brier_are_scikit_learns_and_the_calibration_error_torchmetrics(decimals):
    score, accuracy, _ = made(decimals=decimals)
    correct, found = accuracy >= 0.5, measured(score, accuracy)
    assert found["auroc"][0] == pytest.approx(roc_auc_score(correct, score))
    assert found["brier"][0] == pytest.approx(brier_score_loss(correct, score))
    judge = binary_calibration_error(
        torch.tensor(score), torch.tensor(correct).long(), n_bins=BINS, norm="l1"
    )
    assert found["ece"][0] == pytest.approx(float(judge), abs=1e-6)


def test_equal_mass_calibration_and_gain_over_the_majority_from_their_definitions():
    score, accuracy, _ = made(150)
    correct, found = accuracy >= 0.5, measured(score, accuracy)
    bins = np.split(np.argsort(score), BINS)
    error = sum(len(one) * abs(correct[one].mean() - score[one].mean()) for one in bins) / 150
    assert found["ece_equal_mass"][0] == pytest.approx(error)
    right = ((score >= 0.5) == correct).mean()
    assert found["accuracy"][0] == pytest.approx(right)
    assert found["accuracy_gain"][0] == pytest.approx(right - max(correct.mean(), 1 - correct.mean()))


@pytest.mark.parametrize("decimals", [1, 9], ids=["ties", "no ties"])
def test_a_bootstrap_sample_has_the_measures_of_its_questions_written_out(decimals):
    score, accuracy, images = made(decimals=decimals, seed=7)
    (_, times) = samples_of(images, 4, seed=1)
    together = measured(score, accuracy, times)
    for column, count in enumerate(times.T.astype(int)):
        drawn = np.repeat(np.arange(len(score)), count)
        alone = measured(score[drawn], accuracy[drawn])
        for name, values in together.items():
            # The bins of equal mass, and the majority, are those of the data.
            if name not in ("ece_equal_mass", "accuracy_gain"):
                assert values[column] == pytest.approx(alone[name][0]), name


def test_samples_hold_whole_images_and_as_many_as_the_data():
    images = np.array([3, 3, 8, 9, 9, 9])
    first, times = samples_of(images, 500, seed=2)
    assert first.tolist() == [[1.0]] * 6
    assert (times[0] == times[1]).all()
    assert (times[3] == times[4]).all()
    assert (times[[0, 2, 3]].sum(0) == 3).all()
    assert times[2].mean() == pytest.approx(1, abs=0.15)
    assert (times == [*samples_of(images, 500, seed=2)][1]).all()


def test_risk_at_a_coverage_is_the_mean_error_down_to_it_also_within_ties():
    score, error = np.array([0.9, 0.8, 0.8, 0.1]), np.array([0.0, 1.0, 0.0, 1.0])
    found = risk_at(Order(score), error, np.ones((4, 1)), np.array([1, 2, 3, 4]))[:, 0]
    assert found == pytest.approx([0, 0.5 / 2, 1 / 3, 2 / 4])
    # A sample without the first two thresholds has no risk there.
    assert np.isnan(risk_at(Order(score), error, np.array([[0.0], [1], [1], [1]]), np.array([1]))).all()


def test_coverage_at_a_risk_of_one_percent_needs_a_hundred_questions():
    assert "coverage_at_1_percent_risk_soft" in measured(*made(100)[:2])
    few = measured(*made(99)[:2])
    assert "coverage_at_1_percent_risk_soft" not in few
    assert "coverage_at_5_percent_risk_binary" in few


def test_the_calibration_error_of_a_calibrated_score_is_near_its_value_without_miscalibration():
    random, found, expected = np.random.default_rng(0), [], []
    for _ in range(60):
        score = random.beta(3, 1.5, 240)
        accuracy = (random.random(240) < score).astype(float)
        found.append([measured(score, accuracy)[name][0] for name in ("ece", "ece_equal_mass")])
        expected.append([*errors_if_calibrated(score, seed=0).values()])
    assert np.mean(found, 0) == pytest.approx(np.mean(expected, 0), rel=0.06)
    assert np.mean(found) > 0.05, "far from the true error, which is 0"
    shifted = np.clip(score + 0.3, 0, 1)
    assert measured(shifted, accuracy)["ece"][0] > 2 * errors_if_calibrated(shifted, 0)["ece"]


@pytest.mark.parametrize("name", ["auroc", "aurc_soft", "augrc_binary", "brier"])
def test_the_bootstrap_interval_covers_the_truth_where_questions_of_an_image_are_alike(name):
    random = np.random.default_rng(4)

    def drawn(images):
        image = np.repeat(np.arange(images), 5)
        logit = random.normal(size=5 * images) + random.normal(size=images)[image] + 1
        score = 1 / (1 + np.exp(-logit))
        return score, (random.random(5 * images) < score).astype(float), image

    truth, covered = measured(*drawn(20_000)[:2])[name][0], []
    for seed in range(150):
        score, accuracy, image = drawn(50)
        times = [*samples_of(image, 300, seed)][1]
        low, high = np.percentile(measured(score, accuracy, times)[name], [2.5, 97.5])
        covered.append(low <= truth <= high)
    # Three standard errors of 150 trials of 95% are 0.053.
    assert np.mean(covered) > 0.88
