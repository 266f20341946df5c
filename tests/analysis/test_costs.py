"""The cost of an analysis, said before it starts, is the work that it then does."""

from dataclasses import replace

import torch

from lookwhy.analysis import AnalysisPlan, Faithfulness, run_analysis
from lookwhy.analysis.costs import Cost, foresee, in_time
from lookwhy.analysis.modality import Modality
from lookwhy.analysis.part_of_speech import Tagger
from lookwhy.analysis.sanity import Sanity
from lookwhy.attribution import LIME, RISE, KernelSHAP, Occlusion
from lookwhy.towers import Memory

TAGGER = Tagger("none", lambda words: ["NN"] * len(words))
PLAN = AnalysisPlan(
    [RISE(4, samples=20), LIME(4, samples=16, cells=2), KernelSHAP(4, samples=16, cells=2), Occlusion(4)],
    [],
    grid=4,
    bootstrap_samples=10,
    faithfulness=Faithfulness(masks=16, cells=2, curves=2, steps=4),
    modality=Modality(questions=None, cells=2),
)


def test_the_cost_is_the_number_of_images_that_go_through_the_network(
    small_pipeline, small_batch, tmp_path, monkeypatch
):
    tower = small_pipeline.tower
    tower.memory = Memory(tmp_path)
    words, load = [[4, 2], [1]], lambda number: small_batch.images[[0, 2][number]]
    cost = foresee(tower, PLAN, 3, words, load)
    # 20 of RISE, 16 that LIME, SHAP, the correlation and the modality share, 16 squares, 16 with blur.
    assert (cost.images, cost.masked) == (2, 2 * (20 + 16 + 16 + 16))
    # Three steps between the ends of deletion and insertion: four methods, a random map and the centre prior with
    # two fills, then maps of another question with one. Both ends of each image with each fill.
    assert cost.again == 2 * 3 * 2 * ((4 + 2) * 2 + 4) + 2 * 2 * 2
    assert cost.stored == 2 * 96 * cost.masked
    assert cost.seconds > 0
    passes, forward = [], tower.network.forward
    monkeypatch.setattr(tower.network, "forward", lambda x: passes.append(len(x)) or forward(x))
    run_analysis(small_pipeline, [small_batch], PLAN, tagger=TAGGER)
    clean = len(list(tmp_path.glob("masked-features-*/*/*.npz")))  # one whole image a file
    features = 2  # of the images of the batch, which has none
    occluded = 2 * 16
    assert sum(passes) - occluded <= cost.masked + cost.again + clean + features
    at_least = 2 * 2 * 2 * 3  # two questions, fills and directions, three steps between both ends
    assert cost.masked + at_least + clean < sum(passes) < cost.masked + cost.again + clean
    after = foresee(tower, PLAN, 3, words, load)
    assert (after.images, after.masked, after.again) == (0, 0, cost.again)
    assert foresee(tower, AnalysisPlan([Occlusion(4)], [], grid=4), 3, words, load) is None


def test_a_sanity_card_costs_models_and_with_a_random_network_images(small_pipeline, small_batch, tmp_path):
    tower, plan = small_pipeline.tower, replace(PLAN, faithfulness=None, modality=None)
    tower.memory = Memory(tmp_path)
    words, load = [[4, 2], [1]], lambda number: small_batch.images[[0, 2][number]]
    plan.sanity = Sanity(draws=3, questions=2)  # two about the first image
    run_analysis(small_pipeline, [small_batch], replace(plan, sanity=None), tagger=TAGGER)  # fills the bank
    cost = foresee(tower, plan, 3, words, load, [2, 1])
    assert (cost.random, cost.masked) == (12, 0)
    assert cost.changed == 3 * (20 + 16 + 16 + 16)
    (line,) = cost.lines("")
    assert "12 random models explain a part of the questions" in line
    assert "204 changed images go through random networks, at most 1 s, and nothing is stored" in line
    plan.sanity.random = ["classifier", "head"]
    (line,) = foresee(tower, plan, 3, words, load, [2, 1]).lines("")
    assert "random models explain" in line
    assert "changed images" not in line


def test_the_lines_say_what_how_long_and_where():
    first, second = Cost(images=100, masked=250_000, stored=2 << 30, again=5_000, seconds=0.25).lines("cache")
    assert "250,000 masked copies of 100 images" in first
    assert "about 17.4 h and 2.00GB in cache" in first
    assert "5,000 changed images" in second
    assert "about 21 min" in second
    assert Cost(0, 0, 0, 0, 0.1).lines("cache") == []
    assert [in_time(seconds) for seconds in (0.2, 99.0, 100.0, 6000.0)] == ["1 s", "99 s", "2 min", "1.7 h"]


def test_of_many_images_some_are_looked_at(small_pipeline, small_batch):
    loaded = []
    load = lambda number: loaded.append(number) or small_batch.images[0]  # noqa: E731
    cost = foresee(small_pipeline.tower, PLAN, 1000, [[3]] * 1000, load)
    assert (cost.images, cost.masked) == (1000, 68_000)
    assert 99 <= len(set(loaded)) <= 100
    assert max(loaded) == 999


def test_the_cost_of_max_sensitivity_is_said_too(small_pipeline, small_batch, tmp_path, monkeypatch):
    tower = small_pipeline.tower
    tower.memory = Memory(tmp_path)
    images, batch = [0, 0, 2], replace(small_batch, image_ids=torch.tensor([0, 0, 2]))
    batch.images = small_batch.images[images]
    settings = Faithfulness(masks=0, curves=2, steps=4, fills=[], sensitivity=3)
    plan = AnalysisPlan([RISE(4, samples=20)], [], grid=4, bootstrap_samples=10, faithfulness=settings)
    cost = foresee(tower, plan, 3, [[], []], lambda number: small_batch.images[[0, 2][number]], [2, 1])
    assert (cost.again, cost.copies, cost.noisy) == (0, 6, 120)  # one question about each image
    assert "every image method runs again on 6 noisy copies of images" in cost.lines("")[-1]
    assert "those with masks on 120 masked images" in cost.lines("")[-1]
    run_analysis(small_pipeline, [batch], plan, tagger=TAGGER, of_image={0: 0, 1: 0, 2: 2})
    passes, forward = [], tower.network.forward
    monkeypatch.setattr(tower.network, "forward", lambda x: passes.append(len(x)) or forward(x))
    run_analysis(small_pipeline, [batch], plan, tagger=TAGGER, of_image={0: 0, 1: 0, 2: 2})
    assert sum(one for one in passes if one > 3) == cost.noisy
