"""Import of the original's trained model (a `.t7` file of VQA_LSTM_CNN, Lu et al. 2015) as a checkpoint.

The original's train.lua saves a table of three flat vectors, `embedding_w_q`, `encoder_w_q` and
`multimodal_w`: the results of `getParameters()` for its three networks. A file has no sizes and no names. The
order of the parameters is written down once, in `original_layout`. Its sources:

* `nn.Linear` (Module.lua of nn) stores its weight, (out, in) row by row, and then its bias.
* An nngraph module stores its layers in topological order: depth first from the outputs, the inputs of a node
  in the order in which they were passed (topsort in init.lua of graph, __init in gmodule.lua of nngraph). So
  in the encoder (misc/LSTM.lua) the LSTM's layers follow each other, i2h before h2h, and its unused output
  layer of one unit comes last; in the fusion (misc/netdef.lua, AxB) the question comes before the image.
  nngraph before its pull request 22 (February 2014) went breadth first; the original is from 2015.
* The rows of i2h and h2h are input, forget and output gate (sigmoid), then the cell's input (tanh).
* The encoding is c1, h1, c2, h2 (misc/LSTM.lua joins next_c and next_h layer by layer), as in `DeeperLSTM`.

The vocabulary and the answers are in the data_prepro.json of the training, not in the `.t7` file. A different
data_prepro.json with as many words and answers cannot be detected, and gives wrong answers. With
`-img_norm 0` the original does not normalise image features; `DeeperLSTM` always does.
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
from lookwhy.files import atomic_path, sha256_file
from lookwhy.models.checkpoint import describe_run
from lookwhy.models.deeper_lstm import DeeperLSTM
from lookwhy.models.original.torch7 import Torch7Value, read_torch7
from lookwhy.types import LookwhyError

UNUSED = "unused"
# Blocks of rows of an LSTM's weights: input, forget, output, cell; nn.LSTM has the cell third.
ORIGINAL_GATES, PYTORCH_GATES = "ifog", "ifgo"

Layout = dict[str, list[tuple[str, tuple[int, ...]]]]
"""By key of the file: the parameters of `DeeperLSTM` in the vector's order and shapes."""


def original_layout(
    vocab_size: int,
    num_answers: int,
    image_dim: int,
    embedding_size: int,
    hidden_size: int,
    num_layers: int,
    common_size: int,
) -> Layout:
    """Position of each parameter in the original's vectors; sources are in the module's docstring."""
    encoder: list[tuple[str, tuple[int, ...]]] = []
    gates = 4 * hidden_size
    for layer in range(num_layers):
        below = hidden_size if layer else embedding_size
        encoder += [
            (f"lstm.weight_ih_l{layer}", (gates, below)),
            (f"lstm.bias_ih_l{layer}", (gates,)),
            (f"lstm.weight_hh_l{layer}", (gates, hidden_size)),
            (f"lstm.bias_hh_l{layer}", (gates,)),
        ]
    return {
        # One-hot words times a matrix: a word is a column, a row of `word_table`.
        "embedding_w_q": [
            ("word_table.weight", (embedding_size, vocab_size)),
            ("word_bias", (embedding_size,)),
        ],
        "encoder_w_q": [*encoder, (UNUSED, (1, hidden_size)), (UNUSED, (1,))],
        "multimodal_w": [
            ("project_question.weight", (common_size, 2 * num_layers * hidden_size)),
            ("project_question.bias", (common_size,)),
            ("project_image.weight", (common_size, image_dim)),
            ("project_image.bias", (common_size,)),
            ("classify.weight", (num_answers, common_size)),
            ("classify.bias", (num_answers,)),
        ],
    }


def import_torch7(
    path: Path,
    data: VQADataModule,
    out: Path,
    *,
    embedding_size: int = 200,
    hidden_size: int = 512,
    num_layers: int = 2,
    common_size: int = 1024,
) -> DeeperLSTM:
    """Convert a file of the original's train.lua to a checkpoint for `load_checkpoint`.

    Args:
        path: the .t7 file.
        data: vocabulary, answers and image features of the training.
        out: the checkpoint to write. Its epoch and step are 0: the file does not state them.
        embedding_size: the original's -input_encoding_size.
        hidden_size: its -rnn_size.
        num_layers: its -rnn_layer.
        common_size: its -common_embedding_size.

    Returns:
        The network with the file's weights, in eval mode.

    Raises:
        LookwhyError: no complete Torch7 file, another model, other sizes; the data folder's features do not
            name their image tower; or `out` cannot be written.
    """
    sizes = {
        "vocab_size": data.vocab_size,
        "num_answers": data.num_answers,
        "image_dim": data.image_dim,
        "embedding_size": embedding_size,
        "hidden_size": hidden_size,
        "num_layers": num_layers,
        "common_size": common_size,
    }
    state = _state_dict(read_torch7(path), sizes, path)
    with torch.device("meta"):  # no random weights: they are replaced at once
        head = DeeperLSTM(**cast(dict[str, Any], sizes))
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
            "give --out another"
        ) from error
    return head.eval()


def _state_dict(content: Torch7Value, sizes: dict[str, int], path: Path) -> dict[str, Tensor]:
    layout = original_layout(**sizes)
    table = content if isinstance(content, dict) else {}
    for key in layout:
        if key not in table:
            raise LookwhyError(
                f"expected a table with {', '.join(layout)}, found no {key} in {path}; "
                "give a file that train.lua of VQA_LSTM_CNN saved"
            )
    state = {}
    for key, blocks in layout.items():
        length = sum(math.prod(shape) for _, shape in blocks)
        start, vector = 0, _vector(table[key], key, length, sizes, path)
        for name, shape in blocks:
            block = vector[start : start + math.prod(shape)].reshape(shape)
            start += block.size
            if name != UNUSED:
                state[name] = torch.from_numpy(_as_pytorch(name, block))
    return state


def _vector(
    value: Any, key: str, length: int, sizes: dict[str, int], path: Path
) -> Float32[np.ndarray, " N"]:
    if not isinstance(value, np.ndarray) or value.ndim != 1 or value.dtype.kind != "f":
        found = (
            f"{value.dtype} of shape {value.shape}" if isinstance(value, np.ndarray) else type(value).__name__
        )
        raise LookwhyError(
            f"expected a vector of floats as {key}, found {found} in {path}; "
            "give a file that train.lua of VQA_LSTM_CNN saved"
        )
    if len(value) != length:
        stated = ", ".join(f"{name} {size}" for name, size in sizes.items())
        raise LookwhyError(
            f"expected {length} numbers in {key} for {stated}; found {len(value)} in {path}; "
            "give the data and the sizes that it was trained with"
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
    """Copy of a block of the original's vector, in the layout of the parameter of that name."""
    if name == "word_table.weight":
        return block.T.copy()
    if name.startswith("lstm."):
        rows = dict(zip(ORIGINAL_GATES, np.split(block, len(ORIGINAL_GATES)), strict=True))
        return np.concatenate([rows[gate] for gate in PYTORCH_GATES])
    return block.copy()
