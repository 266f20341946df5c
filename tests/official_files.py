"""Small files in the official VQA format, and prepared files as the original project wrote them."""

import json
import shutil

import h5py
import numpy as np


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


def copy_prepared(source, folder):
    """Copy the three prepared files, for tests that change them."""
    folder.mkdir(exist_ok=True)
    for name in ("data_prepro.h5", "data_prepro.json", "data_img.h5"):
        shutil.copy(source / name, folder)
    return folder


def write_original(source, folder):
    """Copy prepared files as the original would have written them: its datasets and keys and no others."""
    folder.mkdir()
    kinds = ("ques", "ques_length", "question_id", "img_pos")
    names = [f"{kind}_{split}" for kind in kinds for split in ("train", "test")]
    with h5py.File(source / "data_prepro.h5") as ours, h5py.File(folder / "data_prepro.h5", "w") as file:
        for name in (*names, "answers", "MC_ans_test"):
            values = ours[name][:].astype(np.uint32)
            file[name] = (
                values[:, None] if "img_pos" in name else values
            )  # Torch's tables come out as columns
    names = json.loads((source / "data_prepro.json").read_text(encoding="utf-8"))
    kept = {k: names[k] for k in ("ix_to_word", "ix_to_ans", "unique_img_train", "unique_img_test")}
    kept["ix_to_word"] = dict(reversed(kept["ix_to_word"].items()))  # in any order
    (folder / "data_prepro.json").write_text(json.dumps(kept))
    return folder
