"""Final states of an LSTM for questions of different lengths.

On a GPU this is `pack_padded_sequence`. On a CPU, PyTorch runs a packed sequence word by word with plain
matrix products, and sequences of equal length with oneDNN, which is faster. So all questions run together up
to the last word of the shortest, which then leave; the others go on.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence

from lookwhy.types import Lengths

State = tuple[Float[Tensor, "layers B H"], Float[Tensor, "layers B H"]]


def final_states(lstm: nn.LSTM, words: Float[Tensor, "B T E"], lengths: Lengths) -> State:
    """H and c of each layer after each question's last word.

    Args:
        lstm: an LSTM with `batch_first`.
        words: inputs, left-aligned; what follows a question's last word is not read.
        lengths: number of words of each question, at least 1.

    Raises:
        ValueError: a length is not between 1 and the number of columns.

    Example:
        >>> lstm = nn.LSTM(4, 8, batch_first=True)
        >>> h, c = final_states(lstm, torch.rand(3, 5, 4), torch.tensor([5, 1, 2]))
        >>> h.shape
        torch.Size([1, 3, 8])
    """
    if words.device.type != "cpu":
        return lstm(pack_padded_sequence(words, lengths.cpu(), batch_first=True, enforce_sorted=False))[1]
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
