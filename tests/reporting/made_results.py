"""Small analyses made by hand: questions about drawn pictures, blobs as maps, a number for every key."""

import os
from itertools import zip_longest
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from PIL import Image

from lookwhy import store
from lookwhy.types import AnalysisResult, ImportanceMaps

LONG = (
    "what is the colour of the small round striped thing that is standing to the left of the very big "
    "rectangular box behind the green one ?"
)
QUESTIONS = [
    ("what color is the ball left of the box ?", "WP NN VBZ DT NN NN IN DT NN ."),
    ("how many green things are there ?", "WRB JJ JJ NNS VBP EX ."),
    ("is there a small cube ?", "VBZ EX DT JJ NN ."),
    (LONG, "WP VBZ DT NN IN DT JJ NN VBN NN WDT VBZ VBG TO DT NN IN DT RB JJ JJ NN IN DT JJ NN"),
]
GROUP = {"WP": "wh_word", "WRB": "wh_word", "WDT": "wh_word", "JJ": "adjective", "DT": "determiner"}
GROUPS = ["noun", "determiner", "verb", "wh_word", "adjective", "preposition", "punctuation", "existential"]
FEATURE_SETS = ("confidence", "flips", "maps", "all")
GRID = 16


def blob(x: float, y: float, width: float = 0.15) -> np.ndarray:
    """A bump at (x, y), both 0..1, on the grid."""
    at = (np.arange(GRID) + 0.5) / GRID
    return np.exp(-((at[None] - x) ** 2 + (at[:, None] - y) ** 2) / (2 * width**2)).astype(np.float32)


def picture(seed: int, height: int = 96, width: int = 128) -> np.ndarray:
    """A textured gray ground with a disc and a box."""
    rng = np.random.default_rng(seed)
    image = np.clip(rng.normal(118, 14, (height, width, 1)) + np.array([6.0, 0, -12]), 0, 255)
    y, x = np.mgrid[:height, :width]
    image[(x - 0.3 * width) ** 2 + (y - 0.42 * height) ** 2 < (0.16 * height) ** 2] = (200, 40, 45)
    image[(abs(x - 0.72 * width) < 0.12 * width) & (abs(y - 0.6 * height) < 0.14 * height)] = (30, 110, 200)
    return image.astype(np.uint8)


def save_pictures(folder: Path) -> Path:
    """Make a new folder with the image files that the records of `make_result(folder=...)` name."""
    folder.mkdir()
    for number in range(6):
        Image.fromarray(picture(number)).save(folder / f"{number}.png")
    return folder


def make_result(
    epoch: int = 2, count: int = 12, folder: Path | None = None, annotators: bool = True, signed: bool = True,
    defined: bool = True,
) -> AnalysisResult:  # fmt: skip
    """Make an analysis; `defined=False` leaves out every scalar, `folder` holds the image files."""
    rng = np.random.default_rng(epoch)
    ids = np.arange(100, 100 + count)
    asked = [QUESTIONS[i % len(QUESTIONS)] for i in range(count)]
    guided = np.stack([blob(0.3, 0.42) + 0.15 * rng.random((GRID, GRID)) for _ in ids])
    occlusion = np.stack([blob(0.3, 0.42) - 0.6 * blob(0.72, 0.6) for _ in ids]) * 0.3
    gradient, word_drop = np.full((2, count, 26), np.nan, np.float32)
    for row, (question, _) in enumerate(asked):
        length = len(question.split()[:26])
        gradient[row, :length] = rng.random(length)
        word_drop[row, :length] = rng.normal(0.1, 0.2, length)
    maps, target = {}, torch.zeros(count, dtype=torch.int64)
    for domain, method, values, has_signs in (
        ("image", "guided_backprop", guided, False),
        ("image", "occlusion", occlusion if signed else abs(occlusion), signed),
        ("question", "gradient", gradient, False),
        ("question", "word_drop", word_drop, True),
    ):
        tensor = torch.from_numpy(values.astype(np.float32))
        flips = torch.arange(count) if method in ("occlusion", "word_drop") else None
        rest = "probability of the predicted answer", torch.from_numpy(ids), target, flips
        maps[f"{domain}/{method}"] = ImportanceMaps(method, domain, tensor, ~tensor.isnan(), has_signs, *rest)
    human = np.full((count, 3 if annotators else 0, GRID, GRID), np.nan, np.float32)
    for k in range(human.shape[1]):
        human[: count - 1, k] = blob(0.3 + 0.02 * k, 0.42)
    manifest = {
        "epoch": epoch, "annotators": "simulated annotators" if annotators else None, "grid": GRID,
        "tagger": "NLTK 3.9.1 averaged_perceptron_tagger_eng", "excluded": {"no annotator map": 1},
        "examples": ids[:4].tolist(), "group_order": GROUPS,
        "data_note": "Shapes world: generated pictures, simulated annotators.",
    }  # fmt: skip
    summary, curves = (_summary(epoch, annotators), _curves(epoch)) if defined else ({}, {})
    records = _records(ids, asked, maps, folder, annotators)
    truth = np.repeat((blob(0.3, 0.42) > 0.5).astype(np.float32)[None], count, 0)
    truth[count - 1 :] = np.nan
    return AnalysisResult(summary, records, maps, human, ids, manifest, curves, truth)


