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
        folder: folder for a zip's content, however it was packed; None keeps the zip's own folders.
    """

    url: str
    checksum: str | None = None
    folder: str | None = None


_TABLE = yaml.safe_load(Path(__file__).with_name("sources.yaml").read_text(encoding="utf-8"))
DATASETS = {label: tuple(Source(**entry) for entry in entries) for label, entries in _TABLE.items()}
"""Files by the name of the data set that the command takes."""
