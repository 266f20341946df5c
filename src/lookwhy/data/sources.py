"""The published files of each data set, as `sources.yaml` lists them."""

from dataclasses import dataclass
from pathlib import Path

import yaml


@dataclass(frozen=True)
class Source:
    """One published file.

    Attributes:
        url: address; its last part is the file's name.
        checksum: `algorithm:hexadecimal digest`, algorithms as in hashlib; None where none is published.
        folder: folder for the content of a zip, whether or not the zip contains that folder; None keeps the
            paths in the zip.
    """

    url: str
    checksum: str | None = None
    folder: str | None = None


_TABLE = yaml.safe_load(Path(__file__).with_name("sources.yaml").read_text(encoding="utf-8"))
DATASETS = {label: tuple(Source(**entry) for entry in entries) for label, entries in _TABLE.items()}
"""Files of each data set, by the name that `prepare.py download` takes."""
