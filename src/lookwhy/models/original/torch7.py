"""Reader of Torch7's binary files (`torch.save` of Lua Torch): numbers, strings, tables and tensors, no code.

A file is one object. An object is a tag and its content, little endian::

    object  = int32 tag, then
      0 nil      nothing
      1 number   float64
      2 string   int32 length, bytes
      3 table    int32 index, int32 pairs, pairs x (key object, value object)
      4 torch    int32 index, string "V 1", string class, content of the class
      5 boolean  int32
    tensor  = int32 dimensions, int64 sizes, int64 strides, int64 offset (from 1), object of its storage
    storage = int64 count, raw elements

A repeated index refers to the object read before, and no content follows it. Functions (tags 6, 7 and 8: Lua
bytecode) are refused. Source: File.lua, generic/Tensor.c and generic/Storage.c of torch7, and
generic/CTensor.c of cutorch, whose CudaTensor is written like a FloatTensor. A file states neither its byte
order nor the width of a long. The reader assumes little endian and 8 bytes, as on 64-bit Linux.

A file may be damaged or malicious. So each size is compared with the remaining bytes before use, tensors must
lie inside their storage, and nesting is limited.
"""

from __future__ import annotations

import math
import os
import re
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

import numpy as np
from jaxtyping import Shaped

from lookwhy.errors import LookwhyError
from lookwhy.files import regular

NIL, NUMBER, STRING, TABLE, TORCH, BOOLEAN = range(6)
FUNCTIONS = (6, 7, 8)
MAX_DEPTH, MAX_DIMENSIONS = 32, 16

# NumPy type of the elements, by tensor class. CUDA classes have the same types; CudaTensor is float32.
ELEMENTS = {
    "Byte": "u1", "Char": "i1", "Short": "<i2", "Int": "<i4", "Long": "<i8", "Float": "<f4", "Double": "<f8",
}  # fmt: skip
ELEMENTS |= {f"Cuda{kind}": code for kind, code in ELEMENTS.items()} | {"Cuda": "<f4"}


@dataclass(frozen=True)
class Torch7Storage:
    """Flat memory; tensors are views of it."""

    values: Shaped[np.ndarray, " N"]


Torch7Value = None | bool | float | str | dict[Any, Any] | np.ndarray | Torch7Storage
"""Nil, boolean, number, string, table, tensor (a read-only array of the tensor's shape) or bare storage."""


def read_torch7(path: Path) -> Torch7Value:
    """Read the object in a file that Lua Torch's `torch.save` wrote in binary.

    Returns:
        The object. Tables are dicts; tensors are arrays of the same shape and element type (CudaTensor:
        float32).

    Raises:
        LookwhyError: the file does not exist, is truncated or damaged, has another format, or contains a
            function or a class other than tensor and storage.
    """
    try:
        with regular(path).open("rb") as file:
            reader = _Reader(file, path, os.fstat(file.fileno()).st_size)
            value = reader.read(depth=0)
            if reader.left:
                reader.fail("the end of the file", f"{reader.left} more bytes")
            return value
    except OSError as error:
        raise LookwhyError(
            f"expected a Torch7 file, found that {path} cannot be read ({error.strerror}); name a .t7 file"
        ) from error


