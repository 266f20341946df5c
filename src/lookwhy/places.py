"""Where the files that a checkpoint names lie now: data sets and runs move to other disks and machines."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import yaml

from lookwhy.errors import AT_COMMAND, LookwhyError
from lookwhy.schema import checked

PATH_MAP = "paths.yaml"
"""File beside a checkpoint that maps former paths to those of today."""
MOVABLE = {
    "folder": ("--data.folder", "prepared folder: data_prepro.h5, data_prepro.json and data_img.h5"),
    "weights": ("--weights", "weights of the image network"),
    "image_root": ("--data.image_root", "folder of the images"),
    "annotator_maps": ("--data.annotator_maps", "folder of the annotator maps"),
    "truth_masks": ("--data.truth_masks", "folder of the ground-truth masks"),
    "val_questions": ("--data.val_questions", "official JSON of the validation questions"),
    "val_annotations": ("--data.val_annotations", "official JSON of their annotations"),
}
"""For each path of a checkpoint, the option of a command that replaces it, and what lies there."""


class Places:
    """Finds files by the paths that a checkpoint holds.

    A path is looked for in this order: as one of `moved` or below it, in the path map, where it was, and
    where it would be if it had moved together with the run folder.

    Args:
        checkpoint: file that holds the paths.
        stored: paths of the checkpoint by name; None or "" for those that it does not state.
        run_folder: folder of the run during training; empty in earlier checkpoints.
        moved: path of today by the name of a stored path, see `MOVABLE`.

    Raises:
        LookwhyError: `moved` has another name, or a path that does not exist; or the path map is malformed.

    Example:
        >>> stored = {"folder": "/old/data", "image_root": "/old/data/images"}
        >>> Places(Path("last.ckpt"), stored, "", {"folder": "."}).find("/old/data/images").as_posix()
        'images'
    """

    def __init__(
        self,
        checkpoint: Path,
        stored: Mapping[str, str | None],
        run_folder: str,
        moved: Mapping[str, str | Path],
    ) -> None:
        self.moved = {name: str(path) for name, path in moved.items()}
        self._run_folder, self._run = run_folder, checkpoint.parent.parent
        self._map = _read_map(checkpoint.with_name(PATH_MAP))
        for name, path in moved.items():
            if name not in MOVABLE:
                raise LookwhyError(f"expected {', '.join(MOVABLE)}, found {name!r} moved; give one of these")
            if not Path(path).exists():
                raise LookwhyError(
                    f"expected {argument(name)} that exists, found no {path}; correct the path"
                )
            if before := stored.get(name):
                self._map[Path(before)] = Path(path)

    def find(self, stored: str) -> Path:
        """The path of today; the stored one if there is nothing at any of the places."""
        path = Path(stored)
        # The deepest of several folders that hold the path knows best.
        for before, now in sorted(self._map.items(), key=lambda one: len(one[0].parts), reverse=True):
            if path.is_relative_to(before):
                return now / path.relative_to(before)
        if not path.exists() and self._run_folder:
            beside = Path(os.path.normpath(self._run / os.path.relpath(path, self._run_folder)))
            return beside if beside.exists() else path
        return path


def argument(name: str) -> str:
    """Name of the option, or of the entry of `moved` in Python, that replaces a path."""
    return MOVABLE[name][0] if AT_COMMAND.get() else f'moved["{name}"]'


def _read_map(path: Path) -> dict[Path, Path]:
    remedy = "write a line `/former/folder: /folder/of/today` for each folder or file that has moved"
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, yaml.YAMLError) as error:
        text = " ".join(str(error).split())
        raise LookwhyError(f"expected a map of paths, found {text} in {path}; {remedy}") from error
    pairs = checked(dict[str, str], content, "a map of paths", path, remedy)
    return {Path(before): path.parent / now for before, now in pairs.items()}
