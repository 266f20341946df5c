"""The original's .t7 checkpoint: a writer and a forward pass written from the format's description alone.

The writer knows nothing of the reader, and the forward pass takes the gates from the flat vectors in Torch7's
own order, so that neither shares the mapping under test.
"""

import functools
import itertools
import json
import re
import struct
import time

import h5py
import numpy as np
import pytest
import torch
from official_files import copy_prepared
from test_deeper_lstm import QUESTIONS, numpy_lstm, padded

from lookwhy.cli.prepare import main
from lookwhy.errors import LookwhyError
from lookwhy.models import load_checkpoint
from lookwhy.models.original.torch7 import Torch7Storage, read_torch7

E, H, L, C = 5, 4, 2, 6
OPTIONS = ["--embedding-size", E, "--hidden-size", H, "--num-layers", L, "--common-size", C]
KEYS = WORDS, ENCODER, FUSION = ("embedding_w_q", "encoder_w_q", "multimodal_w")
BIG = 2**62
FRESH = itertools.count(1000)
"""Indices of the objects that nothing refers to."""


def i32(*values):
    return struct.pack(f"<{len(values)}i", *values)


def i64(*values):
    return struct.pack(f"<{len(values)}q", *values)


def text(value):
    return i32(len(value)) + value.encode()


def t7(value, index=None):
    """A value as torch.save writes it; bytes are a written value, and an array is a tensor of floats."""
    if isinstance(value, bytes):
        return value
    if isinstance(value, np.ndarray):
        return vector(value)
    if isinstance(value, dict):
        pairs = b"".join(t7(one) for pair in value.items() for one in pair)
        return i32(3, index or next(FRESH), len(value)) + pairs
    if isinstance(value, bool):
        return i32(5, value)
    if isinstance(value, str):
        return i32(2) + text(value)
    return i32(0) if value is None else i32(1) + struct.pack("<d", value)


def torch_object(name, content, index=None):
    return i32(4, index or next(FRESH)) + text("V 1") + text(name) + content


def storage(values, kind="Float", index=None):
    packed = struct.pack(f"<{len(values)}{'d' if 'Double' in kind else 'f'}", *values)
    return torch_object(f"torch.{kind}Storage", i64(len(values)) + packed, index)


def tensor(sizes, strides, offset, memory, kind="Float", index=None):
    content = i32(len(sizes)) + i64(*sizes, *strides, offset) + memory
    return torch_object(f"torch.{kind}Tensor", content, index)


def vector(values, kind="Float"):
    return tensor([len(values)], [1], 1, storage(values, kind), kind)


def draw(words, answers, width):
    """The three vectors of a model, as train.lua saves them, with random weights."""
    lstm = sum((below + 1) * 4 * H + (H + 1) * 4 * H for below in [E] + [H] * (L - 1))
    fusion = (2 * L * H + 1) * C + (width + 1) * C + (C + 1) * answers
    random, lengths = np.random.default_rng(0), (words * E + E, lstm + H + 1, fusion)
    return {k: random.uniform(-0.8, 0.8, n).astype(np.float32) for k, n in zip(KEYS, lengths, strict=True)}


class Taker:
    """Linear layers one after the other out of a flat vector: weight (out, in) by rows, then bias."""

    def __init__(self, values):
        self.values = np.asarray(values, np.float64)

    def linear(self, inputs, outputs):
        weight, bias, self.values = np.split(self.values, [inputs * outputs, inputs * outputs + outputs])
        weight = weight.reshape(outputs, inputs)
        return lambda x: weight @ x + bias


def torch7_forward(vectors, words, answers, features, question):
    table, encoder, fusion = (Taker(vectors[key]) for key in KEYS)
    embed = table.linear(words, E)
    xs, states = [np.tanh(embed(np.eye(words)[word - 1])) for word in question], []
    for _ in range(L):
        i2h, h2h = encoder.linear(len(xs[0]), 4 * H), encoder.linear(H, 4 * H)
        xs, last = numpy_lstm(xs, i2h, h2h, H, gates="ifog")
        states += last
    encoder.linear(H, 1)
    of_question, of_image = fusion.linear(2 * L * H, C), fusion.linear(len(features), C)
    answer = fusion.linear(C, answers)
    assert encoder.values.size == fusion.values.size == 0
    image = np.tanh(of_image(features / np.linalg.norm(features)))
    return answer(np.tanh(of_question(np.concatenate(states))) * image)


