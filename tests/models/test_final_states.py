"""Final states of questions of different lengths: those of each question alone."""

import pytest
import torch
from torch import nn

from lookwhy.models.final_states import final_states


@pytest.mark.parametrize("length", [0, 7])
def test_a_length_beyond_the_columns_is_refused(length):
    with pytest.raises(ValueError, match=f"from 1 to 6 words expected, found .3, {length}"):
        final_states(nn.LSTM(6, 7, batch_first=True), torch.zeros(2, 6, 6), torch.tensor([3, length]))


@pytest.mark.parametrize("lengths", [[5, 1, 3, 3, 5], [2, 2], [4]], ids=str)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_states_and_gradients_are_those_of_each_question_alone(lengths, dtype):
    torch.manual_seed(0)
    lstm = nn.LSTM(6, 7, 2, batch_first=True).to(dtype)
    words = torch.randn(len(lengths), 6, 6, dtype=dtype, requires_grad=True)
    found = torch.stack(final_states(lstm, words, torch.tensor(lengths)))
    alone = [torch.stack(lstm(words[i : i + 1, :n])[1]) for i, n in enumerate(lengths)]
    torch.testing.assert_close(found, torch.cat(alone, 2))
    weights = torch.randn_like(found)
    for one, other in zip(
        torch.autograd.grad((found * weights).sum(), [words, *lstm.parameters()]),
        torch.autograd.grad((torch.cat(alone, 2) * weights).sum(), [words, *lstm.parameters()]),
        strict=True,
    ):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)
