"""What an attribution method is: settings in the constructor, a call on a model and a batch.

Methods are split by what they ask of a model. `needs = "scores"`: any black box with `answer_scores`
(occlusion, word drop). `needs = "gradients"`: a `Pipeline` of differentiable parts.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Literal

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn

from lookwhy.models.pipeline import Pipeline, probabilities
from lookwhy.models.protocol import VQAHead, VQAModel
from lookwhy.types import Domain, ImportanceMaps, LookwhyError, VQABatch

Needs = Literal["scores", "gradients"]
Explains = Literal["probability", "logit"]
"""What of the predicted answer is explained. The paper: its probability, which falls also where another
answer gains. Its logit is what the network adds up for it, whatever becomes of the others."""


class Attributor(ABC):
    """One method of telling what mattered.

    Attributes:
        name: as in keys and files ("guided_backprop").
        domain: what its maps lie over.
        needs: what it asks of a model.
        explains: what of the predicted answer.
        many_images: whether it is best given the questions of many images at once, with the images' features;
            the others get one image's questions, with its pixels.
        cache: folder to keep what depends on the image alone in, for methods that do; None: nowhere.
        remember: of how many images, those explained last, it is held in memory where there is no folder.
    """

    name: str
    domain: Domain
    needs: Needs
    explains: Explains = "probability"
    many_images: bool = False
    cache: str | None = None
    remember: int = 0

    @abstractmethod
    def __call__(self, model: VQAModel, batch: VQABatch, target: Int64[Tensor, " B"]) -> ImportanceMaps:
        """Importance for the answers `target` (0-based ids), one map a question of the batch."""

    def _explained(self, logits: Float[Tensor, "*B A"]) -> Float[Tensor, "*B A"]:
        """What is explained of each answer, in double precision."""
        return probabilities(logits) if self.explains == "probability" else logits.double()

    def _black_box_scores(
        self,
        model: VQAModel,
        images: Float[Tensor, "B 3 H W"],
        tokens: Int64[Tensor, "B T"],
        lengths: Int64[Tensor, " B"],
    ) -> Float[Tensor, "B A"]:
        """The same of a black box, which tells probabilities and nothing else.

        Raises:
            LookwhyError: logits are to be explained.
        """
        if self.explains != "probability":
            raise LookwhyError(
                f"expected a Pipeline(tower, head) for {self.name} of logits, found {type(model).__name__}, "
                "which tells probabilities alone; leave `explains` at probability"
            )
        return model.answer_scores(images, tokens, lengths)

    def _maps(
        self,
        batch: VQABatch,
        target: Int64[Tensor, " B"],
        values: Float[Tensor, "B *cells"],
        *,
        signed: bool,
        valid: Bool[Tensor, "B *cells"] | None = None,
        flips: Int64[Tensor, " B"] | None = None,
        target_text: str | None = None,
    ) -> ImportanceMaps:
        """The values as this method's maps, on the CPU; without `valid` every cell is defined."""
        return ImportanceMaps(
            method=self.name,
            domain=self.domain,
            values=values.float().cpu(),
            valid=torch.ones(values.shape, dtype=torch.bool) if valid is None else valid.cpu(),
            signed=signed,
            target=target_text or f"{self.explains} of the predicted answer",
            question_ids=batch.question_ids.cpu(),
            answers=target.cpu(),
            flips=flips,
        )


def images_of(batch: VQABatch, method: str) -> Float[Tensor, "B 3 H W"]:
    """The batch's pixels.

    Raises:
        LookwhyError: the batch holds features alone.
    """
    if batch.images is None:
        raise LookwhyError(
            f"expected pixels for {method}, found a batch of features only; load the images of the batch"
        )
    return batch.images


@torch.no_grad()
def features_of(model: Pipeline, batch: VQABatch, method: str) -> Float[Tensor, "B *D"]:
    """The tower's features of each question's image: the batch's own, else computed once an image.

    Raises:
        LookwhyError: the batch holds neither features nor pixels.
    """
    if batch.features is not None:
        return batch.features
    groups, images = rows_by_image(batch), images_of(batch, method)
    seen = model.features(images[torch.stack([rows[0] for rows in groups]).to(images.device)])
    place = torch.empty(len(batch), dtype=torch.int64)
    for number, rows in enumerate(groups):
        place[rows] = number
    return seen[place.to(seen.device)]


def differentiable(model: VQAModel, method: str) -> Pipeline:
    """The model as a pipeline of differentiable parts.

    Raises:
        LookwhyError: it is another kind of model.
    """
    if not isinstance(model, Pipeline):
        raise LookwhyError(
            f"expected a Pipeline(tower, head) for {method}, which needs gradients, found "
            f"{type(model).__name__}; explain a black box with Occlusion or WordDrop"
        )
    return model


def head_of(model: Pipeline, method: str) -> VQAHead:
    """The model's head, with its separate steps.

    Raises:
        LookwhyError: the head is not a `VQAHead`.
    """
    if not isinstance(model.head, VQAHead):
        raise LookwhyError(
            f"expected a VQAHead for {method}, which takes gradients at its word embeddings, found "
            f"{type(model.head).__name__}; derive it from lookwhy.models.VQAHead"
        )
    return model.head


def rows_by_image(batch: VQABatch) -> list[Int64[Tensor, " R"]]:
    """Row numbers of the batch's questions, grouped by image, in order of first appearance."""
    groups: dict[int, list[int]] = {}
    for row, image_id in enumerate(batch.image_ids.tolist()):
        groups.setdefault(image_id, []).append(row)
    return [torch.tensor(rows) for rows in groups.values()]


def relu_modules(model: nn.Module) -> list[nn.ReLU]:
    """The ReLU modules of a network, in order."""
    return [module for module in model.modules() if isinstance(module, nn.ReLU)]