@pytest.fixture(scope="module")
def sizes(tiny_world):
    """Numbers of words, answers and features of the tiny world by its own files."""
    names = json.loads((tiny_world / "data_prepro.json").read_text())
    with h5py.File(tiny_world / "data_img.h5") as file:
        width = int(np.prod(file["images_test"].shape[1:]))
    return len(names["ix_to_word"]), len(names["ix_to_ans"]), width


@pytest.fixture
def run_import(tiny_world, tmp_path, sizes):
    """A function that imports lstm.t7, made of the three vectors; returns the exit code."""

    def run_import(out, content=lambda vectors: vectors, options=OPTIONS, data=tiny_world):
        path = tmp_path / "lstm.t7"
        path.write_bytes(t7(content(draw(*sizes))))
        return main([str(part) for part in ("import", path, "--data", data, "--out", out, *options)])

    return run_import


def views(vectors):
    """Two vectors as views of one storage: one at every other place from the fourth on, one in the gaps between."""
    first, second = len(vectors[WORDS]), len(vectors[ENCODER])
    memory = np.full(2 * max(first, second) + 10, 7.0, np.float32)
    memory[3 : 3 + 2 * first : 2], memory[4 : 4 + 2 * second : 2] = vectors[WORDS], vectors[ENCODER]
    return vectors | {
        WORDS: tensor([first], [2], 4, storage(memory, index=3)),
        ENCODER: tensor([second], [2], 5, i32(4, 3)),
        "note": "ignored",
    }


