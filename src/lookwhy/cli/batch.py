"""`analyze.py explain --batch`: a whole list of questions, image by image; what is done is not done again.

A file's name holds a digest of all that its content depends on (checkpoint, plan, image, question), and a
file is there whole or not at all: so a file of that name is a finished one, whoever stopped the command.
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from lookwhy import api
from lookwhy.data.question_lists import Asked, BadRow, read_questions
from lookwhy.errors import LookwhyError
from lookwhy.files import atomic_path, sha256_file
from lookwhy.reporting.figures.explanation import NUMBERS, PICTURES, Json, number

INDEX, INDEX_VERSION = "index.json", 1


@dataclass(frozen=True)
class _Output:
    """A question with the files that its explanation goes to."""

    asked: Asked
    files: tuple[Path, ...]

    @property
    def is_done(self) -> bool:
        return all(file.is_file() for file in self.files)


def explain_batch(
    checkpoint: Path,
    source: Path,
    images: Path | None,
    out: Path,
    formats: str,
    device: str,
    overwrite: bool = False,
) -> None:
    """Explain every question of a list; prints how many were written, skipped and could not be.

    Raises:
        LookwhyError: some rows could not be explained (each has been reported, the others are written), or
            nothing can be: no list, no checkpoint, no place to write.
    """
    endings = read_formats(formats)
    rows = read_questions(source, images)
    _Batch(api.load(checkpoint, device), out, endings, overwrite).run(rows)


def read_formats(formats: str) -> list[str]:
    """File endings from "png,json".

    Raises:
        LookwhyError: one is not known.
    """
    endings = list(dict.fromkeys(f".{one.strip().lstrip('.').lower()}" for one in formats.split(",")))
    known = (*PICTURES, NUMBERS)
    wrong = [ending for ending in endings if ending not in known]
    if wrong:
        raise LookwhyError(
            f"expected --format of {', '.join(one[1:] for one in known)}, found {wrong[0][1:]!r}; "
            "separate several by commas"
        )
    return endings


class _Batch:
    """The state of one command: what is written, and what went wrong."""

    def __init__(self, model: api.LoadedModel, out: Path, endings: list[str], overwrite: bool) -> None:
        self._model, self._out, self._endings, self._overwrite = model, out, endings, overwrite
        self._written: dict[str, Json] = {}
        self._explained = self._skipped = self._bad = 0
        self._before = _answers_before(out / INDEX)

    def run(self, rows: list[Asked | BadRow]) -> None:
        of_image: dict[Path, list[Asked]] = defaultdict(list)
        with tqdm(total=len(rows), desc="explaining", unit="question", leave=False, disable=None) as bar:
            for row in rows:
                if isinstance(row, BadRow):
                    self._report(row.where, row.why)
                    bar.update()
                else:
                    of_image[row.image].append(row)
            try:
                for image, asked in of_image.items():
                    self._explain_image(image, asked, bar)
            finally:
                # Also of a part, when it is interrupted.
                self._write_index()
        self._tell(len(rows))

    def _explain_image(self, image: Path, asked: list[Asked], bar: Any) -> None:
        """All questions about one image: it is read and looked at once, and not at all if all are done."""
        try:
            digest = sha256_file(image)
            outputs = [self._output(digest, one) for one in asked]
            waiting = [one for one in outputs if self._overwrite or not one.is_done]
            picture = self._model.look(image) if waiting else None
        except (LookwhyError, OSError) as error:
            for one in asked:
                self._report(one.where, str(error))
            bar.update(len(asked))
            return
        for output in outputs:
            if output.files[0].stem in self._written:
                self._skipped += 1  # the same row once more
            elif picture is None or output not in waiting:
                self._note(output, None)
                self._skipped += 1
            else:
                try:
                    why = self._model.explain(picture, output.asked.question)
                except LookwhyError as error:
                    self._report(output.asked.where, str(error))
                else:
                    self._write(output, why)
            bar.update()

    def _output(self, image_sha256: str, asked: Asked) -> _Output:
        depends = [
            self._model.origin["checkpoint_sha256"],
            self._model.origin["plan"],
            image_sha256,
            asked.question,
            asked.name,
        ]
        digest = hashlib.sha256(json.dumps(depends, sort_keys=True).encode()).hexdigest()[:10]
        name = f"{_plain(asked.name, 40)}-{digest}"
        return _Output(asked, tuple(self._out / f"{name}{ending}" for ending in self._endings))

    def _write(self, output: _Output, why: api.Why) -> None:
        for file in output.files:
            why.save(file)
        self._explained += 1
        self._note(output, why)

    def _note(self, output: _Output, why: api.Why | None) -> None:
        """Add an entry to the index; a question explained before keeps the answer of the old index."""
        name = output.files[0].stem
        known = self._before.get(name) or {"answer": None, "probability": None}
        if why is not None:
            best = why.answers[0]
            known = {"answer": best.text, "probability": number(best.probability)}
        self._written[name] = {
            "name": name,
            "row": output.asked.where,
            "image": str(output.asked.image),
            "question": output.asked.question,
            **known,
            "files": [file.name for file in output.files],
        }

    def _report(self, where: str, why: str) -> None:
        self._bad += 1
        tqdm.write(f"{where}: {why}", file=sys.stderr)

    def _write_index(self) -> None:
        content = {
            "schema_version": INDEX_VERSION,
            **self._model.origin,
            "explanations": [*self._written.values()],
        }
        text = json.dumps(content, ensure_ascii=False, allow_nan=False, indent=1)
        try:
            with atomic_path(self._out / INDEX) as partial:
                partial.write_text(text + "\n", encoding="utf-8")
        except OSError as error:
            raise LookwhyError(
                f"expected a folder to write to, found {error.strerror or error} at {self._out}; "
                "name another --out"
            ) from error

    def _tell(self, rows: int) -> None:
        if self._skipped:
            print(f"{self._skipped} of {rows} were there already and are kept; --overwrite makes them anew")
        print(f"{self._explained} explained, index  {self._out / INDEX}")
        if self._bad:
            raise LookwhyError(
                f"expected to explain {rows} questions, found {self._bad} that cannot be, named above; "
                "correct them and give the same command again, which keeps what is done"
            )


def _answers_before(index: Path) -> dict[str, Json]:
    """Answers by name from an index of before; none where there is none to be read."""
    try:
        entries = json.loads(index.read_text(encoding="utf-8"))["explanations"]
        return {one["name"]: {key: one[key] for key in ("answer", "probability")} for one in entries}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _plain(name: str, most: int) -> str:
    """A name that is safe as part of a file's."""
    return re.sub(r"[^\w.-]+", "_", name)[:most].strip("._") or "question"
