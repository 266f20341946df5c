"""Failure prediction: its features, its curves, its limits, and its numbers from a run folder alone."""

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from known_models import make_maps
from sklearn.calibration import calibration_curve
from sklearn.metrics import auc, brier_score_loss, roc_auc_score
from sklearn.model_selection import StratifiedGroupKFold

from lookwhy import store
from lookwhy.analysis import (
    AnalysisPlan,
    area_under_risk_coverage,
    coverage_at_risk,
    effective_reliability,
)
from lookwhy.analysis.curves import MOST_POINTS, calibration, errors_by_coverage, failure_curves
from lookwhy.analysis.evaluate import evaluate
from lookwhy.analysis.failure import (
    FEWEST,
    failure_features,
    map_shape,
    predict_failure,
    too_few,
)
from lookwhy.analysis.out_of_fold import SPLITS
from lookwhy.analysis.questions import QuestionRecord, certainty
from lookwhy.analysis.selective import BINS, COSTS, RISKS, Outcomes


def predicted(features, correct, images, **settings):
    found = Outcomes(correct.astype(float), correct)
    sure = {"confidence": np.linspace(0.1, 0.9, len(correct))}
    return predict_failure({"all": features}, sure, found, images, samples=50, **settings)


def test_a_telling_feature_predicts_and_a_random_one_does_not():
    random = np.random.default_rng(0)
    correct = random.random(300) < 0.7
    images = np.repeat(np.arange(100), 3)
    telling = correct[:, None] + random.normal(scale=0.3, size=(300, 1))
    found = predicted(telling, correct, images).summary
    assert found["failure/all/accuracy"] > 0.9
    assert found["failure/all/auroc"] > 0.95
    assert found["failure/all/majority_accuracy"] == pytest.approx(correct.mean())
    gain = found["failure/all/accuracy"] - found["failure/all/majority_accuracy"]
    assert found["failure/all/accuracy_gain"] == pytest.approx(gain)
    assert 0 < found["failure/all/accuracy_gain/ci_low"] < gain < found["failure/all/accuracy_gain/ci_high"]
    assert {key: found[f"failure/all/{key}"] for key in ("auroc", "aurc", "n")} == {
        "auroc": found["selective/all/auroc"], "aurc": found["selective/all/aurc_binary"], "n": 300,
    }  # fmt: skip
    silent = predicted(random.normal(size=(300, 2)), correct, images).summary
    assert silent["failure/all/auroc"] == pytest.approx(0.5, abs=0.1)
    assert silent["failure/all/accuracy_gain/ci_low"] <= 0


def test_questions_of_one_image_are_never_in_training_and_test():
    # The feature names the image and the outcome belongs to the image: only leakage could predict it.
    outcome = np.random.default_rng(1).permutation(np.repeat([True, False], 30))
    images = np.repeat(np.arange(60), 5)
    assert predicted(np.eye(60)[images], outcome[images], images).summary["failure/all/auroc"] < 0.6


def test_a_score_without_a_fit_is_measured_as_it_is():
    random = np.random.default_rng(3)
    correct = random.random(200) < 0.5
    found = predicted(random.normal(size=(200, 1)), correct, np.arange(200))
    expected = roc_auc_score(correct, np.linspace(0.1, 0.9, 200))
    assert found.summary["selective/confidence/auroc"] == pytest.approx(expected)
    curve = found.curves["selective/confidence/risk_coverage"]
    assert curve["y"][-1] == pytest.approx(1 - correct.mean())
    assert all(low <= high for low, high in zip(curve["low"], curve["high"], strict=True))


def test_shape_of_a_point_and_of_a_flat_map_and_share_of_flips():
    point = np.pad(np.full((1, 1, 1), -3.0), ((0, 0), (1, 2), (2, 1)))
    found = [map_shape(make_maps(maps))[0] for maps in (point, np.ones((1, 4, 4)), np.zeros((1, 4, 4)))]
    np.testing.assert_allclose(found, [(0.0, 1.0, 15 / 16), *[(1.0, 1 / 16, 0.0)] * 2], rtol=1e-6, atol=1e-12)
    # Flips are a share of the removed cells.
    maps = {"image/occlusion": make_maps(np.zeros((2, 4, 4)), flips=torch.tensor([4, 16]))}
    sets = failure_features(maps, np.array([0.5, 0.9]))
    assert sets["flips"].ravel().tolist() == [0.25, 1.0]
    assert sets["all"].shape == (2, 4)
    assert sets["confidence_and_all"][:, 0].tolist() == [0.5, 0.9]
    assert (sets["confidence_and_all"][:, 1:] == sets["all"]).all()
    without = failure_features({"image/gradient": make_maps(np.zeros((2, 4, 4)))}, np.array([0.5, 0.9]))
    assert {*without} == {"confidence", "maps", "confidence_and_all"}
    assert {*failure_features({}, np.array([0.5]))} == {"confidence"}