@pytest.mark.parametrize("kind", ["Float", "Double", "Cuda", "CudaDouble", views])
def test_logits_of_an_imported_file_equal_torch7s(run_import, sizes, tmp_path, capsys, kind):
    (words, answers, width), out = sizes, tmp_path / "new" / "lstm.ckpt"
    assert run_import(out, kind if kind is views else lambda v: {k: vector(v[k], kind) for k in v}) == 0
    output = capsys.readouterr()
    said = rf"wrote {out}: \d+ parameters, {words} words, {answers} answers; \d+ s\n"
    assert re.fullmatch(said, output.out)
    assert output.err == ""
    questions = [*QUESTIONS[:1], [words, 2], [6]]
    features = torch.rand(3, width, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        logits = load_checkpoint(out).head(features, *padded(questions)).numpy()
    pairs = zip(features.double().numpy(), questions, strict=True)
    expected = [torch7_forward(draw(*sizes), words, answers, *pair) for pair in pairs]
    assert np.std(expected) > 0.1
    np.testing.assert_allclose(logits, expected, atol=1e-5)


def test_an_imported_checkpoint_brings_all_that_an_analysis_needs(run_import, tiny_world, tmp_path):
    maps = tiny_world / "annotators"
    options = [*OPTIONS, "--annotator-maps", maps, "--annotators", "simulated annotators"]
    assert run_import(tmp_path / "lstm.ckpt", options=options) == 0
    run = load_checkpoint(tmp_path / "lstm.ckpt")
    tokens, _, words = run.encode("What color is the cube?")
    assert run.vocabulary.decode(tokens[0].tolist()) == words
    data = run.datamodule()
    data.setup()
    batch = next(data.image_batches(np.array([0]), run.tower().recipe))
    with torch.no_grad():
        scores = run.pipeline().answer_scores(batch.images, batch.tokens, batch.lengths)
    assert scores.shape == (1, len(run.answers))
    assert (run.epoch, run.step, run.plan) == (0, 0, {})
    assert run.data["annotators"] == "simulated annotators"
    assert data.annotator_maps == maps.resolve()


def read(tmp_path, content):
    path = tmp_path / "some.t7"
    path.write_bytes(content)
    return read_torch7(path)


def refused(tmp_path, content, found=""):
    line = rf"^expected (?=.*{re.escape(str(tmp_path))})(?=.*{found})[^\n]+ found [^\n]+; [^\n]+\Z"
    with pytest.raises(LookwhyError, match=line):
        read(tmp_path, content)


def test_every_kind_of_value_is_read(tmp_path):
    matrix = tensor([2, 3], [3, 1], 1, storage([1, 2, 3, 4, 5, 6], "Double", index=3), "Double", index=2)
    value = read(tmp_path, t7({
        "nothing": None, 2: -0.5, True: False, "word": "size", "matrix": matrix, "again": i32(4, 2),
        "turned": tensor([3, 2], [1, 3], 1, i32(4, 3), "Double"), "empty": tensor([], [], 1, t7(None)),
        # The stride of a single element is never walked.
        "row": tensor([1, 2], [BIG, 1], 1, storage([1, 2])), "bare": storage([1.5]), "self": i32(3, 1),
        "old": i32(4, 7) + text("torch.LongStorage") + i64(1, -9),
        "nested": functools.reduce(lambda inner, _: {1: inner}, range(30), None),
    }, index=1))  # fmt: skip
    assert (value["nothing"], value[2.0], value[True], value["word"]) == (None, -0.5, False, "size")
    arrays = {"matrix": [[1, 2, 3], [4, 5, 6]], "turned": [[1, 4], [2, 5], [3, 6]], "row": [[1, 2]]}
    assert {key: value[key].tolist() for key in arrays} == arrays
    assert value["matrix"].dtype == np.float64
    assert value["again"] is value["matrix"]
    assert value["empty"].size == 0
    assert value["self"] is value
    assert isinstance(value["bare"], Torch7Storage)
    assert value["old"].values.tolist() == [-9]


def test_a_file_cut_anywhere_is_one_line_and_a_damaged_byte_never_crashes(tmp_path):
    content = t7({"a": vector([1, 2, 3]), "b": {1: None}})
    assert set(read(tmp_path, content)) == {"a", "b"}
    for length in range(len(content)):
        refused(tmp_path, content[:length])
    messages = []
    for place, byte in itertools.product(range(len(content)), (0, 0x7F, 0xFF)):
        try:
            read(tmp_path, content[:place] + bytes([byte]) + content[place + 1 :])
        except LookwhyError as error:
            messages.append(str(error))
    assert 100 < len(messages) < 3 * len(content) - 10
    assert not [message for message in messages if "\n" in message]


HOSTILE = {
    "a function": (i32(6, 1), "a Lua function, which is never run"),
    "a legacy function": (i32(7, 1), "a Lua function, which is never run"),
    "a function with upvalues": (i32(8, 1) + text("\x1bLJ") + t7({}), "never run"),
    "an unknown tag": (i32(9), "a type tag from 0 to 8"),
    "text": (b"A text file, not a model.\n", "a type tag from 0 to 8"),
    "ASCII Torch7": (b"3\n1\n1\n2\n1\na\n1\n5\n", "a type tag from 0 to 8"),
    "a negative string": (i32(2, -1), "a string of -1 bytes"),
    "a huge string": (i32(2, 2**31 - 1), "0 bytes left"),
    "a huge table": (i32(3, 1, 2**31 - 1), "one of 2147483647 pairs"),
    "a negative table": (i32(3, 1, -1), "one of -1 pairs"),
    "a table as key": (t7({t7({}): None}), "a table's key, .* found another kind of value"),
    "nil as key": (t7({None: None}), "a table's key"),
    "a module": (torch_object("nn.gModule", t7({})), "of the class 'nn.gModule'"),
    "a class with lines": (torch_object("a\nb", b""), r"'a\\nb'"),
    "half precision": (torch_object("torch.HalfTensor", i32(0)), "'torch.HalfTensor'"),
    "a huge storage": (torch_object("torch.FloatStorage", i64(BIG)), "0 bytes left"),
    "a negative storage": (torch_object("torch.FloatStorage", i64(-1)), "a storage of -4 bytes"),
    "many dimensions": (torch_object("torch.FloatTensor", i32(2**31 - 1)), "at most 16 dimensions"),
    "negative dimensions": (torch_object("torch.FloatTensor", i32(-1)), "found -1"),
    "a view past its end": (tensor([3], [1], 2, storage([1, 2, 3])), "inside its storage"),
    "a view before its start": (tensor([3], [1], 0, storage([1, 2, 3])), "offset 0"),
    "a backward view": (tensor([3], [-1], 3, storage([1, 2, 3])), "strides"),
    "a negative size": (tensor([-3], [1], 1, storage([1, 2, 3])), "sizes"),
    "an endless view": (tensor([BIG], [0], 1, storage([1])), "inside its storage"),
    "a view of nothing": (tensor([1], [1], 1, storage([])), "of 0 elements"),
    "storage of another kind": (tensor([1], [1], 1, storage([1], "Double")), "storage of float32"),
    "no storage": (tensor([1], [1], 1, t7(1)), "found float"),
    "itself as storage": (tensor([1], [1], 1, i32(4, 1), index=1), "bytes left"),
    "more than one object": (t7(1) + t7(2), "12 more bytes"),
    "endless tables": (b"".join(i32(3, i, 1) + t7(1) for i in range(100_000)), "inside each other"),
    "endless tensors": (b"".join(tensor([], [], 1, b"", index=i) for i in range(1, 100_000)), "inside each other"),
}  # fmt: skip


@pytest.mark.parametrize(("content", "found"), HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_file_is_refused_in_one_line(tmp_path, content, found):
    start = time.monotonic()
    refused(tmp_path, content, found)
    assert time.monotonic() - start < 1


def test_a_long_string_that_is_no_text_takes_no_longer_than_its_bytes(tmp_path):
    start = time.monotonic()
    assert len(read(tmp_path, i32(2, 20_000_000) + b"\xff" * 20_000_000)) == 20_000_000
    assert time.monotonic() - start < 2


@pytest.mark.parametrize("name", ["none.t7", "."])
def test_a_missing_file_and_a_folder_are_one_line(tmp_path, name):
    with pytest.raises(LookwhyError, match=r"\A.*cannot be read.*\Z"):
        read_torch7(tmp_path / name)


def changed(key, change):
    return lambda vectors: vectors | {key: change(vectors[key])}


INTEGERS = tensor([1], [1], 1, torch_object("torch.LongStorage", i64(1, 5)), "Long")
WRONG = {
    "a short vector": (changed(ENCODER, lambda v: v[:-1]), "numbers in encoder_w_q for "),
    "a long vector": (changed(FUSION, lambda v: vector([*v, 0])), "numbers in multimodal_w for "),
    "other words": (changed(WORDS, lambda v: v[E:]), r"vocab_size \d+, .*data and the"),
    "a word as vector": (changed(ENCODER, lambda v: "a"), "floats as encoder_w_q, found str"),
    "a matrix": (changed(ENCODER, lambda v: tensor([1, len(v)], [1, 1], 1, storage(v))), r"float32 of shape \(1, "),
    "integers": (changed(ENCODER, lambda v: INTEGERS), "found int64"),
    "not a number": (changed(FUSION, lambda v: vector([*v[1:], np.nan])), "finite numbers"),
    "beyond float32": (changed(FUSION, lambda v: vector([*v[1:], 1e300], "Double")), "finite numbers in multimodal_w"),
    "a missing key": (lambda v: {WORDS: v[WORDS], ENCODER: v[ENCODER]}, "found no multimodal_w"),
    "no table": (lambda v: v[ENCODER], "found no embedding_w_q"),
    "a function": (lambda v: {ENCODER: i32(8, 2)}, "never run"),
}  # fmt: skip
# The sizes are the original's unless they are stated.
SIZES = "for vocab_size .*, embedding_size 200, hidden_size 512, num_layers 2, common_size 1024"


@pytest.mark.parametrize(
    ("content", "found", "options"),
    [*((*one, OPTIONS) for one in WRONG.values()), (lambda v: v, SIZES, [])],
    ids=[*WRONG, "other sizes"],
)
def test_a_file_of_another_model_is_refused_and_nothing_is_written(
    run_import, tmp_path, capsys, content, found, options
):
    assert run_import(tmp_path / "a.ckpt", content, options) == 2
    output = capsys.readouterr()
    assert re.fullmatch(r"lookwhy: error: expected [^\n]+\n", output.err), output.err
    assert re.search(found, output.err)
    assert str(tmp_path / "lstm.t7") in output.err
    assert output.out == ""
    assert [path.name for path in tmp_path.iterdir()] == ["lstm.t7"]


def test_an_unwritable_out_is_one_line_and_the_file_itself_is_never_changed(
    run_import, sizes, tmp_path, capsys
):
    path = tmp_path / "lstm.t7"
    for out in (path, tmp_path, path / "a.ckpt", tmp_path / ("a" * 300)):
        assert run_import(out) == 2
        assert re.fullmatch(r"lookwhy: error: expected [^\n]+\n", capsys.readouterr().err)
        found = read_torch7(path)
        assert {key: found[key].tolist() for key in found} == {k: v.tolist() for k, v in draw(*sizes).items()}


def test_features_without_their_towers_stamp_name_the_remedy(run_import, tiny_world, tmp_path, capsys):
    with h5py.File(copy_prepared(tiny_world, tmp_path) / "data_img.h5", "a") as file:
        del file.attrs["description"]
    assert run_import(tmp_path / "lstm.ckpt", data=tmp_path) == 2
    assert "of a known one with lookwhy prepare features" in capsys.readouterr().err
