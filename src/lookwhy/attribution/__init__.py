from lookwhy.attribution.attention import Attention
from lookwhy.attribution.attention_grad_cam import AttentionGradCAM, WordAttentionGradCAM
from lookwhy.attribution.attention_relevance import AttentionRelevance, WordAttentionRelevance
from lookwhy.attribution.attention_rollout import AttentionRollout, WordAttentionRollout
from lookwhy.attribution.base import Attributor
from lookwhy.attribution.box_drop import BoxDrop
from lookwhy.attribution.context import explaining
from lookwhy.attribution.deconvnet import Deconvnet
from lookwhy.attribution.grad_cam import GradCAM, GuidedGradCAM
from lookwhy.attribution.gradient import Gradient
from lookwhy.attribution.gradient_times_input import GradientTimesInput, WordGradientTimesInput
from lookwhy.attribution.guided_backprop import GuidedBackprop
from lookwhy.attribution.integrated_gradients import IntegratedGradients, WordIntegratedGradients
from lookwhy.attribution.kernel_shap import KernelSHAP
from lookwhy.attribution.lime import LIME
from lookwhy.attribution.occlusion import Occlusion
from lookwhy.attribution.rise import RISE
from lookwhy.attribution.smooth_grad import SmoothGrad
from lookwhy.attribution.word_drop import WordDrop
from lookwhy.attribution.word_gradient import WordGradient
from lookwhy.attribution.word_shap import WordKernelSHAP
from lookwhy.towers.incremental import IncrementalOcclusion

__all__ = [
    "LIME", "RISE", "Attention", "AttentionGradCAM", "AttentionRelevance", "AttentionRollout", "Attributor",
    "BoxDrop", "Deconvnet", "GradCAM", "Gradient", "GradientTimesInput", "GuidedBackprop", "GuidedGradCAM",
    "IncrementalOcclusion", "IntegratedGradients", "KernelSHAP", "Occlusion", "SmoothGrad",
    "WordAttentionGradCAM", "WordAttentionRelevance", "WordAttentionRollout", "WordDrop", "WordGradient",
    "WordGradientTimesInput", "WordIntegratedGradients", "WordKernelSHAP", "explaining",
]  # fmt: skip
