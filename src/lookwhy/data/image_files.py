"""Names of image files under the image folder, as the official tools expect them or as an entry says."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from lookwhy.data.entries import Id
from lookwhy.errors import LookwhyError, option

SUFFIXES = (".jpg", ".png", ".jpeg")
_PART_OF_TEST = re.compile(r"^test-(?:dev|standard|std|challenge|reserve)(\d{4})$")
_YEAR = re.compile(r"(?:train|val|test)\d{4}$")
_OFFICIAL = re.compile(r"(?:^|/)(?:COCO|(abstract_v\d+))_(\w+)_\d{12}\.\w+$")


def find_image(root: Path | None, subtype: str, image_id: Id, data_type: str = "", file: str = "") -> str:
    """Path of an image under the folder: the first of its names that exists, else the usual one.

    The names, each in the folder of the subtype or in `root` itself: `file`, which an entry names itself; the
    official name, as `.jpg` or `.png`; for an id that is text, this text.
    """
    folder = image_folder(subtype)
    if file:
        names = [file, *([f"{folder}/{file}"] if folder else [])]
    elif isinstance(image_id, int):
        first = image_name(subtype, image_id, data_type=data_type)
        other = str(Path(first).with_suffix(".png" if first.endswith(".jpg") else ".jpg"))
        names = [first, other, Path(first).name, Path(other).name]
    else:
        is_whole = Path(image_id).suffix.lower() in SUFFIXES
        own = [image_id] if is_whole else [image_id + suffix for suffix in SUFFIXES]
        names = [*(f"{folder}/{name}" for name in own if folder), *own]
    return next((name for name in names if root and is_file(root / name)), names[0])


def image_name(subtype: str, image_id: int, suffix: str = "", data_type: str = "") -> str:
    """Path of an image under the image folder, as the official tools expect it."""
    folder = image_folder(subtype)
    if data_type.startswith("abstract"):
        return f"{folder}/{data_type}_{folder}_{image_id:012d}{suffix or '.png'}"
    return f"{folder}/COCO_{folder}_{image_id:012d}{suffix or '.jpg'}"


def image_folder(subtype: str) -> str:
    """Folder of a subtype's images: test-dev2015 and the like ask about images of test2015."""
    return _PART_OF_TEST.sub(r"test\1", subtype)


def is_file(path: Path) -> bool:
    """Whether there is such a file; not if the name is too long or holds a zero character."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def official_set(data_type: str, subtype: str) -> str:
    """Name of a split of VQA in the names of its result files, "mscoco_val2014"; empty for other data."""
    is_known = data_type in ("", "mscoco") or data_type.startswith("abstract_v")
    return f"{data_type or 'mscoco'}_{subtype}" if is_known and _YEAR.match(image_folder(subtype)) else ""


def official_set_of(files: Iterable[str]) -> str:
    """Name of the split that the official names of its image files tell; empty for other names."""
    found: set[tuple[str, str]] = set()
    for name in files:
        if (match := _OFFICIAL.search(name)) is None or len(found | {match.groups("")}) > 1:
            return ""
        found.add((match[1] or "", match[2]))
    return official_set(*found.pop()) if found else ""


def check_images(root: Path, image_files: Mapping[str, list[str]]) -> None:
    """Look for every image first, so that hours of work are not lost at a missing one."""
    names = list(dict.fromkeys(name for names in image_files.values() for name in names))
    missing = [name for name in names if not is_file(root / name)]
    if missing:
        raise LookwhyError(
            f"expected {len(names)} images under {root}, found no {missing[0]} ({len(missing)} missing); "
            f"correct {option('images')} or fetch them"
        )
