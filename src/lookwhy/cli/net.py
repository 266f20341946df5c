"""One line for every error that ends a command: wrong input (exit code 2) or a fault in lookwhy (70).

The libraries below raise errors of their own for what a user can mend. They are known by the names of their
classes, so that nothing is imported for it. Any other error is a fault in lookwhy; its traceback goes into a
file.
"""

from __future__ import annotations

import errno
import tempfile
import traceback
from pathlib import Path

from lookwhy import __version__
from lookwhy.errors import LookwhyError, printable

WRONG_INPUT, FAULT = 2, 70
OF_PACKAGES = (ValueError, TypeError, RuntimeError, OverflowError, LookupError)
RAISED_BY = {
    **dict.fromkeys(("pytorch_lightning", "lightning_fabric", "jsonargparse"), "change this setting"),
    "h5py": "an HDF5 file is damaged: copy it again, or write it again",
}
"""Remedy of one of `OF_PACKAGES` that one of these packages itself raises."""
REMEDIES = {
    errno.ENOSPC: "make room on the disk, or write elsewhere; the same command continues",
    errno.EDQUOT: "make room in your quota, or write elsewhere; the same command continues",
    errno.EROFS: "give a folder that can be written",
    errno.EACCES: "change its permissions, or give another path",
    errno.EPERM: "change its permissions, or give another path",
    errno.ENAMETOOLONG: "give a shorter path",
    errno.EMFILE: "raise the number of open files (ulimit -n)",
    errno.ELOOP: "the links in this path form a circle; give another path",
    errno.EADDRINUSE: "give another --port",
}
"""Remedy of an OSError, by its number."""
KNOWN = {
    "builtins.FileNotFoundError": "correct the path",
    "lightning_fabric.utilities.exceptions.MisconfigurationException": "change this setting",
    "pytorch_lightning.utilities.exceptions.MisconfigurationException": "change this setting",
    "wandb.errors.errors.Error": "change this setting, or set WANDB_MODE=offline",
    "torch.OutOfMemoryError": "give a smaller batch size, or --device cpu",
    "builtins.MemoryError": "give a smaller batch size, or take a machine with more memory",
    "builtins.RecursionError": "the input is nested too deep; give a flat one",
    "builtins.UnicodeError": "save the file as UTF-8",
    "zipfile.BadZipFile": "give a whole file",
    "PIL.UnidentifiedImageError": "give a JPEG, PNG, WebP, BMP, GIF or TIFF file",
    "yaml.error.YAMLError": "mend the file",
    "json.decoder.JSONDecodeError": "mend the file",
    "builtins.ModuleNotFoundError": "install it, or leave out the setting that needs it",
}
"""Remedy of an error of a library, by the name of its class or of a class that it derives from."""
SAID = {
    "embedded null byte": "give another path",
    "Symlink loop": "the links in this path form a circle; give another path",
}
"""Remedy of an error about a path that has no class of its own, by a part of its text."""


def one_line(error: Exception) -> tuple[str, int]:
    """The text of the only line that a command prints for an error, and its exit code.

    Example:
        >>> one_line(MemoryError("12 GiB"))
        ('found 12 GiB (MemoryError); give a smaller batch size, or take a machine with more memory', 2)
    """
    if (own := own_error(error)) is not None:
        return _flat(str(own)), WRONG_INPUT
    kinds = [f"{kind.__module__}.{kind.__qualname__}" for kind in type(error).__mro__]
    name, said = type(error).__name__, _flat(str(error)) or "no message"
    if isinstance(error, OSError) and error.errno is not None:
        remedy = REMEDIES.get(error.errno, "give another path")
        where = f": {error.filename}" if error.filename else ""
        return f"expected a path that can be used, found {error.strerror}{where}; {remedy}", WRONG_INPUT
    remedy = next((remedy for kind, remedy in KNOWN.items() if kind in kinds), "")
    if not remedy and isinstance(error, (ValueError, RuntimeError)):
        remedy = next((remedy for text, remedy in SAID.items() if text in said), "")
    if isinstance(error, OF_PACKAGES):
        remedy = remedy or RAISED_BY.get(raised_by(error), "")
    if remedy:
        return f"found {said} ({name}); {remedy}", WRONG_INPUT
    return f"a fault in lookwhy {__version__}: {name}: {said}; {_written(error)}", FAULT


def raised_by(error: Exception) -> str:
    """Name of the package that raised the error itself."""
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    return str(frames[-1].f_globals.get("__name__", "")).split(".")[0] if frames else ""


def own_error(error: BaseException) -> LookwhyError | None:
    """The LookwhyError that an error is, or that caused it: a parser wraps it in an error of its own."""
    return next((one for one in chain(error, only_causes=True) if isinstance(one, LookwhyError)), None)


def chain(error: BaseException, only_causes: bool = False) -> list[BaseException]:
    """An error, the error that it was raised from, or else while handling which it was raised, and so on."""
    found: list[BaseException] = []
    one: BaseException | None = error
    while one is not None and one not in found:  # an error may be its own cause
        found.append(one)
        one = one.__cause__ or (None if only_causes else one.__context__)
    return found


def _flat(text: str) -> str:
    return " ".join(printable(text).split())


def _written(error: Exception) -> str:
    """Write the traceback to a file; returns the part of the line that names it."""
    text = "".join(traceback.format_exception(error))
    for folder in (Path.cwd(), Path(tempfile.gettempdir())):
        try:
            with tempfile.NamedTemporaryFile(
                "w", dir=folder, prefix="lookwhy-fault-", suffix=".txt", delete=False
            ) as f:
                f.write(text)
            return f"the traceback is in {f.name}; please report it"
        except OSError:
            continue
    return "its traceback could not be written"
