"""The reader of Caffe's files, against a writer of Protocol Buffers' wire format, byte by byte."""

import struct

import pytest
import torch
from test_image_tower import CAFFE, fails, random_vgg

from benchmarks.soak.paper import message, varint
from lookwhy.towers.caffe import read_caffemodel
from lookwhy.towers.image_tower import build_tower

NAMES = [f"conv{stage}_{i}" for stage, count in enumerate((2, 2, 3, 3, 3), 1) for i in range(1, count + 1)]


def blob(values, old, packed=True):
    """BlobProto: with num, channels, height and width as in old files, or with a shape."""
    sides = list(values.shape)
    if old:
        sides = [1] * (4 - len(sides)) + sides
        shape = b"".join(varint(i << 3) + varint(side) for i, side in enumerate(sides, 1))
    else:
        shape = message(7, message(1, b"".join(map(varint, sides))))
    if packed:
        return shape + message(5, values.numpy().astype("<f4").tobytes())
    return shape + b"".join(varint(5 << 3 | 5) + struct.pack("<f", x) for x in values.flatten().tolist())


def layer(name, blobs, old):
    fields = (4, 6) if old else (1, 7)
    content = message(fields[0], name.encode()) + b"".join(message(fields[1], one) for one in blobs)
    if old:
        content = varint(5 << 3) + varint(4) + content  # the layer's type, which is not read
    return message(2 if old else 100, content)


@pytest.mark.parametrize("old", [True, False])
def test_features_are_those_of_the_network_that_the_file_holds(tmp_path, old):
    network = random_vgg("vgg16", only_features=True)
    layers = [one for one in network if isinstance(one, torch.nn.Conv2d)]
    written = message(1, b"VGG_ILSVRC_16_layers") + layer("relu1_1", [], old)
    for name, one in zip(NAMES, layers, strict=True):
        written += layer(name, [blob(one.weight.detach(), old), blob(one.bias.detach(), old)], old)
    path = tmp_path / "vgg16.caffemodel"
    path.write_bytes(written)
    tower = build_tower("vgg16", "pool5", CAFFE, path)
    pixels = 50 * torch.randn(1, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(tower(pixels), network(pixels))
    path.unlink()


def test_matrices_of_the_fully_connected_layers_lose_their_ones(tmp_path):
    weight, bias, kernel = torch.arange(6.0).view(2, 3), torch.tensor([7.0, 8.0]), torch.randn(2, 1, 3, 3)
    path = tmp_path / "small.caffemodel"
    first = layer("conv1_1", [blob(kernel, True, packed=False), blob(bias, True)], True)
    path.write_bytes(first + layer("fc6", [blob(weight, True), blob(bias, True)], True))
    state = read_caffemodel(path, [0])
    expected = {"features.0.weight": kernel, "features.0.bias": bias}
    expected |= {"classifier.0.weight": weight, "classifier.0.bias": bias}
    assert list(state) == list(expected)
    assert all(map(torch.equal, state.values(), expected.values()))


def shaped(*sides):
    return message(7, message(1, b"".join(map(varint, sides))))


def one_layer(*blobs):
    return layer("conv1_1", blobs, False)


WEIGHT, BIAS = blob(torch.ones(1, 1, 3, 3), False), blob(torch.ones(1), False)
WHOLE, HUGE = one_layer(WEIGHT, BIAS), shaped(1 << 40, 9)
LONG, DEEP = shaped(2, 3, 1, 1, 1, 3, 3), shaped(*[1] * 70, 2)


@pytest.mark.parametrize(
    ("content", "convolutions", "said"),
    [
        (b"<html>not found</html>", [0], "expected a .caffemodel"),
        (WHOLE[:-3], [0], "expected a .caffemodel"),
        (WHOLE, [0, 2], "expected 2 convolutions"),
        (one_layer(WEIGHT), [0], "found 1 blob"),
        (one_layer(HUGE + message(5, b"1234"), HUGE), [0], "numbers in conv1_1, found 1"),
        (one_layer(LONG + message(5, bytes(4 * 54)), LONG), [0], "numbers in conv1_1, found 54"),
        (one_layer(DEEP + message(5, bytes(4)), DEEP), [0], "numbers in conv1_1, found 1"),
        (WHOLE.replace(b"conv1_1", b"conv1_\xff"), [0], "expected 1 convolutions"),
        (None, [0], "Is a directory"),
    ],
)
def test_a_path_without_such_a_model_is_refused_in_one_line(tmp_path, content, convolutions, said):
    path = tmp_path if content is None else tmp_path / "x.caffemodel"
    if content is not None:
        path.write_bytes(content)
    found = fails(read_caffemodel, path, convolutions)
    assert said in found
    assert str(path) in found
