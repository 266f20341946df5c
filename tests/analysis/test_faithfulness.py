"""Measures of faithfulness: against Captum, SciPy, scikit-learn and models whose curves are known by hand."""

from dataclasses import replace

import captum.metrics
import numpy as np
import pytest
import torch
from known_models import LinearBlackBox, OnlyScores, draw, make_batch
from pipelines import TARGET
from scipy.stats import pearsonr
from sklearn.metrics import auc

from lookwhy.analysis import AnalysisPlan, Faithfulness, area_under_steps, run_analysis
from lookwhy.analysis.agreement import centre_prior, random_maps
from lookwhy.analysis.deletion import cell_curves, decreasing, shown_after
from lookwhy.analysis.faithfulness import (
    faithfulness_correlation,
    infidelity,
    max_sensitivity,
    normalised_area,
)
from lookwhy.analysis.meter import FaithfulnessMeter
from lookwhy.analysis.part_of_speech import Tagger
from lookwhy.analysis.questions import FirstQuestions
from lookwhy.attribution import LIME, Gradient, GuidedBackprop, KernelSHAP, Occlusion, WordDrop, WordGradient
from lookwhy.errors import LookwhyError
from lookwhy.models.pipeline import parts_of
from lookwhy.towers import Memory
from lookwhy.towers.masks import Squares, fill_of

TAGGER = Tagger("none", lambda words: ["NN"] * len(words))
RANDOM = np.random.default_rng(0)
REMOVED, MAPS, FALLS = RANDOM.random((50, 16)), RANDOM.normal(size=(3, 16)), RANDOM.normal(size=(3, 50))


def test_the_correlation_is_pearsons_and_undefined_without_differences():
    found = faithfulness_correlation(REMOVED, MAPS, FALLS)
    for value, one, falls in zip(found, MAPS, FALLS, strict=True):
        assert value == pytest.approx(pearsonr(REMOVED @ one, falls).statistic, abs=1e-12)
    assert np.allclose(faithfulness_correlation(REMOVED, 7 * MAPS, FALLS), found)  # no matter the scale
    assert np.isnan(faithfulness_correlation(REMOVED, np.zeros((3, 16)), FALLS)).all()
    assert np.isnan(faithfulness_correlation(REMOVED, MAPS, np.full((3, 50), 0.1 + 0.2))).all()
    whole = np.tile([[0.25] * 16], (50, 1))  # every mask removes the same: only rounding errors differ
    assert np.isnan(faithfulness_correlation(whole, MAPS, FALLS)).all()


@pytest.mark.parametrize("is_scaled", [False, True])
def test_infidelity_is_captums_with_and_without_its_normalisation(is_scaled):
    image, weight = draw(1, 1, 8, 8), draw(8, 8, seed=1)
    forward = lambda x: torch.tanh((x * weight).sum((1, 2, 3)))  # noqa: E731
    masks = Squares(40).masks(image[0].expand(3, 8, 8))
    cells = draw(4, 4, seed=2)
    pixels = cells.repeat_interleave(2, 0).repeat_interleave(2, 1) / 4  # each pixel's part of its cell

    def change(x):
        return (1 - masks)[:, None], x * masks[:, None]

    expected = captum.metrics.infidelity(
        forward, change, image, pixels[None, None], n_perturb_samples=40, normalize=is_scaled
    )
    removed = 1 - masks.view(40, 4, 2, 4, 2).mean((2, 4)).flatten(1)
    falls = forward(image) - forward(image * masks[:, None])
    found = infidelity(removed.numpy(), cells.numpy().reshape(1, 16), falls.numpy()[None])
    name = "infidelity_scaled" if is_scaled else "infidelity"
    assert found[name][0] == pytest.approx(float(expected), abs=1e-10)


