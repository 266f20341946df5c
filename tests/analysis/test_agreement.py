"""Rank correlations, agreement with annotators and its controls, against plain loops with SciPy."""

import numpy as np
import pytest
from scipy.stats import rankdata, spearmanr

from lookwhy.analysis import rank_correlation
from lookwhy.analysis.agreement import agreement, annotators_agreement, centre_prior, random_maps
from lookwhy.analysis.rank_correlation import Ranking
from lookwhy.analysis.statistics import mean_of_defined

IMAGES = np.array([7, 7, 7, 8, 8, 9])


def rho(a, b):
    return spearmanr(a.ravel(), b.ravel()).statistic


@pytest.fixture
def data():
    random = np.random.default_rng(0)
    human = random.normal(size=(6, 2, 4, 4))
    human[4, 1] = np.nan  # one annotator is missing
    return random.normal(size=(6, 4, 4)), human


def mean_rho(map_, annotators):
    return np.mean([rho(map_, one) for one in annotators if not np.isnan(one).any()])


def test_controls_equal_a_plain_loop_with_scipy(data):
    maps, human = data
    found = agreement(maps, human, IMAGES)
    for i, image in enumerate(IMAGES):
        own = mean_rho(maps[i], human[i])
        assert found.rank_correlation[i] == pytest.approx(own)
        foreign = [mean_rho(maps[j], human[i]) for j in np.flatnonzero(image != IMAGES)]
        assert found.other_image[i] == pytest.approx(np.mean(foreign))
        others = [j for j in np.flatnonzero(image == IMAGES) if j != i]
        if not others:
            assert np.isnan([found.specificity[i], found.other_question[i]]).all()
            continue
        expected = own - np.mean([mean_rho(maps[i], human[j]) for j in others])
        assert found.specificity[i] == pytest.approx(expected)
        expected = np.mean([mean_rho(maps[j], human[i]) for j in others])
        assert found.other_question[i] == pytest.approx(expected)
    same = np.random.default_rng(1).normal(size=(3, 4, 4))[[0, 0, 0, 1, 1, 2]]
    # The specificity of a model that ignores the question is zero.
    assert mean_of_defined(agreement(same, human, IMAGES).specificity[:3], 0) == pytest.approx(0)


def test_agreement_with_the_mean_map_gives_each_annotator_the_same_weight(data):
    human = np.random.default_rng(2).random((6, 3, 4, 4))
    human[:, 1] *= 50  # one annotator's pictures are brighter
    human[2, 0] = 0.0  # one saw nothing
    human[4, 1:] = np.nan  # two are missing
    found = agreement(data[0], human, IMAGES)
    for one, maps, own in zip(found.mean_map, data[0], human, strict=True):
        assert one == pytest.approx(rho(maps, np.mean([m / m.sum() for m in own if m.sum() > 0], axis=0)))


def test_each_annotator_is_compared_with_each_other_one_and_with_the_mean_of_the_others(data):
    human = np.random.default_rng(3).random((1, 3, 4, 4))
    found = annotators_agreement(human, np.array([7]))
    whole = [one / one.sum() for one in human[0]]
    expected = [rho(whole[k], np.mean(whole[:k] + whole[k + 1 :], axis=0)) for k in range(3)]
    assert found.mean_map[0] == pytest.approx(np.mean(expected))
    pairs = [rho(whole[i], whole[j]) for i, j in ((0, 1), (0, 2), (1, 2))]
    assert found.rank_correlation[0] == pytest.approx(np.mean(pairs))
    found = annotators_agreement(data[1], IMAGES)
    assert found.rank_correlation[0] == pytest.approx(rho(data[1][0, 0], data[1][0, 1]))
    assert np.isnan(found.rank_correlation[4])  # one annotator alone agrees with nobody


@pytest.mark.parametrize("ties", ["average", "min", "dense", "ordinal"])
def test_ties_are_ranked_and_constant_maps_count_as_the_ranking_says(data, ties):
    maps, human = data
    coarse = np.random.default_rng(4).integers(0, 3, (6, 4, 4)).astype(float)
    ranks = [rankdata(one.ravel(), ties) for one in (coarse[0], *human[0], maps[0])]
    expected = np.mean([np.corrcoef(ranks[0], ranks[k])[0, 1] for k in (1, 2)])
    assert agreement(coarse, human, IMAGES, Ranking(ties)).rank_correlation[0] == pytest.approx(expected)
    maps[2], human[0, 0] = 0.5, 0.0
    found = agreement(maps, human, IMAGES, Ranking(ties, "zero"))
    assert found.rank_correlation[2] == 0
    assert found.rank_correlation[0] == pytest.approx(np.corrcoef(ranks[3], ranks[2])[0, 1] / 2)
    assert np.isnan(agreement(maps, human, IMAGES, Ranking(ties)).rank_correlation[2])


def test_random_maps_depend_on_the_question_and_the_centre_prior_is_symmetric():
    first = random_maps(np.array([5, 9]), 16, seed=0)
    assert np.array_equal(first[1], random_maps(np.array([9]), 16, seed=0)[0])
    assert not np.array_equal(first[0], first[1])
    prior = centre_prior(1, 16)[0]
    assert prior[7:9, 7:9].min() == prior.max()
    assert np.allclose(prior, prior.T)
    assert np.allclose(prior, prior[::-1])
    # Cells as far from the middle as each other are equal, not only nearly.
    offset = 2 * np.arange(16) - 15
    assert len(np.unique(prior)) == len(np.unique(offset[:, None] ** 2 + offset**2))


def test_a_partial_correlation_is_that_of_what_the_centre_prior_does_not_explain():
    rng, centre = np.random.default_rng(0), centre_prior(1, 16)[0]
    maps, human = rng.normal(size=(6, 16, 16)) + 3 * centre, rng.normal(size=(6, 2, 16, 16)) + 3 * centre
    human[4, 1], maps[5] = np.nan, centre
    found = agreement(maps, human, IMAGES)
    ranked = [rankdata(one) - 128.5 for one in (*maps, centre)]

    def left(values):
        """Residuals of a regression on the ranks of the centre prior."""
        return values - ranked[-1] * (values @ ranked[-1]) / (ranked[-1] @ ranked[-1])

    for i in range(5):
        expected = [
            np.corrcoef(left(ranked[i]), left(rankdata(one) - 128.5))[0, 1]
            for one in human[i]
            if not np.isnan(one).any()
        ]
        assert found.partial_rank_correlation[i] == pytest.approx(np.mean(expected))
        assert found.partial_rank_correlation[i] < found.rank_correlation[i]
    assert np.isnan(found.partial_rank_correlation[5])


@pytest.mark.parametrize("decimals", [0, 9], ids=["ties", "no ties"])
def test_rank_correlations_are_scipys_for_one_or_several_annotators_some_missing_or_constant(decimals):
    maps, one, other = np.random.default_rng(0).normal(size=(3, 20, 16, 16)).round(decimals)
    np.testing.assert_allclose(rank_correlation(maps, one), list(map(rho, maps, one)), atol=1e-12)
    both = np.stack([one, other], axis=1)
    both[3, 1] = np.nan
    np.testing.assert_allclose(rank_correlation(maps, both), list(map(mean_rho, maps, both)), atol=1e-12)
    maps[4], one[5] = 2.5, 0.0  # the correlation of a constant map is undefined
    assert np.flatnonzero(np.isnan(rank_correlation(maps, one))).tolist() == [4, 5]
    with pytest.raises(ValueError, match="scale both to one grid first"):
        rank_correlation(np.zeros((3, 16, 16)), np.zeros((3, 2, 14, 14)))
