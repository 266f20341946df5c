"""The shapes world: official formats, true answers, simulated annotators who look at the right things."""

import hashlib
import json
import re

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.ndimage import binary_dilation, binary_erosion

from lookwhy.analysis import mass_accuracy, pointing_game, rank_accuracy
from lookwhy.analysis.rank_correlation import rank_correlation
from lookwhy.attribution import IncrementalOcclusion
from lookwhy.data.annotators import find_annotator_maps, load_annotator_maps
from lookwhy.data.official import read_official
from lookwhy.data.shapes.network import PAIRS, _load_scenes, train_shapes_cnn
from lookwhy.data.shapes.world import generate_shapes_world
from lookwhy.data.truth_masks import find_truth_masks, load_truth_masks, read_truth_mask
from lookwhy.towers.shapes_cnn import build_shapes_cnn

DIGESTS = {
    "questions_train.json": "331de4d4e617",
    "questions_val.json": "31dd69c5830e",
    "annotations_train.json": "851cf03dd1c5",
    "annotations_val.json": "f0e902629d65",
    "scenes_train.json": "ccb287b096f9",
    "scenes_val.json": "5c577a6358f0",
}
"""Files of the fixture's world, made by the code before it wrote masks: a mask must draw no random number."""


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("world")
    generate_shapes_world(folder, 150, 18, seed=5)
    return folder


def read(world, name):
    return json.loads((world / name).read_text())


def test_the_same_seed_draws_the_same_world_and_another_seed_another(world, tmp_path):
    same, other = tmp_path / "same", tmp_path / "other"
    generate_shapes_world(same, 4, 4, seed=5)
    generate_shapes_world(other, 4, 4, seed=6)
    pictures = {path: (world / path.relative_to(same)).read_bytes() for path in same.rglob("*.png")}
    assert len(pictures) > 8
    assert pictures == {path: path.read_bytes() for path in pictures}
    assert read(same, "scenes_val.json") != read(other, "scenes_val.json")


@pytest.mark.parametrize("split", ["train", "val"])
def test_files_and_pictures_have_the_official_format_and_some_annotators_are_mistaken(world, split):
    questions = read_official(world / f"questions_{split}.json", world / f"annotations_{split}.json")
    assert len(questions) > 100
    for question in questions:
        assert len(question.answers) == 10
        assert question.answer_type in ("yes/no", "number", "other")
        name = f"COCO_{question.subtype}_{question.image_id:012d}.png"
        assert (world / "images" / question.subtype / name).is_file()
    # Some annotators are mistaken, but never so many that another answer is as frequent.
    wrong = np.array([10 - question.answers.count(question.answer) for question in questions])
    assert 0.2 < np.mean(wrong > 0) < 0.5
    assert wrong.max() <= 2


def test_answers_are_true(world):
    scenes = read(world, "scenes_train.json")
    questions = read_official(world / "questions_train.json", world / "annotations_train.json")
    checked = set()
    moves = {"left of": (0, -1), "right of": (0, 1), "above": (-1, 0), "below": (1, 0)}
    for question in questions:
        things, text = scenes[str(question.image_id)], question.text
        named = [(t["color"], t["shape"]) for t in things]
        if match := re.fullmatch(r"How many (\w+?)(?:s| objects) are there\?", text):
            expected = str(sum(match[1] in (t["shape"], t["color"]) for t in things))
        elif match := re.fullmatch(r"(?:Is there|Can you see) a (\w+) (\w+)\?", text):
            expected = "yes" if match.groups() in named else "no"
        elif match := re.fullmatch(r"What (?:color is|is the color of) the (\w+)\?", text):
            (expected,) = {t["color"] for t in things if t["shape"] == match[1]}
        elif match := re.fullmatch(r"On which side is the (\w+) (\w+)\?", text):
            assert named.count(match.groups()) == 1
            expected = ["left", "middle", "right"][things[named.index(match.groups())]["column"]]
        elif match := re.fullmatch(rf"What is ({'|'.join(moves)}) the (\w+) (\w+)\?", text):
            assert named.count(match.groups()[1:]) == 1
            base, (down, right) = things[named.index(match.groups()[1:])], moves[match[1]]
            place = base["row"] + down, base["column"] + right
            (expected,) = [t["shape"] for t in things if (t["row"], t["column"]) == place]
        else:
            continue
        checked.add(text.split()[0])
        assert question.answer == expected, text
    assert checked >= {"How", "What", "On", "Is", "Can"}


def test_the_background_lies_around_the_gray_of_the_patch(world):
    pictures = np.stack([Image.open(path) for path in (world / "images" / "shapes_train").glob("*.png")])
    assert pictures.shape == (150, 64, 64, 3)
    mean = pictures[:, [0, -1]].mean((0, 1, 2))
    assert np.abs(mean - (123.68, 116.779, 103.939)).max() < 4


def test_maps_of_three_simulated_annotators_mark_the_needed_thing_and_agree_but_not_perfectly(world):
    scenes, questions = (read(world, f"{kind}_val.json") for kind in ("scenes", "questions"))
    files, questions = find_annotator_maps(world / "annotators"), questions["questions"]
    assert {len(paths) for paths in files.values()} == {3}
    assert set(files) == {question["question_id"] for question in questions}
    maps = load_annotator_maps(files, list(files), 64)  # as large as the pictures
    inside, everywhere = [], []
    for question in questions:
        if match := re.fullmatch(r"On which side is the (\w+) (\w+)\?", question["question"]):
            things = scenes[str(question["image_id"])]
            (thing,) = [t for t in things if (t["color"], t["shape"]) == match.groups()]
            x, y = int(thing["x"]), int(thing["y"])
            inside.append(maps[question["question_id"]][:, y - 4 : y + 5, x - 4 : x + 5].mean())
            everywhere.append(maps[question["question_id"]].mean())
    assert len(inside) > 3
    assert np.mean(inside) > 4 * np.mean(everywhere)
    # The annotators agree well but not perfectly.
    first, second, _ = np.stack(list(load_annotator_maps(files, list(files), 16).values()), 1)
    assert 0.5 < np.nanmean(rank_correlation(first, second)) < 0.95


