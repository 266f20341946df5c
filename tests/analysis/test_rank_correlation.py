"""Rank correlations of maps, against SciPy row by row."""

import numpy as np
import pytest
from scipy.stats import spearmanr

from lookwhy.analysis import rank_correlation


def maps(seed, ties):
    values = np.random.default_rng(seed).normal(size=(20, 16, 16))
    return np.round(values, 0) if ties else values


def rho(a, b):
    return spearmanr(a.ravel(), b.ravel()).statistic


@pytest.mark.parametrize("ties", [False, True])
def test_equals_scipy_for_one_or_several_annotators_some_missing(ties):
    a, b = maps(0, ties), np.stack([maps(1, ties), maps(2, ties)], axis=1)
    np.testing.assert_allclose(rank_correlation(a, b[:, 0]), list(map(rho, a, b[:, 0])), atol=1e-12)
    b[3, 1] = np.nan
    expected = np.array([[rho(one, annotator) for annotator in both] for one, both in zip(a, b, strict=True)])
    np.testing.assert_allclose(rank_correlation(a, b), np.nanmean(expected, axis=1), atol=1e-12)


def test_a_constant_map_is_undefined_and_not_zero():
    a, b = maps(0, False), maps(1, False)
    a[4], b[5] = 2.5, 0.0
    found = rank_correlation(a, b)
    assert np.isnan(found[[4, 5]]).all()
    assert not np.isnan(np.delete(found, [4, 5])).any()


def test_shapes_that_differ_are_refused():
    with pytest.raises(ValueError, match="scale both to one grid first"):
        rank_correlation(np.zeros((3, 16, 16)), np.zeros((3, 2, 14, 14)))
