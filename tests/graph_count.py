"""A callback that says whether CUDA graphs were replayed."""

import pytorch_lightning as pl


class GraphCount(pl.Callback):
    """Print at the end of an epoch whether recordings exist and none failed."""

    def on_train_epoch_end(self, trainer, pl_module):
        graphed = pl_module._graphed
        print("replayed graphs:", graphed is not None and bool(graphed._replays))
