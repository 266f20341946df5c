"""Reader of Caffe's `.caffemodel` files: weights under torchvision's names for VGG.

A `.caffemodel` is a Protocol Buffers message. Only the part of its schema (caffe.proto) with the weights is
declared here. It has two versions: `NetParameter.layers` (field 2) of V1LayerParameter (name 4, blobs 6), and
`NetParameter.layer` (100) of LayerParameter (name 1, blobs 7). A blob's numbers are its `data` (5), and its
shape is `shape.dim` (7, 1) or the older num, channels, height and width (1 to 4). Other fields are skipped.

The weights expect BGR pixels, 0-255 minus a mean: the image recipe `caffe`.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lookwhy.errors import LookwhyError, extra

_PACKAGE = "lookwhy.caffe"
_FLOAT, _INT32, _INT64, _STRING, _MESSAGE = 2, 5, 3, 9, 11
_SCHEMA: dict[str, list[tuple[str, int, int, bool, str]]] = {
    "BlobShape": [("dim", 1, _INT64, True, "")],
    "BlobProto": [
        ("num", 1, _INT32, False, ""), ("channels", 2, _INT32, False, ""), ("height", 3, _INT32, False, ""),
        ("width", 4, _INT32, False, ""), ("data", 5, _FLOAT, True, ""),
        ("shape", 7, _MESSAGE, False, "BlobShape"),
    ],
    "V1LayerParameter": [("name", 4, _STRING, False, ""), ("blobs", 6, _MESSAGE, True, "BlobProto")],
    "LayerParameter": [("name", 1, _STRING, False, ""), ("blobs", 7, _MESSAGE, True, "BlobProto")],
    "NetParameter": [
        ("layers", 2, _MESSAGE, True, "V1LayerParameter"), ("layer", 100, _MESSAGE, True, "LayerParameter"),
    ],
}  # fmt: skip
"""Fields of each message: name, number, type, repeated, message type."""

FULLY_CONNECTED = {"fc6": "classifier.0", "fc7": "classifier.3"}


def read_caffemodel(path: Path, convolutions: list[int]) -> dict[str, Tensor]:
    """Read the weights and biases of a VGG, under torchvision's names.

    Args:
        path: the `.caffemodel`.
        convolutions: positions of the convolutions in torchvision's `features`; the file's `conv1_1`,
            `conv1_2`, `conv2_1`, ... get these numbers in this order.

    Raises:
        LookwhyError: the file is no Caffe model, is of another network, or has a blob whose shape does not
            match its numbers; or the package protobuf is not installed.
    """
    with extra("caffe", "protobuf", "google"):
        from google.protobuf.message import DecodeError
    try:
        net: Any = _net_parameter()()
        net.ParseFromString(path.read_bytes())
    except (OSError, DecodeError, ValueError) as error:
        raise LookwhyError(
            f"expected a .caffemodel, found something else in {path} ({error}); give another file of weights"
        ) from error
    # str, because protobuf returns a name that is not UTF-8 as bytes.
    layers = {str(layer.name): layer for layer in (*net.layers, *net.layer) if layer.blobs}
    names = sorted(name for name in layers if name.startswith("conv"))
    if len(names) != len(convolutions):
        raise LookwhyError(
            f"expected {len(convolutions)} convolutions conv1_1, conv1_2, ..., found {len(names)} in {path}; "
            "choose the --arch of that file"
        )
    places = {name: f"features.{place}" for name, place in zip(names, convolutions, strict=True)}
    places |= {name: place for name, place in FULLY_CONNECTED.items() if name in layers}
    state = {}
    for name, place in places.items():
        if len(layers[name].blobs) < 2:
            raise LookwhyError(
                f"expected weights and biases in {name}, found {len(layers[name].blobs)} blob in {path}; "
                "give another file of weights"
            )
        weight, bias = layers[name].blobs[:2]
        state[f"{place}.weight"] = _tensor(weight, 4 if place.startswith("features") else 2, name, path)
        state[f"{place}.bias"] = _tensor(bias, 1, name, path)
    return state


def _tensor(blob: Any, dimensions: int, name: str, path: Path) -> Tensor:
    # Older files state a matrix as 1 x 1 x out x in, and a bias as 1 x 1 x 1 x out.
    shape = (tuple(blob.shape.dim) or (blob.num, blob.channels, blob.height, blob.width))[-dimensions:]
    # Not np.array: it would build a hundred million Python numbers first.
    numbers = np.fromiter(blob.data, np.float32, len(blob.data))
    if any(side < 1 for side in shape) or math.prod(shape) != len(numbers):
        raise LookwhyError(
            f"expected {' x '.join(map(str, shape))} numbers in {name}, found {len(numbers)} in {path}; "
            "fetch the file again"
        )
    return torch.from_numpy(numbers.reshape(shape))


def _net_parameter() -> Any:
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    file = descriptor_pb2.FileDescriptorProto(name="lookwhy_caffe.proto", package=_PACKAGE, syntax="proto2")
    for kind, fields in _SCHEMA.items():
        declared = file.message_type.add(name=kind)
        for name, number, type_, repeated, of in fields:
            field = declared.field.add(name=name, number=number, type=type_, label=3 if repeated else 1)
            if of:
                field.type_name = f".{_PACKAGE}.{of}"
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.NetParameter"))