def test_scaled_infidelity_is_what_the_uncentred_correlation_leaves():
    found = infidelity(REMOVED, MAPS, FALLS)
    parts = MAPS @ REMOVED.T
    r = (parts * FALLS).sum(1) / np.sqrt((parts**2).sum(1) * (FALLS**2).sum(1))
    np.testing.assert_allclose(found["infidelity_scaled"], (FALLS**2).mean(1) * (1 - r**2), atol=1e-12)
    assert (found["infidelity_scaled"] <= found["infidelity"]).all()
    tenfold = infidelity(REMOVED, 10 * MAPS, FALLS)
    np.testing.assert_allclose(tenfold["infidelity_scaled"], found["infidelity_scaled"], atol=1e-12)
    np.testing.assert_allclose(tenfold["infidelity_beta"], found["infidelity_beta"] / 10, atol=1e-12)
    zeros = infidelity(REMOVED, 0 * MAPS, FALLS)
    assert np.isnan(zeros["infidelity_beta"]).all()
    np.testing.assert_allclose(zeros["infidelity_scaled"], (FALLS**2).mean(1))


def test_the_area_is_scikit_learns_and_the_formula_of_the_protocol():
    scores = RANDOM.random((5, 17))
    found = area_under_steps(scores)
    for value, one in zip(found, scores, strict=True):
        assert value == pytest.approx(auc(np.linspace(0, 1, 17), one), abs=1e-12)
        assert value == pytest.approx((one.sum() - one[0] / 2 - one[-1] / 2) / 16, abs=1e-12)
    assert np.isnan(area_under_steps([[1.0, np.nan]])).all()
    with pytest.raises(ValueError, match="of at least one step"):
        area_under_steps([[1.0]])


def test_the_normalised_area_is_that_of_the_normalised_curve_and_undefined_where_the_image_does_not_help():
    scores = RANDOM.random((4, 9))
    clean, blind = scores[:, 0], scores[:, -1]
    found = normalised_area(area_under_steps(scores), clean, blind)
    with np.errstate(divide="ignore"):
        curve = (scores - blind[:, None]) / (clean - blind)[:, None]
    expected = np.where(clean > blind, area_under_steps(curve), np.nan)
    assert 0 < np.isnan(expected).sum() < 4
    np.testing.assert_allclose(found, expected, atol=1e-12)


def test_cells_are_taken_in_decreasing_order_and_equal_ones_at_random_by_seed_and_question():
    values = np.array([[0.1, 0.5, 0.1, 0.1, -0.3, 0.1]] * 40)
    order = decreasing(values, np.arange(40), seed=0)
    assert (order[:, 0] == 1).all()
    assert (order[:, -1] == 4).all()
    assert {tuple(sorted(one)) for one in order[:, 1:5]} == {(0, 2, 3, 5)}
    assert len({tuple(one) for one in order}) > 15
    assert np.array_equal(order, decreasing(values, np.arange(40), seed=0))
    assert not np.array_equal(order, decreasing(values, np.arange(40), seed=1))
    # Rounding errors and the size of a map change nothing.
    noise = 1 + 1e-7 * np.random.default_rng(1).normal(size=values.shape)
    assert np.array_equal(order, decreasing(values * noise * 1e-9, np.arange(40), seed=0))
    shown = shown_after(order, steps=4)
    assert shown.sum(2).tolist() == [[0, 2, 3, 4, 6]] * 40  # 1.5 and 4.5 are rounded to even
    assert shown[0, 1, 1]


