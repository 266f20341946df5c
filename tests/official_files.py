"""Small questions and annotations files in the official VQA format."""

import json


def entry(question_id, image_id, text, answers, question_type="what", answer_type="other", choices=None):
    """A question and its annotation; the first answer counts as the most frequent one."""
    question = {"question_id": question_id, "image_id": image_id, "question": text}
    if choices is not None:
        question["multiple_choices"] = choices
    annotation = {
        "question_id": question_id,
        "image_id": image_id,
        "question_type": question_type,
        "answer_type": answer_type,
        "multiple_choice_answer": answers[0],
        "answers": [{"answer_id": i, "answer": answer} for i, answer in enumerate(answers, start=1)],
    }
    return question, annotation


def write_official(folder, split, entries, subtype="val2014"):
    """Write questions_<split>.json and annotations_<split>.json; returns their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = folder / f"questions_{split}.json", folder / f"annotations_{split}.json"
    for path, key, items in zip(paths, ("questions", "annotations"), zip(*entries, strict=True), strict=True):
        path.write_text(json.dumps({"data_subtype": subtype, key: list(items)}), encoding="utf-8")
    return paths
