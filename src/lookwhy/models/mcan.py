"""Modular co-attention network (Yu et al. 2019, "Deep Modular Co-Attention Networks for VQA").

Words t = 1..n read by an LSTM, regions i = 1..m of a grid of image features f_i, L layers of each kind::

    y_t = h_t of a 1-layer LSTM over the word embeddings                      d
    x_i = W_v f_i / |f_i| + b_v                                               d
    encoder, layer l:  Y = SA(Y)        Y = LN(Y + MHA(Y, Y)),  Y = LN(Y + FFN(Y))
    decoder, layer l:  X = SGA(X, Y)    X = LN(X + MHA(X, X)),  X = LN(X + MHA(X, Y)),  X = LN(X + FFN(X))
    x~ = sum_i softmax_i(MLP(x_i)) x_i,   y~ = sum_t softmax_t(MLP'(y_t)) y_t        d
    z = LN(W_x x~ + W_y y~)                                                   common space
    logits = W_a z + b_a                                                      A

MHA(P, Q) is multi-head attention of P to Q, LN layer normalisation, FFN and MLP two linear layers with a ReLU
between them. Every decoder layer attends to the last Y: the paper's encoder-decoder, equations 1 to 13.

Changes against the paper: the default is smaller (2 layers of width 256 with 4 heads; MCAN-small in the
authors' code has 6 layers of width 512 with 8 heads, an FFN of 2048 and a common space of 1024). Words start
as random vectors, not GloVe. Regions are L2-normalised: cells of a grid, one pooled vector, or the paper's
boxes. Training is this project's: one answer a question with softmax cross entropy and RMSprop, not soft
targets with binary cross entropy and Adam with warm-up.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from lookwhy.errors import LookwhyError
from lookwhy.models.protocol import AT_LEAST_1, BELOW_1, HEAD, arguments_of, check_numbers
from lookwhy.models.regions import RegionHead, softmax_over
from lookwhy.towers.products import Linear
from lookwhy.types import Features, Lengths, Scores, Tokens


class MCAN(RegionHead):
    """Modular co-attention: (grid of image features, tokens, lengths) -> logits.

    Args:
        vocab_size: number of words; ids run from 1 to this.
        num_answers: number of answers.
        image_dim: size of the image features, channels x regions.
        regions: cells of the feature grid, 49 for 7 x 7; 1 for pooled features; number of boxes.
        embedding_size: width of a word embedding.
        hidden_size: width of words and regions in all layers.
        layers: number of layers of the encoder, and of the decoder.
        heads: number of attention heads of a layer; divides `hidden_size`.
        feed_forward_size: units between the two linear layers of an FFN.
        common_size: width of the common space of question and image.
        dropout: probability of dropping a unit, the same everywhere.
        use_image: whether to use the image; False gives the question-only baseline.
        mask_empty: whether a region of zeros is padding (see `regions`): true for features of boxes.

    Raises:
        LookwhyError: `image_dim` is no multiple of `regions`, `hidden_size` is none of `heads`, or a size is
            less than 1.

    Example:
        >>> head = MCAN(vocab_size=9, num_answers=5, image_dim=8 * 9, regions=9, hidden_size=4)
        >>> head(torch.rand(2, 8, 3, 3), torch.tensor([[1, 2, 3], [4, 5, 0]]), torch.tensor([3, 2])).shape
        torch.Size([2, 5])
    """

    def __init__(
        self,
        vocab_size: int,
        num_answers: int,
        image_dim: int,
        regions: int = 1,
        embedding_size: int = 200,
        hidden_size: int = 256,
        layers: int = 2,
        heads: int = 4,
        feed_forward_size: int = 512,
        common_size: int = 512,
        dropout: float = 0.1,
        use_image: bool = True,
        mask_empty: bool = False,
    ) -> None:
        self.settings = arguments_of(locals())
        super().__init__()
        sizes = ("embedding_size", "hidden_size", "layers", "heads", "feed_forward_size", "common_size")
        check_numbers(self.settings, HEAD, dropout=BELOW_1, **dict.fromkeys(sizes, AT_LEAST_1))
        if hidden_size % heads:
            raise LookwhyError(
                f"expected {HEAD}.hidden_size to be a multiple of heads, found {hidden_size} and {heads}; "
                "change one of them"
            )
        self.use_image, self.regions, self.mask_empty = use_image, regions, mask_empty
        self.word_table = nn.Embedding(vocab_size, embedding_size)
        self.lstm = nn.LSTM(embedding_size, hidden_size, batch_first=True)
        self.project_image = Linear(self.region_width(), hidden_size)
        # Modules: methods with a ReLU rule change the backward pass of modules. Both kinds of layers are
        # post-norm by default, as the paper's.
        shape = hidden_size, heads, feed_forward_size, dropout
        self.encoder = nn.ModuleList(
            nn.TransformerEncoderLayer(*shape, activation=nn.ReLU(), batch_first=True) for _ in range(layers)
        )
        self.decoder = nn.ModuleList(
            nn.TransformerDecoderLayer(*shape, activation=nn.ReLU(), batch_first=True) for _ in range(layers)
        )
        self.score_word, self.score_region = (
            nn.Sequential(
                Linear(hidden_size, hidden_size), nn.ReLU(), nn.Dropout(dropout), Linear(hidden_size, 1)
            )
            for _ in range(2)
        )
        self.merge_question = Linear(hidden_size, common_size)
        self.merge_image = Linear(hidden_size, common_size)
        self.norm = nn.LayerNorm(common_size)
        self.classify = Linear(common_size, num_answers)

    def embed(self, tokens: Tokens) -> Float[Tensor, "B T E"]:
        """Word embeddings. Padding gets the embedding of word 1; nothing reads it."""
        return self.word_table((tokens - 1).clamp(min=0))

    def read(self, embedded: Float[Tensor, "B T E"], lengths: Lengths) -> Float[Tensor, "B T Cw"]:
        """Codes of the words after the encoder; a last column is 1 for a word and 0 for padding."""
        is_word = torch.arange(embedded.shape[1], device=embedded.device) < lengths[:, None]
        words = self.lstm(embedded)[0]  # padding follows the words, so none of them has read it
        for layer in self.encoder:
            words = layer(words, src_key_padding_mask=~is_word)
        return torch.cat([words, is_word[..., None].to(words.dtype)], 2)

    def look(self, features: Features) -> Float[Tensor, "B M Cv"]:
        """Codes of the regions before the decoder, which also reads the question."""
        return self.marked(self.project_image(self.regions_of(features)), features)

    def answer(self, view: Float[Tensor, "B M Cv"], code: Float[Tensor, "B T Cw"]) -> Scores:
        """Logits of the answers for each (regions, question) pair."""
        words, is_word = _words_of(code)
        scores = self.score_word(words)[..., 0].masked_fill(~is_word, -torch.inf)
        merged = self.merge_question(torch.einsum("bt,btc->bc", scores.softmax(1), words))
        if self.use_image:
            regions, weights = self._decode(view, code)
            merged = merged + self.merge_image(torch.einsum("bm,bmc->bc", weights, regions))
        return self.classify(self.norm(merged))

    def attend(self, view: Float[Tensor, "B M Cv"], code: Float[Tensor, "B T Cw"]) -> Float[Tensor, "B 1 M"]:
        """Weights of the regions in x~, row-major: the attention next to the answer; their sum is one."""
        return self._decode(view, code)[1][:, None]

    def _decode(
        self, view: Float[Tensor, "B M Cv"], code: Float[Tensor, "B T Cw"]
    ) -> tuple[Float[Tensor, "B M C"], Float[Tensor, "B M"]]:
        """Regions after the decoder, and their weights in x~."""
        words, is_word = _words_of(code)
        regions, is_region = self.unmarked(view)
        # An image without a region attends to its padding, because a softmax needs something; x~ is 0.
        padding = None if is_region is None else ~is_region & is_region.any(1, keepdim=True)
        for layer in self.decoder:
            regions = layer(regions, words, tgt_key_padding_mask=padding, memory_key_padding_mask=~is_word)
        return regions, softmax_over(self.score_region(regions)[..., 0], is_region)


def _words_of(code: Float[Tensor, "B T Cw"]) -> tuple[Float[Tensor, "B T C"], Bool[Tensor, "B T"]]:
    """Codes of the words, and which of them are words."""
    return code[..., :-1], code[..., -1] > 0