@torch.no_grad()
@pytest.mark.parametrize("fill", ["patch", "blur"])
def test_deletion_and_insertion_are_those_of_plain_forward_passes(small_pipeline, small_batch, fill):
    maps = Occlusion(grid=4)(small_pipeline, small_batch, TARGET).values.flatten(1).double().numpy()
    shown = shown_after(decreasing(maps, np.arange(3), seed=0), steps=5)
    for model in (small_pipeline, OnlyScores(small_pipeline)):
        for rows in ([0, 1], [2]):
            image, some = small_batch.images[rows[0]], small_batch.take(torch.tensor(rows))
            asked = torch.arange(len(rows))
            found = cell_curves(
                parts_of(model), image, shown[rows], fill, asked, some.tokens, some.lengths, TARGET[rows]
            )
            instead = fill_of(image, None, fill)
            instead = instead if instead.ndim == 3 else instead[:, None, None]
            for at, row in enumerate(rows):
                for step in range(6):
                    mask = torch.from_numpy(shown[row, step]).view(4, 4).double()
                    mask = mask.repeat_interleave(4, 0).repeat_interleave(4, 1)
                    asked = some.tokens[at : at + 1], some.lengths[at : at + 1]
                    masked = (image * mask + instead * (1 - mask))[None]
                    expected = small_pipeline.answer_scores(masked, *asked)[0, TARGET[row]]
                    assert found[at, step] == pytest.approx(float(expected), abs=1e-10)


@torch.no_grad()
def test_a_question_is_also_deleted_by_the_map_of_another_question_about_its_image(
    small_pipeline, small_batch
):
    settings = Faithfulness(masks=0, curves=None, steps=5, fills=["blur", "patch"])
    plan = AnalysisPlan([Occlusion(4)], [], grid=4, bootstrap_samples=20, faithfulness=settings)
    result = run_analysis(small_pipeline, [small_batch], plan, tagger=TAGGER)
    maps = result.maps["image/occlusion"].values.flatten(1).double().numpy()
    target = result.maps["image/occlusion"].answers
    # The first two questions are about one image: each gets the map of the other. The third has no other.
    shown = shown_after(decreasing(maps, np.arange(3), seed=0)[[1, 0]], steps=5)
    some = small_batch.take(torch.tensor([0, 1]))
    asked = torch.arange(2), some.tokens, some.lengths, target[:2]
    records = {row["question_id"]: row for row in result.records if row["method"] == "occlusion"}
    for kind, cells in (("insertion", shown), ("deletion", ~shown)):
        curves = cell_curves(parts_of(small_pipeline), small_batch.images[0], cells, "blur", *asked)
        column = [records[i][f"faithfulness_{kind}_blur_other_question"] for i in range(3)]
        assert column[:2] == pytest.approx(area_under_steps(curves).tolist())
        assert column[2] is None
        key = f"faithfulness/{kind}_blur"
        own = [records[i][f"faithfulness_{kind}_blur"] for i in range(2)]
        assert result.summary[f"image/occlusion/{key}_other_question"] == pytest.approx(np.mean(column[:2]))
        assert result.summary[f"paired/occlusion/other_question/{key}"] == pytest.approx(
            np.mean(np.subtract(own, column[:2]))
        )
    assert not any("patch_other_question" in key for key in result.summary), "of the first fill alone"


def test_each_version_of_an_image_goes_through_its_network_once(small_pipeline, small_batch, monkeypatch):
    some, target = small_batch.take(torch.tensor([0, 1])), TARGET[:2]
    method = Occlusion(grid=4)
    maps = method(small_pipeline, some, target)
    seen: list[np.ndarray] = []
    showing = small_pipeline.showing

    def counted(image, shown, fill):
        seen.extend(shown.flatten(1).numpy())
        return showing(image, shown, fill)

    monkeypatch.setattr(small_pipeline, "showing", counted)
    settings = Faithfulness(masks=0, curves=None, steps=16, fills=["patch"])
    FaithfulnessMeter(small_pipeline, settings, grid=4).measure_images([maps], [method], some, target)
    found = {
        "occlusion": maps.values.flatten(1).double().numpy(),
        "random": random_maps(some.question_ids.numpy(), 4, settings.seed).reshape(2, -1),
    }
    # Each question is deleted by its own maps, which are also the other maps of the other question.
    orders = [decreasing(values, some.question_ids.numpy(), settings.seed) for values in found.values()]
    centre = np.broadcast_to(centre_prior(1, 4).reshape(1, -1), (2, 16))
    orders.append(decreasing(centre, some.question_ids.numpy(), settings.seed))
    shown = np.concatenate([shown_after(order, 16) for order in orders]).reshape(-1, 16)
    needed = {one.tobytes() for one in np.concatenate([shown, ~shown])}
    assert sorted(one.tobytes() for one in seen) == sorted(needed)


