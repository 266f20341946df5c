"""Guided backpropagation (Springenberg et al. 2014; equation 3 of the paper).

At every ReLU the gradient passes only if the input was positive and the gradient is positive::

    G_l = [h_l > 0] [G_{l+1} > 0] G_{l+1}

Only paths of positive evidence for the answer reach the pixels.
"""

from __future__ import annotations

from lookwhy.attribution.gradient import Gradient
from lookwhy.towers.relu_rules import Rule, guided


class GuidedBackprop(Gradient):
    """Magnitude of the guided pixel gradient, averaged over each cell of a grid.

    Example:
        >>> GuidedBackprop(grid=4)(model, batch, target).values.shape
        torch.Size([3, 4, 4])
    """

    name = "guided_backprop"
    rule: Rule = staticmethod(guided)
