"""Gradient of the answer's probability with respect to the word embeddings (section 3 of the paper).

The language path has no ReLU, so guided backpropagation and the true gradient are the same here. The
importance of word t with embedding e_t (the output of the word table, before dropout and tanh) is the size
of::

    d p(answer) / d e_t

The paper does not say how this vector becomes one number. The default is the Euclidean norm, which does not
change if the embedding space is rotated.
"""

from __future__ import annotations

from typing import Literal, cast

import torch
from jaxtyping import Float
from torch import Tensor

from lookwhy.attribution.base import Attributor, Needs, features_of
from lookwhy.errors import LookwhyError
from lookwhy.models.pipeline import as_explained, pipeline_of, score_of
from lookwhy.models.protocol import TokenModel, VQAHead
from lookwhy.types import Domain, Explains, ImportanceMaps, Target, VQABatch

Norm = Literal["l2", "l1", "max"]
_ORDERS = {"l2": 2.0, "l1": 1.0, "max": torch.inf}


class WordMethod(Attributor):
    """Base of the methods that take gradients at the word embeddings."""

    domain: Domain = "question"
    needs: Needs = "gradients"

    def check(self, model: TokenModel) -> None:
        """Raise a LookwhyError for a black box, or a head that is no `VQAHead`."""
        head = pipeline_of(model, self.name).head
        if not isinstance(head, VQAHead):
            raise LookwhyError(
                f"expected a VQAHead for {self.name}, which takes gradients at its word embeddings, found "
                f"{type(head).__name__}; derive it from lookwhy.models.VQAHead"
            )

    def _parts(
        self, model: TokenModel, batch: VQABatch
    ) -> tuple[Float[Tensor, "B *view"], Float[Tensor, "B T E"]]:
        """Code of each question's image, and the embeddings of its words."""
        pipeline = self._pipeline(model)
        head = cast(VQAHead, pipeline.head)
        with torch.no_grad():
            return head.look(features_of(pipeline, batch, self.name)), head.embed(batch.tokens)

    def _gradients(
        self,
        model: TokenModel,
        batch: VQABatch,
        target: Target,
        view: Float[Tensor, "B *view"],
        embedded: Float[Tensor, "B T E"],
    ) -> Float[Tensor, "B T E"]:
        """Gradients of each question's answer at these embeddings."""
        head, leaf = cast(VQAHead, self._pipeline(model).head), embedded.detach().requires_grad_()
        # cuDNN's LSTM has no backward pass in eval mode, and train mode would switch dropout on.
        with torch.backends.cudnn.flags(enabled=False):
            scores = as_explained(head.answer(view, head.read(leaf, batch.lengths)), self.explains)
            (gradients,) = torch.autograd.grad(score_of(scores, target).sum(), leaf)
        return gradients

    def _of_words(
        self, batch: VQABatch, target: Target, values: Float[Tensor, "B T"], *, signed: bool = True
    ) -> ImportanceMaps:
        """Maps over the words, valid up to each question's length."""
        places = torch.arange(batch.tokens.shape[1], device=batch.tokens.device)
        valid = places < batch.lengths[:, None]
        return self._maps(batch, target, values * valid, signed=signed, valid=valid)


class WordGradient(WordMethod):
    """Size of the gradient at each word's embedding.

    Args:
        norm: how the gradient's components become one number.
        explains: quantity of the answer whose gradient is taken.

    Example:
        >>> WordGradient()(model, batch, target).values.shape
        torch.Size([3, 4])
    """

    name = "gradient"

    def __init__(self, norm: Norm = "l2", explains: Explains = "probability") -> None:
        self.norm, self.explains = norm, explains

    def __call__(self, model: TokenModel, batch: VQABatch, target: Target) -> ImportanceMaps:
        """Maps (B, T), unsigned, valid up to each question's length.

        Raises:
            LookwhyError: the model is not a `Pipeline` with a `VQAHead`, or the batch has neither
                features nor pixels.
        """
        gradients = self._gradients(model, batch, target, *self._parts(model, batch))
        return self._of_words(batch, target, gradients.norm(_ORDERS[self.norm], dim=2), signed=False)
