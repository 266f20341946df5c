"""Pixels -> features -> answers: the frozen image tower and the trained head as one model."""

from __future__ import annotations

from jaxtyping import Float, Int64
from torch import Tensor, nn

from lookwhy.models.protocol import VQAHead


def probabilities(logits: Float[Tensor, "*B A"]) -> Float[Tensor, "*B A"]:
    """Softmax in double precision.

    A confident answer's gradient is p (1 - p): in single precision 1 - p is rounded to 0 long before
    the model is certain, and the importance map with it.
    """
    return logits.double().softmax(-1)


class Pipeline(nn.Module):
    """A VQA model on pixels, made of a tower (pixels -> features) and a head (features -> logits).

    Satisfies `VQAModel`; its parts can also be called one by one, so that an image is looked at once
    for all its questions and a question is read once for all its occluded images.
    """

    def __init__(self, tower: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.tower = tower
        self.head = head

    def features(self, images: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B *D"]:
        """Image features of the tower, not normalised."""
        return self.tower(images)

    def forward(
        self,
        images: Float[Tensor, "B 3 H W"],
        tokens: Int64[Tensor, "B T"],
        lengths: Int64[Tensor, " B"],
    ) -> Float[Tensor, "B A"]:
        """Logits of the answers."""
        return self.head(self.features(images), tokens, lengths)

    def answer_scores(
        self,
        image: Float[Tensor, "B 3 H W"],
        tokens: Int64[Tensor, "B T"],
        lengths: Int64[Tensor, " B"],
    ) -> Float[Tensor, "B A"]:
        """Probability of each answer."""
        return probabilities(self(image, tokens, lengths))

    def logits_of_pairs(
        self,
        features: Float[Tensor, "M *D"],
        tokens: Int64[Tensor, "Q T"],
        lengths: Int64[Tensor, " Q"],
    ) -> Float[Tensor, "Q M A"]:
        """Logits of the answers, for each of Q questions about each of M sets of features."""
        pairs = (len(tokens), len(features))
        if isinstance(self.head, VQAHead):
            view = self.head.look(features)
            codes = self.head.read(self.head.embed(tokens), lengths)
            logits = self.head.answer(_columns(view, pairs), _rows(codes, pairs))
        else:
            logits = self.head(_columns(features, pairs), _rows(tokens, pairs), _rows(lengths, pairs))
        return logits.unflatten(0, pairs)


def _rows(x: Tensor, pairs: tuple[int, int]) -> Tensor:
    """x[q] for each pair (q, m), pairs in one dimension."""
    return x[:, None].expand(*pairs, *x.shape[1:]).flatten(0, 1)


def _columns(x: Tensor, pairs: tuple[int, int]) -> Tensor:
    """x[m] for each pair (q, m), pairs in one dimension."""
    return x[None].expand(*pairs, *x.shape[1:]).flatten(0, 1)
