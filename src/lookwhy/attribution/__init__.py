from lookwhy.attribution.attention import Attention
from lookwhy.attribution.base import Attributor
from lookwhy.attribution.context import explaining
from lookwhy.attribution.deconvnet import Deconvnet
from lookwhy.attribution.gradient import Gradient
from lookwhy.attribution.guided_backprop import GuidedBackprop
from lookwhy.attribution.occlusion import Occlusion
from lookwhy.attribution.word_drop import WordDrop
from lookwhy.attribution.word_gradient import WordGradient
from lookwhy.towers.incremental import IncrementalOcclusion

__all__ = [
    "Attention", "Attributor", "Deconvnet", "Gradient", "GuidedBackprop", "IncrementalOcclusion", "Occlusion",
    "WordDrop", "WordGradient", "explaining",
]  # fmt: skip
