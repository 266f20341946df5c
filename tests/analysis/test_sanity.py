"""The sanity card: its measures beside SciPy and NumPy, and methods that notice the head, or do not."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from known_models import OnlyScores, draw, make_batch, make_maps
from scipy.ndimage import gaussian_filter
from scipy.stats import spearmanr, t
from torch import nn

from lookwhy.analysis import AnalysisPlan, run_analysis
from lookwhy.analysis.part_of_speech import Tagger
from lookwhy.analysis.sanity import PARTS, Sanity, entropy_of, rise_of_entropy, sanity_card, similarities
from lookwhy.attribution import Attributor, Occlusion, WordDrop
from lookwhy.errors import LookwhyError
from lookwhy.models import DeeperLSTM, Pipeline

OF_IMAGE = {0: 0, 1: 0, 2: 1, 3: 2}
TAGGER = Tagger("none", lambda words: ["NN"] * len(words))
RANDOM = np.random.default_rng(0)


def numpy_ssim(x, y):
    """SSIM of Wang et al. 2004: a Gaussian window of 11 x 11 with a deviation of 1.5, mirrored at the border."""
    smooth = partial(gaussian_filter, sigma=1.5, truncate=3.5, mode="mirror")
    mean_x, mean_y = smooth(x), smooth(y)
    of_x, of_y, both = smooth(x * x) - mean_x**2, smooth(y * y) - mean_y**2, smooth(x * y) - mean_x * mean_y
    c1, c2 = 0.01**2, 0.03**2
    found = (2 * mean_x * mean_y + c1) * (2 * both + c2)
    return (found / ((mean_x**2 + mean_y**2 + c1) * (of_x + of_y + c2))).mean()


def test_similarities_are_those_of_the_definitions():
    first, second = RANDOM.normal(size=(2, 3, 16, 16))
    second += 0.5 * first
    found = similarities(make_maps(first), make_maps(second))
    for row in range(3):
        own, other = (np.abs(one[row]) / np.abs(one[row]).max() for one in (first, second))
        expected = {
            "spearman": spearmanr(first[row].ravel(), second[row].ravel()).statistic,
            "spearman_magnitude": spearmanr(own.ravel(), other.ravel()).statistic,
            "ssim": numpy_ssim(own, other),
        }
        for measure, value in expected.items():
            assert found[measure][row] == pytest.approx(value, abs=1e-6), measure
    same = similarities(make_maps(first), make_maps(-3 * first))
    assert same["spearman"] == pytest.approx(-1)
    assert same["spearman_magnitude"] == pytest.approx(1)
    assert same["ssim"] == pytest.approx(1, abs=1e-6)


def test_a_constant_map_has_no_similarity_and_words_past_the_end_do_not_count():
    flat = similarities(make_maps(np.zeros((1, 16, 16))), make_maps(RANDOM.normal(size=(1, 16, 16))))
    assert all(np.isnan(values).all() for values in flat.values())
    words, others = RANDOM.normal(size=(2, 3, 6))
    valid = [[1, 1, 1, 1, 0, 0], [1, 0, 0, 0, 0, 0], [1, 1, 1, 1, 1, 1]]
    found = similarities(make_maps(words, "question", valid), make_maps(others, "question", valid))
    assert set(found) == {"spearman", "spearman_magnitude"}
    assert found["spearman"][0] == pytest.approx(spearmanr(words[0, :4], others[0, :4]).statistic)
    assert np.isnan(found["spearman"][1])
    coarse = make_maps(RANDOM.normal(size=(1, 5, 5)))
    assert np.isnan(similarities(coarse, coarse)["ssim"]).all()
    wider = make_maps(np.pad(words, ((0, 0), (0, 3))), "question", np.pad(valid, ((0, 0), (0, 3))))
    again = similarities(wider, make_maps(others, "question", valid))
    np.testing.assert_array_equal(again["spearman"], found["spearman"])


def test_emprt_is_the_rise_of_the_entropy_of_a_histogram_and_does_not_depend_on_the_scale():
    maps = RANDOM.normal(size=(4, 16, 16))
    for row, values in enumerate(maps.reshape(4, -1)):
        scaled = np.abs(values) / np.sqrt((values**2).mean())
        share = np.histogram(scaled, 100)[0] / 256
        expected = -sum(p * np.log(p) for p in share if p)
        assert entropy_of(maps.reshape(4, -1))[row] == pytest.approx(expected)
    np.testing.assert_allclose(entropy_of(1e3 * maps.reshape(4, -1)), entropy_of(maps.reshape(4, -1)))
    peaked = np.zeros((1, 16, 16))
    peaked[0, 3, 4:8] = 1
    low, high = (entropy_of(one.reshape(1, -1))[0] for one in (peaked, maps[:1]))
    rise = rise_of_entropy(make_maps(peaked), make_maps(maps[:1]))
    assert rise[0] == pytest.approx((high - low) / low)
    assert rise[0] > 0


def test_the_card_holds_means_over_draws_with_their_t_interval():
    trained, human = RANDOM.normal(size=(4, 16, 16)), RANDOM.random((4, 2, 16, 16))
    draws = RANDOM.normal(size=(3, 4, 16, 16)) + trained
    ids = np.array([7, 7, 8, 8])
    found = sanity_card(
        {"image/x": make_maps(trained)}, {"head": [{"image/x": make_maps(one)} for one in draws]}, human, ids
    )
    by_draw = [similarities(make_maps(trained), make_maps(one))["spearman"].mean() for one in draws]
    key = "image/x/sanity/head/spearman"
    half = t.ppf(0.975, 2) * np.std(by_draw, ddof=1) / np.sqrt(3)
    assert found[key] == pytest.approx(np.mean(by_draw))
    assert found[f"{key}/ci_low"] == pytest.approx(np.mean(by_draw) - half)
    assert found[f"{key}/n"] == 3
    pairs = [
        similarities(make_maps(draws[one]), make_maps(draws[other]))["ssim"].mean()
        for one, other in ((0, 1), (1, 2), (2, 0))
    ]
    assert found["image/x/sanity/two_random/ssim"] == pytest.approx(np.mean(pairs))
    magnitudes = np.abs(draws[0]).reshape(4, -1)
    rho = np.mean(
        [[spearmanr(magnitudes[q], human[q, k].ravel()).statistic for k in range(2)] for q in range(4)]
    )
    own = sanity_card(
        {"image/x": make_maps(trained)}, {"head": [{"image/x": make_maps(draws[0])}] * 2}, human, ids
    )
    assert own["image/x/sanity/head/rank_correlation"] == pytest.approx(rho)
    partner = similarities(make_maps(trained), make_maps(trained[[1, 0, 3, 2]]))["spearman"].mean()
    assert found["image/x/sanity/other_question/spearman"] == pytest.approx(partner)
    other = similarities(make_maps(trained), make_maps(trained[[2, 2, 0, 0]]))["spearman"].mean()
    assert found["image/x/sanity/other_image/spearman"] == pytest.approx(other)


class Edges(Attributor):
    """A method that looks at the pixels alone, as an edge detector does."""

    name, domain, needs = "edges", "image", "scores"

    def __call__(self, model, batch, target):
        return self._maps(batch, target, batch.images.double().abs().sum(1), signed=False)


def a_model():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 6, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(4), nn.Flatten())
    head = DeeperLSTM(9, 5, 96, embedding_size=6, hidden_size=5, common_size=8)
    return Pipeline(network, head).eval()


def some_batch():
    images = draw(4, 3, 16, 16, dtype=torch.float32)[[0, 0, 1, 2]]
    return make_batch(images, ((1, 2, 3), (4, 5), (6, 7, 8, 1), (2, 2)), [0, 0, 1, 2], torch.float32)


def a_plan(**options):
    methods = [Edges(), Occlusion(16)]
    return AnalysisPlan(methods, [WordDrop()], bootstrap_samples=10, sanity=Sanity(**options))


def test_a_method_that_ignores_the_model_is_found_out_and_the_model_stays_as_it_was():
    model, batch = a_model(), some_batch()
    before = {name: x.clone() for name, x in model.state_dict().items()}
    state = torch.get_rng_state()
    summary = run_analysis(model, [batch], a_plan(draws=2, questions=None), tagger=TAGGER).summary
    assert torch.get_rng_state().equal(state)
    assert all(x.equal(before[name]) for name, x in model.state_dict().items())
    for part in (*PARTS, "two_random"):
        assert summary[f"image/edges/sanity/{part}/spearman"] == pytest.approx(1)
        assert summary[f"image/occlusion/sanity/{part}/spearman"] < 0.9
        assert f"question/word_drop/sanity/{part}/spearman" in summary
    assert summary["image/edges/sanity/emprt"] == pytest.approx(0)


def test_the_maps_of_a_random_model_are_those_that_the_method_makes_of_it():
    from lookwhy.models.random_parts import with_random_weights

    model, batch = a_model(), some_batch()
    plan = a_plan(draws=2, questions=None, seed=5, random=["both"])
    result = run_analysis(model, [batch], plan, tagger=TAGGER)
    target = model.answer_scores(batch.images, batch.tokens, batch.lengths).argmax(1)
    ours = []
    for seed in (5, 6):
        random = Pipeline(
            with_random_weights(model.tower.network, seed), with_random_weights(model.head, seed)
        ).eval()
        maps = Occlusion(16)(random, batch, target)
        ours.append(similarities(result.maps["image/occlusion"], maps)["spearman"].mean())
    key = "image/occlusion/sanity/both/spearman"
    assert result.summary[key] == pytest.approx(np.mean(ours), abs=1e-6)
    assert result.summary[f"{key}/n"] == 2


def test_several_processes_and_batches_find_what_one_finds():
    model, batch = a_model(), some_batch()
    plan = a_plan(draws=2, questions=3)
    whole = run_analysis(model, [batch], plan, tagger=TAGGER, of_image=OF_IMAGE)
    parts = []

    def share(rows):
        some = batch.take(torch.tensor(rows))
        run_analysis(model, [some], plan, tagger=TAGGER, of_image=OF_IMAGE,
                     gather=lambda own: parts.append(own) or [own])  # fmt: skip

    for rows in ([3], [2], [0, 1]):
        share(rows)
    joined = run_analysis(
        model,
        [batch.take(torch.tensor([3]))],
        plan,
        tagger=TAGGER,
        of_image=OF_IMAGE,
        gather=lambda _: parts,
    )
    card = {key: value for key, value in whole.summary.items() if "/sanity/" in key}
    assert card
    assert {key: joined.summary[key] for key in card} == pytest.approx(card, abs=1e-6)


def test_epochs_without_a_card_cost_nothing_and_wrong_settings_are_refused():
    model, batch = a_model(), some_batch()
    plan = a_plan(draws=2, epochs=[3])
    for epoch, has_card in ((2, False), (3, True), (None, True)):
        summary = run_analysis(model, [batch], plan, tagger=TAGGER, epoch=epoch).summary
        assert any("/sanity/" in key for key in summary) == has_card
    with pytest.raises(LookwhyError, match="sanity card, .* found OnlyScores; leave sanity out"):
        run_analysis(OnlyScores(model), [batch], plan, tagger=TAGGER)
    for settings, expected in (
        ({"draws": 1}, "expected sanity.draws of at least 2, found 1"),
        ({"questions": 0}, "expected sanity.questions of at least 1"),
        ({"random": []}, "expected sanity.random, one part or more"),
        ({"random": ["head", "head"]}, "each once"),
    ):
        with pytest.raises(LookwhyError, match=expected):
            Sanity(**settings)
    read = AnalysisPlan.from_dict(plan.describe(), "a plan")
    assert read.sanity == replace(plan.sanity)
