"""Stacked attention network (Yang et al. 2015, "Stacked Attention Networks for Image Question Answering").

Regions i = 1..m of a grid of image features f_i, a question read by an LSTM::

    q = final h of a 1-layer LSTM over the word embeddings            d
    v_i = tanh(W_v f_i / |f_i| + b_v)                                 d
    u_0 = q
    for each hop k:
        a = softmax_i(w_k . tanh(V_k v_i + U_k u_{k-1} + b_k))        m, the attention
        u_k = u_{k-1} + sum_i a_i v_i                                 d
    logits = W_a u_K + b_a                                            A

These are equations 15 to 21 of the SAN paper, with two changes. Region features are L2-normalised, because
the tanh saturates on unnormalised Caffe features. Every parameter starts uniform in +-0.08 and dropout is in
the same places as in `DeeperLSTM`, so that both models train with the same settings.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from lookwhy.models.deeper_lstm import INITIAL_RANGE
from lookwhy.models.final_states import final_states
from lookwhy.models.protocol import AT_LEAST_1, BELOW_1, HEAD, arguments_of, check_numbers
from lookwhy.models.regions import RegionHead, softmax_over
from lookwhy.towers.products import Linear


class SAN(RegionHead):
    """Stacked attention: (grid of image features, tokens, lengths) -> logits.

    Args:
        vocab_size: number of words; ids run from 1 to this.
        num_answers: number of answers.
        image_dim: size of the image features, channels x regions.
        regions: cells of the feature grid, rows x columns: 196 for 14 x 14, 49 for 7 x 7; number of boxes.
        embedding_size: width of a word embedding.
        hidden_size: units of the LSTM, and width of the common space of question and regions.
        attention_size: number of units that score a region.
        hops: number of attention layers.
        dropout: probability of dropping a unit, the same everywhere.
        use_image: whether to use the image; False gives the question-only baseline.
        mask_empty: whether a region of zeros is padding (see `regions`): true for features of boxes.

    Raises:
        LookwhyError: `image_dim` is no multiple of `regions`, or `hops` is less than 1.

    Example:
        >>> head = SAN(vocab_size=9, num_answers=5, image_dim=8 * 9, regions=9, hidden_size=4)
        >>> head(torch.rand(2, 8, 3, 3), torch.tensor([[1, 2, 3], [4, 5, 0]]), torch.tensor([3, 2])).shape
        torch.Size([2, 5])
    """

    def __init__(
        self,
        vocab_size: int,
        num_answers: int,
        image_dim: int,
        regions: int = 196,
        embedding_size: int = 200,
        hidden_size: int = 512,
        attention_size: int = 512,
        hops: int = 2,
        dropout: float = 0.5,
        use_image: bool = True,
        mask_empty: bool = False,
    ) -> None:
        self.settings = arguments_of(locals())
        super().__init__()
        sizes = ("embedding_size", "hidden_size", "attention_size", "hops")
        check_numbers(self.settings, HEAD, dropout=BELOW_1, **dict.fromkeys(sizes, AT_LEAST_1))
        self.use_image, self.regions, self.mask_empty = use_image, regions, mask_empty
        self.word_table = nn.Embedding(vocab_size, embedding_size)
        self.lstm = nn.LSTM(embedding_size, hidden_size, batch_first=True)
        self.project_image = Linear(self.region_width(), hidden_size)
        self.score_region = nn.ModuleList(
            Linear(hidden_size, attention_size, bias=False) for _ in range(hops)
        )
        self.score_question = nn.ModuleList(Linear(hidden_size, attention_size) for _ in range(hops))
        # No bias: it would add the same to every region, which the softmax cancels.
        self.score = nn.ModuleList(Linear(attention_size, 1, bias=False) for _ in range(hops))
        self.classify = Linear(hidden_size, num_answers)
        self.dropout = nn.Dropout(dropout)
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -INITIAL_RANGE, INITIAL_RANGE)

    def embed(self, tokens: Int64[Tensor, "B T"]) -> Float[Tensor, "B T E"]:
        """Word embeddings. Padding gets the embedding of word 1; nothing reads it."""
        return self.word_table((tokens - 1).clamp(min=0))

    def read(self, embedded: Float[Tensor, "B T E"], lengths: Int64[Tensor, " B"]) -> Float[Tensor, "B C"]:
        """Code of the question: the LSTM's final h."""
        words = self.dropout(embedded)
        hidden, _ = final_states(self.lstm, words, lengths)
        return hidden[-1]

    def look(self, features: Float[Tensor, "B *D"]) -> Float[Tensor, "B M Cv"]:
        """Codes of the regions, from features (B, channels, rows, columns) or flattened features."""
        codes = torch.tanh(self.project_image(self.dropout(self.regions_of(features))))
        return self.marked(codes, features)

    def answer(self, view: Float[Tensor, "B M Cv"], code: Float[Tensor, "B C"]) -> Float[Tensor, "B A"]:
        """Logits of the answers for each (regions, question) pair."""
        return self.classify(self.dropout(self._hop(view, code)[0] if self.use_image else code))

    def attend(self, view: Float[Tensor, "B M Cv"], code: Float[Tensor, "B C"]) -> Float[Tensor, "B K M"]:
        """Attention of each hop to each region, row-major; the sum over the regions is one."""
        return torch.stack(self._hop(view, code)[1], dim=1)

    def _hop(
        self, view: Float[Tensor, "B M Cv"], code: Float[Tensor, "B C"]
    ) -> tuple[Float[Tensor, "B C"], list[Float[Tensor, "B M"]]]:
        regions, is_region = self.unmarked(view)
        attention = []
        for of_region, of_question, score in zip(
            self.score_region, self.score_question, self.score, strict=True
        ):
            meeting = torch.tanh(of_region(regions) + of_question(code)[:, None])
            attention.append(softmax_over(score(self.dropout(meeting))[..., 0], is_region))
            code = code + torch.einsum("bm,bmc->bc", attention[-1], regions)
        return code, attention
