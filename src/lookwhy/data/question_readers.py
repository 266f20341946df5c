"""Readers of question files: VizWiz-VQA, GQA, VQA-CP, OK-VQA, TextVQA and easy-VQA.

Each reader returns the questions of each split, as `read_official` has them; a split without a name is the
one that its files are of. A data set with one answer to a question has it ten times, because the official
accuracy is defined for ten. Where a data set has no question type, this is the first two words of the
question; the answer type follows from the answer.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, NotRequired

from pydantic import Field
from typing_extensions import TypedDict

from lookwhy.data.entries import (
    IMAGE_IDS,
    QUESTION_IDS,
    AnswerEntry,
    ImageId,
    QuestionId,
    Text,
    id_text,
    read_id,
)
from lookwhy.data.json_files import read_json
from lookwhy.data.official import NUM_ANNOTATORS, Question, read_official
from lookwhy.errors import LookwhyError
from lookwhy.progress import progress
from lookwhy.schema import checked

Parts = dict[str, list[Question]]
"""Questions of each split."""
_NUMBER = re.compile(r"[0-9]+(?:[.,][0-9]+)?")


class VizWizEntry(TypedDict):
    """Keys that are read of an entry of VizWiz-VQA; a test entry has no answers."""

    image: Annotated[str, Field(pattern=r"^[^\x00]+$")]
    question: Text
    answers: NotRequired[list[AnswerEntry]]
    answer_type: NotRequired[Text]


class GQAEntry(TypedDict):
    """Keys that are read of an entry of GQA; a test entry has neither answer nor types."""

    question_id: QuestionId
    question: Text
    imageId: ImageId
    answer: NotRequired[Text]
    types: NotRequired[dict[str, Text | None]]


class TextVQAEntry(TypedDict):
    """Keys that are read of an entry of TextVQA; a test entry has no answers."""

    question_id: QuestionId
    image_id: ImageId
    question: Text
    set_name: NotRequired[Text]
    answers: NotRequired[list[Text]]


def read_vizwiz(sources: Sequence[Path]) -> Parts:
    """Read VizWiz-VQA, `train.json`, `val.json` or `test.json` (vizwiz.org/tasks-and-datasets/vqa).

    A file is a list of entries with `image`, `question`, ten `answers` and `answer_type`, which may be
    "unanswerable". An image has one question, so its name is the question's id, as that of its mask.
    """
    result = []
    for path in sources:
        entries = _list(read_json(path, "VizWiz questions"), "a list of VizWiz's entries", path)
        for place, one in _checked(VizWizEntry, entries, path):
            name = Path(one["image"]).stem
            answers = _ten([answer["answer"] for answer in one.get("answers", [])], place, path)
            # Images of the split "val" lie in a folder of this name.
            subtype = match[1] if (match := re.match(r"VizWiz_([a-z]+)_", name)) else ""
            fields = {"file": one["image"], "subtype": subtype, "answer_type": one.get("answer_type", "")}
            result.append(_question(name, name, one["question"], answers, **fields))
    return {"": result}


def read_gqa(sources: Sequence[Path]) -> Parts:
    """Read GQA, such as `train_balanced_questions.json` (cs.stanford.edu/people/dorarad/gqa/download.html).

    A file has an entry for each question id: `question`, `imageId`, the one `answer`, and `types`, of which
    `structural` (verify, query, choose, logical, compare) becomes the question type. Images are
    `<imageId>.jpg`.
    """
    result = []
    for path in sources:
        content = read_json(path, "GQA questions")
        if not isinstance(content, dict):
            raise _other("an object of GQA's questions by id", content, path)
        entries = [
            {**one, "question_id": name} if isinstance(one, dict) else one for name, one in content.items()
        ]
        for _, one in _checked(GQAEntry, entries, path):
            answers = [one["answer"]] * NUM_ANNOTATORS if "answer" in one else []
            kind = one.get("types", {}).get("structural") or ""
            fields = {"file": f"{one['imageId']}.jpg", "question_type": kind}
            result.append(_question(one["question_id"], one["imageId"], one["question"], answers, **fields))
    return {"": result}


def read_textvqa(sources: Sequence[Path]) -> Parts:
    """Read TextVQA, such as `TextVQA_0.5.1_train.json` (textvqa.org/dataset).

    A file is an object with a list `data`: `question_id`, `image_id`, `question`, ten `answers` and
    `set_name`. Images are `<image_id>.jpg` in `train_images`, also those of val, or in `test_images`.
    """
    result = []
    for path in sources:
        content = read_json(path, "TextVQA questions")
        entries = content.get("data") if isinstance(content, dict) else content
        for place, one in _checked(TextVQAEntry, _list(entries, 'a list "data" of TextVQA', path), path):
            answers = _ten(one.get("answers", []), place, path)
            folder = "test_images" if one.get("set_name") == "test" else "train_images"
            fields = {"file": f"{one['image_id']}.jpg", "subtype": folder}
            result.append(_question(one["question_id"], one["image_id"], one["question"], answers, **fields))
    return {"": result}


def read_vqa_cp(sources: Sequence[Path]) -> Parts:
    """Read VQA-CP v1 or v2 (Agrawal et al. 2018; computing.ece.vt.edu/~aish/vqacp).

    Give `vqacp_v2_train_questions.json` and `vqacp_v2_train_annotations.json`: bare lists of official
    entries, each with `coco_split`, the folder of its image.
    """
    return {"": read_official(*_pair(sources))}


def read_ok_vqa(sources: Sequence[Path]) -> Parts:
    """Read OK-VQA 1.0 or 1.1 (Marino et al. 2019; okvqa.allenai.org/download.html).

    Give the questions and annotations, which are official files. A question type is a word ("four"); the
    annotations' `question_types` has its name ("Sports and Recreation"). The answers are the stemmed ones, by
    which the data set is scored.
    """
    questions, annotations = _pair(sources)
    found = read_official(questions, annotations)
    if annotations:
        content = read_json(annotations, "OK-VQA annotations")
        given = content.get("question_types", {}) if isinstance(content, dict) else {}
        names = checked(dict[str, Text], given, "names of question_types", annotations, "fetch it again")
        found = [replace(one, question_type=names.get(one.question_type, one.question_type)) for one in found]
    return {"": found}


def read_easy_vqa(sources: Sequence[Path]) -> Parts:
    """Read easy-VQA, train and test (github.com/vzhou842/easy-VQA; `pip install easy-vqa`).

    Give the folder of the package, the folder that it is installed in, or its `data`. There,
    `<split>/questions.json` is a list of [question, answer, number of the image], and images are
    `<split>/images/<number>.png`.
    """
    if len(sources) != 1:
        raise LookwhyError(f"expected one folder of easy-VQA, found {len(sources)} paths; give one")
    places = [sources[0], sources[0] / "data", sources[0] / "easy_vqa" / "data"]
    folder = next((place for place in places if (place / "train" / "questions.json").is_file()), None)
    if folder is None:
        raise LookwhyError(
            f"expected a folder with train/questions.json of easy-VQA, found none in {sources[0]}; give the "
            "folder easy_vqa of the installed package"
        )
    result: Parts = {}
    for split in ("train", "test"):
        path = folder / split / "questions.json"
        entries = _list(read_json(path, "easy-VQA questions"), "a list of easy-VQA's questions", path)
        result[split] = []
        for number, (_, (text, answer, image)) in enumerate(_checked(tuple[Text, Text, int], entries, path)):
            file = f"{split}/images/{image}.png"
            result[split].append(
                _question(f"{split}-{number}", file, text, [answer] * NUM_ANNOTATORS, file=file)
            )
    return result


def answer_type(answer: str) -> str:
    """Kind of an answer by its form: "yes/no", "number" or "other".

    Example:
        >>> answer_type("Yes"), answer_type("3.5"), answer_type("red")
        ('yes/no', 'number', 'other')
    """
    if answer.strip().lower() in ("yes", "no"):
        return "yes/no"
    return "number" if _NUMBER.fullmatch(answer.strip()) else "other"


def first_words(question: str) -> str:
    """The first two words of a question, in lower case; they stand for a question type that is not annotated.

    Example:
        >>> first_words("What color is it?"), first_words("Why?")
        ('what color', 'why')
    """
    return " ".join(question.lower().strip(" ?.!").split()[:2])


def _question(
    question_id: int | str, image_id: int | str, text: str, answers: list[str], **fields: Any
) -> Question:
    """A question; its answer and both types follow from the rest where `fields` lacks them."""
    fields |= {"id_text": id_text(question_id), "image_id_text": id_text(image_id)}
    if answers:
        answer = max(answers, key=answers.count)
        fields |= {"answer": answer, "answers": answers}
        fields["answer_type"] = fields.get("answer_type") or answer_type(answer)
        fields["question_type"] = fields.get("question_type") or first_words(text)
    ids = read_id(question_id, QUESTION_IDS), read_id(image_id, IMAGE_IDS)
    return Question(*ids, text, fields.pop("subtype", ""), **fields)


def _ten(answers: list[str], place: str, path: Path) -> list[str]:
    """Ten answers; fewer are repeated, each as often, which leaves their shares as they are."""
    if answers and NUM_ANNOTATORS % len(answers):
        raise LookwhyError(
            f"expected {NUM_ANNOTATORS} answers, or 1, 2 or 5 that are repeated, found {len(answers)} to "
            f"{place} in {path}; the official accuracy is defined for {NUM_ANNOTATORS}"
        )
    return [answer for answer in answers for _ in range(NUM_ANNOTATORS // len(answers))]


def _checked(kind: Any, entries: list[Any], path: Path) -> Iterator[tuple[str, Any]]:
    """Entries in their declared form, each with its place for messages; a bar tells the progress."""
    for number, one in enumerate(progress(entries, f"converting {path.name}", unit="question")):
        own = one.get("question_id", "") if isinstance(one, dict) else ""
        place = f"question {own}" if own != "" else f"entry {number + 1}"
        remedy = "correct it, or give the data set's own file"
        yield place, checked(kind, one, f"the fields of {place}", path, remedy)


def _pair(sources: Sequence[Path]) -> tuple[Path, Path | None]:
    if len(sources) > 2:
        raise LookwhyError(
            f"expected a file of questions and one of annotations, found {len(sources)} files; convert each "
            "split by itself"
        )
    return sources[0], sources[1] if len(sources) == 2 else None


def _list(content: Any, expected: str, path: Path) -> list[Any]:
    if not isinstance(content, list):
        raise _other(expected, content, path)
    return content


def _other(expected: str, content: Any, path: Path) -> LookwhyError:
    keys = f" with the keys {', '.join(map(repr, list(content)[:4]))}" if isinstance(content, dict) else ""
    found = f"{type(content).__name__}{keys}"
    return LookwhyError(f"expected {expected}, found {found} in {path}; give the data set's own file")
