"""`analyze.py explain`: one question about one image, answered and explained, as a picture or as numbers."""

from __future__ import annotations

import sys
from pathlib import Path

from lookwhy import api
from lookwhy.reporting.figures.explanation import PICTURES, check_ending


def explain_question(checkpoint: Path, image: Path, question: str, out: Path, device: str = "cpu") -> None:
    """Explain one question, write what mattered as the ending of `out` says, and print the answers.

    Raises:
        LookwhyError: the image cannot be read, the question holds no word, or `out` has no known ending.
    """
    check_ending(out)
    why = api.load(checkpoint, device).explain(image, question)
    why.save(out)
    for answer in why.answers:
        print(f"{100 * answer.probability:5.1f}%  {answer.text}")
    for note in why.explanation.notes:
        print(note, file=sys.stderr)
    print(f"{'picture' if out.suffix.lower() in PICTURES else 'numbers'}  {out}")
