"""Gradient of the answer's probability with respect to the word embeddings (section 3 of the paper).

The language path holds no ReLU, so guided backpropagation gives the true gradient here. The importance
of word t with embedding e_t (the output of the word table, before its dropout and tanh) is::

    R(t) = | d p(answer) / d e_t |_2
"""

from __future__ import annotations

import torch
from jaxtyping import Int64
from torch import Tensor

from lookwhy.attribution.base import Attributor, Needs, differentiable, head_of, images_of
from lookwhy.models.pipeline import probabilities
from lookwhy.models.protocol import VQAModel
from lookwhy.types import Domain, ImportanceMaps, VQABatch


class WordGradient(Attributor):
    """Length of the gradient at each word's embedding."""

    name = "gradient"
    domain: Domain = "question"
    needs: Needs = "gradients"

    def __call__(self, model: VQAModel, batch: VQABatch, target: Int64[Tensor, " B"]) -> ImportanceMaps:
        """Maps (B, T), unsigned, valid up to each question's length.

        Raises:
            LookwhyError: the model is not a `Pipeline` with a `VQAHead`, or the batch holds no pixels.
        """
        pipeline = differentiable(model, self.name)
        head = head_of(pipeline, self.name)
        with torch.no_grad():
            view = head.look(pipeline.features(images_of(batch, self.name)))
        embedded = head.embed(batch.tokens).detach().requires_grad_()
        # cuDNN's LSTM has no backward pass in eval mode, and train mode would switch dropout on.
        with torch.backends.cudnn.flags(enabled=False):
            scores = probabilities(head.answer(view, head.read(embedded, batch.lengths)))
            chosen = scores.gather(1, target[:, None]).sum()
            (gradients,) = torch.autograd.grad(chosen, embedded)
        places = torch.arange(batch.tokens.shape[1], device=batch.tokens.device)
        return self._maps(
            batch, target, gradients.norm(dim=2), signed=False, valid=places < batch.lengths[:, None]
        )