def test_in_a_linear_model_deletion_by_the_worth_of_the_cells_is_the_best_that_there_is():
    weight, image = draw(3, 8, 8).abs(), draw(3, 8, 8, seed=1)
    model, batch = LinearBlackBox(weight, torch.zeros(2).double()), make_batch(image[None], ((1,),))
    worth = (weight * image).sum(0).view(4, 2, 4, 2).sum((1, 3)).flatten()
    settings = Faithfulness(masks=100, cells=4, steps=16, fills=["patch"])
    meter = FaithfulnessMeter(model, settings, grid=4)
    method = KernelSHAP(grid=4, cells=4, samples=400)
    maps = method(model, batch, torch.tensor([0]))
    meter.measure_images([maps], [method], batch, torch.tensor([0]))
    best = worth.sort(descending=True).values
    curve = torch.cat([worth.sum()[None], worth.sum() - best.cumsum(0)]).numpy()
    values = {key.removeprefix("image/"): one[0] for key, one in meter.values.items()}
    assert values["kernel_shap/faithfulness/deletion_patch"] == pytest.approx(float(np.trapezoid(curve) / 16))
    assert values["kernel_shap/faithfulness/deletion_patch"] < values["random/faithfulness/deletion_patch"]
    assert values["kernel_shap/faithfulness/insertion_patch"] > values["random/faithfulness/insertion_patch"]
    assert values["kernel_shap/faithfulness/correlation"] == pytest.approx(1)
    # Squares cut cells, and a map has one value a cell, so the fit is good and not perfect.
    assert values["kernel_shap/faithfulness/infidelity_beta"] == pytest.approx(1, abs=0.2)
    assert values["random/faithfulness/correlation"] < 0.8
    assert (
        values["random/faithfulness/infidelity_scaled"] > values["kernel_shap/faithfulness/infidelity_scaled"]
    )


def test_the_values_of_the_random_map_are_those_of_that_map(small_pipeline, small_batch):
    settings = Faithfulness(masks=60, cells=2, curves=0, seed=5)
    meter = FaithfulnessMeter(small_pipeline, settings, grid=4)
    meter.measure_images([], [], small_batch, TARGET)
    own = random_maps(small_batch.question_ids.numpy(), 4, 5).reshape(3, -1)
    assert settings.coalitions.is_complete
    for row in range(3):
        image = small_batch.images[row]
        removed = 1 - settings.coalitions.masks(image).view(-1, 4, 4, 4, 4).mean((2, 4)).flatten(1).numpy()
        scores = np.empty(len(removed) + 1)
        for at, mask in enumerate([torch.ones(16, 16), *settings.coalitions.masks(image)]):
            asked = small_batch.tokens[row : row + 1], small_batch.lengths[row : row + 1]
            with torch.no_grad():
                scores[at] = small_pipeline.answer_scores((image * mask)[None], *asked)[0, TARGET[row]]
        expected = pearsonr(removed @ own[row], scores[0] - scores[1:]).statistic
        assert meter.values["image/random/faithfulness/correlation"][row] == pytest.approx(expected, abs=1e-8)
    assert not any("deletion" in key for key in meter.values)


def test_the_masks_that_judge_are_not_those_that_methods_were_fitted_to():
    image = draw(3, 14, 14)
    judges, fitted = Faithfulness(masks=50).coalitions, LIME(samples=1000).family
    rows = {tuple(row) for row in fitted.kept(image)}
    assert len(rows) == 1000
    assert not any(tuple(row) in rows for row in judges.kept(image))


