"""Draws docs/methods.png, one picture a method: python docs/methods.py CHECKPOINT IMAGE QUESTION FILE."""

import sys

import numpy as np

import lookwhy
from lookwhy.reporting.figures.sheet import Panel, Sheet
from lookwhy.reporting.figures.strips import EVIDENCE, MAGNITUDES, blend
from lookwhy.reporting.style import method_name

SIDE = 1.5
"""Width and height of a picture in inches."""


def main(checkpoint: str, image: str, question: str, out: str) -> None:
    """Draw a row of the image's maps, one for each method of the checkpoint's plan."""
    why = lookwhy.explain(checkpoint, image, question)
    pixels = np.asarray(why.image.resize((300, 300)))
    panels = [Panel("Image", lambda axes: axes.imshow(pixels) and None, width=SIDE)]
    for one in why.explanation.of("image"):
        blended = blend(pixels, one.values, one.signed)
        scale = EVIDENCE if one.signed else MAGNITUDES
        panels.append(
            Panel(method_name(one.method), lambda axes, x=blended: axes.imshow(x) and None, "", scale, SIDE)
        )
    sheet = Sheet(0.5 + len(panels) * (SIDE + 0.25))
    sheet.text(f"{question} {why.answer.capitalize()}.", 12.0, weight="bold")
    sheet.space(0.1)
    sheet.panels(panels, SIDE)
    sheet.figure().savefig(out)


if __name__ == "__main__":
    main(*sys.argv[1:])
