"""The base class of all attribution methods. A method gets its settings when it is made, and is then called.

A method declares the kind of model that it works on. `needs = "scores"`: any black box with `answer_scores`
(occlusion, word drop). `needs = "gradients"`: a `Pipeline` of differentiable parts. `needs = "attention"`: a
foreign model whose layers attend to picture and question together (ViLT).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Literal

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from lookwhy.errors import LookwhyError
from lookwhy.models.pipeline import ModelParts, Pipeline, first_answer, pipeline_of
from lookwhy.models.protocol import TokenModel
from lookwhy.types import Domain, Explains, Features, Images, ImportanceMaps, Target, VQABatch

Needs = Literal["scores", "gradients", "attention"]


class Attributor(ABC):
    """One attribution method.

    Every attribute whose name does not begin with an underscore is a setting. A plan stores the settings, so
    their types must be plain.

    Attributes:
        name: name of the method in keys and files ("guided_backprop").
        domain: "image" (maps over cells; the batch needs pixels) or "question" (maps over words; features
            are enough).
        needs: kind of model that the method works on.
        explains: quantity of the predicted answer that is explained. The paper explains its probability,
            which also falls if another answer gains. A logit does not depend on the other answers.
        explains_boxes: whether an image method explains a model on boxes, without pixels; it then returns
            `box_values`, too.

    In the examples of the methods `model` is a `Pipeline`, `batch` holds three questions with their pixels,
    and `target` the predicted answers.
    """

    name: str
    domain: Domain
    needs: Needs
    explains: Explains = "probability"
    explains_boxes: bool = False

    @abstractmethod
    def __call__(self, model: TokenModel, batch: VQABatch, target: Target) -> ImportanceMaps:
        """Importance for the answers `target` (0-based ids), one map for each question of the batch.

        With a second id for each question, the explained quantity is the difference of both answers: why the
        first answer, and not the second.
        """

    def check(self, model: TokenModel) -> None:
        """Raise an error for a model that this method cannot explain; called before an analysis starts.

        Raises:
            LookwhyError: the method needs gradients and the model is a black box.
        """
        if self.needs == "gradients":
            pipeline_of(model, self.name)

    def _pipeline(self, model: TokenModel) -> Pipeline:
        """The checked model, for methods that need gradients."""
        self.check(model)
        return pipeline_of(model, self.name)

    def _maps(
        self,
        batch: VQABatch,
        target: Target,
        values: Float[Tensor, "B *cells"],
        *,
        signed: bool,
        valid: Bool[Tensor, "B *cells"] | None = None,
        flips: Int64[Tensor, " B"] | None = None,
        target_text: str | None = None,
        box_values: Float[Tensor, "B R"] | None = None,
    ) -> ImportanceMaps:
        """Importance maps on the CPU from these values; without `valid`, every value is defined."""
        return ImportanceMaps(
            method=self.name,
            domain=self.domain,
            values=values.detach().float().cpu(),
            valid=torch.ones(values.shape, dtype=torch.bool) if valid is None else valid.cpu(),
            signed=signed,
            target=target_text or f"{self.explains} of the predicted answer",
            question_ids=batch.question_ids.cpu(),
            answers=first_answer(target).cpu(),
            flips=flips,
            box_values=None if box_values is None else box_values.detach().float().cpu(),
        )


def maps_of(method: Attributor, model: TokenModel, batch: VQABatch, target: Target) -> ImportanceMaps:
    """Call a method, and refuse a result of another type."""
    found = method(model, batch, target)
    if not isinstance(found, ImportanceMaps):
        raise LookwhyError(
            f"expected ImportanceMaps from {type(method).__name__}, found {type(found).__name__}; let its "
            "__call__ return self._maps(batch, target, values, signed=...)"
        )
    return found


def images_of(batch: VQABatch, method: str) -> Images:
    """The pixels of a batch.

    Raises:
        LookwhyError: the batch has features only.
    """
    if batch.images is None:
        raise LookwhyError(
            f"expected pixels for {method}, found a batch of features only; load the images of the batch"
        )
    return batch.images


@torch.no_grad()
def features_of(model: ModelParts, batch: VQABatch, method: str) -> Features:
    """Image features for each question, from the batch or computed once per image.

    Raises:
        LookwhyError: the batch has neither features nor pixels.
    """
    if batch.features is not None:
        return batch.features
    ids, images = batch.image_ids.tolist(), images_of(batch, method)
    place = {image_id: number for number, image_id in enumerate(dict.fromkeys(ids))}
    features = model.features(images[[ids.index(image_id) for image_id in place]])
    return features[[place[image_id] for image_id in ids]]


def rows_by_image(batch: VQABatch) -> list[Int64[Tensor, " R"]]:
    """Row numbers of the questions, grouped by image, in order of first appearance."""
    groups: dict[int, list[int]] = {}
    for row, image_id in enumerate(batch.image_ids.tolist()):
        groups.setdefault(image_id, []).append(row)
    return [torch.tensor(rows) for rows in groups.values()]