def needed_things(text, things):
    """Things that a question needs, from its words alone; None for other families."""
    shapes, colors = [t["shape"] for t in things], [t["color"] for t in things]
    named = list(zip(colors, shapes, strict=True))
    if match := re.fullmatch(r"How many (\w+?)(?:s| objects) are there\?", text):
        return [t for t in things if match[1] in (t["shape"], t["color"])]
    if match := re.fullmatch(r"(?:Is there|Can you see) a (\w+) (\w+)\?", text):
        return [t for t, name in zip(things, named, strict=True) if name == match.groups()]
    if match := re.fullmatch(r"What (?:color is|is the color of) the (\w+)\?", text):
        return [things[shapes.index(match[1])]]
    if match := re.fullmatch(r"On which side is the (\w+) (\w+)\?", text):
        return [things[named.index(match.groups())]]
    return None


def covered(things):
    """Whether things cover a pixel's centre, by the formulas of their outlines."""
    x, y = np.meshgrid(np.arange(64) + 0.5, np.arange(64) + 0.5)
    found = np.zeros((64, 64), bool)
    for t in things:
        right, down, r = x - t["x"], y - t["y"], {"small": 5.5, "large": 9.0}[t["size"]]
        found |= {
            "ball": np.hypot(right, down) <= r,
            "cube": np.maximum(abs(right), abs(down)) <= 0.88 * r,
            "cone": (down <= 0.85 * r) & (abs(right) <= (down + r) / 1.85),
        }[t["shape"]]
    return found


def test_masks_are_the_outlines_of_the_needed_things(world):
    scenes, asked = read(world, "scenes_val.json"), read(world, "questions_val.json")["questions"]
    files, checked = find_truth_masks(world / "truth"), set()
    assert set(files) <= {question["question_id"] for question in asked}
    for question in asked:
        needed = needed_things(question["question"], scenes[str(question["image_id"])])
        if needed is None:
            assert question["question_id"] in files  # each of the other families needs a thing or two
            continue
        assert (question["question_id"] in files) == bool(needed)
        checked.add((question["question"].split()[0], bool(needed)))
        if needed:
            found, expected = read_truth_mask(files[question["question_id"]]), covered(needed)
            assert found.shape == (64, 64)
            # The drawn outline may differ from the formula by half a pixel, not by a whole one.
            assert not (found & ~binary_dilation(expected, np.ones((3, 3)))).any(), question
            assert not (binary_erosion(expected, np.ones((3, 3))) & ~found).any(), question
    assert checked >= {("How", True), ("How", False), ("Is", True), ("Is", False), ("What", True)}


def test_an_oracle_scores_one_on_the_masks_and_a_uniform_map_their_area(world):
    files = find_truth_masks(world / "truth")
    truth = np.stack(list(load_truth_masks(files, files, 16).values()))
    inside = (truth >= 0.5).astype(float)
    assert inside.any((1, 2)).all()
    for measure in (mass_accuracy, rank_accuracy, pointing_game):
        np.testing.assert_array_equal(measure(inside, truth), 1)
        np.testing.assert_allclose(measure(np.ones_like(truth), truth), inside.mean((1, 2)))


def test_the_questions_of_a_seed_stay_those_of_earlier_versions(world):
    digests = {name: hashlib.sha256((world / name).read_bytes()).hexdigest()[:12] for name in DIGESTS}
    assert digests == DIGESTS


def test_features_encode_the_thing_at_each_place_after_a_short_training(world):
    before = torch.get_rng_state()
    cnn = train_shapes_cnn(world, seed=0, epochs=4)
    assert torch.equal(before, torch.get_rng_state())
    images, pairs, _ = _load_scenes(world)
    with torch.no_grad():
        features = cnn(images)
    assert features.shape == (150, 96 * 9)
    assert (features >= 0).all()
    # A linear reading by least squares, on places that it was not fitted to.
    places = features.view(150, 96, 9).transpose(1, 2).reshape(-1, 96).double()
    places, truth = torch.cat([places, torch.ones(len(places), 1)], 1).numpy(), pairs.view(-1).numpy()
    fitted = np.linalg.lstsq(places[:1000], np.eye(PAIRS + 1)[truth[:1000]])[0]
    named, truth = (places[1000:] @ fitted).argmax(1), truth[1000:]
    assert (named == truth)[truth < PAIRS].mean() > 0.4  # chance is 1 in 12


def test_training_is_deterministic_by_seed_on_any_number_of_threads(world):
    usual, found = torch.get_num_threads(), []
    try:
        for seed, threads in ((0, 1), (0, 2), (1, 1)):
            torch.set_num_threads(threads)
            found.append(list(train_shapes_cnn(world, seed, epochs=1).parameters()))
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(usual)
    first, same, other = found
    assert all(map(torch.equal, first, same))
    assert not all(map(torch.equal, first, other))


def test_a_training_of_five_steps_has_a_schedule_too(tmp_path):
    generate_shapes_world(tmp_path, 6, 2, seed=0)  # one batch an epoch
    assert all(bool(weights.isfinite().all()) for weights in train_shapes_cnn(tmp_path, 0, 5).parameters())


def test_the_network_is_a_plain_sequence_that_occlusion_can_walk():
    assert IncrementalOcclusion(build_shapes_cnn().eval()).incremental
