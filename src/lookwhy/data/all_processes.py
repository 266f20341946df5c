"""Values that the processes of a training tell each other."""

from __future__ import annotations

from typing import TypeVar

import torch.distributed as dist

Value = TypeVar("Value")


def of_all_processes(own: Value) -> list[Value]:
    """This value of every process, in the order of their ranks; every process must call this.

    Example:
        >>> of_all_processes(7)  # one process alone
        [7]
    """
    if not (dist.is_available() and dist.is_initialized()):
        return [own]
    parts: list[Value] = [own] * dist.get_world_size()
    dist.all_gather_object(parts, own)
    return parts
