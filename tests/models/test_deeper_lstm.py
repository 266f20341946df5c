"""DeeperLSTM against a forward pass written in NumPy from the published description of the original."""

import numpy as np
import torch
from torch.nn.utils.rnn import pad_sequence

from lookwhy.models import DeeperLSTM

SIZES = {"vocab_size": 11, "num_answers": 7, "image_dim": 9, "embedding_size": 5, "hidden_size": 4}
QUESTIONS = [[3, 1, 4, 1, 5], [9, 2], [6]]


def make(**settings):
    torch.manual_seed(0)
    return DeeperLSTM(**(SIZES | {"common_size": 6} | settings)).double().eval()


def padded(questions):
    """Tokens and lengths of questions."""
    words = [torch.tensor(question) for question in questions]
    return pad_sequence(words, batch_first=True), torch.tensor([len(question) for question in questions])


def inputs():
    features = torch.randn(len(QUESTIONS), 9, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    return features, *padded(QUESTIONS)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def numpy_lstm(inputs, of_input, of_hidden, size, gates="ifgo"):
    """Outputs of an LSTM layer, and its last c and h; the gate order of PyTorch is input, forget, cell, output."""
    h = c = np.zeros(size)
    outputs = []
    for x in inputs:
        gate = dict(zip(gates, np.split(of_input(x) + of_hidden(h), 4), strict=True))
        c = sigmoid(gate["f"]) * c + sigmoid(gate["i"]) * np.tanh(gate["g"])
        h = sigmoid(gate["o"]) * np.tanh(c)
        outputs.append(h)
    return outputs, [c, h]


def linear(state, name, part=""):
    return lambda x: state[f"{name}.weight{part}"] @ x + state[f"{name}.bias{part}"]


def numpy_forward(state, features, words):
    """One question, one image."""
    table, bias = state["word_table.weight"], state["word_bias"]
    xs, states = [np.tanh(table[word - 1] + bias) for word in words], []
    for layer in (0, 1):
        parts = (linear(state, "lstm", f"_{part}_l{layer}") for part in ("ih", "hh"))
        xs, last = numpy_lstm(xs, *parts, SIZES["hidden_size"])
        states += last
    q = np.tanh(linear(state, "project_question")(np.concatenate(states)))  # c1, h1, c2, h2
    v = np.tanh(linear(state, "project_image")(features / np.sqrt((features**2).sum())))
    return linear(state, "classify")(q * v)


def test_logits_equal_an_independent_forward_pass_for_questions_of_several_lengths():
    head = make()
    features, tokens, lengths = inputs()
    logits = head(features, tokens, lengths).detach().numpy()
    state = {name: value.numpy() for name, value in head.state_dict().items()}
    expected = [numpy_forward(state, features[i].numpy(), words) for i, words in enumerate(QUESTIONS)]
    np.testing.assert_allclose(logits, expected, atol=1e-12)
    # Features count by their direction only.
    np.testing.assert_allclose(head(7 * features, tokens, lengths).detach().numpy(), expected, atol=1e-12)


def test_every_parameter_starts_uniform_within_eight_hundredths():
    head = DeeperLSTM(vocab_size=500, num_answers=100, image_dim=300)
    for name, parameter in head.named_parameters():
        assert 0.07 < parameter.abs().max() <= 0.08, name
        assert abs(parameter.detach().mean().item()) < 0.02, name


def test_default_sizes_are_the_originals():
    head = DeeperLSTM(vocab_size=10, num_answers=1000, image_dim=4096)
    assert head.word_table.weight.shape == (10, 200)  # no row for padding
    assert (head.lstm.hidden_size, head.lstm.num_layers, head.lstm.dropout) == (512, 2, 0.5)
    assert head.project_question.weight.shape == (1024, 2048)
    assert head.project_image.weight.shape == (1024, 4096)
    assert head.classify.weight.shape == (1000, 1024)
    assert head.dropout.p == 0.5


def test_dropout_acts_before_the_tanh_of_words_and_in_all_five_places():
    head = make(dropout=0.5).train()
    seen = []
    head.dropout.register_forward_hook(lambda module, given, out: seen.append(given[0].shape[-1]))
    features, tokens, lengths = inputs()
    head(features, tokens, lengths)
    # Image, words, encoding and product; the fifth is between the LSTM's layers.
    assert sorted(seen) == sorted([9, 5, 16, 6])
    assert head.lstm.dropout == 0.5
    torch.manual_seed(3)
    embedded = head.embed(tokens)
    words = torch.tanh(head.dropout(embedded))
    kept = words != 0
    torch.testing.assert_close(words[kept], torch.tanh(2 * embedded)[kept])


def test_settings_are_the_arguments_of_the_constructor():
    expected = SIZES | {"common_size": 8, "num_layers": 2, "dropout": 0.5, "use_image": True}
    assert make(common_size=8).settings == expected
