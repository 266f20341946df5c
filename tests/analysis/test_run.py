"""One analysis over unlike batches, its accuracies and counts, and a plan that does not fit the model."""

import random
from dataclasses import replace

import numpy as np
import pytest
import torch
from known_models import LinearBlackBox, make_batch, make_maps
from official_metric import reference_accuracy
from tiny_runs import make_data, make_head, make_trainer
from torch import nn

from lookwhy.analysis import AnalysisPlan, run_analysis
from lookwhy.analysis.agreement import centre_prior
from lookwhy.analysis.evaluate import evaluate
from lookwhy.analysis.part_of_speech import Tagger
from lookwhy.analysis.questions import QuestionRecord
from lookwhy.attribution import Attention, GuidedBackprop, Occlusion, WordDrop
from lookwhy.callbacks import ImportanceCallback
from lookwhy.errors import LookwhyError
from lookwhy.models import DeeperLSTM, Pipeline, VQASystem
from lookwhy.towers import Memory

TAGGER = Tagger("none", lambda words: ["NN"] * len(words))


def test_images_of_different_sizes_are_explained_as_each_alone(tmp_path):
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(inplace=True), nn.AdaptiveAvgPool2d(2), nn.Flatten())
    model = Pipeline(network, DeeperLSTM(9, 5, 16, embedding_size=6, hidden_size=5, common_size=8)).eval()
    model.tower.memory = Memory(tmp_path)
    images = [torch.rand(1, 3, *size) for size in ((12, 9), (12, 9), (20, 11), (12, 9))]
    batches = [make_batch(one, image_ids=[number], dtype=one.dtype) for number, one in enumerate(images)]
    for number, batch in enumerate(batches):
        batch.question_ids += number
    plan = AnalysisPlan([GuidedBackprop(4), Occlusion(4)], grid=4, bootstrap_samples=10)
    found = run_analysis(model, batches, plan, tagger=TAGGER).maps
    for number, batch in enumerate(batches):
        target = model.answer_scores(batch.images, batch.tokens, batch.lengths).argmax(1)
        for method in plan.methods:
            ours = found[f"{method.domain}/{method.name}"].values[number]
            torch.testing.assert_close(ours, method(model, batch, target).values[0], atol=1e-6, rtol=1e-5)


def test_a_black_box_gets_as_many_images_at_once_as_the_method_says():
    class Counting(LinearBlackBox):
        def answer_scores(self, image, tokens, lengths):
            sizes.append(len(image))
            return super().answer_scores(image.sub_(0.0), tokens, lengths)

    sizes = []
    model = Counting(torch.zeros(3, 8, 8).double(), torch.linspace(0, 1, 5).double())
    plan = AnalysisPlan([Occlusion(4, batch_size=5)], [WordDrop()], grid=4, bootstrap_samples=10)
    run_analysis(model, [make_batch(torch.rand(1, 3, 8, 8))], plan, tagger=TAGGER)
    assert sizes == [1, 5, 5, 5, 2, 4]  # the answer, 17 images, 4 questions


def test_a_method_that_cannot_explain_the_model_is_refused_before_the_first_step(tiny_world, tmp_path):
    data = make_data(tiny_world)
    analysis = ImportanceCallback(AnalysisPlan([Attention()], []), untrained=False)
    trainer = make_trainer(tmp_path, 1, [analysis])
    with pytest.raises(LookwhyError, match="expected a head that attends, found DeeperLSTM"):
        trainer.fit(VQASystem(make_head(data)), data)
    assert trainer.global_step == 0


def question(number, answers=(), kind="other"):
    return QuestionRecord(number, number, "", "", [], [], "", kind, list(answers), "a", 0.5)


def test_accuracies_are_the_official_ones_to_the_last_bit():
    draw = random.Random(0)
    rows, expected, unlike = [], {}, 0
    for number in range(200):
        answers, kind = draw.choices("abcde", k=10), draw.choice(("yes/no", "number", "other"))
        rows.append(question(number, answers, kind))
        for key in ("accuracy/overall", f"accuracy/answer_type/{kind}"):
            expected.setdefault(key, []).append(reference_accuracy("a", answers))
    found = evaluate({}, rows, np.empty((200, 0, 16, 16), np.float32), {}, AnalysisPlan()).summary
    for key, scores in expected.items():
        assert found[key] == sum(scores) / len(scores)
        unlike += found[key] != np.mean(scores)
    assert unlike  # else this could not fail


def test_the_reasons_of_undefined_correlations_are_counted():
    draw = np.random.default_rng(0)
    human = draw.random((6, 2, 16, 16)).astype(np.float32)
    human[0] = np.nan  # nobody looked
    human[1] = 0  # both maps are black
    human[2, 0], human[2, 1] = 7, np.nan  # the only map is gray throughout
    human[3, 0] = 0  # one of two is black: the other counts
    values = draw.random((6, 16, 16)).astype(np.float32)
    values[4] = 0
    maps, questions = {"image/x": make_maps(values)}, [question(i) for i in range(6)]
    found = evaluate(maps, questions, human, {}, AnalysisPlan())
    expected = {"no annotator map": 1, "constant annotator maps only": 2, "image/x: constant map": 1}
    assert {key: n for key, n in found.manifest["excluded"].items() if "failure" not in key} == expected
    counted = [found.summary[f"image/x/rank_correlation/{key}"] for key in ("n", "n_undefined")]
    assert counted == [2, 4]


