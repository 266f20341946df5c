"""The shapes world: generated pictures and questions in the official VQA formats, deterministic by seed.

The generator knows which things a question needs. For each validation question it writes the maps of three
SIMULATED annotators, who "reveal" those things imprecisely, in the format of VQA-HAT, and the exact mask of
those things.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image
from scipy.ndimage import gaussian_filter, shift

from lookwhy.data.official import image_name
from lookwhy.data.shapes.questions import SceneQuestion, ask
from lookwhy.data.shapes.scene import Thing, draw_scene, make_scene, mask_of
from lookwhy.data.truth_masks import save_truth_mask
from lookwhy.data.workers import default_workers, in_workers
from lookwhy.files import atomic_path
from lookwhy.progress import progress
from lookwhy.towers.shapes_cnn import SIDE

QUESTIONS_PER_SCENE = 6
ANNOTATORS = 3
FIRST_IMAGE_ID = {"train": 1, "val": 500_001}
HALF = 0.5
"""Share of a pixel from which on a thing covers it."""
AT_ONCE = 50
"""Scenes that a worker process draws at once."""
_Entry = dict[str, Any]
_Scene = tuple[int, list[_Entry], list[tuple[_Entry, _Entry]]]
"""Id of the image, its things, and its questions with their annotations."""


def generate_shapes_world(out: Path, train_scenes: int, val_scenes: int, seed: int) -> None:
    """Write pictures, official questions and annotations, simulated annotator maps, masks and the scenes.

    They lie in `images/`, `questions_*.json`, `annotations_*.json`, `annotators/`, `truth/` and
    `scenes_*.json` of `out`. Each scene is one picture. The seed fixes scenes, questions, answers and maps.
    """
    for number, (split, count) in enumerate((("train", train_scenes), ("val", val_scenes))):
        questions: list[dict[str, Any]] = []
        annotations: list[dict[str, Any]] = []
        scenes: dict[str, list[dict[str, Any]]] = {}
        parts = [range(count)[start : start + AT_ONCE] for start in range(0, count, AT_ONCE)]
        make = partial(_scenes, out, split, [seed, number])
        bar = progress(desc=f"drawing {split}", total=count, unit="scene")
        with bar, in_workers(make, parts, default_workers()) as found:
            for some in found:
                for image_id, things, asked in some:
                    scenes[str(image_id)] = things
                    questions += [question for question, _ in asked]
                    annotations += [annotation for _, annotation in asked]
                bar.update(len(some))
        shared = {
            "info": {"description": f"shapes world ({split}), generated; its annotators are simulated"},
            "data_type": "shapes",
            "data_subtype": f"shapes_{split}",
        }
        asked_file = shared | {"task_type": "Open-Ended", "questions": questions}
        _write_json(out / f"questions_{split}.json", asked_file)
        _write_json(out / f"annotations_{split}.json", shared | {"annotations": annotations})
        _write_json(out / f"scenes_{split}.json", scenes)


def _scenes(out: Path, split: str, seed: list[int], numbers: range) -> list[_Scene]:
    """Write the pictures of some scenes, and the annotator maps and masks of validation questions."""
    result = []
    for scene in numbers:
        image_id = FIRST_IMAGE_ID[split] + scene
        random = np.random.default_rng([*seed, scene])
        things = make_scene(random)
        _save(draw_scene(things, random), out / "images" / image_name(f"shapes_{split}", image_id, ".png"))
        entries = []
        for k, asked in enumerate(ask(things, QUESTIONS_PER_SCENE, random)):
            question_id = image_id * 1000 + k
            question = {"image_id": image_id, "question": asked.text, "question_id": question_id}
            entries.append((question, _annotation(question_id, image_id, asked, random)))
            if split == "val":
                _write_maps(out / "annotators", question_id, things, asked, random)
                _write_truth(out / "truth", question_id, things, asked)
        result.append((image_id, [asdict(thing) for thing in things], entries))
    return result


def _annotation(
    question_id: int, image_id: int, asked: SceneQuestion, random: np.random.Generator
) -> dict[str, Any]:
    """An official annotation with ten answers, of which sometimes one or two are wrong."""
    mistaken = int(random.choice([0, 1, 2], p=[0.65, 0.25, 0.1]))
    others = [answer for answer in asked.wrong if answer != asked.answer]
    answers = [asked.answer] * (10 - mistaken)
    answers += [others[int(random.integers(len(others)))] for _ in range(mistaken)]
    order = random.permutation(10)
    return {
        "question_id": question_id,
        "image_id": image_id,
        "question_type": asked.question_type,
        "answer_type": asked.answer_type,
        "multiple_choice_answer": asked.answer,
        "answers": [
            {"answer": answers[i], "answer_confidence": "yes", "answer_id": k} for k, i in enumerate(order, 1)
        ],
    }


def _write_maps(
    folder: Path, question_id: int, things: list[Thing], asked: SceneQuestion, random: np.random.Generator
) -> None:
    needed = [mask_of(things[i]) for i in asked.needed or range(len(things))]
    for k in range(1, ANNOTATORS + 1):
        picture = Image.fromarray(simulated_reveal(needed, random))
        _save(picture, folder / f"{question_id}_{k}.png")


def _write_truth(folder: Path, question_id: int, things: list[Thing], asked: SceneQuestion) -> None:
    """Write the mask of the needed things: the pixels that they cover by half or more.

    A question that needs no particular thing ("is there a red cube?", and there is none) gets no file.
    """
    if asked.needed:
        covered = np.max([mask_of(things[i]) for i in asked.needed], axis=0) >= HALF
        save_truth_mask(covered, folder / f"{question_id}.png")


def _save(picture: Image.Image, path: Path) -> None:
    with atomic_path(path) as partial:
        # Full compression would take twice the time and save no space: the pictures are full of noise.
        picture.save(partial, format="PNG", compress_level=3)


def simulated_reveal(
    needed: list[Float[np.ndarray, "64 64"]], random: np.random.Generator
) -> UInt8[np.ndarray, "64 64"]:
    """Map of one simulated annotator: the needed things, shifted and blurred; sometimes also a wrong place.

    `needed` holds the mask of each needed thing, 0..1.
    """
    seen = np.zeros((SIDE, SIDE))
    kept = [mask for mask in needed if len(needed) == 1 or random.random() > 0.1] or needed[:1]
    for mask in kept:
        moved = shift(mask, random.normal(0, 2.0, 2), order=1)
        seen = np.maximum(seen, moved * random.uniform(0.7, 1.0))
    if random.random() < 0.2:
        y, x = random.integers(8, SIDE - 8, 2)
        seen[y - 4 : y + 4, x - 4 : x + 4] += 0.5
    # A sharp spot, and a wide, faint one around it.
    sharp = gaussian_filter(seen, random.uniform(2.0, 4.0))
    blurred = sharp + 0.4 * gaussian_filter(seen, random.uniform(9, 13))
    return np.round(255 * blurred / blurred.max()).astype(np.uint8)


def _write_json(path: Path, content: dict[str, Any]) -> None:
    with atomic_path(path) as partial:
        partial.write_text(json.dumps(content))
