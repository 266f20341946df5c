"""Final states of questions of different lengths: those of each question alone, on the way of each device."""

import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence

from lookwhy.models.final_states import by_length, final_states, right_aligned

WAYS = pytest.mark.parametrize("way", [by_length, right_aligned], ids=["by_length", "right_aligned"])


def packed(lstm, words, lengths):
    return lstm(pack_padded_sequence(words, lengths, batch_first=True, enforce_sorted=False))[1]


def states_and_gradients(way, lstm, words, lengths):
    words = words.clone().requires_grad_()
    states = torch.stack(way(lstm, words, lengths))
    weights = torch.randn(states.shape, dtype=states.dtype, generator=torch.Generator().manual_seed(1))
    return [states, *torch.autograd.grad((states * weights).sum(), [words, *lstm.parameters()])]


@pytest.mark.parametrize("length", [0, 7])
def test_a_length_beyond_the_columns_is_refused(length):
    with pytest.raises(ValueError, match=f"from 1 to 6 words expected, found .3, {length}"):
        final_states(nn.LSTM(6, 7, batch_first=True), torch.zeros(2, 6, 6), torch.tensor([3, length]))


@WAYS
@pytest.mark.parametrize("lengths", [[5, 1, 3, 3, 5], [2, 2], [4], [6, 5, 4, 3, 2, 1, 1]], ids=str)
@pytest.mark.parametrize("layers", [1, 2, 3])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_states_and_gradients_are_those_of_each_question_alone(way, lengths, layers, dtype):
    torch.manual_seed(0)
    lstm = nn.LSTM(6, 7, layers, batch_first=True).to(dtype)
    words, lengths = torch.randn(len(lengths), 6, 6, dtype=dtype), torch.tensor(lengths)
    exact = {"rtol": 1e-10, "atol": 1e-10} if dtype == torch.float64 else {"rtol": 1e-4, "atol": 1e-5}

    def alone(lstm, words, lengths):
        found = [lstm(words[i : i + 1, :n])[1] for i, n in enumerate(lengths.tolist())]
        return [torch.cat(states, 1) for states in zip(*found, strict=True)]

    found = states_and_gradients(way, lstm, words, lengths)
    for reference in (alone, packed):
        expected = states_and_gradients(reference, lstm, words, lengths)
        for one, other in zip(found, expected, strict=True):
            torch.testing.assert_close(one, other, **exact)


@WAYS
def test_what_follows_the_last_word_is_not_read(way):
    lstm, lengths = nn.LSTM(6, 7, 2, batch_first=True), torch.tensor([2, 5, 1])
    words = torch.randn(3, 5, 6)
    expected = states_and_gradients(way, lstm, words, lengths)
    for row, length in enumerate(lengths.tolist()):
        words[row, length:] = float("nan")
    for one, other in zip(states_and_gradients(way, lstm, words, lengths), expected, strict=True):
        assert torch.equal(one, other)


def test_dropout_between_layers_is_that_of_the_lstm():
    torch.manual_seed(0)
    lstm = nn.LSTM(6, 7, 2, batch_first=True, dropout=0.5)
    for weights in lstm.parameters():
        nn.init.uniform_(weights, -1.0, 1.0)
    words, lengths = torch.randn(1, 5, 6).expand(20_000, -1, -1), torch.full((20_000,), 4)
    (first, second), (dropped_first, dropped_second) = (
        way(lstm, words, lengths)[0].detach() for way in (packed, right_aligned)
    )
    torch.testing.assert_close(dropped_first, first)  # no dropout before the first layer
    assert float(second.std(0).min()) > 0.01
    error = 5 * second.std(0) / len(words) ** 0.5
    assert ((dropped_second.mean(0) - second.mean(0)).abs() < 2 * error).all()
    torch.testing.assert_close(dropped_second.std(0), second.std(0), rtol=0.05, atol=0)
    lstm.eval()
    evaluated = (torch.stack(way(lstm, words[:3], lengths[:3])) for way in (packed, right_aligned))
    torch.testing.assert_close(*evaluated)


def test_it_runs_in_mixed_precision():
    torch.manual_seed(0)
    lstm, words, lengths = (
        nn.LSTM(6, 7, 2, batch_first=True),
        torch.randn(4, 5, 6),
        torch.tensor([5, 1, 3, 2]),
    )
    with torch.autocast("cpu", torch.bfloat16):
        found = right_aligned(lstm, words, lengths)
    for one, other in zip(found, packed(lstm, words, lengths), strict=True):
        torch.testing.assert_close(one.float(), other, rtol=0.02, atol=0.02)
