"""The shapes world: official formats, true answers, simulated annotators who look at the right things."""

import json
import re
from collections import Counter

import numpy as np
import pytest
from PIL import Image

from lookwhy.analysis.rank_correlation import rank_correlation
from lookwhy.data.annotators import find_annotator_maps, load_annotator_maps
from lookwhy.data.official import read_official
from lookwhy.data.shapes.world import generate_shapes_world


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("world")
    generate_shapes_world(folder, 30, 30, seed=5)
    return folder


def read(world, name):
    return json.loads((world / name).read_text())


def test_the_same_seed_draws_the_same_world_and_another_seed_another(world, tmp_path):
    generate_shapes_world(tmp_path / "same", 4, 4, seed=5)
    generate_shapes_world(tmp_path / "other", 4, 4, seed=6)
    names = sorted(p.relative_to(tmp_path / "same") for p in (tmp_path / "same").rglob("*.png"))
    assert len(names) > 8
    for name in names:
        assert (tmp_path / "same" / name).read_bytes() == (world / name).read_bytes()
    assert read(tmp_path / "same", "scenes_val.json") != read(tmp_path / "other", "scenes_val.json")


@pytest.mark.parametrize("split", ["train", "val"])
def test_files_are_the_official_format_and_pictures_lie_where_it_says(world, split):
    questions = read_official(world / f"questions_{split}.json", world / f"annotations_{split}.json")
    assert len(questions) > 100
    for question in questions:
        assert len(question.answers) == 10
        assert Counter(question.answers).most_common(1)[0][0] == question.answer
        assert question.answer_type in ("yes/no", "number", "other")
        name = f"COCO_{question.subtype}_{question.image_id:012d}.png"
        assert (world / "images" / question.subtype / name).is_file()


def test_annotators_are_now_and_then_mistaken(world):
    annotations = read(world, "annotations_train.json")["annotations"]
    wrong = [
        sum(a["answer"] != item["multiple_choice_answer"] for a in item["answers"]) for item in annotations
    ]
    assert 0.2 < np.mean(np.array(wrong) > 0) < 0.5
    assert max(wrong) <= 2


def test_answers_are_true_of_the_scene(world):
    scenes = read(world, "scenes_train.json")
    questions = read_official(world / "questions_train.json", world / "annotations_train.json")
    checked = Counter()
    for question in questions:
        things = scenes[str(question.image_id)]
        text = question.text
        if match := re.fullmatch(r"How many (\w+?)s are there\?", text):
            expected = str(sum(t["shape"] == match[1] for t in things))
        elif match := re.fullmatch(r"How many (\w+) objects are there\?", text):
            expected = str(sum(t["color"] == match[1] for t in things))
        elif match := re.fullmatch(r"(?:Is there|Can you see) a (\w+) (\w+)\?", text):
            expected = "yes" if any((t["color"], t["shape"]) == match.groups() for t in things) else "no"
        elif match := re.fullmatch(r"What (?:color is|is the color of) the (\w+)\?", text):
            (expected,) = {t["color"] for t in things if t["shape"] == match[1]}
        elif match := re.fullmatch(r"On which side is the (\w+) (\w+)\?", text):
            (column,) = [t["column"] for t in things if (t["color"], t["shape"]) == match.groups()]
            expected = ["left", "middle", "right"][column]
        elif match := re.fullmatch(r"What is (left of|right of|above|below) the (\w+) (\w+)\?", text):
            down, right = {"left of": (0, -1), "right of": (0, 1), "above": (-1, 0), "below": (1, 0)}[
                match[1]
            ]
            (base,) = [t for t in things if (t["color"], t["shape"]) == match.groups()[1:]]
            place = base["row"] + down, base["column"] + right
            (expected,) = [t["shape"] for t in things if (t["row"], t["column"]) == place]
        else:
            continue
        checked[text.split()[0]] += 1
        assert question.answer == expected, text
    assert set(checked) >= {"How", "What", "On"}


def test_the_background_lies_around_the_gray_of_the_patch(world):
    borders = []
    for path in (world / "images" / "shapes_train").glob("*.png"):
        pixels = np.asarray(Image.open(path), np.float64)
        assert pixels.shape == (64, 64, 3)
        borders.append(pixels[[0, -1]].reshape(-1, 3))
    mean = np.concatenate(borders).mean(0)
    assert np.abs(mean - (123.68, 116.779, 103.939)).max() < 4


def test_three_simulated_annotators_light_up_what_the_question_needs(world):
    scenes = read(world, "scenes_val.json")
    files = find_annotator_maps(world / "annotators")
    questions = read(world, "questions_val.json")["questions"]
    assert {len(paths) for paths in files.values()} == {3}
    assert set(files) == {question["question_id"] for question in questions}
    inside, outside = [], []
    for question in questions:
        match = re.fullmatch(r"On which side is the (\w+) (\w+)\?", question["question"])
        if match:
            (thing,) = [
                t for t in scenes[str(question["image_id"])] if (t["color"], t["shape"]) == match.groups()
            ]
            for path in files[question["question_id"]]:
                gray = np.asarray(Image.open(path), np.float64)
                window = gray[
                    int(thing["y"]) - 4 : int(thing["y"]) + 5, int(thing["x"]) - 4 : int(thing["x"]) + 5
                ]
                inside.append(window.mean())
                outside.append(gray.mean())
    assert len(inside) > 10
    assert np.mean(inside) > 4 * np.mean(outside)


def test_annotators_agree_well_but_not_perfectly(world):
    files = find_annotator_maps(world / "annotators")
    maps = np.stack(list(load_annotator_maps(files, list(files), 16).values()))
    agreement = np.nanmean(rank_correlation(maps[:, 0], maps[:, 1]))
    assert 0.5 < agreement < 0.95
