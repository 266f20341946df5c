"""Caffe's files from a writer of their own: Protocol Buffers' wire format, byte by byte."""

import struct

import pytest
import torch
from test_image_tower import CAFFE, random_vgg

from lookwhy.errors import LookwhyError
from lookwhy.towers.caffe import read_caffemodel
from lookwhy.towers.image_tower import build_tower

STAGES = [2, 2, 3, 3, 3]  # convolutions of VGG-16


def varint(number):
    parts = []
    while number > 127:
        parts.append(number & 127 | 128)
        number >>= 7
    return bytes([*parts, number])


def message(field, content):
    return varint(field << 3 | 2) + varint(len(content)) + content


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
        content = varint(5 << 3) + varint(4) + content  # the layer's type, which nobody reads
    return message(2 if old else 100, content)


def caffe_names(stages):
    return [f"conv{stage}_{i}" for stage, count in enumerate(stages, 1) for i in range(1, count + 1)]


@pytest.mark.parametrize("old", [True, False])
def test_features_are_those_of_the_network_that_the_file_holds(tmp_path, old):
    network = random_vgg("vgg16", only_features=True)
    layers = [one for one in network if isinstance(one, torch.nn.Conv2d)]
    written = message(1, b"VGG_ILSVRC_16_layers") + layer("relu1_1", [], old)
    for name, one in zip(caffe_names(STAGES), layers, strict=True):
        written += layer(name, [blob(one.weight.detach(), old), blob(one.bias.detach(), old)], old)
    path = tmp_path / "vgg16.caffemodel"
    path.write_bytes(written)
    tower = build_tower("vgg16", "pool5", CAFFE, path)
    pixels = 50 * torch.randn(1, 3, 32, 32)
    with torch.no_grad():
        assert torch.equal(tower(pixels), network(pixels))
    path.unlink()


def test_matrices_of_the_fully_connected_layers_lose_their_ones(tmp_path):
    weight, bias = torch.arange(6.0).view(2, 3), torch.tensor([7.0, 8.0])
    kernel = torch.randn(2, 1, 3, 3)
    written = layer("conv1_1", [blob(kernel, True, packed=False), blob(bias, True)], True)
    written += layer("fc6", [blob(weight, True), blob(bias, True)], True)
    path = tmp_path / "small.caffemodel"
    path.write_bytes(written)
    state = read_caffemodel(path, [0])
    assert list(state) == ["features.0.weight", "features.0.bias", "classifier.0.weight", "classifier.0.bias"]
    torch.testing.assert_close(state["features.0.weight"], kernel)
    assert torch.equal(state["classifier.0.weight"], weight)
    assert torch.equal(state["classifier.0.bias"], bias)


def fails(path, *arguments):
    with pytest.raises(LookwhyError) as error:
        read_caffemodel(path, *arguments)
    assert "\n" not in str(error.value)
    assert str(path) in str(error.value)
    return str(error.value)


def test_what_is_no_such_model_is_refused_in_one_line(tmp_path):
    path = tmp_path / "x.caffemodel"
    path.write_bytes(b"<html>not found</html>")
    assert "expected a .caffemodel" in fails(path, [0])
    whole = layer("conv1_1", [blob(torch.ones(1, 1, 3, 3), False), blob(torch.ones(1), False)], False)
    path.write_bytes(whole[:-3])
    assert "expected a .caffemodel" in fails(path, [0])
    path.write_bytes(whole)
    assert "expected 2 convolutions" in fails(path, [0, 2])
    path.write_bytes(layer("conv1_1", [blob(torch.ones(1, 1, 3, 3), False)], False))
    assert "found 1 blob" in fails(path, [0])
    shape = message(7, message(1, varint(1 << 40) + varint(9)))
    path.write_bytes(layer("conv1_1", [shape + message(5, b"1234"), shape], False))
    assert "numbers in conv1_1, found 1" in fails(path, [0])
    for sides, numbers in (([2, 3, 1, 1, 1, 3, 3], 54), ([1] * 70 + [2], 1)):
        shape = message(7, message(1, b"".join(map(varint, sides))))
        path.write_bytes(layer("conv1_1", [shape + message(5, bytes(4 * numbers)), shape], False))
        assert f"numbers in conv1_1, found {numbers}" in fails(path, [0])
    path.write_bytes(whole.replace(b"conv1_1", b"conv1_\xff"))
    assert "expected 1 convolutions" in fails(path, [0])
    assert "Is a directory" in fails(tmp_path, [0])
    with pytest.raises(LookwhyError, match="found no file"):
        build_tower("vgg16", "pool5", CAFFE, tmp_path / "none.caffemodel")
