"""Guided backpropagation (Springenberg et al. 2014; equation 3 of the paper).

In every ReLU the gradient passes only where the unit was active and the gradient is positive::

    G_l = [h_l > 0] [G_{l+1} > 0] G_{l+1}

so that only paths of positive evidence for the answer reach the pixels.
"""

from __future__ import annotations

from contextlib import AbstractContextManager

from lookwhy.attribution.gradient import Gradient
from lookwhy.attribution.relu_rules import GuidedReLU, relu_rule
from lookwhy.models.pipeline import Pipeline


class GuidedBackprop(Gradient):
    """Magnitude of the guided pixel gradient, averaged over the cells of a grid."""

    name = "guided_backprop"

    def rule(self, model: Pipeline) -> AbstractContextManager[None]:
        """Guided ReLUs throughout.

        Raises:
            LookwhyError: on entering, when the model holds no ReLU module.
        """
        return relu_rule(model, GuidedReLU, self.name)
