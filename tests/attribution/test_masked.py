"""RISE, LIME and KernelSHAP against NumPy, scikit-learn, Captum and the definition of Shapley values."""

from itertools import permutations

import captum.attr
import numpy as np
import pytest
import torch
from known_models import LinearBlackBox, OnlyScores, draw, make_batch
from pipelines import TARGET
from sklearn.linear_model import Ridge
from torch.testing import assert_close

from lookwhy.attribution import LIME, RISE, Gradient, KernelSHAP, Occlusion, WordDrop, WordGradient
from lookwhy.attribution.kernel_shap import exact_weights, regression_weights
from lookwhy.attribution.masked import shared_by_cells
from lookwhy.errors import LookwhyError
from lookwhy.models import MCAN, SAN, DeeperLSTM, Pipeline
from lookwhy.towers import Memory
from lookwhy.towers.masks import Coalitions, fill_of

METHODS = [
    RISE(grid=4, samples=30),
    LIME(grid=4, cells=2, samples=16),
    KernelSHAP(grid=4, cells=2, samples=16),
]
NAMES = [method.name for method in METHODS]


@pytest.fixture
def in_double(monkeypatch):
    """Maps stay in double precision."""
    monkeypatch.setattr(torch.Tensor, "float", torch.Tensor.double)


@torch.no_grad()
def scores_of(model, batch, row, masks, fill=0.0):
    """Probability of the row's answer under each mask, one plain forward pass each."""
    image, tokens = batch.images[row], batch.tokens[row : row + 1]
    asked = tokens, batch.lengths[row : row + 1]
    masked = (image * mask + fill * (1 - mask) for mask in masks)
    return np.array([float(model.answer_scores(one[None], *asked)[0, TARGET[row]]) for one in masked])


@torch.no_grad()
def test_rise_is_the_papers_sum_over_masks(small_pipeline, small_batch, in_double):
    method = RISE(grid=4, samples=30, cells=5, kept=0.3)
    found = method(small_pipeline, small_batch, TARGET)
    assert not found.signed
    assert RISE(grid=4, samples=9, explains="logit")(small_pipeline, small_batch, TARGET).signed
    assert not found.values[0].equal(found.values[1])
    for row in range(3):
        masks = method.family.masks(small_batch.images[row])
        scores = scores_of(small_pipeline, small_batch, row, masks)
        pixels = np.tensordot(scores, masks.numpy(), 1) / (30 * 0.3)
        assert_close(found.values[row].numpy(), pixels.reshape(4, 4, 4, 4).mean((1, 3)), atol=1e-10, rtol=0)