def test_words_are_taken_out_one_by_one_down_to_none(small_pipeline, small_batch):
    meter = FaithfulnessMeter(small_pipeline, Faithfulness(masks=0), grid=4)
    maps = [
        WordGradient()(small_pipeline, small_batch, TARGET),
        WordDrop()(small_pipeline, small_batch, TARGET),
    ]
    meter.measure_words(maps, small_batch, TARGET)
    head = small_pipeline.head
    with torch.no_grad():
        view = head.look(small_pipeline.features(small_batch.images))

        def score(row, tokens):
            embedded = head.embed(torch.tensor([tokens])) if tokens else torch.zeros(1, 1, 6).double()
            code = head.read(embedded, torch.tensor([max(1, len(tokens))]))
            return float(head.answer(view[row : row + 1], code).softmax(1)[0, TARGET[row]])

        order = maps[0].values[0].argsort(descending=True).tolist()
        words, left, curve = small_batch.tokens[0].tolist(), [0, 1, 2, 3], []
        for word in (None, *order):
            left = [place for place in left if place != word]
            curve.append(score(0, [words[place] for place in left]))
    expected = (sum(curve) - curve[0] / 2 - curve[-1] / 2) / 4
    assert meter.values["question/gradient/faithfulness/deletion"][0] == pytest.approx(expected, abs=1e-8)
    assert {*meter.values} == {
        f"question/{name}/faithfulness/{kind}"
        for name in ("gradient", "word_drop", "random")
        for kind in ("deletion", "insertion")
    }
    # Word drop has no map of a question of one word.
    assert np.isnan(meter.values["question/word_drop/faithfulness/deletion"][2])
    assert np.isfinite(meter.values["question/gradient/faithfulness/deletion"][2])
    # A black box is not asked without words, so its curves are undefined.
    black = FaithfulnessMeter(OnlyScores(small_pipeline), Faithfulness(masks=0), grid=4)
    black.measure_words(maps[1:], small_batch, TARGET)
    assert np.isnan(black.values["question/word_drop/faithfulness/deletion"][0])


def test_max_sensitivity_is_that_of_maps_of_noisy_images_and_stores_nothing(
    small_pipeline, small_batch, tmp_path
):
    assert max_sensitivity(np.zeros((1, 2)), np.ones((1, 1, 2))).tolist() == pytest.approx(
        [np.nan], nan_ok=True
    )
    settings = Faithfulness(masks=0, steps=2, fills=["patch"], sensitivity=3, radius=0.1, curves=2)
    small_pipeline.tower.memory = Memory(tmp_path)
    meter, method = FaithfulnessMeter(small_pipeline, settings, grid=4), Gradient(grid=4)
    maps = method(small_pipeline, small_batch, TARGET)
    stored = sorted(tmp_path.rglob("*.npz"))
    meter.measure_images([maps], [method], small_batch, TARGET)
    assert sorted(tmp_path.rglob("*.npz")) == stored
    found = meter.values["image/gradient/faithfulness/max_sensitivity"]
    assert [*found] == [0, 1]  # the first two questions
    image = small_batch.images[0]
    bound = 0.1 * float(image.max() - image.min())
    changes = []
    for sample in range(3):
        noise = np.random.default_rng([0, sample]).uniform(-1, 1, (3, 16, 16))
        near = replace(small_batch, images=small_batch.images + bound * torch.from_numpy(noise))
        moved = method(small_pipeline, near, TARGET).values[0]
        changes.append(float((moved - maps.values[0]).norm() / maps.values[0].norm()))
    assert max(changes) > 0.01
    assert found[0] == pytest.approx(max(changes), rel=1e-4)


def plan_with(**settings):
    return AnalysisPlan(
        [Occlusion(4), GuidedBackprop(4)], [WordDrop()], grid=4, bootstrap_samples=20, **settings
    )


