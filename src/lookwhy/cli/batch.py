"""`analyze.py explain --batch`: a list of questions, image by image; finished explanations are not repeated.

The name of a file contains a digest of checkpoint, plan, image and question, on which its content depends.
Files are written atomically. So a file with that name is complete, even if the command was stopped.
"""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections import defaultdict
from pathlib import Path

from lookwhy import api
from lookwhy.api.classes import PictureView
from lookwhy.cli.errors import file_endings
from lookwhy.data.question_lists import BadRow, ListedQuestion, read_questions
from lookwhy.errors import LookwhyError
from lookwhy.files import atomic_path, sha256_file, writing
from lookwhy.progress import progress, write_above
from lookwhy.reporting.figures.explanation import NUMBERS, PICTURES, Json, number

INDEX, INDEX_VERSION = "index.json", 1
SECONDS_BETWEEN_INDICES = 30.0
"""A killed command repeats the explanations of at most this time."""


def explain_batch(
    checkpoint: str | Path,
    source: Path,
    images: Path | None,
    out: Path,
    formats: str,
    device: str,
    overwrite: bool = False,
    moved: api.Moved | None = None,
    plan: Path | None = None,
    candidates: Path | None = None,
    allow_remote: bool = False,
) -> None:
    """Explain every question of a list; prints how many were explained, existed and failed.

    Raises:
        LookwhyError: some rows could not be explained (each has been reported, and the others are written),
            or the list, the checkpoint or the output folder cannot be used.
    """
    endings = file_endings(formats, (*PICTURES, NUMBERS))
    rows = read_questions(source, images)
    model = api.load(
        checkpoint, device, moved=moved, plan=plan, candidates=candidates, allow_remote=allow_remote
    )
    _Batch(model, out, endings, overwrite).run(rows)


class _Batch:
    """The state of one command: the index of its explanations, and the counts of its rows."""

    def __init__(self, model: api.LoadedModel, out: Path, endings: list[str], overwrite: bool) -> None:
        self._model, self._out, self._endings, self._overwrite = model, out, endings, overwrite
        self._index: dict[str, Json] = {}
        self._explained = self._existing = self._bad = 0
        self._before = _entries_in(out / INDEX)
        self._written = time.monotonic()

    def run(self, rows: list[ListedQuestion | BadRow]) -> None:
        of_image: dict[Path, list[ListedQuestion]] = defaultdict(list)
        with progress(desc="explaining", total=len(rows), unit="question", leave=False) as bar:
            for row in rows:
                if isinstance(row, BadRow):
                    self._report(row.where, row.why)
                    bar.update()
                else:
                    of_image[row.image].append(row)
            try:
                for questions in of_image.values():
                    picture = None  # read when its first question needs it
                    for row in questions:
                        picture = self._explain(row, picture)
                        bar.update()
                        if time.monotonic() - self._written > SECONDS_BETWEEN_INDICES:
                            self._write_index(is_whole=False)
            except BaseException:  # also an interruption
                self._write_index(is_whole=False)
                raise
        self._write_index(is_whole=True)
        self._print_counts(len(rows))

    def _explain(self, row: ListedQuestion, picture: PictureView | None) -> PictureView | None:
        """Explain one question unless its files exist; returns the picture for the next one."""
        try:
            name = self._name(row)
            files = [self._out / f"{name}{ending}" for ending in self._endings]
            answer = {key: self._before.get(name, {}).get(key) for key in ("answer", "probability")}
            # After a kill, no index knows the answers of the last explanations: they are repeated.
            is_there = name in self._before and all(file.is_file() for file in files)
            if name in self._index or (is_there and not self._overwrite):
                self._existing += 1
                why = None
            else:
                picture = picture or self._model.look(row.image)
                why = self._model.explain(picture, row.question)
        except (LookwhyError, OSError) as error:
            self._report(row.where, str(error))
            return picture
        if why is not None:
            for file in files:
                why.save(file)
            self._explained += 1
            answer = {"answer": why.answer, "probability": number(why.answers[0].probability)}
        entry = {"name": name, "row": row.where, "image": str(row.image), "question": row.question}
        self._index.setdefault(name, entry | answer | {"files": [file.name for file in files]})
        return picture

    def _name(self, row: ListedQuestion) -> str:
        of_model = [self._model.origin[key] for key in ("checkpoint_sha256", "plan")]
        depends = [*of_model, sha256_file(row.image), row.question, row.name]
        digest = hashlib.sha256(json.dumps(depends, sort_keys=True).encode()).hexdigest()[:10]
        # A name from a list must be safe as part of a file's name.
        plain = re.sub(r"[^\w.-]+", "_", row.name)[:40].strip("._") or "question"
        return f"{plain}-{digest}"

    def _report(self, where: str, why: str) -> None:
        self._bad += 1
        write_above(f"{where}: {why}")

    def _write_index(self, is_whole: bool) -> None:
        """Write the index of this list; until it is whole, it keeps the entries of an earlier command."""
        self._written = time.monotonic()
        content = {"schema_version": INDEX_VERSION, **self._model.origin}
        entries = self._index if is_whole else self._before | self._index
        content["explanations"] = [*entries.values()]
        text = json.dumps(content, ensure_ascii=False, allow_nan=False, indent=1)
        with writing("a folder to write to", self._out), atomic_path(self._out / INDEX) as partial:
            partial.write_text(text + "\n", encoding="utf-8")

    def _print_counts(self, rows: int) -> None:
        if self._existing:
            print(f"{self._existing} of {rows} were there already and are kept; --overwrite replaces them")
        print(f"{self._explained} explained, index  {self._out / INDEX}")
        if self._bad:
            raise LookwhyError(
                f"expected to explain {rows} questions, found {self._bad} that cannot be, named above; "
                "correct them and give the same command again, which keeps what is done"
            )


def _entries_in(index: Path) -> dict[str, Json]:
    """Entries by name of the index of an earlier command; none if it cannot be read."""
    try:
        entries = json.loads(index.read_text(encoding="utf-8"))["explanations"]
        return {one["name"]: one for one in entries if {"answer", "probability"} <= one.keys()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}
