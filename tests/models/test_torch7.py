"""The original's .t7 checkpoint: a writer and a forward pass written from the format's description alone.

The writer knows nothing of the reader, and the forward pass takes the gates from the flat vectors in Torch7's
own order, so that neither shares the mapping under test.
"""

import json
import re
import shutil
import struct
import time

import h5py
import numpy as np
import pytest
import torch
from test_deeper_lstm import QUESTIONS, padded, sigmoid

from lookwhy.cli.prepare import main
from lookwhy.errors import LookwhyError
from lookwhy.models import load_checkpoint
from lookwhy.models.original.torch7 import Torch7Storage, read_torch7

E, H, L, C = 5, 4, 2, 6
OPTIONS = ["--embedding-size", E, "--hidden-size", H, "--num-layers", L, "--common-size", C]
KEYS = ("embedding_w_q", "encoder_w_q", "multimodal_w")


def i32(value):
    return struct.pack("<i", value)


def i64(*values):
    return struct.pack(f"<{len(values)}q", *values)


def text(value):
    return i32(len(value)) + value.encode()


def string(value):
    return i32(2) + text(value)


def number(value):
    return i32(1) + struct.pack("<d", value)


def table(index, pairs):
    return i32(3) + i32(index) + i32(len(pairs)) + b"".join(key + value for key, value in pairs)


def torch_object(index, name, content):
    return i32(4) + i32(index) + text("V 1") + text(name) + content


def storage(index, values, kind):
    packed = struct.pack(f"<{len(values)}{'d' if 'Double' in kind else 'f'}", *values)
    return torch_object(index, f"torch.{kind}Storage", i64(len(values)) + packed)


def tensor(index, sizes, strides, offset, memory, kind="Float"):
    content = i32(len(sizes)) + i64(*sizes) + i64(*strides) + i64(offset) + memory
    return torch_object(index, f"torch.{kind}Tensor", content)


def vector(index, values, kind="Float"):
    return tensor(index, [len(values)], [1], 1, storage(index + 1, values, kind), kind)


def whole(vectors, kind="Float"):
    """As train.lua saves it."""
    items = enumerate(vectors.items())
    return table(1, [(string(key), vector(2 * i + 2, list(v), kind)) for i, (key, v) in items])


def lengths_of(words, answers, width):
    lstm = sum((below + 1) * 4 * H + (H + 1) * 4 * H for below in [E] + [H] * (L - 1))
    fusion = (2 * L * H + 1) * C + (width + 1) * C + (C + 1) * answers
    return dict(zip(KEYS, (words * E + E, lstm + H + 1, fusion), strict=True))


def draw(words, answers, width, seed=0):
    random = np.random.default_rng(seed)
    lengths = lengths_of(words, answers, width).items()
    return {key: random.uniform(-0.8, 0.8, n).astype(np.float32) for key, n in lengths}


class Taker:
    """Linear layers one after the other out of a flat vector: weight (out, in) by rows, then bias."""

    def __init__(self, values):
        self.values = np.asarray(values, np.float64)

    def linear(self, inputs, outputs):
        weight, bias, self.values = np.split(self.values, [inputs * outputs, inputs * outputs + outputs])
        weight = weight.reshape(outputs, inputs)
        return lambda x: weight @ x + bias


def torch7_forward(vectors, words, answers, features, question):
    embed = Taker(vectors["embedding_w_q"]).linear(words, E)
    xs = [np.tanh(embed(np.eye(words)[word - 1])) for word in question]
    encoder = Taker(vectors["encoder_w_q"])
    joined = []
    for _ in range(L):
        i2h, h2h = encoder.linear(len(xs[0]), 4 * H), encoder.linear(H, 4 * H)
        c = h = np.zeros(H)
        hs = []
        for x in xs:
            sums = i2h(x) + h2h(h)
            in_gate, forget_gate, out_gate = sigmoid(sums[: 3 * H]).reshape(3, H)
            c = forget_gate * c + in_gate * np.tanh(sums[3 * H :])
            h = out_gate * np.tanh(c)
            hs.append(h)
        joined += [c, h]
        xs = hs
    encoder.linear(H, 1)
    assert encoder.values.size == 0
    fusion = Taker(vectors["multimodal_w"])
    of_question, of_image = fusion.linear(2 * L * H, C), fusion.linear(len(features), C)
    answer = fusion.linear(C, answers)
    assert fusion.values.size == 0
    image = np.tanh(of_image(features / np.linalg.norm(features)))
    return answer(np.tanh(of_question(np.concatenate(joined))) * image)


