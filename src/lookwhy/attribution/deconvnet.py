"""Deconvolutional network (Zeiler & Fergus 2014), as a backward pass.

At every ReLU the gradient passes if the gradient is positive, for any input of the ReLU::

    G_l = [G_{l+1} > 0] G_{l+1}
"""

from __future__ import annotations

from lookwhy.attribution.gradient import Gradient
from lookwhy.towers.relu_rules import Rule, deconv


class Deconvnet(Gradient):
    """Magnitude of the deconvnet's pixel gradient, averaged over each cell of a grid.

    Example:
        >>> Deconvnet(grid=4)(model, batch, target).values.shape
        torch.Size([3, 4, 4])
    """

    name = "deconvnet"
    rule: Rule = staticmethod(deconv)
