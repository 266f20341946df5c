"""Reading models of Hugging Face's transformers from a folder or from the cache of earlier downloads.

Nothing is downloaded. A folder whose weights do not fill the whole model is refused, because transformers
would draw the others at random.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from lookwhy.errors import LookwhyError, extra


def config_of(name: str) -> Any:
    """Config of a model.

    Args:
        name: folder that `save_pretrained` wrote, or the name of a model that was downloaded before.

    Raises:
        LookwhyError: transformers is not installed, there is no such model, or its config is unreadable.
    """
    with extra("hf", "transformers"):
        from transformers import AutoConfig
    with _one_line(name):
        return AutoConfig.from_pretrained(name, local_files_only=True)


def load_pretrained(name: str, class_name: str, device: str = "cpu") -> tuple[Any, Any]:
    """Processor and model, in single precision and eval mode.

    Args:
        name: see `config_of`.
        class_name: class of transformers, such as "ViltForQuestionAnswering".
        device: device of the model.

    Raises:
        LookwhyError: see `config_of`; or the files lack some weights of this class.
    """
    with extra("hf", "transformers"):
        import transformers
        from transformers.utils import logging
    logging.disable_progress_bar()
    told = logging.get_verbosity()
    logging.set_verbosity_error()  # missing weights are told below, in one line
    try:
        with _one_line(name):
            processor = transformers.AutoProcessor.from_pretrained(name, local_files_only=True)
            model, found = getattr(transformers, class_name).from_pretrained(
                name,
                local_files_only=True,
                dtype=torch.float32,
                attn_implementation="eager",  # the other kinds of attention tell no weights
                output_loading_info=True,
            )
    finally:
        logging.set_verbosity(told)
    if missing := sorted(found["missing_keys"]):
        raise LookwhyError(
            f"expected all weights of a {class_name} in {name}, found {len(missing)} missing, such as "
            f"{missing[0]}; give a folder of this class"
        )
    return processor, model.eval().requires_grad_(False).to(device)


@contextmanager
def _one_line(name: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise LookwhyError(
            f"expected a model of transformers that is on this machine, found none under {name} "
            f"({_short(error)}); give a folder, or download it first with hf download {name}"
        ) from error
    except (ValueError, ImportError, RuntimeError) as error:
        raise LookwhyError(
            f"expected a model that this transformers can read, found {_short(error)} in {name}; install "
            "what it names, or save the model again with save_pretrained"
        ) from error


def _short(error: Exception) -> str:
    return f"{' '.join(str(error).split()):.120}"
