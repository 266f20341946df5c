from lookwhy.models.checkpoint import LoadedRun, load_checkpoint
from lookwhy.models.deeper_lstm import DeeperLSTM
from lookwhy.models.pipeline import Pipeline
from lookwhy.models.protocol import VQAHead, VQAModel
from lookwhy.models.system import VQASystem

__all__ = [
    "DeeperLSTM",
    "LoadedRun",
    "Pipeline",
    "VQAHead",
    "VQAModel",
    "VQASystem",
    "load_checkpoint",
]
