import numpy as np
import pytest
from scipy.stats import spearmanr

from lookwhy.analysis import rank_correlation


def maps(seed, ties):
    random = np.random.default_rng(seed)
    values = random.normal(size=(20, 16, 16))
    return np.round(values, 0) if ties else values


@pytest.mark.parametrize("ties", [False, True])
def test_equals_scipy_row_by_row(ties):
    a, b = maps(0, ties), maps(1, ties)
    expected = [spearmanr(x.ravel(), y.ravel()).statistic for x, y in zip(a, b, strict=True)]
    np.testing.assert_allclose(rank_correlation(a, b), expected, atol=1e-12)


def test_several_annotators_are_averaged_and_missing_ones_left_out():
    a, b = maps(0, True), np.stack([maps(1, True), maps(2, True)], axis=1)
    b[3, 1] = np.nan
    expected = [
        np.mean([spearmanr(a[i].ravel(), b[i, k].ravel()).statistic for k in (0, 1)]) for i in range(20)
    ]
    expected[3] = spearmanr(a[3].ravel(), b[3, 0].ravel()).statistic
    np.testing.assert_allclose(rank_correlation(a, b), expected, atol=1e-12)


def test_a_constant_map_is_undefined_and_not_zero():
    a, b = maps(0, False), maps(1, False)
    a[4], b[5] = 2.5, 0.0
    found = rank_correlation(a, b)
    assert np.isnan(found[[4, 5]]).all()
    assert not np.isnan(np.delete(found, [4, 5])).any()


def test_shapes_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="scale both to one grid first"):
        rank_correlation(np.zeros((3, 16, 16)), np.zeros((3, 2, 14, 14)))
