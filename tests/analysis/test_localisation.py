"""Agreement with masks: values known by hand, chance by simulation, ties by enumeration of all choices."""

from itertools import permutations

import numpy as np
import pytest
from scipy import stats

from lookwhy.analysis.localisation import area, mass_accuracy, pointing_game, rank_accuracy

MEASURES = [mass_accuracy, rank_accuracy, pointing_game]


def draw(seed, shape):
    return np.random.default_rng(seed).random(shape)


@pytest.mark.parametrize("measure", MEASURES)
def test_the_mask_itself_scores_one_and_a_uniform_map_the_area(measure):
    truth = (draw(0, (50, 4, 4)) < 0.3).astype(float)
    truth = truth[truth.any((1, 2))]
    np.testing.assert_allclose(measure(truth, truth), 1)
    np.testing.assert_allclose(measure(np.full_like(truth, 7.0), truth), truth.mean((1, 2)))
    np.testing.assert_allclose(area(truth), truth.mean((1, 2)))


@pytest.mark.parametrize("measure", MEASURES)
def test_a_random_map_scores_the_area_on_average(measure):
    count = 20_000
    truth = np.zeros((count, 4, 4))
    truth[:, 1, :3] = 1
    found = measure(draw(1, truth.shape), truth)
    assert abs(found.mean() - 3 / 16) < 4 * stats.sem(found)


def test_values_by_hand():
    maps = np.array([[[4.0, -3.0, 0.0], [2.0, 1.0, 0.0], [0.0, 0.0, 0.0]]])
    truth = np.array([[[0.0, 1.0, 0.4], [0.6, 0.0, 0.0], [0.0, 0.0, 0.0]]])  # inside: -3 and 2
    assert mass_accuracy(maps, truth) == pytest.approx([5 / 10])
    assert mass_accuracy(maps, truth, "positive") == pytest.approx([2 / 7])
    assert rank_accuracy(maps, truth) == pytest.approx([1 / 2])
    assert rank_accuracy(maps, truth, "positive") == pytest.approx([1 / 2])
    assert pointing_game(maps, truth) == pytest.approx([0])
    assert pointing_game(-maps, truth, "positive") == pytest.approx([1])


def test_ties_are_the_mean_over_all_orders_of_the_tied_cells():
    random = np.random.default_rng(2)
    for _ in range(20):
        maps, truth = random.integers(0, 3, (1, 2, 3)).astype(float), (random.random((1, 2, 3)) < 0.5) * 1.0
        truth[0, 0, 0] = 1.0
        values, inside = np.abs(maps.reshape(-1)), truth.reshape(-1) > 0
        ranks, points = [], []
        for order in permutations(range(6)):
            best = sorted(order, key=lambda cell: -values[cell])  # stable: ties in the permutation's order
            ranks.append(inside[best[: inside.sum()]].mean())
            points.append(inside[best[0]])
        found = (
            function(np.repeat(maps, 1, 0), np.repeat(truth, 1, 0))
            for function in (_square(rank_accuracy), _square(pointing_game))
        )
        np.testing.assert_allclose([next(found), next(found)], [[np.mean(ranks)], [np.mean(points)]])


def _square(measure):
    """The measure of maps of 2x3 cells, padded to 3x3 with cells that come last and lie outside."""

    def padded(maps, truth):
        more = ((0, 0), (0, 1), (0, 0))
        return measure(np.pad(maps + 1, more), np.pad(truth, more))

    return padded


@pytest.mark.parametrize("measure", MEASURES)
def test_a_mask_smaller_than_a_cell_has_the_cell_that_it_covers_most(measure):
    truth = np.zeros((1, 4, 4))
    truth[0, 2, 1], truth[0, 2, 2] = 0.3, 0.1
    maps = np.zeros((1, 4, 4))
    maps[0, 2, 1] = 5
    assert measure(maps, truth) == pytest.approx([1])
    truth[0, 2, 2] = 0.3  # two cells alike: still one
    assert area(truth) == pytest.approx([1 / 16])


@pytest.mark.parametrize("measure", MEASURES)
def test_what_is_undefined_is_nan(measure):
    maps, truth = draw(3, (4, 3, 3)), np.ones((4, 3, 3))
    truth[0] = 0
    truth[1, 0, 0] = np.nan
    maps[2, 1, 1] = np.nan
    assert np.isnan(measure(maps, truth)).tolist() == [True, True, True, False]
    assert np.isnan(mass_accuracy(np.zeros((1, 3, 3)), truth[3:])).all()
    assert len(measure(maps[:0], truth[:0])) == 0


@pytest.mark.parametrize("measure", MEASURES)
def test_wrong_input_is_told(measure):
    with pytest.raises(ValueError, match=r"expected maps and masks of one shape \(N, G, G\), found"):
        measure(np.ones((2, 3, 3)), np.ones((2, 4, 4)))
    with pytest.raises(ValueError, match="found 0 to 255; divide a mask"):
        measure(np.ones((1, 2, 2)), np.array([[[0, 255], [0, 0]]]))
