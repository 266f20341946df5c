"""What a forward pass of the frozen network leaves of each image, computed once and kept."""

from __future__ import annotations

import logging
from pathlib import Path
from weakref import WeakKeyDictionary

from jaxtyping import Float
from torch import Tensor, nn

from lookwhy.attribution.frozen import Kept, network_of
from lookwhy.attribution.frozen_backward import FrozenBackward
from lookwhy.attribution.recent import Recent
from lookwhy.attribution.relu_rules import Rule
from lookwhy.attribution.stopwatch import part
from lookwhy.attribution.trace import Trace

_log = logging.getLogger(__name__)
# Several methods go back through one network: its transformed weights are made once.
_BACKWARD: WeakKeyDictionary[nn.Module, FrozenBackward] = WeakKeyDictionary()


class Traces:
    """image -> its trace, from disk where it is kept.

    Args:
        tower: pixels -> features, frozen.
        folder: where to keep traces; None: not on disk. On a GPU a forward pass is quicker than reading.
        remember: of how many images they are held in memory then.

    Attributes:
        possible: whether the tower is a network that can be gone through backwards alone.
    """

    def __init__(self, tower: nn.Module, folder: Path | None = None, remember: int = 0) -> None:
        self._tower, self._folder = tower, folder
        self._network = network_of(tower)
        if self._network not in _BACKWARD:
            _BACKWARD[self._network] = FrozenBackward(self._network)
            if _BACKWARD[self._network].why_not:
                _log.warning("gradients go through autograd: %s", _BACKWARD[self._network].why_not)
        self._frozen = _BACKWARD[self._network]
        self._kept: Kept | None = None
        self._recent = Recent(self._frozen.forward, remember)
        self.possible = not self._frozen.why_not

    def are_of(self, tower: nn.Module) -> bool:
        """Whether they are of this very tower."""
        return self._tower is tower

    def __call__(self, image: Float[Tensor, "3 H W"]) -> Trace:
        """The trace of an image in the tower's own input range."""
        if self._folder is None or image.device.type != "cpu":
            with part("network, forwards"):
                return self._recent(image)
        if self._kept is None:
            self._kept = Kept(self._folder, "traces", self._network, form=2)
        with part("reading"):
            found = self._kept.get(image)
            if found is not None:
                return self._frozen.unpack(found, image)
        with part("network, forwards"):
            trace = self._frozen.forward(image)
        self._kept.put(image, trace.pack())
        return trace

    def backward(
        self, trace: Trace, gradients: Float[Tensor, "Q *D"], rule: Rule, image: Float[Tensor, "3 H W"]
    ) -> Float[Tensor, "Q 3 H W"]:
        """Gradients at the pixels, from several at the features of an image, or of images joined."""
        with part("network, backwards"):
            return self._frozen.backward(trace, gradients, rule, image)