def located(compared):
    """An analysis of six questions about three images, with a mask each but for the last two."""
    values = np.zeros((6, 4, 4), np.float32)
    values[:4, 0] = [3, -4, 1, 0]  # all importance lies in the first row
    truth = np.zeros((6, 4, 4), np.float32)
    truth[:3, 0, :2] = 1  # two cells of 16
    truth[3, 0, 0] = 0.3  # smaller than its cell: this cell alone
    truth[5] = np.nan  # the mask of question 4 is empty, and question 5 has none
    rows = [replace(question(i), image_id=i // 2) for i in range(6)]
    human = np.zeros((6, 1, 4, 4), np.float32)
    human[:, 0, 0, 0] = 7
    plan = AnalysisPlan([], grid=4, compared=compared, bootstrap_samples=50)
    return evaluate({"image/x": make_maps(values)}, rows, human, {}, plan, truth=truth), plan, truth


@pytest.mark.parametrize(
    ("compared", "mass", "rank", "points"),
    [
        # Magnitudes 3, 4, 1: of the two largest both lie inside; question 3 has its first cell inside.
        ("magnitude", [7 / 8] * 3 + [3 / 8], [1, 1, 1, 0], [1, 1, 1, 0]),
        # Positive parts 3, 0, 1: one of the two largest lies inside.
        ("signed", [3 / 4] * 4, [1 / 2] * 3 + [1], [1, 1, 1, 1]),
    ],
)
def test_localisation_is_that_of_a_hand_computation(compared, mass, rank, points):
    result, _, truth = located(compared)
    for name, expected in (("mass_accuracy", mass), ("rank_accuracy", rank), ("pointing_game", points)):
        key = f"image/x/localisation/{name}"
        assert result.summary[key] == pytest.approx(np.mean(expected))
        assert result.summary[f"{key}/expected"] == pytest.approx((3 * 2 / 16 + 1 / 16) / 4)
        assert [result.summary[f"{key}/{end}"] for end in ("n", "n_undefined")] == [4, 2]
        found = [record[f"localisation_{name}"] for record in result.records]
        assert found == [*map(pytest.approx, expected), None, None]
        # Images 0 and 1 alone have masks. The interval of a share stays within 0 and 1.
        low, high, images = (result.summary[f"{key}/{end}"] for end in ("ci_low", "ci_high", "images"))
        assert 0 <= low <= np.mean(expected) <= high <= 1
        assert images == 2
        assert result.summary[f"image/human/localisation/{name}"] == pytest.approx(
            {"mass_accuracy": 1, "rank_accuracy": (3 * (1 / 2 + 1 / 2 * 1 / 15) + 1) / 4, "pointing_game": 1}[
                name
            ]
        )
    excluded = result.manifest["excluded"]
    assert [excluded[name] for name in ("no truth mask", "empty truth mask")] == [1, 1]
    np.testing.assert_array_equal(result.truth, truth)


def test_localisation_has_its_baselines_and_needs_masks():
    result, plan, truth = located("magnitude")
    prior = centre_prior(1, 4)[0]
    expected = [prior[0, :2].sum() / prior.sum()] * 3 + [prior[0, 0] / prior.sum()]
    assert result.summary["image/centre_prior/localisation/mass_accuracy"] == pytest.approx(np.mean(expected))
    assert 0 < result.summary["image/random/localisation/mass_accuracy"] < 1
    without = evaluate({}, [question(0)], np.empty((1, 0, 4, 4), np.float32), {}, plan)
    assert without.truth.shape == (0, 1, 1)
    assert not [key for key in without.summary if "localisation" in key]
    assert "no truth mask" not in without.manifest["excluded"]


def test_a_mask_of_another_size_is_reduced_to_the_grid():
    model = LinearBlackBox(torch.ones(3, 8, 8).double(), torch.linspace(0, 1, 5).double())
    plan = AnalysisPlan([Occlusion(4)], [], grid=4, bootstrap_samples=10)
    batch = make_batch(torch.rand(2, 3, 8, 8), tokens=((1, 2), (3, 4)), image_ids=[0, 1])
    mask = np.random.default_rng(0).random((8, 12)).astype(np.float32)
    result = run_analysis(model, [batch], plan, truth={1: mask, 9: mask[:4, :4]}, tagger=TAGGER)
    np.testing.assert_allclose(result.truth[1], mask.reshape(4, 2, 4, 3).mean((1, 3)), rtol=1e-6)
    assert np.isnan(result.truth[0]).all()
    assert result.summary["image/occlusion/localisation/mass_accuracy/n"] == 1
    assert run_analysis(model, [batch], plan, truth={9: mask}, tagger=TAGGER).truth.shape == (0, 1, 1)
