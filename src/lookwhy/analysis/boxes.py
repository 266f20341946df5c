"""Analyses of models on boxes: which plans they can have, and the boxes of their questions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
from jaxtyping import Float

from lookwhy import attribution
from lookwhy.analysis.plan import AnalysisPlan
from lookwhy.attribution import Attributor
from lookwhy.errors import LookwhyError

BoxesOf = dict[int, Float[np.ndarray, "R 4"]]
"""Boxes of an image, by the id of a question about it, in the form of `VQABatch.boxes`."""
LEAST_GRID = 2


def check_plan_for_boxes(plan: AnalysisPlan) -> None:
    """Refuse a plan that needs pixels: the detector behind features of boxes is not here.

    Raises:
        LookwhyError: an image method explains no boxes; faithfulness, modality or a random network is asked
            for; or the grid has a single cell.
    """
    wrong = [type(one).__name__ for one in plan.image_methods if not one.explains_boxes]
    if wrong:
        known = (getattr(attribution, name) for name in attribution.__all__)
        kinds = [one for one in known if isinstance(one, type) and issubclass(one, Attributor)]
        right = [kind.__name__ for kind in kinds if kind.explains_boxes]
        raise LookwhyError(
            f"expected image_methods that explain boxes ({', '.join(right)}), found {', '.join(wrong)}: "
            "there are neither pixels nor an image network; take the others out of the plan"
        )
    pixels = [name for name in ("faithfulness", "modality") if getattr(plan, name)]
    if pixels:
        raise LookwhyError(
            f"expected a plan without {' and '.join(pixels)} for features of boxes, found "
            f"{' and '.join(pixels)}, which paints over pixels; set it to null"
        )
    networks = [one for one in (plan.sanity.random if plan.sanity else ()) if one in ("network", "both")]
    if networks:
        raise LookwhyError(
            "expected sanity.random of classifier and head for features of boxes, found "
            f"{networks[0]}: there is no image network to make random; leave it out"
        )
    if plan.grid < LEAST_GRID:
        raise LookwhyError(
            f"expected a grid of at least {LEAST_GRID} cells along each side, found {plan.grid}; correct it"
        )


def boxes_of_questions(
    parts: Iterable[Mapping[int, Float[np.ndarray, "R 4"]]], question_ids: Iterable[int]
) -> Float[np.ndarray, "M R 4"]:
    """Boxes of the questions in their order, from those of all processes; (0, 0, 4) without any."""
    joined = {number: boxes for part in parts for number, boxes in part.items()}
    if not joined:
        return np.zeros((0, 0, 4), np.float32)
    return np.stack([joined[number] for number in question_ids])
