"""`analyze.py explain`: one question about one image, answered and explained, as a picture or as numbers."""

from __future__ import annotations

import sys
from pathlib import Path

import torch

from lookwhy import __version__
from lookwhy.analysis import AnalysisPlan
from lookwhy.analysis.explain import Explainer
from lookwhy.errors import LookwhyError
from lookwhy.files import sha256_file
from lookwhy.models import load_checkpoint
from lookwhy.reporting.figures.explanation import PICTURES, Json, check_ending, write_explanation
from lookwhy.towers.recipe import read_rgb


def explain_question(checkpoint: Path, image: Path, question: str, out: Path, device: str = "cpu") -> None:
    """Answer one question about one picture, and write what mattered as the ending of `out` says.

    Raises:
        LookwhyError: the image cannot be read, the question holds no word, or `out` no known ending.
    """
    check_ending(out)
    picture = read_rgb(image)
    explainer = load_explainer(checkpoint, device)
    explanation = explainer.explain(explainer.look(picture), question)
    write_explanation(out, explanation, picture, origin_of(explainer, checkpoint) | {"image": str(image)})
    for answer in explanation.answers:
        print(f"{100 * answer.probability:5.1f}%  {answer.text}")
    for note in explanation.notes:
        print(note, file=sys.stderr)
    print(f"{'picture' if out.suffix.lower() in PICTURES else 'numbers'}  {out}")


def load_explainer(checkpoint: Path, device: str, remember: int = 1) -> Explainer:
    """A checkpoint's model on a device, with the methods of the plan that it was trained with.

    Raises:
        LookwhyError: no checkpoint, no such device, or the image tower is gone.
    """
    run = load_checkpoint(checkpoint)
    try:
        torch.zeros(1, device=device)
    # A build without CUDA asserts that it has it.
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).strip().split("\n")[0]
        raise LookwhyError(
            f"expected a device to compute on, found no {device} ({reason}); give --device cpu"
        ) from error
    return Explainer(run, AnalysisPlan.from_dict(run.plan, str(checkpoint)), device, remember)


def origin_of(explainer: Explainer, checkpoint: Path) -> Json:
    """What an explanation comes from, in plain types; the first keys of its JSON."""
    run = explainer.run
    return {
        "lookwhy": __version__,
        "checkpoint": str(checkpoint),
        "checkpoint_sha256": sha256_file(checkpoint),
        "epoch": run.epoch,
        "model": type(run.head).__name__,
        "plan": explainer.plan.describe(),
        "note": str(run.data.get("note") or ""),
    }