def test_an_analysis_has_means_records_curves_and_paired_differences(small_pipeline, small_batch):
    settings = Faithfulness(masks=30, cells=2, curves=2, steps=4, epochs=[-1, 3])
    plan = plan_with(faithfulness=settings)
    small_batch.image_ids = torch.tensor([10, 11, 12])
    result = run_analysis(small_pipeline, [small_batch], plan, tagger=TAGGER, epoch=3)
    summary = result.summary
    key = "image/occlusion/faithfulness/deletion_blur"
    rows = [row for row in result.records if row["method"] == "occlusion"]
    column = [row["faithfulness_deletion_blur"] for row in rows]
    assert column[2] is None  # the third question has no curves
    assert summary[key] == pytest.approx(np.mean(column[:2]))
    assert (summary[f"{key}/n"], summary[f"{key}/n_undefined"]) == (2, 0)
    difference = summary[key] - summary["image/random/faithfulness/deletion_blur"]
    assert summary[f"{key}_minus_random"] == pytest.approx(difference)
    assert summary["image/occlusion/faithfulness/correlation/n"] == 3
    assert summary["modality/image_not_needed_patch/n"] == 2
    curve = result.curves[key]
    assert curve["n"] == [2.0] * 11
    assert all(low <= y <= high for low, y, high in zip(curve["low"], curve["y"], curve["high"], strict=True))
    assert not any("random" in key for key in rows[0])
    # The same at another epoch, of which the plan wants no curves.
    other = run_analysis(small_pipeline, [small_batch], plan, tagger=TAGGER, epoch=4)
    assert not any("deletion" in key for key in other.summary)
    assert (
        other.summary["image/occlusion/faithfulness/correlation"]
        == summary["image/occlusion/faithfulness/correlation"]
    )


def test_every_process_measures_its_part_of_questions_about_many_images(small_pipeline, small_batch):
    plan, of_image = (
        plan_with(faithfulness=Faithfulness(masks=30, cells=2, curves=2, steps=4)),
        {0: 10, 1: 10, 2: 11},
    )
    whole = run_analysis(small_pipeline, [small_batch], plan, tagger=TAGGER, of_image=of_image)
    parts = []
    for rows in ([0, 1], [2]):
        keep = lambda findings: parts.append(findings) or [findings]  # noqa: E731
        batch = small_batch.take(torch.tensor(rows))
        run_analysis(small_pipeline, [batch], plan, tagger=TAGGER, gather=keep, of_image=of_image)
    key = "image/occlusion/faithfulness/deletion_patch"
    assert [[*one.values[key]] for one in parts] == [[0], [2]]
    joined = run_analysis(
        small_pipeline,
        [small_batch.take(torch.tensor([0, 1]))],
        plan,
        tagger=TAGGER,
        gather=lambda findings: [parts[1], findings],
        of_image=of_image,
    )
    assert joined.summary == pytest.approx(whole.summary, rel=1e-6)
    assert FirstQuestions(2).rows([5, 6, 7]) == [0, 1]
    assert FirstQuestions(2, {7}).rows([5, 6, 7]) == [2]
    assert FirstQuestions(None).rows([5, 6]) == [0, 1]


@pytest.mark.parametrize("target", ["predicted", "truth", "contrast"])
def test_the_target_of_a_plan_is_what_the_maps_explain(small_pipeline, small_batch, target):
    with torch.no_grad():
        asked = small_batch.images, small_batch.tokens, small_batch.lengths
        scores = small_pipeline.answer_scores(*asked)
    best, second = scores.topk(2, dim=1).indices.T
    labels = torch.stack([second[0], second[1], torch.tensor(-1)])
    batch = replace(small_batch, labels=labels)
    result = run_analysis(small_pipeline, [batch], plan_with(target=target), tagger=TAGGER)
    answers = {
        "predicted": best,
        "truth": torch.stack([second[0], second[1], best[2]]),
        "contrast": torch.stack([best, second], dim=1),
    }[target]
    expected = Occlusion(4)(small_pipeline, batch, answers)
    found = result.maps["image/occlusion"]
    torch.testing.assert_close(found.values, expected.values)
    words = {
        "predicted": "probability of the predicted answer",
        "truth": "probability of the true answer",
        "contrast": "probability of the predicted answer minus that of the second most probable answer",
    }
    assert found.target == words[target]
    assert [row["predicted"] for row in result.records[::3]] == [str(int(one)) for one in best]
    unknown = "no true answer among the model's: its own is explained"
    assert result.manifest["excluded"].get(unknown, 0) == (1 if target == "truth" else 0)