@torch.no_grad()
@pytest.mark.parametrize("samples", [16, 300], ids=["all coalitions", "a sample"])
def test_lime_is_scikit_learns_weighted_ridge_regression(small_pipeline, small_batch, in_double, samples):
    cells = 2 if samples == 16 else 4
    method = LIME(grid=4, cells=cells, samples=samples, width=0.4, alpha=0.7, fill="blur")
    found = method(small_pipeline, small_batch, TARGET)
    for row in range(3):
        image = small_batch.images[row]
        kept, masks = method.family.kept(image).astype(float), method.family.masks(image)
        if samples == 300:  # the whole image comes first, unless it is one of all coalitions
            kept = np.concatenate([np.ones((1, cells**2)), kept])
            masks = torch.cat([torch.ones(1, 16, 16), masks])
        scores = scores_of(small_pipeline, small_batch, row, masks, fill_of(image, None, "blur"))
        distance = 1 - kept.sum(1) / np.maximum(np.linalg.norm(kept, axis=1), 1e-300) / cells
        ridge = Ridge(alpha=0.7).fit(kept, scores, sample_weight=np.exp(-(distance**2) / 0.4**2))
        share = (4 // cells) ** 2
        values = found.values[row].reshape(cells, 4 // cells, cells, 4 // cells)[:, 0, :, 0].flatten() * share
        assert_close(values.numpy(), ridge.coef_, atol=1e-10, rtol=0)


def test_kernel_shap_of_all_coalitions_is_the_mean_over_all_orders_and_captums(
    small_pipeline, small_batch, in_double
):
    method = KernelSHAP(grid=4, cells=2, samples=16)
    found = method(small_pipeline, small_batch, TARGET).values[:, ::2, ::2].flatten(1) * 4
    cell = (torch.arange(16) // 8)[:, None] * 2 + torch.arange(16) // 8
    for row in range(3):
        image = small_batch.images[row]
        scores = scores_of(small_pipeline, small_batch, row, method.family.masks(image))
        value = dict(zip(map(tuple, method.family.kept(image).tolist()), scores, strict=True))
        expected = shapley_by_orders(value, 4)
        assert np.abs(expected).max() > 1e-4
        assert_close(found[row].numpy(), expected, atol=1e-10, rtol=0)
        asked = small_batch.tokens[row : row + 1], small_batch.lengths[row : row + 1]
        forward = lambda image, asked=asked: small_pipeline.answer_scores(image, *asked)  # noqa: E731
        with torch.no_grad():
            values = captum.attr.ShapleyValues(forward).attribute(
                image[None], target=int(TARGET[row]), feature_mask=cell[None, None]
            )
        # Captum adds up in single precision.
        assert_close(found[row], values[0, 0, ::8, ::8].flatten().double(), atol=1e-7, rtol=0)


def shapley_by_orders(value, players):
    """Shapley values by their definition, from the value of each coalition (a tuple of bools)."""
    found, orders = np.zeros(players), list(permutations(range(players)))
    for order in orders:
        before = [False] * len(next(iter(value)))
        for player in order:
            after = list(before)
            after[player] = True
            found[player] += (value[tuple(after)] - value[tuple(before)]) / len(orders)
            before = after
    return found


def test_shapley_weights_are_the_mean_over_all_orders_of_a_game_and_a_sample_comes_near():
    # A game of noise for five of the players, so that all orders are few; the others add nothing.
    worth = np.random.default_rng(3).normal(size=(2,) * 5)

    def play(kept):
        return torch.from_numpy(np.array([worth[tuple(row[:5].astype(int))] for row in kept]))

    few = np.array([[bool(number >> place & 1) for place in range(5)] for number in range(32)])
    value = dict(zip(map(tuple, few.tolist()), play(few).tolist(), strict=True))
    expected = shapley_by_orders(value, 5)
    every = Coalitions(512, cells=3).kept(torch.zeros(3, 9, 9))
    exact = exact_weights(torch.from_numpy(every).double()) @ play(every)
    np.testing.assert_allclose(exact, np.append(expected, [0.0] * 4), atol=1e-12)
    errors = []
    for count in (401, 20_001):
        drawn = Coalitions(count, cells=4, drawn="shapley").kept(torch.ones(3, 9, 9))
        assert not drawn[0].any()
        assert (drawn[1::2] == ~drawn[2::2]).all()  # each subset with its complement
        whole = np.ones((1, 16), bool)
        estimate = regression_weights(torch.from_numpy(drawn).double()) @ play(np.concatenate([whole, drawn]))
        assert float(estimate.sum()) == pytest.approx(worth[1, 1, 1, 1, 1] - worth[0, 0, 0, 0, 0], abs=1e-10)
        errors.append(np.abs(estimate.numpy() - np.append(expected, [0.0] * 11)).max())
    assert 1e-6 < errors[1] < 0.06
    assert errors[1] < errors[0] < 0.5


def test_in_a_linear_model_every_method_finds_the_worth_of_the_cells(in_double):
    weight, image = draw(3, 8, 8), draw(3, 8, 8, seed=1)
    batch = make_batch(image[None], ((1,),))
    model = LinearBlackBox(weight, torch.zeros(2, dtype=torch.float64))
    worth = (weight * image).sum(0).view(4, 2, 4, 2).sum((1, 3))
    shapley = KernelSHAP(grid=4, cells=4, samples=400)(model, batch, torch.tensor([0]))
    assert_close(shapley.values[0], worth, atol=1e-8, rtol=0)  # exact although drawn: the game is additive
    lime = LIME(grid=4, cells=4, samples=400, alpha=0.0)(model, batch, torch.tensor([0]))
    assert_close(lime.values[0], worth, atol=1e-8, rtol=0)
    rise = RISE(grid=4, samples=4000, cells=4)(model, batch, torch.tensor([0])).values[0]
    assert np.corrcoef(rise.flatten(), worth.flatten())[0, 1] > 0.8


@pytest.mark.parametrize("method", METHODS, ids=NAMES)
def test_a_black_box_and_a_memory_give_the_same_maps_and_the_network_runs_once(
    small_pipeline, small_batch, tmp_path, monkeypatch, method
):
    plain = method(OnlyScores(small_pipeline), small_batch, TARGET)
    exact = method(small_pipeline, small_batch, TARGET)
    assert exact.values.abs().max() > 1e-4
    assert_close(exact.values, plain.values, atol=1e-7, rtol=0)
    passes, forward = [], small_pipeline.tower.network.forward
    monkeypatch.setattr(
        small_pipeline.tower.network, "forward", lambda x: passes.append(len(x)) or forward(x)
    )
    small_pipeline.tower.memory = Memory(tmp_path)
    first, second = (method(small_pipeline, small_batch, TARGET) for _ in range(2))
    assert sum(passes) == 2 * (method.family.count + 1)  # two images, not three questions or two analyses
    assert torch.equal(first.values, second.values)
    assert_close(first.values, exact.values, atol=2e-3 * float(exact.values.abs().max()), rtol=0)


def test_lime_and_shap_share_the_bank_of_all_coalitions():
    assert LIME(cells=3).family.describe() == KernelSHAP(cells=3).family.describe()
    assert LIME().family.describe() != KernelSHAP().family.describe()


def test_a_coarse_cell_is_shared_by_the_cells_whose_centres_it_holds():
    values = torch.arange(9.0)[:, None] + 1
    shared = shared_by_cells(values, 3, 16).view(16, 16)
    counts = torch.tensor([5, 6, 5])
    for row in range(3):
        for column in range(3):
            rows, columns = (
                slice(int(counts[:at].sum()), int(counts[: at + 1].sum())) for at in (row, column)
            )
            own = shared[rows, columns]
            assert torch.allclose(own, own[0, 0].expand_as(own))
            assert float(own.sum()) == pytest.approx(1 + 3 * row + column)


@pytest.mark.parametrize(
    ("make", "line"),
    [
        (
            lambda: KernelSHAP(cells=7, samples=97),
            "at least 98, two for each of 7 x 7 cells, found 97 for KernelSHAP",
        ),
        (lambda: LIME(grid=4, cells=5), "cells from 2 to 4, the grid of the map, found 5 for LIME"),
        (lambda: LIME(width=0.0), "width above 0 and alpha from 0, found 0.0 and 1.0"),
        (lambda: RISE(samples=0), "at least 1 mask, found 0"),
    ],
)
def test_settings_without_sense_are_refused(make, line):
    with pytest.raises(LookwhyError, match=line):
        make()


@pytest.mark.parametrize("method", [*METHODS, Occlusion(grid=4), WordDrop()], ids=lambda one: one.name)
def test_a_contrast_is_the_difference_of_two_maps_for_methods_of_scores(small_pipeline, small_batch, method):
    other = torch.tensor([4, 0, 2])
    pair = method(small_pipeline, small_batch, torch.stack([TARGET, other], dim=1))
    one, two = (method(small_pipeline, small_batch, answers) for answers in (TARGET, other))
    assert torch.equal(pair.answers, TARGET)
    assert one.values.sub(two.values).abs().max() > 1e-4
    assert_close(pair.values, one.values - two.values, atol=1e-6, rtol=0)


@pytest.mark.parametrize("method", [WordGradient(), Gradient(grid=4)], ids=["words", "image"])
def test_a_contrast_is_the_gradient_of_a_difference(small_pipeline, small_batch, method):
    other = torch.tensor([4, 0, 2])
    pair = method(small_pipeline, small_batch, torch.stack([TARGET, other], dim=1))
    single = method(small_pipeline, small_batch, TARGET)
    assert (pair.values - single.values).abs().max() > 1e-5
    # The difference of an answer from itself has no gradient.
    nothing = method(small_pipeline, small_batch, torch.stack([TARGET, TARGET], dim=1))
    assert nothing.values.abs().max() < 1e-12
    assert_close(method(small_pipeline, small_batch, torch.stack([other, TARGET], dim=1)).values, pair.values)


def pipeline_with(head, **settings):
    tower = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3, padding=1), torch.nn.AdaptiveAvgPool2d(3))
    return Pipeline(tower, head(9, 5, 36, embedding_size=4, hidden_size=8, **settings)).eval()


@pytest.mark.parametrize("head", [SAN, MCAN])
@pytest.mark.parametrize("samples", [20, 256, 257])
def test_a_head_that_reads_regions_explains_by_any_number_of_masks(samples, head):
    model = pipeline_with(head, regions=9)
    batch = make_batch(torch.rand(1, 3, 9, 9), dtype=torch.float32)
    values = RISE(grid=3, samples=samples)(model, batch, torch.tensor([0])).values
    assert values.isfinite().all()
    assert [len(one) for one in model.under_masks(batch.images[0], RISE(3, samples).family)] == {
        20: [21],
        256: [257],
        257: [257, 1],
    }[samples]


@pytest.mark.parametrize(
    "method",
    [
        LIME(grid=6, cells=3, samples=40),
        LIME(grid=6, cells=3, samples=512),
        KernelSHAP(grid=6, cells=3, samples=40),
        KernelSHAP(grid=6, cells=3, samples=512),
    ],
)
def test_a_model_that_ignores_the_image_has_a_map_of_exact_zeros(method):
    model = pipeline_with(DeeperLSTM, common_size=7, use_image=False)
    batch = make_batch(torch.rand(1, 3, 9, 9), dtype=torch.float32)
    assert not method(model, batch, torch.tensor([0])).values.any()
