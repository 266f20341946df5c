"""Do explanations add to confidence? Simulations where they do, and where they are noise."""

import numpy as np
import pytest

from lookwhy.analysis.increment import increments_by_chance
from lookwhy.analysis.out_of_fold import image_folds
from lookwhy.analysis.selective import Outcomes


def world(seed, effect, images=30, features=6):
    """Questions whose confidence tells something; explanations that go with it, and tell more by `effect`.

    Confidence, explanations and outcomes are alike within an image.
    """
    random = np.random.default_rng(seed)
    image = np.repeat(np.arange(images), 5)
    n = len(image)
    sure = 1.3 * random.normal(size=n) + 0.7 * random.normal(size=images)[image]
    more = random.normal(size=n)
    correct = random.random(n) < 1 / (1 + np.exp(-(sure + 1 + effect * more)))
    shared = 0.7 * random.normal(size=(images, features))[image]
    explanations = shared + random.normal(size=(n, features)) + 0.8 * sure[:, None]
    explanations[:, 0] = more
    return (1 / (1 + np.exp(-sure)))[:, None], explanations, correct, image


def by_chance(seed, effect, permutations):
    confidence, explanations, correct, image = world(seed, effect)
    found = Outcomes(correct.astype(float), correct)
    folds = image_folds(correct, image, 5, seed)
    return increments_by_chance(confidence, explanations, found, image, folds, seed, permutations)


@pytest.fixture(scope="module")
def noise():
    return [by_chance(seed, 0.0, 19) for seed in range(80)]


@pytest.mark.parametrize("measure", ["auroc", "aurc_soft", "aurc_binary"])
def test_the_p_of_noise_is_about_uniform(noise, measure):
    p = np.array([one[measure][1] for one in noise])
    # Two and a half standard errors of 80 trials.
    assert (p <= 0.05).mean() <= 0.05 + 0.06
    assert (p <= 0.2).mean() == pytest.approx(0.2, abs=0.11)
    assert (p <= 0.5).mean() == pytest.approx(0.5, abs=0.14)


def test_noise_makes_a_regression_worse_which_the_increment_by_chance_says(noise):
    assert np.mean([one["auroc"][0] for one in noise]) < -0.005
    assert np.mean([one["aurc_soft"][0] for one in noise]) > 0.001


def test_explanations_that_tell_more_are_found():
    p = [by_chance(seed, 1.5, 99)["auroc"][1] for seed in range(5)]
    assert np.median(p) == pytest.approx(0.01)  # the smallest of 99 permutations
