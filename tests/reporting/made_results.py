"""Small analyses made by hand: questions about drawn pictures, blobs as maps, a number for every key."""

from __future__ import annotations

import os
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
    epoch: int = 2,
    count: int = 12,
    folder: Path | None = None,
    annotators: bool = True,
    signed: bool = True,
    defined: bool = True,
) -> AnalysisResult:
    """Make an analysis; `defined=False` leaves out every scalar, `folder` holds the image files."""
    rng = np.random.default_rng(epoch)
    ids = np.arange(100, 100 + count)
    asked = [QUESTIONS[i % len(QUESTIONS)] for i in range(count)]
    width = 26
    image = {
        "guided_backprop": np.stack([blob(0.3, 0.42) + 0.15 * rng.random((GRID, GRID)) for _ in ids]),
        "occlusion": np.stack([blob(0.3, 0.42) - 0.6 * blob(0.72, 0.6) for _ in ids]) * 0.3,
    }
    if not signed:
        image["occlusion"] = np.abs(image["occlusion"])
    words = {name: np.full((count, width), np.nan, np.float32) for name in ("gradient", "word_drop")}
    for row, (question, _) in enumerate(asked):
        length = len(question.split()[:width])
        words["gradient"][row, :length] = rng.random(length)
        words["word_drop"][row, :length] = rng.normal(0.1, 0.2, length)
    maps = {
        **{f"image/{m}": _maps(m, "image", v, ids, m == "occlusion" and signed) for m, v in image.items()},
        **{f"question/{m}": _maps(m, "question", v, ids, m == "word_drop") for m, v in words.items()},
    }
    human = np.full((count, 3 if annotators else 0, GRID, GRID), np.nan, np.float32)
    for k in range(human.shape[1]):
        human[: count - 1, k] = blob(0.3 + 0.02 * k, 0.42)
    return AnalysisResult(
        summary=_summary(epoch, annotators) if defined else {},
        records=_records(ids, asked, maps, folder, annotators),
        maps=maps,
        human=human,
        question_ids=ids,
        manifest={
            "epoch": epoch,
            "annotators": "simulated annotators" if annotators else None,
            "tagger": "NLTK 3.9.1 averaged_perceptron_tagger_eng",
            "grid": GRID,
            "excluded": {"no annotator map": 1},
            "examples": ids[:4].tolist(),
            "group_order": GROUPS,
            "data_note": "Shapes world: generated pictures, simulated annotators.",
        },
        curves=_curves(epoch) if defined else {},
    )


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
    x = np.linspace(0, 1, 21)
    curves = {}
    for place, name in enumerate(("confidence", "flips", "maps", "all")):
        bend = 1 + 0.3 * place + 0.1 * epoch
        curves[f"failure/{name}/roc"] = {"x": x.tolist(), "y": (x ** (1 / bend)).tolist()}
        curves[f"failure/{name}/risk_coverage"] = {"x": x[1:].tolist(), "y": (0.4 * x[1:] ** bend).tolist()}
        middle = np.linspace(0.15, 0.95, 9)
        curves[f"failure/{name}/calibration"] = {
            "x": middle.tolist(),
            "y": (middle**bend).tolist(),
            "n": [8.0] * 9,
        }
    return curves


def _maps(method: str, domain: str, values: np.ndarray, ids: np.ndarray, signed: bool) -> ImportanceMaps:
    tensor = torch.from_numpy(values.astype(np.float32))
    flips = torch.arange(len(ids)) if method in ("occlusion", "word_drop") else None
    return ImportanceMaps(
        method, domain, tensor, ~tensor.isnan(), signed, "probability of the predicted answer",
        torch.from_numpy(ids), torch.zeros(len(ids), dtype=torch.int64), flips,
    )  # fmt: skip


def _records(ids, asked, maps, folder, annotators) -> list[dict]:
    records = []
    for row, (question_id, (question, tags)) in enumerate(zip(ids, asked, strict=True)):
        words = question.split()[:26]
        path = "" if folder is None else str(folder / f"{row // 2}.png")
        for one in maps.values():
            top = int(one.values[row].abs().nan_to_num().argmax()) if one.domain == "question" else None
            tag = None if top is None else tags.split()[top]
            records.append(
                {
                    "question_id": int(question_id), "image_id": row // 2, "image_file": path,
                    "question": question, "words": words, "question_type": " ".join(words[:2]),
                    "answer_type": ("other", "number", "yes/no", "other")[row % 4],
                    "ground_truth": "red", "predicted": "red" if row % 3 else "blue",
                    "confidence": 0.6 + 0.03 * row, "accuracy": float(row % 3 > 0), "domain": one.domain,
                    "method": one.method,
                    "rho": 0.1 * (row % 5) if one.domain == "image" and annotators else None,
                    "top_word": None if top is None else words[top], "top_tag": tag,
                    "top_group": None if tag is None else GROUP.get(tag, "noun"),
                    "flips": None if one.flips is None else int(one.flips[row]),
                }
            )  # fmt: skip
    return records


def _summary(epoch: int, annotators: bool) -> dict[str, float]:
    summary: dict[str, float] = {}
    values = {"guided_backprop": 0.28, "occlusion": 0.25 + 0.01 * epoch, "random": 0.0007}
    values |= {"centre_prior": 0.41, "human": 0.83}
    for method, value in values.items() if annotators else ():
        key = f"image/{method}/rank_correlation"
        summary |= {key: value, f"{key}/ci_low": value - 0.03, f"{key}/ci_high": value + 0.03}
        summary |= {f"{key}/n": 300.0, f"{key}/n_undefined": 4.0 * (method == "occlusion")}
        apart = 0.1 * (1 - np.exp(-epoch / 3)) * (method in ("guided_backprop", "occlusion", "human"))
        key = f"image/{method}/specificity"
        summary |= {key: apart, f"{key}/ci_low": apart - 0.02, f"{key}/ci_high": apart + 0.02}
        summary |= {f"{key}/n": 290.0, f"image/{method}/other_question": value - apart}
        summary |= {f"image/{method}/other_image": value / 3, f"image/{method}/mean_map": value + 0.1}
    shares = [0.12, 0.03, 0.08, 0.33, 0.31, 0.05, 0.02]
    for method in ("gradient", "word_drop"):
        for place, group in enumerate(GROUPS):
            key = f"question/{method}/most_important/{group}"
            summary[f"{key}/n"] = 400.0 - 40 * place if place < len(shares) else 0.0
            if place < len(shares):
                summary |= {key: shares[place] * (1 + 0.2 * (method == "gradient")), f"{key}/expected": 0.12}
    for name, value in {"confidence": 0.74, "flips": 0.69, "maps": 0.63, "all": 0.71}.items():
        summary |= {f"failure/{name}/{key}": v for key, v in zip(
            ("accuracy", "auroc", "aurc", "majority_accuracy", "n"), (value, value + 0.05, 0.2, 0.62, 300.0),
            strict=True)}  # fmt: skip
    summary |= {"accuracy/overall": 0.4 + 0.06 * epoch, "accuracy/answer_type/yes/no": 0.8}
    summary |= {"accuracy/answer_type/number": 0.55, "accuracy/answer_type/other": 0.61}
    for kind in ("what color", "how many", "is there", "what is"):
        summary[f"accuracy/question_type/{kind}"] = 0.3 + 0.05 * len(kind)
    return summary