def make_run(folder: Path, images: Path | None, epochs: int | range = 3, change=None, **settings) -> Path:
    """Make a run folder; `change(result)` alters each epoch before it is stored."""
    for epoch in range(epochs) if isinstance(epochs, int) else epochs:
        result = make_result(max(epoch, 0), folder=images, **settings)
        result.manifest["epoch"] = epoch
        if change:
            change(result)
        store.save(result, store.epoch_folder(folder, epoch))
    return folder


def without_image_maps(result: AnalysisResult) -> None:
    """Take the image methods from an analysis; its annotators stay."""
    methods = ("image/guided_backprop/", "image/occlusion/")
    result.summary = {key: value for key, value in result.summary.items() if not key.startswith(methods)}
    result.maps = {key: maps for key, maps in result.maps.items() if not key.startswith("image/")}


def _curves(epoch: int) -> dict[str, dict[str, list[float]]]:
    x, middle = np.linspace(0, 1, 21), np.linspace(0.15, 0.95, 9)
    curves = {}
    for place, name in enumerate(FEATURE_SETS):
        bend, key = 1 + 0.3 * place + 0.1 * epoch, f"failure/{name}"
        curves[f"{key}/roc"] = {"x": x.tolist(), "y": (x ** (1 / bend)).tolist()}
        curves[f"{key}/risk_coverage"] = {"x": x[1:].tolist(), "y": (0.4 * x[1:] ** bend).tolist()}
        curves[f"{key}/calibration"] = {"x": middle.tolist(), "y": (middle**bend).tolist(), "n": [8.0] * 9}
    return curves


def _records(ids, asked, maps, folder, annotators) -> list[dict]:
    records = []
    for row, (question_id, (question, tags)) in enumerate(zip(ids, asked, strict=True)):
        words = question.split()[:26]
        about = {
            "question_id": int(question_id), "image_id": row // 2,
            "image_file": "" if folder is None else str(folder / f"{row // 2}.png"),
            "question": question, "words": words, "question_type": " ".join(words[:2]),
            "answer_type": ("other", "number", "yes/no", "other")[row % 4],
            "ground_truth": "red", "predicted": "red" if row % 3 else "blue",
            "confidence": 0.6 + 0.03 * row, "accuracy": float(row % 3 > 0),
        }  # fmt: skip
        for one in maps.values():
            top = int(one.values[row].abs().nan_to_num().argmax()) if one.domain == "question" else None
            word, tag = (None, None) if top is None else (words[top], tags.split()[top])
            records.append(
                about | {
                    "domain": one.domain, "method": one.method,
                    "rho": 0.1 * (row % 5) if one.domain == "image" and annotators else None,
                    "top_word": word, "top_tag": tag, "top_group": tag and GROUP.get(tag, "noun"),
                    "flips": None if one.flips is None else int(one.flips[row]),
                }
            )  # fmt: skip
    return records


def _summary(epoch: int, annotators: bool) -> dict[str, float]:
    summary = {}

    def put(key: str, value: float, spread: float, **more: float) -> None:
        summary.update({key: value, f"{key}/ci_low": value - spread, f"{key}/ci_high": value + spread})
        summary.update({f"{key}/{name}": one for name, one in ({"images": 150.0} | more).items()})

    values = {"guided_backprop": 0.28, "occlusion": 0.25 + 0.01 * epoch, "random": 0.0007}
    for method, value in (values | {"centre_prior": 0.41, "human": 0.83}).items() if annotators else ():
        undefined = 4.0 * (method == "occlusion")
        put(f"image/{method}/rank_correlation", value, 0.03, n=300.0, n_undefined=undefined)
        apart = 0.1 * (1 - np.exp(-epoch / 3)) * (method in ("guided_backprop", "occlusion", "human"))
        put(f"image/{method}/specificity", apart, 0.02, n=290.0)
        summary |= {f"image/{method}/other_question": value - apart, f"image/{method}/other_image": value / 3}
        summary[f"image/{method}/mean_map"] = value + 0.1
    shares = [0.12, 0.03, 0.08, 0.33, 0.31, 0.05, 0.02]
    for method in ("gradient", "word_drop"):
        for place, (group, share) in enumerate(zip_longest(GROUPS, shares)):
            key = f"question/{method}/most_important/{group}"
            summary[f"{key}/n"] = 0.0 if share is None else 400.0 - 40 * place
            if share is not None:
                value = share * (1 + 0.2 * (method == "gradient"))
                put(key, value, 0.04, images=90.0, expected=0.12, expected_by_place=0.1)
                # The test and the interval agree on all parts of speech but wh-words.
                p_value = 0.4 if group == "wh_word" else 0.01
                summary[f"{key}/p_value"] = p_value
    same = {"aurc": 0.2, "majority_accuracy": 0.62, "n": 300.0}
    for name, value in zip(FEATURE_SETS, (0.74, 0.69, 0.63, 0.71), strict=True):
        measures = same | {"accuracy": value, "auroc": value + 0.05}
        summary |= {f"failure/{name}/{measure}": one for measure, one in measures.items()}
    summary |= {"accuracy/overall": 0.4 + 0.06 * epoch, "accuracy/answer_type/yes/no": 0.8}
    summary |= {"accuracy/answer_type/number": 0.55, "accuracy/answer_type/other": 0.61}
    kinds = ("what color", "how many", "is there", "what is")
    return summary | {f"accuracy/question_type/{kind}": 0.3 + 0.05 * len(kind) for kind in kinds}
