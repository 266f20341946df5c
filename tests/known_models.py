"""Models whose explanations are known by hand."""

import torch
from torch.nn.utils.rnn import pad_sequence

from lookwhy.types import ImportanceMaps, VQABatch


def draw(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def make_maps(values, domain="image", valid=None, flips=None):
    values, rows = torch.as_tensor(values), torch.arange(len(values))
    valid = torch.ones_like(values) if valid is None else torch.tensor(valid)
    return ImportanceMaps("x", domain, values, valid.bool(), True, "", rows, rows, flips)


class OnlyScores:
    """A model as a black box."""

    def __init__(self, model):
        self.model = model

    def answer_scores(self, image, tokens, lengths):
        return self.model.answer_scores(image, tokens, lengths)


def make_batch(images, tokens=((1, 2, 3),), image_ids=None, dtype=torch.float64):
    count = len(tokens)
    return VQABatch(
        question_ids=torch.arange(count),
        tokens=pad_sequence([torch.tensor(words) for words in tokens], batch_first=True),
        lengths=torch.tensor([len(words) for words in tokens]),
        labels=torch.zeros(count, dtype=torch.int64),
        image_ids=torch.arange(count) if image_ids is None else torch.tensor(image_ids),
        images=images.to(dtype),
        questions=[" ".join(f"w{word}" for word in words) for words in tokens],
    )


class LinearBlackBox:
    """p(answer 0) = sum over pixels of weight x value + sum over words of their worth."""

    def __init__(self, weight, worth):
        self.weight, self.worth = weight, worth

    def answer_scores(self, image, tokens, lengths):
        words = self.worth[tokens].masked_fill(tokens == 0, 0).sum(1)
        p = (image * self.weight).sum((1, 2, 3)) + words
        return torch.stack([p, 1 - p], dim=1)
