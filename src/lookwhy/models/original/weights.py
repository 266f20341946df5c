"""Import of the original's trained model (a `.t7` file of VQA_LSTM_CNN, Lu et al. 2015) as a checkpoint.

The original's train.lua saves a table of three flat vectors, `embedding_w_q`, `encoder_w_q` and
`multimodal_w`: the results of `getParameters()` for its three networks. The file contains neither sizes nor
names of the parameters. `original_layout` defines their order, from these sources:

* `nn.Linear` (Module.lua of nn) stores its weight, (out, in) row by row, and then its bias.
* An nngraph module stores its layers in topological order: depth first from the outputs, with the inputs of
  a node in the order in which they were passed (topsort in init.lua of graph, __init in gmodule.lua of
  nngraph). In the encoder (misc/LSTM.lua) this gives the LSTM's layers one after the other, i2h before h2h,
  and last an unused output layer of one unit. In the fusion (misc/netdef.lua, AxB) the question comes before
  the image. (nngraph went breadth first until its pull request 22 in February 2014; the original is from
  2015.)
* The rows of i2h and h2h are input, forget and output gate (sigmoid), then the cell's input (tanh).
* The encoding is c1, h1, c2, h2, as in `DeeperLSTM`: misc/LSTM.lua joins next_c and next_h layer by layer.

The vocabulary and the answers are in the data_prepro.json of the training, not in the `.t7` file. A wrong
data_prepro.json with the same numbers of words and answers cannot be detected, and the model then gives wrong
answers. With `-img_norm 0` the original does not normalise image features; `DeeperLSTM` always does.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from jaxtyping import Float, Float32
from torch import Tensor

from lookwhy.data.datamodule import VQADataModule
from lookwhy.data.features import read_description
from lookwhy.errors import LookwhyError
from lookwhy.files import atomic_path, sha256_file
from lookwhy.models.checkpoint import describe_run
from lookwhy.models.deeper_lstm import DeeperLSTM
from lookwhy.models.original.torch7 import Torch7Value, read_torch7

UNUSED = "unused"
# Order of the blocks of rows in an LSTM's weights: i input gate, f forget gate, o output gate, g cell input.
ORIGINAL_GATES, PYTORCH_GATES = "ifog", "ifgo"

Layout = dict[str, list[tuple[str, tuple[int, ...]]]]
"""For each key of the file, the (parameter of `DeeperLSTM`, shape) pairs in the order of the vector."""


def original_layout(head: DeeperLSTM) -> Layout:
    """Order and shapes of the parameters in the original's vectors (sources: the module's docstring)."""
    kinds = ("weight_ih", "bias_ih", "weight_hh", "bias_hh")
    lstm = [f"lstm.{kind}_l{layer}" for layer in range(head.lstm.num_layers) for kind in kinds]
    layers = ("project_question", "project_image", "classify")
    names = {
        "embedding_w_q": ["word_table.weight", "word_bias"],
        "encoder_w_q": lstm,
        "multimodal_w": [f"{layer}.{kind}" for layer in layers for kind in ("weight", "bias")],
    }
    shapes = {name: tuple(value.shape) for name, value in head.state_dict().items()}
    # The original multiplies one-hot words by a matrix: there a word is a column, in `word_table` a row.
    shapes["word_table.weight"] = shapes["word_table.weight"][::-1]
    layout = {key: [(name, shapes[name]) for name in own] for key, own in names.items()}
    layout["encoder_w_q"] += [(UNUSED, (1, head.lstm.hidden_size)), (UNUSED, (1,))]
    return layout


def import_torch7(path: Path, data: VQADataModule, out: Path, **sizes: int) -> DeeperLSTM:
    """Convert a file that the original's train.lua saved to a checkpoint for `load_checkpoint`.

    Args:
        path: the .t7 file.
        data: vocabulary, answers and image features of the training.
        out: the checkpoint to write. Its epoch and step are 0, because the file does not state them.
        **sizes: sizes of `DeeperLSTM` that differ from its defaults: embedding_size (the original's
            -input_encoding_size), hidden_size (-rnn_size), num_layers (-rnn_layer) and common_size
            (-common_embedding_size).

    Returns:
        The network with the file's weights, in eval mode.

    Raises:
        LookwhyError: `path` is no complete Torch7 file, or has another model or other sizes; the features in
            the data folder do not name their image tower; or `out` cannot be written.
    """
    with torch.device("meta"):  # skip the initialisation: all weights are replaced
        head = DeeperLSTM(data.vocab_size, data.num_answers, data.image_dim, **cast(dict[str, Any], sizes))
    state = _state_dict(read_torch7(path), head, path)
    head.load_state_dict(state, assign=True)
    read_description(data.folder / "data_img.h5")  # fail now, not at the first analysis
    stored = describe_run(head, data) | {"imported": {"file": path.name, "sha256": sha256_file(path)}}
    weights = {f"head.{name}": value for name, value in state.items()}
    try:
        with atomic_path(out) as partial:
            torch.save({"epoch": 0, "global_step": 0, "state_dict": weights, "lookwhy": stored}, partial)
    except (OSError, RuntimeError) as error:
        raise LookwhyError(
            f"expected to write {out}, found that it cannot be written ({str(error).splitlines()[0]}); "
            "give another --out"
        ) from error
    return head.eval()


def _state_dict(content: Torch7Value, head: DeeperLSTM, path: Path) -> dict[str, Tensor]:
    layout = original_layout(head)
    table = content if isinstance(content, dict) else {}
    state = {}
    for key, blocks in layout.items():
        if key not in table:
            raise LookwhyError(
                f"expected a table with {', '.join(layout)}, found no {key} in {path}; "
                "give a file that train.lua of VQA_LSTM_CNN saved"
            )
        vector, counts = _vector(table[key], key, path), [math.prod(shape) for _, shape in blocks]
        if len(vector) != sum(counts):
            sizes = head.settings.items()
            stated = ", ".join(f"{name} {n}" for name, n in sizes if name not in ("dropout", "use_image"))
            raise LookwhyError(
                f"expected {sum(counts)} numbers in {key} for {stated}; found {len(vector)} in {path}; "
                "give the data and the sizes that it was trained with"
            )
        for (name, shape), block in zip(blocks, np.split(vector, np.cumsum(counts)[:-1]), strict=True):
            if name != UNUSED:
                state[name] = torch.from_numpy(_as_pytorch(name, block.reshape(shape)))
    return state


def _vector(value: Any, key: str, path: Path) -> Float32[np.ndarray, " N"]:
    is_array = isinstance(value, np.ndarray)
    if not is_array or value.ndim != 1 or value.dtype.kind != "f":
        found = f"{value.dtype} of shape {value.shape}" if is_array else type(value).__name__
        raise LookwhyError(
            f"expected a vector of floats as {key}, found {found} in {path}; "
            "give a file that train.lua of VQA_LSTM_CNN saved"
        )
    with np.errstate(over="ignore"):
        vector = value.astype(np.float32)
    if not np.isfinite(vector).all():
        raise LookwhyError(
            f"expected finite numbers in {key}, found others in {path}; "
            "give another checkpoint of that training"
        )
    return vector


def _as_pytorch(name: str, block: Float[np.ndarray, "..."]) -> Float[np.ndarray, "..."]:
    """Copy of a block of the original's vector, in PyTorch's layout of the parameter `name`."""
    if name == "word_table.weight":
        return block.T.copy()
    if name.startswith("lstm."):
        rows = dict(zip(ORIGINAL_GATES, np.split(block, len(ORIGINAL_GATES)), strict=True))
        return np.concatenate([rows[gate] for gate in PYTORCH_GATES])
    return block.copy()