@pytest.fixture(scope="module")
def world(tiny_world):
    """The folder, and how many words, answers and features it has by its own files."""
    names = json.loads((tiny_world / "data_prepro.json").read_text())
    with h5py.File(tiny_world / "data_img.h5") as file:
        width = int(np.prod(file["images_test"].shape[1:]))
    return tiny_world, (len(names["ix_to_word"]), len(names["ix_to_ans"]), width)


def run_import(path, folder, out, options=OPTIONS):
    return main([str(part) for part in ("import", path, "--data", folder, "--out", out, *options)])


def assert_same_logits(run, vectors, sizes):
    words, answers, width = sizes
    questions = [*QUESTIONS[:1], [words, 2], [6]]
    features = torch.rand(3, width, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        logits = run.head(features, *padded(questions)).numpy()
    pairs = zip(features.double().numpy(), questions, strict=True)
    expected = [torch7_forward(vectors, words, answers, of_image, question) for of_image, question in pairs]
    assert np.std(expected) > 0.1
    np.testing.assert_allclose(logits, expected, atol=1e-5)


def written(folder, content):
    """The file of a model, and the checkpoint that an import is to write."""
    (folder / "lstm.t7").write_bytes(content)
    return folder / "lstm.t7", folder / "new" / "lstm.ckpt"


@pytest.mark.parametrize("kind", ["Float", "Double", "Cuda", "CudaDouble"])
def test_logits_of_an_imported_file_equal_torch7s_for_questions_of_several_lengths(
    world, tmp_path, capsys, kind
):
    folder, sizes = world
    vectors = draw(*sizes)
    path, out = written(tmp_path, whole(vectors, kind))
    assert run_import(path, folder, out) == 0
    output = capsys.readouterr()
    said = rf"wrote {out}: \d+ parameters, {sizes[0]} words, {sizes[1]} answers; \d+ s\n"
    assert re.fullmatch(said, output.out)
    assert output.err == ""
    assert_same_logits(load_checkpoint(out), vectors, sizes)


def test_an_imported_checkpoint_brings_what_analysis_needs(world, tmp_path):
    folder, sizes = world
    path, out = written(tmp_path, whole(draw(*sizes)))
    options = [*OPTIONS, "--annotator-maps", folder / "annotators", "--annotators", "simulated annotators"]
    assert run_import(path, folder, out, options) == 0
    run = load_checkpoint(out)
    tokens, lengths, words = run.encode("What color is the cube?")
    assert run.vocabulary.decode(tokens[0].tolist()) == words
    data = run.datamodule()
    data.setup()
    batch = next(data.image_batches(np.array([0]), run.tower().recipe))
    with torch.no_grad():
        scores = run.pipeline().answer_scores(batch.images, batch.tokens, batch.lengths)
    assert scores.shape == (1, len(run.answers))
    assert (run.epoch, run.step, run.plan) == (0, 0, {})
    assert run.data["annotators"] == "simulated annotators"
    assert data.annotator_maps == (folder / "annotators").resolve()


def test_vectors_that_are_views_of_one_shared_storage_are_read_through_offset_and_stride(world, tmp_path):
    folder, sizes = world
    vectors = draw(*sizes)
    first, second, third = (vectors[key] for key in KEYS)
    # The first lies at every other place from the fourth on; the second fills the gaps between.
    room = 2 * max(len(first), len(second)) + 10
    memory = np.full(room, 7.0, np.float32)
    memory[3 : 3 + 2 * len(first) : 2] = first
    memory[4 : 4 + 2 * len(second) : 2] = second
    content = table(1, [
        (string(KEYS[0]), tensor(2, [len(first)], [2], 4, storage(3, list(memory), "Float"))),
        (string(KEYS[1]), tensor(4, [len(second)], [2], 5, i32(4) + i32(3))),
        (string(KEYS[2]), vector(5, list(third))),
        (string("note"), string("ignored")),
    ])  # fmt: skip
    path, out = written(tmp_path, content)
    assert run_import(path, folder, out) == 0
    assert_same_logits(load_checkpoint(out), vectors, sizes)


def read(tmp_path, content):
    path = tmp_path / "some.t7"
    path.write_bytes(content)
    return read_torch7(path)


def refused(tmp_path, content):
    with pytest.raises(LookwhyError) as error:
        read(tmp_path, content)
    message = str(error.value)
    assert re.fullmatch(r"expected [^\n]+ found [^\n]+; [^\n]+", message), message
    assert str(tmp_path) in message
    return message


def test_every_kind_of_value_is_read(tmp_path):
    matrix = tensor(2, [2, 3], [3, 1], 1, storage(3, [1, 2, 3, 4, 5, 6], "Double"), "Double")
    turned = tensor(4, [3, 2], [1, 3], 1, i32(4) + i32(3), "Double")
    value = read(tmp_path, table(1, [
        (string("nothing"), i32(0)), (number(2), number(-0.5)), (i32(5) + i32(1), i32(5) + i32(0)),
        (string("word"), string("size")), (string("matrix"), matrix), (string("turned"), turned),
        (string("again"), i32(4) + i32(2)), (string("empty"), tensor(5, [], [], 1, i32(0))),
        (string("bare"), storage(6, [1.5], "Float")), (string("self"), i32(3) + i32(1)),
        (string("old"), i32(4) + i32(7) + text("torch.LongStorage") + i64(1) + i64(-9)),
    ]))  # fmt: skip
    assert (value["nothing"], value[2.0], value[True], value["word"]) == (None, -0.5, False, "size")
    np.testing.assert_array_equal(value["matrix"], [[1, 2, 3], [4, 5, 6]])
    np.testing.assert_array_equal(value["turned"], [[1, 4], [2, 5], [3, 6]])
    assert value["matrix"].dtype == np.float64
    assert value["again"] is value["matrix"]
    assert value["empty"].size == 0
    assert value["self"] is value
    assert isinstance(value["bare"], Torch7Storage)
    assert value["old"].values.tolist() == [-9]


def test_a_file_cut_anywhere_is_one_line(tmp_path):
    content = table(1, [(string("a"), vector(2, [1, 2, 3])), (string("b"), number(1))])
    assert set(read(tmp_path, content)) == {"a", "b"}
    for length in range(len(content)):
        refused(tmp_path, content[:length])


def test_a_damaged_byte_is_read_or_refused_but_never_crashes(tmp_path):
    content = table(1, [(string("a"), vector(2, [1, 2, 3])), (string("b"), table(4, [(number(1), i32(0))]))])
    read_whole, messages = 0, []
    for place in range(len(content)):
        for byte in (0, 0x7F, 0xFF):
            damaged = content[:place] + bytes([byte]) + content[place + 1 :]
            try:
                read(tmp_path, damaged)
                read_whole += 1
            except LookwhyError as error:
                messages.append(str(error))
    assert read_whole > 10
    assert len(messages) > 100
    assert not [message for message in messages if "\n" in message]


BIG = 2**62
HOSTILE = {
    "a function": (i32(6) + i32(1), "a Lua function, which is never run"),
    "a legacy function": (i32(7) + i32(1), "a Lua function, which is never run"),
    "a function with upvalues": (i32(8) + i32(1) + text("\x1bLJ") + table(2, []), "never run"),
    "an unknown tag": (i32(9), "a type tag from 0 to 8"),
    "text": (b"A text file, not a model.\n", "a type tag from 0 to 8"),
    "ASCII Torch7": (b"3\n1\n1\n2\n1\na\n1\n5\n", "a type tag from 0 to 8"),
    "a negative string": (i32(2) + i32(-1), "a string of -1 bytes"),
    "a huge string": (i32(2) + i32(2**31 - 1), "0 bytes left"),
    "a huge table": (i32(3) + i32(1) + i32(2**31 - 1), "one of 2147483647 pairs"),
    "a negative table": (i32(3) + i32(1) + i32(-1), "one of -1 pairs"),
    "a table as key": (table(1, [(table(2, []), i32(0))]), "a table's key, .* found another kind of value"),
    "nil as key": (table(1, [(i32(0), i32(0))]), "a table's key"),
    "a module": (torch_object(1, "nn.gModule", table(2, [])), "of the class 'nn.gModule'"),
    "a class with lines": (torch_object(1, "a\nb", b""), r"'a\\nb'"),
    "half precision": (torch_object(1, "torch.HalfTensor", i32(0)), "'torch.HalfTensor'"),
    "a huge storage": (torch_object(1, "torch.FloatStorage", i64(BIG)), "0 bytes left"),
    "a negative storage": (torch_object(1, "torch.FloatStorage", i64(-1)), "a storage of -4 bytes"),
    "many dimensions": (torch_object(1, "torch.FloatTensor", i32(2**31 - 1)), "at most 16 dimensions"),
    "negative dimensions": (torch_object(1, "torch.FloatTensor", i32(-1)), "found -1"),
    "a view past its end": (tensor(1, [3], [1], 2, storage(2, [1, 2, 3], "Float")), "inside its storage"),
    "a view before its start": (tensor(1, [3], [1], 0, storage(2, [1, 2, 3], "Float")), "offset 0"),
    "a backward view": (tensor(1, [3], [-1], 3, storage(2, [1, 2, 3], "Float")), "strides"),
    "a negative size": (tensor(1, [-3], [1], 1, storage(2, [1, 2, 3], "Float")), "sizes"),
    "an endless view": (tensor(1, [BIG], [0], 1, storage(2, [1], "Float")), "inside its storage"),
    "a view of nothing": (tensor(1, [1], [1], 1, storage(2, [], "Float")), "of 0 elements"),
    "storage of another kind": (tensor(1, [1], [1], 1, storage(2, [1], "Double")), "storage of float32"),
    "no storage": (tensor(1, [1], [1], 1, number(1)), "found float"),
    "itself as storage": (tensor(1, [1], [1], 1, i32(4) + i32(1)), "bytes left"),
    "more than one object": (number(1) + number(2), "12 more bytes"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_what_is_no_checkpoint_is_refused_in_one_line(tmp_path, name):
    content, message = HOSTILE[name]
    start = time.monotonic()
    assert re.search(message, refused(tmp_path, content))
    assert time.monotonic() - start < 1


def test_the_stride_of_a_single_element_is_never_walked(tmp_path):
    content = tensor(1, [1, 2], [BIG, 1], 1, storage(2, [1, 2], "Float"))
    assert read(tmp_path, content).tolist() == [[1, 2]]


def test_a_long_string_that_is_no_text_takes_no_longer_than_its_bytes(tmp_path):
    start = time.monotonic()
    assert len(read(tmp_path, i32(2) + i32(20_000_000) + b"\xff" * 20_000_000)) == 20_000_000
    assert time.monotonic() - start < 2


def test_endless_nesting_is_one_line(tmp_path):
    nested = i32(0)
    for index in range(30):
        nested = table(index, [(number(1), nested)])
    read(tmp_path, nested)
    deep = b"".join(i32(3) + i32(index) + i32(1) + number(1) for index in range(100_000))
    assert "inside each other" in refused(tmp_path, deep)
    one = text("V 1") + text("torch.FloatTensor") + i32(0) + i64(1)
    chain = b"".join(i32(4) + i32(index) + one for index in range(100_000))
    assert "inside each other" in refused(tmp_path, chain)


def test_a_missing_file_and_a_folder_are_one_line(tmp_path):
    for path in (tmp_path / "none.t7", tmp_path):
        with pytest.raises(LookwhyError, match="cannot be read") as error:
            read_torch7(path)
        assert "\n" not in str(error.value)


def changed(key, change):
    def of(vectors):
        items = enumerate(vectors.items())
        make = {key: change}
        return table(1, [(string(k), make.get(k, vector)(2 * i + 2, list(v))) for i, (k, v) in items])

    return of


def longs(index):
    return torch_object(index, "torch.LongStorage", i64(1, 5))


ENCODER, FUSION = KEYS[1:]
WRONG = {
    "a short vector": (changed(ENCODER, lambda i, v: vector(i, v[:-1])), "numbers in encoder_w_q for "),
    "a long vector": (changed(FUSION, lambda i, v: vector(i, [*v, 0])), "numbers in multimodal_w for "),
    "other words": (changed(KEYS[0], lambda i, v: vector(i, v[E:])), r"vocab_size \d+, .*data and the"),
    "a word as vector": (changed(ENCODER, lambda i, v: string("a")), "floats as encoder_w_q, found str"),
    "a matrix": (
        changed(ENCODER, lambda i, v: tensor(i, [1, len(v)], [1, 1], 1, storage(i + 1, v, "Float"))),
        r"found float32 of shape \(1, ",
    ),
    "integers": (changed(ENCODER, lambda i, v: tensor(i, [1], [1], 1, longs(i + 1), "Long")), "found int64"),
    "not a number": (changed(FUSION, lambda i, v: vector(i, [*v[1:], np.nan])), "finite numbers"),
    "beyond float32": (
        changed(FUSION, lambda i, v: vector(i, [*v[1:], 1e300], "Double")), "finite numbers in multimodal_w"
    ),
    "a missing key": (lambda v: whole({k: v[k] for k in KEYS[:2]}), "found no multimodal_w"),
    "no table": (lambda v: vector(1, v["encoder_w_q"]), "found no embedding_w_q"),
    "a function": (lambda v: table(1, [(string(ENCODER), i32(8) + i32(2))]), "never run"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_a_file_of_another_model_is_refused_and_nothing_is_written(world, tmp_path, capsys, name):
    folder, sizes = world
    content, message = WRONG[name]
    path, _ = written(tmp_path, content(draw(*sizes)))
    assert run_import(path, folder, tmp_path / "a.ckpt") == 2
    output = capsys.readouterr()
    assert re.fullmatch(r"lookwhy: error: expected [^\n]+\n", output.err), output.err
    assert re.search(message, output.err)
    assert str(path) in output.err
    assert output.out == ""
    assert [path.name for path in tmp_path.iterdir()] == ["lstm.t7"]


def test_the_sizes_are_the_originals_unless_they_are_stated(world, tmp_path, capsys):
    folder, sizes = world
    assert run_import(*written(tmp_path, whole(draw(*sizes)))[:1], folder, tmp_path / "a.ckpt", []) == 2
    stated = "embedding_size 200, hidden_size 512, num_layers 2, common_size 1024"
    assert stated in capsys.readouterr().err


def test_an_out_that_cannot_be_written_is_one_line_and_the_file_itself_is_never_overwritten(
    world, tmp_path, capsys
):
    folder, sizes = world
    content = whole(draw(*sizes))
    path, _ = written(tmp_path, content)
    for out in (path, tmp_path, path / "a.ckpt", tmp_path / ("a" * 300)):
        assert run_import(path, folder, out) == 2
        assert re.fullmatch(r"lookwhy: error: expected [^\n]+\n", capsys.readouterr().err)
    assert path.read_bytes() == content


def test_features_without_their_towers_stamp_as_the_originals_are_name_the_remedy(world, tmp_path, capsys):
    folder, sizes = world
    for name in ("data_prepro.json", "data_prepro.h5", "data_img.h5"):
        shutil.copy(folder / name, tmp_path)
    with h5py.File(tmp_path / "data_img.h5", "a") as file:
        del file.attrs["description"]
    path, out = written(tmp_path, whole(draw(*sizes)))
    assert run_import(path, tmp_path, out) == 2
    assert "run lookwhy prepare features" in capsys.readouterr().err
