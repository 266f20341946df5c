"""The baseline of the paper: deeper LSTM question encoder and normalised CNN features (Lu et al. 2015).

A word embedding is a linear layer on the one-hot word, followed by dropout and tanh::

    x_t = tanh(dropout(W_e[w_t] + b_e))                              E = 200
    c1, h1, c2, h2 = the final states of a 2-layer LSTM over x       512 each, dropout between layers
    q = tanh(W_q dropout([c1 h1 c2 h2]) + b_q)                       2048 -> 1024
    v = tanh(W_v dropout(f / |f|) + b_v)                             D -> 1024
    logits = W_a dropout(q * v) + b_a                                1024 -> A

Every parameter starts uniform in +-0.08. Source: the authors' Torch7 code (VQA_LSTM_CNN).
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.nn import functional as F

from lookwhy.models.final_states import final_states
from lookwhy.models.protocol import AT_LEAST_1, BELOW_1, HEAD, VQAHead, arguments_of, check_numbers
from lookwhy.towers.products import Linear

INITIAL_RANGE = 0.08


class DeeperLSTM(VQAHead):
    """Deeper LSTM Q + norm I of Lu et al. 2015: (image_features, tokens, lengths) -> logits.

    Args:
        vocab_size: number of words; ids run from 1 to this.
        num_answers: number of answers.
        image_dim: width of the image features; channels x rows x columns for a grid, which is flattened.
        embedding_size: width of a word embedding.
        hidden_size: units of each LSTM layer.
        num_layers: number of LSTM layers.
        common_size: width of the common space of question and image.
        dropout: probability of dropping a unit, the same in all five places.
        use_image: whether to use the image; False gives the question-only baseline.

    Example:
        >>> head = DeeperLSTM(vocab_size=9, num_answers=5, image_dim=32, hidden_size=4)
        >>> head(torch.rand(2, 32), torch.tensor([[1, 2, 3], [4, 5, 0]]), torch.tensor([3, 2])).shape
        torch.Size([2, 5])
    """

    def __init__(
        self,
        vocab_size: int,
        num_answers: int,
        image_dim: int,
        embedding_size: int = 200,
        hidden_size: int = 512,
        num_layers: int = 2,
        common_size: int = 1024,
        dropout: float = 0.5,
        use_image: bool = True,
    ) -> None:
        self.settings = arguments_of(locals())
        super().__init__()
        sizes = ("embedding_size", "hidden_size", "num_layers", "common_size")
        check_numbers(self.settings, HEAD, dropout=BELOW_1, **dict.fromkeys(sizes, AT_LEAST_1))
        self.use_image = use_image
        # A linear layer on one-hot words is an embedding table plus a bias. The table has no padding row.
        self.word_table = nn.Embedding(vocab_size, embedding_size)
        self.word_bias = nn.Parameter(torch.empty(embedding_size))
        between = dropout if num_layers > 1 else 0.0
        self.lstm = nn.LSTM(embedding_size, hidden_size, num_layers, batch_first=True, dropout=between)
        self.project_question = Linear(2 * num_layers * hidden_size, common_size)
        self.project_image = Linear(image_dim, common_size)
        self.classify = Linear(common_size, num_answers)
        self.dropout = nn.Dropout(dropout)
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -INITIAL_RANGE, INITIAL_RANGE)

    def embed(self, tokens: Int64[Tensor, "B T"]) -> Float[Tensor, "B T E"]:
        """Word embeddings before dropout and tanh. Padding gets the embedding of word 1; nothing reads it."""
        return self.word_table((tokens - 1).clamp(min=0)) + self.word_bias

    def read(self, embedded: Float[Tensor, "B T E"], lengths: Int64[Tensor, " B"]) -> Float[Tensor, "B C"]:
        """Code of the question: the LSTM's final c1, h1, c2, h2, projected to the common space."""
        words = torch.tanh(self.dropout(embedded))
        hidden, cell = final_states(self.lstm, words, lengths)
        states = torch.stack([cell, hidden], dim=1)  # (layers, c then h, B, hidden)
        encoding = states.permute(2, 0, 1, 3).flatten(1)
        return torch.tanh(self.project_question(self.dropout(encoding)))

    def look(self, features: Float[Tensor, "B *D"]) -> Float[Tensor, "B C"]:
        """Code of the image: its L2-normalised features, projected to the common space; zeros if not used."""
        if not self.use_image:
            return features.new_zeros(len(features), self.classify.in_features)
        normalised = F.normalize(features.flatten(1), dim=1)
        return torch.tanh(self.project_image(self.dropout(normalised)))

    def answer(self, view: Float[Tensor, "B C"], code: Float[Tensor, "B C"]) -> Float[Tensor, "B A"]:
        """Logits of the answers, from the elementwise product of the two codes."""
        return self.classify(self.dropout(view * code if self.use_image else code))