@pytest.mark.parametrize(
    ("right", "wrong", "images", "folds", "reason"),
    [
        (
            8,
            12,
            20,
            5,
            "8 right and 12 wrong answers, expected 30 of each: at least 75 questions at this accuracy",
        ),
        (230, 10, 80, 5, "at least 720 questions at this accuracy"),
        (20, 0, 20, 5, "20 right and 0 wrong answers, expected 30 of each: at least 60 questions"),
        (31, 29, 60, 5, "at least 63 questions at this accuracy"),
        (60, 60, 9, 5, "questions about 9 images, expected at least 10"),
        (60, 60, 15, 20, "questions about 15 images, expected at least 20"),
        (60, 60, 60, 2, "2 folds in the plan, expected at least 3"),
        (FEWEST, FEWEST, 10, 5, ""),
    ],
)
def test_answers_that_cannot_carry_a_prediction_are_told_with_what_would(right, wrong, images, folds, reason):
    found = too_few(np.repeat([True, False], [right, wrong]), images, folds)
    assert found.endswith(reason)
    assert bool(found) == bool(reason)


def test_thirty_wrong_answers_give_the_stated_interval():
    # Hanley and McNeil 1982, equation 2, for an AUROC of 0.75.
    a, wrong, right = 0.75, FEWEST, 200
    q1, q2 = a / (2 - a), 2 * a**2 / (1 + a)
    errors = [
        np.sqrt((a * (1 - a) + (n - 1) * (q1 - a**2) + (m - 1) * (q2 - a**2)) / (n * m))
        for n, m in ((wrong, right), (right, wrong))
    ]
    assert 1.96 * np.array(errors) == pytest.approx([0.1, 0.1], abs=0.03)


def test_one_outcome_in_a_single_image_is_a_reason_too():
    correct = np.repeat([True, False], [90, 40])
    images = np.r_[np.arange(90), np.full(40, 90)]
    found = predicted(np.zeros((130, 1)), correct, images)
    assert (found.reason, found.summary) == (
        "a training part of the cross-validation has one outcome only",
        {},
    )


def made(n=500, decimals=9):
    random = np.random.default_rng(n)
    correct = random.random(n) < 0.6
    noise = 0.2 * random.normal(size=n)
    return np.clip(0.5 + 0.3 * (correct - 0.5) + noise, 0, 1).round(decimals), correct


@pytest.mark.parametrize("decimals", [1, 9], ids=["ties", "no ties"])
def test_the_drawn_curves_have_the_area_and_the_ends_of_scikit_learn(decimals):
    probability, correct = made(decimals=decimals)
    curves = failure_curves(probability[None], correct)
    roc, risk = curves["roc"], curves["risk_coverage"]
    assert auc(roc["x"], roc["y"]) == pytest.approx(roc_auc_score(correct, probability), abs=0.005)
    assert (roc["x"][0], roc["y"][0], roc["x"][-1], roc["y"][-1]) == pytest.approx((0, 0, 1, 1))
    # At full coverage the risk is the share of wrong answers.
    assert (risk["x"][-1], risk["y"][-1]) == pytest.approx((1, 1 - correct.mean()))


def test_curves_of_several_splits_are_their_means():
    probability, correct = made(90)
    both = np.stack([probability, probability[::-1]])
    found = failure_curves(both, correct)
    one, other = (failure_curves(row[None], correct) for row in both)
    for name in ("roc", "risk_coverage"):
        assert found[name]["y"] == pytest.approx(np.mean([one[name]["y"], other[name]["y"]], axis=0))
    assert sum(found["calibration"]["n"]) == pytest.approx(90)


def test_errors_by_coverage_by_hand_and_for_ties_as_the_mean_over_their_orders():
    score, error = np.array([0.9, 0.5, 0.5, 0.1]), np.array([0.0, 1.0, 0.0, 1.0])
    assert errors_by_coverage(score, error) == pytest.approx([0, 0, 0.5, 1, 2])


def test_calibration_is_scikit_learns_and_no_curve_has_more_points_than_a_chart_shows():
    probability, correct = made()
    found = calibration(probability[None], correct)
    right, mean = calibration_curve(correct, probability, n_bins=BINS)
    assert (found["x"], found["y"]) == (pytest.approx(mean), pytest.approx(right))
    assert sum(found["n"]) == len(correct)
    assert calibration(np.array([[0.95, 1.0]]), np.array([True, False]))["n"] == [2]  # 1 is in the last bin
    probability, correct = made(5000)
    assert (
        max(len(curve["x"]) for curve in failure_curves(probability[None], correct).values()) <= MOST_POINTS
    )