def test_a_contrast_may_name_its_answer(small_pipeline, small_batch):
    plan = plan_with(target="contrast", against="b")
    result = run_analysis(small_pipeline, [small_batch], plan, tagger=TAGGER, answers=list("abcde"))
    assert result.maps["image/occlusion"].target.endswith("minus that of “b”")
    with pytest.raises(LookwhyError, match="one of the model's 5 answers as the plan's against, found 'x'"):
        run_analysis(
            small_pipeline, [small_batch], replace(plan, against="x"), tagger=TAGGER, answers=list("abcde")
        )
    with pytest.raises(LookwhyError, match="target contrast with against 'b', found target predicted"):
        plan_with(against="b")


def test_the_time_of_every_measure_is_a_part_of_the_whole(small_pipeline, small_batch):
    plan = plan_with(faithfulness=Faithfulness(masks=16, cells=2, steps=4, sensitivity=1))
    seconds = run_analysis(small_pipeline, [small_batch], plan, tagger=TAGGER).manifest["seconds"]
    measures = {name for name in seconds if name.startswith("faithfulness") and ": " not in name}
    assert len(measures) == 4  # the bank, deletion, max-sensitivity, words
    outer = {name.split(": ")[0] for name in seconds}
    assert outer <= seconds.keys()  # a profile adds up the outer parts


def test_an_answer_contrasted_with_itself_has_no_faithfulness(small_pipeline, small_batch):
    with torch.no_grad():
        asked = small_batch.images, small_batch.tokens, small_batch.lengths
        best = small_pipeline.answer_scores(*asked).argmax(1).tolist()
    against = str(best[0])
    names = [str(one) for one in range(5)]
    some = [one for one in range(3) if best[one] != best[0]]
    settings = Faithfulness(masks=16, cells=2, steps=4)
    plan = plan_with(target="contrast", against=against, faithfulness=settings)
    result = run_analysis(small_pipeline, [small_batch], plan, tagger=TAGGER, answers=names)
    reason = "contrast of an answer with itself: no faithfulness"
    assert result.manifest["excluded"][reason] == 3 - len(some)
    for row in result.records:
        own = [row.get("faithfulness_deletion_patch"), row.get("faithfulness_deletion")]
        assert any(one is not None for one in own) == (row["question_id"] in some)


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        ({"steps": 1}, "faithfulness.steps of at least 2, found 1"),
        ({"cells": 1}, "faithfulness.cells of at least 2, found 1"),
        ({"radius": 0.0}, "faithfulness.radius above 0 and up to 1, found 0.0"),
        ({"curves": -1}, "faithfulness.curves of at least 0, found -1"),
        ({"fills": ["blur", "blur"]}, r"faithfulness.fills, each once, found \['blur', 'blur'\]"),
    ],
)
def test_settings_without_sense_are_refused(settings, line):
    with pytest.raises(LookwhyError, match=line):
        Faithfulness(**settings)


def test_a_plan_with_measures_is_described_and_read_back():
    plan = plan_with(faithfulness=Faithfulness(masks=7, fills=["blur"]), target="truth")
    assert AnalysisPlan.from_dict(plan.describe(), "a test").describe() == plan.describe()
    assert plan.describe()["faithfulness"]["fills"] == ["blur"]
    assert AnalysisPlan.from_dict({"faithfulness": {"masks": 9}}, "a test").faithfulness == Faithfulness(
        masks=9
    )
