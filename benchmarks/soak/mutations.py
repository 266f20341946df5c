"""Damage to files as disks, networks and editors do it, drawn at random."""

from __future__ import annotations

import random


def mutated(content: bytes, draw: random.Random) -> bytes:
    """A copy of a file with one to three damages."""
    data = bytearray(content)
    for _ in range(draw.randint(1, 3)):
        _damage(data, draw)
    return bytes(data)


def _damage(data: bytearray, draw: random.Random) -> None:
    place = draw.randrange(len(data) + 1)
    # Half of the damage goes to the first kilobyte, where most formats keep what describes the rest.
    if draw.random() < 0.5:
        place = min(place, draw.randrange(1024))
    length = draw.choice([1, 2, 4, 16, 256, 4096])
    kind = draw.choice(["bits", "zeros", "noise", "cut", "out", "twice", "number"])
    if kind == "bits":
        for _ in range(length):
            if place < len(data):
                data[place] ^= 1 << draw.randrange(8)
            place += draw.randrange(1, 64)
    elif kind == "zeros":
        data[place : place + length] = bytes(min(length, max(len(data) - place, 0)))
    elif kind == "noise":
        data[place : place + length] = draw.randbytes(min(length, max(len(data) - place, 0)))
    elif kind == "cut":
        del data[place:]
    elif kind == "out":
        del data[place : place + length]
    elif kind == "twice":
        data[place:place] = data[place : place + length]
    else:
        number = draw.choice([0, 1, 2**31 - 1, 2**32 - 1, 2**63 - 1, 2**64 - 1])
        data[place : place + 8] = number.to_bytes(8, "little")[: max(len(data) - place, 0)]