def test_entropy_and_margin_of_answers_also_where_scores_are_independent():
    confidence, entropy, margin = certainty(
        torch.tensor([[0.5, 0.25, 0.25], [1.0, 0.0, 0.0], [0.9, 0.9, 0.0]])
    )
    assert confidence.tolist() == pytest.approx([0.5, 1, 0.9])
    assert entropy.tolist() == pytest.approx([1.5 * np.log(2), 0, np.log(2)])
    assert margin.tolist() == pytest.approx([0.25, 1, 0])
    assert certainty(torch.tensor([[0.7]]))[2].tolist() == pytest.approx([0.7])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A stored analysis of 180 questions about 60 images, a third of them answered wrong."""
    random = np.random.default_rng(6)
    answers, questions = [["a"] * 10, ["b"] * 10, ["a"] + ["b"] * 9, ["a"] * 2 + ["b"] * 8], []
    for number in range(180):
        scores = torch.softmax(torch.tensor(random.normal(size=5) * 2), 0)[None]
        confidence, entropy, margin = (one.item() for one in certainty(scores))
        wrong = random.random() > 0.3 + 0.7 * confidence
        own = answers[1 + random.integers(3)] if wrong else answers[0]
        questions.append(
            QuestionRecord(
                number, number // 3, "", "", [], [], "", "other", own, "a", confidence, entropy, margin
            )
        )  # fmt: skip
    maps = {"image/x": make_maps(random.random((180, 4, 4)))}
    human = np.empty((180, 0, 4, 4), np.float32)
    result = evaluate(maps, questions, human, {}, AnalysisPlan([], [], bootstrap_samples=100))
    return store.save(result, tmp_path_factory.mktemp("run") / "epoch=000")


@pytest.mark.parametrize(("name", "sign"), [("confidence", 1), ("entropy", -1), ("margin", 1)])
def test_the_measures_of_unfitted_scores_come_from_the_records_alone(folder, name, sign):
    records, summary = pq.read_table(folder / "records.parquet"), store.load_summary(folder)
    score = sign * records[name].to_numpy()
    accuracy, images = records["accuracy"].to_numpy(), records["image_id"].to_numpy()
    correct, n = accuracy >= 0.5, len(accuracy)
    key = f"selective/{name}"
    expected = {
        "auroc": roc_auc_score(correct, score),
        "aurc_soft": area_under_risk_coverage(score, accuracy),
        "aurc_binary": area_under_risk_coverage(score, correct.astype(float)),
        "n": n,
    }
    expected["e_aurc_soft"] = expected["aurc_soft"] - area_under_risk_coverage(accuracy, accuracy)
    ranked = (1 - accuracy)[np.argsort(-score)]
    expected["augrc_soft"] = np.mean([ranked[:k].sum() / n for k in range(1, n + 1)])
    for risk in RISKS:
        coverage = coverage_at_risk(score, accuracy, risk / 100)
        expected[f"coverage_at_{risk}_percent_risk_soft"] = coverage
    if name == "confidence":
        expected["brier"] = brier_score_loss(correct, score)
        bins = [np.flatnonzero((score * BINS).astype(int) == one) for one in range(BINS)]
        gaps = [len(one) * abs(correct[one].mean() - score[one].mean()) for one in bins if len(one)]
        expected["ece"] = sum(gaps) / n
        expected["accuracy"] = ((score >= 0.5) == correct).mean()
        expected["accuracy_gain"] = expected["accuracy"] - max(correct.mean(), 1 - correct.mean())
    for cost in COSTS:
        gained = 0.0
        for seed in range(SPLITS):
            folds = StratifiedGroupKFold(5, shuffle=True, random_state=seed).split(score, correct, images)
            for others, own in folds:
                tried = [*np.unique(score[others]), np.inf]
                values = [effective_reliability(score[others], accuracy[others], t, cost) for t in tried]
                threshold = tried[int(np.argmax(np.round(values, 9)))]
                gained += len(own) / n * effective_reliability(score[own], accuracy[own], threshold, cost)
        expected[f"effective_reliability_{cost:.0f}"] = gained / SPLITS
    for measure, value in expected.items():
        assert summary[f"{key}/{measure}"] == pytest.approx(value), measure
    assert summary[f"{key}/auroc/ci_low"] < summary[f"{key}/auroc"] < summary[f"{key}/auroc/ci_high"]


def test_records_of_earlier_versions_without_entropy_and_margin_are_read(folder, tmp_path):
    result = store.load(folder)
    for record in result.records:
        del record["entropy"], record["margin"]
    assert "entropy" not in store.load(store.save(result, tmp_path / "epoch=000")).records[0]


def test_a_reason_is_counted_once_and_nothing_else_is_measured():
    questions = [
        QuestionRecord(one, one, "", "", [], [], "", "other", ["a"] * 10, "a", 0.5) for one in range(20)
    ]
    found = evaluate({}, questions, np.empty((20, 0, 4, 4), np.float32), {}, AnalysisPlan([], []))
    ((reason, count),) = found.manifest["excluded"].items()
    assert reason.startswith("failure prediction: 20 right and 0 wrong answers")
    assert count == 20
    measured = {key for key in found.summary if key.startswith(("failure", "selective"))}
    assert measured == {"failure/confidence/n"}
