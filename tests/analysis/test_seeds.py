"""Mean and spread over seeds and paired differences, against NumPy, SciPy and a simulation."""

import numpy as np
import pytest
from scipy import stats

from lookwhy.analysis.seeds import paired_over_seeds, shared_seeds, spread_over_seeds, spreads_over_seeds

ACCURACY, RHO = "accuracy/overall", "image/{}/rank_correlation"


@pytest.mark.parametrize("count", [3, 5, 30])
def test_mean_standard_deviation_and_interval_are_those_of_numpy_and_scipy(count):
    values = np.random.default_rng(count).normal(0.3, 0.1, count)
    found = spread_over_seeds(values)
    interval = stats.ttest_1samp(values, 0.0).confidence_interval(0.95)
    expected = (count, np.mean(values), np.std(values, ddof=1), interval.low, interval.high)
    assert found == pytest.approx(expected)


def test_two_seeds_have_their_range_and_one_seed_has_no_spread():
    assert spread_over_seeds(np.array([0.75, 0.25])) == pytest.approx((2, 0.5, 0.125**0.5, 0.25, 0.75))
    assert spread_over_seeds(np.array([0.5]))[:2] == (1, 0.5)
    assert np.isnan(spread_over_seeds(np.array([0.5]))[2:]).all()


def test_an_interval_of_five_seeds_holds_the_truth_in_95_of_100_repetitions():
    rng, trials = np.random.default_rng(0), 2000
    found = [spread_over_seeds(rng.normal(0.7, 0.05, 5)) for _ in range(trials)]
    assert np.mean([one.low <= 0.7 <= one.high for one in found]) == pytest.approx(0.95, abs=0.015)


def test_a_value_counts_in_the_seeds_that_have_it():
    found = spreads_over_seeds([{"b": 1.0, "a": 0.0}, {"a": 1.0}, {"a": 2.0}])
    assert list(found) == ["a", "b"]
    assert [(one.n, one.mean) for one in found.values()] == [(3, 1.0), (1, 1.0)]


def made(seeds, shift=0.0, methods=("occlusion", "rise"), draw=0):
    """Scalars by seed: a part that belongs to the seed, noise of the run, and a shift."""
    scalars = {}
    for seed in seeds:
        own, noise = np.random.default_rng(seed).normal(0, 0.2), np.random.default_rng([seed, draw])
        scalars[seed] = {RHO.format(one): own + shift + noise.normal(0, 0.01) for one in methods}
        scalars[seed] |= {ACCURACY: own + noise.normal(0, 0.01), f"{RHO.format('human')}": 0.8}
        scalars[seed] |= {f"{RHO.format('occlusion')}/n": 240.0, f"{RHO.format('occlusion')}/ci_low": 0.0}
    return scalars


def test_differences_of_shared_seeds_are_scipys_paired_t_test():
    first, second = made(range(1, 7)), made(range(3, 10), 0.05, draw=1)
    assert shared_seeds(first, second) == [3, 4, 5, 6]
    found = paired_over_seeds(first, {"second": second})["second"]
    assert set(found) == {ACCURACY, RHO.format("human"), RHO.format("occlusion"), RHO.format("rise")}
    for key in (ACCURACY, RHO.format("occlusion"), RHO.format("rise")):
        one, other = (np.array([side[seed][key] for seed in (3, 4, 5, 6)]) for side in (first, second))
        test = stats.ttest_rel(other, one)
        interval = test.confidence_interval(0.95)
        expected = (4, np.mean(other - one), np.std(other - one, ddof=1), interval.low, interval.high)
        assert found[key].spread == pytest.approx(expected)
        assert found[key].p_value == pytest.approx(test.pvalue)
    # The seeds' own part is 20 times the noise: only because it is paired is the shift found.
    apart = [[side[seed][RHO.format("rise")] for seed in (3, 4, 5, 6)] for side in (first, second)]
    assert stats.ttest_ind(*apart).pvalue > 0.3
    assert found[RHO.format("rise")].p_holm < 0.05


def test_the_family_is_one_measure_over_methods_and_groups_and_constant_values_are_no_tests():
    first = made(range(5))
    others = {"second": made(range(5), 0.02, draw=1), "third": made(range(5), 0.0, draw=2)}
    found = paired_over_seeds(first, others)
    members = [found[name][RHO.format(one)] for name in others for one in ("occlusion", "rise")]
    p = np.array([one.p_value for one in members])
    order = np.argsort(p)
    steps = [min(1.0, (4 - place) * p[at]) for place, at in enumerate(order)]
    expected = dict(zip(order.tolist(), np.maximum.accumulate(steps), strict=True))
    assert [one.p_holm for one in members] == pytest.approx([expected[at] for at in range(4)])
    assert {one.family for one in members} == {4}
    assert {found[name][ACCURACY].family for name in others} == {2}
    # The annotators do not depend on the model: no test, and no member of the family.
    human = found["second"][RHO.format("human")]
    assert human.spread[:3] == (5, 0.0, 0.0)
    assert np.isnan([human.p_value, human.p_holm]).all()


def test_the_same_difference_in_all_seeds_is_no_proof_and_neither_is_a_single_seed():
    first, second = ({seed: {ACCURACY: 0.1 * seed + shift} for seed in range(3)} for shift in (0.0, 0.3))
    found = paired_over_seeds(first, {"second": second})["second"][ACCURACY]
    assert found.spread.mean == pytest.approx(0.3)
    assert np.isnan(found.p_value)
    single = paired_over_seeds({1: {ACCURACY: 0.5}}, {"second": {1: {ACCURACY: 0.75}, 2: {ACCURACY: 0.0}}})
    assert single["second"][ACCURACY].spread[:2] == (1, 0.25)
    assert np.isnan(single["second"][ACCURACY].p_value)


def test_groups_without_a_common_seed_have_no_differences():
    assert paired_over_seeds(made([1]), {"second": made([2])}) == {"second": {}}