class _Reader:
    def __init__(self, file: BinaryIO, path: Path, size: int) -> None:
        self.file, self.path, self.size, self.left = file, path, size, size
        self.objects: dict[int, Torch7Value] = {}

    def fail(self, expected: str, found: str) -> NoReturn:
        raise LookwhyError(
            f"expected {expected} at byte {self.size - self.left}, found {found} in {self.path}; "
            "give a whole file that torch.save wrote in binary on a 64-bit Linux"
        )

    def take(self, count: int, what: str) -> bytes:
        """Read the next `count` bytes, after checking that the file has that many."""
        taken = self.file.read(count) if 0 <= count <= self.left else b""
        if len(taken) != count:
            self.fail(f"{what} of {count} bytes", f"{self.left} bytes left")
        self.left -= count
        return taken

    def int32(self, what: str) -> int:
        return int.from_bytes(self.take(4, what), "little", signed=True)

    def int64s(self, count: int, what: str) -> list[int]:
        return list(struct.unpack(f"<{count}q", self.take(8 * count, what)))

    def string(self, what: str) -> str:
        content = self.take(self.int32(f"the length of {what}"), what)
        try:
            return content.decode()
        except UnicodeDecodeError:
            return content.decode("latin-1")  # valid for any bytes

    def read(self, depth: int) -> Torch7Value:
        if depth > MAX_DEPTH:
            self.fail(f"at most {MAX_DEPTH} tables inside each other", "one more")
        tag = self.int32("a type tag")
        if tag == NIL:
            return None
        if tag == NUMBER:
            return float(struct.unpack("<d", self.take(8, "a number"))[0])
        if tag == STRING:
            return self.string("a string")
        if tag == BOOLEAN:
            return self.int32("a boolean") == 1
        if tag in FUNCTIONS:
            self.fail("numbers, strings, tables and tensors", "a Lua function, which is never run")
        if tag not in (TABLE, TORCH):
            self.fail("a type tag from 0 to 8", str(tag))
        index = self.int32("an object's index")
        if index in self.objects:
            return self.objects[index]
        return self.table(index, depth) if tag == TABLE else self.torch_object(index, depth)

    def table(self, index: int, depth: int) -> dict[Any, Any]:
        pairs = self.int32("the size of a table")
        # The shortest pair is two tags of four bytes.
        if not 0 <= pairs <= self.left // 8:
            self.fail(f"a table that fits the {self.left} bytes left", f"one of {pairs} pairs")
        table: dict[Any, Any] = {}
        self.objects[index] = table  # before its content: a table may contain itself
        for _ in range(pairs):
            key = self.read(depth + 1)
            if not isinstance(key, bool | float | str):
                self.fail("a table's key, a boolean, number or string,", "another kind of value")
            table[key] = self.read(depth + 1)
        return table

    def torch_object(self, index: int, depth: int) -> Shaped[np.ndarray, "..."] | Torch7Storage:
        name = self.string("a version or class")
        if name.startswith("V "):
            name = self.string("a class")
        kind = re.fullmatch(r"(?:torch\.)?(\w+)(Tensor|Storage)", name)
        if kind is None or kind[1] not in ELEMENTS:
            self.fail("a tensor of numbers", f"an object of the class {name[:60]!r}")
        element = np.dtype(ELEMENTS[kind[1]])
        value = self.tensor(element, depth) if kind[2] == "Tensor" else self.storage(element)
        self.objects[index] = value
        return value

    def storage(self, element: np.dtype[Any]) -> Torch7Storage:
        (count,) = self.int64s(1, "the size of a storage")
        return Torch7Storage(np.frombuffer(self.take(count * element.itemsize, "a storage"), element))

    def tensor(self, element: np.dtype[Any], depth: int) -> Shaped[np.ndarray, "..."]:
        dimensions = self.int32("a tensor's number of dimensions")
        if not 0 <= dimensions <= MAX_DIMENSIONS:
            self.fail(f"a tensor of at most {MAX_DIMENSIONS} dimensions", str(dimensions))
        sizes = self.int64s(dimensions, "a tensor's sizes")
        strides = self.int64s(dimensions, "a tensor's strides")
        offset = self.int64s(1, "a tensor's offset")[0] - 1
        memory = self.read(depth + 1)
        if memory is None or not dimensions:
            return np.empty(0, element)
        if not isinstance(memory, Torch7Storage) or memory.values.dtype != element:
            self.fail(f"a tensor's storage of {element.name}", type(memory).__name__)
        last = offset + sum((size - 1) * stride for size, stride in zip(sizes, strides, strict=True))
        room = len(memory.values)
        is_inside = offset >= 0 and last < room and math.prod(sizes) <= room
        if min(sizes) < 1 or min(strides) < 0 or not is_inside:
            self.fail(
                f"a tensor inside its storage of {room} elements",
                f"sizes {sizes}, strides {strides}, offset {offset + 1}",
            )
        # The stride of a dimension of size 1 is never used and may have any value.
        pairs = zip(sizes, strides, strict=True)
        steps = [stride * element.itemsize if size > 1 else 0 for size, stride in pairs]
        return np.lib.stride_tricks.as_strided(memory.values[offset:], sizes, steps, writeable=False)
