"""What a frozen network makes of an image, held in memory for the few images that were asked about last."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, TypeVar

from jaxtyping import Float
from torch import Tensor

from lookwhy.attribution.frozen import digest

Made = TypeVar("Made")


class Recent(Generic[Made]):
    """image -> what is made of it, made once while the image is among the last ones.

    Args:
        make: image -> what is made of it; nobody changes the result.
        limit: how many images; 0 holds nothing.
    """

    def __init__(self, make: Callable[[Tensor], Made], limit: int) -> None:
        self._make, self._limit = make, limit
        self._made: OrderedDict[str, Made] = OrderedDict()

    def __call__(self, image: Float[Tensor, "3 H W"]) -> Made:
        """What is made of the image, which is known by its content."""
        if not self._limit:
            return self._make(image)
        key = digest(image)
        if key not in self._made:
            self._made[key] = self._make(image)
            if len(self._made) > self._limit:
                self._made.popitem(last=False)
        self._made.move_to_end(key)
        return self._made[key]
