"""Deconvolutional network (Zeiler & Fergus 2014), as a backward pass.

In every ReLU the gradient passes where it is positive itself, whatever the unit's input was::

    G_l = [G_{l+1} > 0] G_{l+1}
"""

from __future__ import annotations

from contextlib import AbstractContextManager

from lookwhy.attribution.gradient import Gradient
from lookwhy.attribution.relu_rules import DeconvReLU, relu_rule
from lookwhy.models.pipeline import Pipeline


class Deconvnet(Gradient):
    """Magnitude of the deconvnet's pixel signal, averaged over the cells of a grid."""

    name = "deconvnet"

    def rule(self, model: Pipeline) -> AbstractContextManager[None]:
        """Deconvnet ReLUs throughout.

        Raises:
            LookwhyError: on entering, when the model holds no ReLU module.
        """
        return relu_rule(model, DeconvReLU, self.name)
