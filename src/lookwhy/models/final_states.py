"""Final states of an LSTM for questions of different lengths.

`pack_padded_sequence` would give them, but on a GPU it asks the host for the lengths and launches a kernel
for each word and layer, and on a CPU it runs word by word with plain matrix products. So here are two other
ways to the same numbers:

* On a CPU, all questions run together up to the last word of the shortest, which then leave; the others go
  on. Sequences of equal length are what oneDNN is fast at. This way is the reference of the other.
* On a GPU, all questions are aligned to the right, so that all end in the last column and cuDNN runs each
  layer in one call. Before a question's first word its state must stay zero: in those columns the input
  gate i and the output gate o are closed, so c' = f c + i g = 0 and h' = o tanh(c') = 0, and no gradient
  goes there.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

from lookwhy.types import Lengths

State = tuple[Float[Tensor, "layers B H"], Float[Tensor, "layers B H"]]

CLOSED = -1e4
"""Input of a gate at which its sigmoid is exactly 0, in half precision too (largest number: 65504)."""
ALIGNMENT = 8
"""Matrix products on tensor cores want widths that are multiples of this."""


def final_states(lstm: nn.LSTM, words: Float[Tensor, "B T E"], lengths: Lengths) -> State:
    """H and c of each layer after each question's last word.

    Args:
        lstm: an LSTM with `batch_first`, in one direction.
        words: inputs, left-aligned; what follows a question's last word is not read.
        lengths: number of words of each question, at least 1.

    Raises:
        ValueError: a length is not between 1 and the number of columns. Checked on a CPU only: a check on a
            GPU would wait for it.

    Example:
        >>> lstm = nn.LSTM(4, 8, batch_first=True)
        >>> h, c = final_states(lstm, torch.rand(3, 5, 4), torch.tensor([5, 1, 2]))
        >>> h.shape
        torch.Size([1, 3, 8])
    """
    return (by_length if words.device.type == "cpu" else right_aligned)(lstm, words, lengths)


def by_length(lstm: nn.LSTM, words: Float[Tensor, "B T E"], lengths: Lengths) -> State:
    """Final states in one call of the LSTM for each different length."""
    descending, order = lengths.sort(descending=True, stable=True)
    if not 1 <= int(descending[-1]) <= int(descending[0]) <= words.shape[1]:
        raise ValueError(f"lengths from 1 to {words.shape[1]} words expected, found {lengths.tolist()}")
    words, before, state, finals = words[order], 0, None, []
    for length in descending.unique().tolist():
        state = lstm(words[:, before:length].contiguous(), state)[1]
        staying = int((descending > length).sum())
        finals.append([x[:, staying:] for x in state])
        words, before = words[:staying], length
        state = tuple(x[:, :staying].contiguous() for x in state)
    back = order.argsort()
    h, c = (torch.cat(x[::-1], 1)[:, back] for x in zip(*finals, strict=True))
    return h, c


def right_aligned(lstm: nn.LSTM, words: Float[Tensor, "B T E"], lengths: Lengths) -> State:
    """Final states in one call for each layer over all columns; the host reads no value of a tensor."""
    columns = torch.arange(words.shape[1], device=words.device) - (words.shape[1] - lengths)[:, None]
    index = columns.clamp(min=0)[:, :, None].expand(-1, -1, words.shape[2])
    inputs, is_before, finals = words.gather(1, index), columns < 0, []
    for layer, weights in enumerate(cast(list[list[Tensor]], lstm.all_weights)):
        if layer and lstm.training:
            inputs = F.dropout(inputs, lstm.dropout)
        inputs, h, c = _layer(lstm, weights, inputs, is_before)
        finals.append((h, c))
    h, c = (torch.cat(states) for states in zip(*finals, strict=True))
    return h, c


def _layer(
    lstm: nn.LSTM,
    weights: Sequence[Tensor],
    inputs: Float[Tensor, "B T E"],
    is_before: Bool[Tensor, "B T"],
) -> tuple[Float[Tensor, "B T H"], Float[Tensor, "1 B H"], Float[Tensor, "1 B H"]]:
    """Outputs and final states of one layer, with more input columns that close gates before a question.

    The first of these columns is 1 before a question's first word; the others only align the width.
    """
    more = ALIGNMENT - inputs.shape[2] % ALIGNMENT
    flag = F.pad(is_before[:, :, None].to(inputs.dtype), (0, more - 1))
    of_input, *others = weights
    closing = of_input.new_zeros(4, lstm.hidden_size, more)  # the gates' order is i, f, g, o
    closing[0::3, :, 0].fill_(CLOSED)
    # cuDNN reads all weights of a layer from one block. Views of such a block are used as they are; other
    # weights would be copied into one at each call, with a warning.
    parts = [torch.cat([of_input, closing.flatten(0, 1)], 1), *others]
    block = torch.cat([part.flatten() for part in parts]).split([part.numel() for part in parts])
    flat = [one.view(part.shape) for one, part in zip(block, parts, strict=True)]
    zero = inputs.new_zeros(1, len(inputs), lstm.hidden_size)
    # `train` only tells cuDNN to keep what a backward pass needs: there is no dropout within one layer.
    train = torch.is_grad_enabled()
    inputs = torch.cat([inputs, flag], 2)
    return torch.lstm(inputs, (zero, zero), flat, lstm.bias, 1, 0.0, train, False, True)
