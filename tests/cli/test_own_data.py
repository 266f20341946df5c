"""Data as people have it, through the real commands: text ids, official names of results, features of their own."""

import json

import h5py
import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from official_files import copy_prepared
from pages import code_blocks
from tiny_runs import ROOT, train_options

from lookwhy.cli.analyze import main as analyze
from lookwhy.cli.prepare import KINDS, SPLITS
from lookwhy.cli.prepare import main as prepare
from lookwhy.cli.train import main as train


def rewrite(world, folder, edit):
    """Copy the official files of the world with every entry changed; returns the options of prepare."""
    folder.mkdir()
    options = []
    for split in SPLITS:
        for kind in KINDS:
            content = json.loads((world / f"{kind}_{split}.json").read_text())
            path = folder / f"{kind}_{split}.json"
            edit(content, kind, split)
            path.write_text(json.dumps(content))
            options += [f"--{split}-{kind}", str(path)]
    return [*options, "--images", str(world / "images"), "--num-answers", "1000"]


@pytest.fixture(scope="module")
def with_text_ids(tiny_world, tmp_path_factory):
    """The tiny world as another project would write it: text ids, image paths in the entries, bare lists."""
    folder = tmp_path_factory.mktemp("own") / "official"

    def edit(content, kind, split):
        for one in content[kind]:
            if kind == "questions":
                one["image"] = f"shapes_{split}/COCO_shapes_{split}_{one['image_id']:012d}.png"
            one |= {key: f"{key[0]}{one[key]}" for key in ("question_id", "image_id")}
        del content["data_subtype"]

    out = folder.parent / "world"
    assert prepare(["questions", *rewrite(tiny_world, folder, edit), "--out", str(out)]) == 0
    for name in ("data_img.h5", "tower.pt"):
        (out / name).write_bytes((tiny_world / name).read_bytes())
    return out


def moved(checkpoint, path, **data):
    """A copy of a checkpoint whose data lie elsewhere."""
    content = torch.load(checkpoint, weights_only=True)
    content["lookwhy"]["data"] |= {name: str(value) for name, value in data.items()}
    torch.save(content, path)
    return str(path)


def test_text_ids_return_in_records_result_files_and_figures(
    tiny_world, tiny_checkpoint, with_text_ids, tmp_path, capsys
):
    with h5py.File(with_text_ids / "data_prepro.h5") as file, h5py.File(tiny_world / "data_prepro.h5") as own:
        for name in own:
            if not name.startswith(("question_id", "image_id")):
                assert (file[name][:] == own[name][:]).all(), name
        numbers = dict(enumerate(own["question_id_test"][:].tolist()))
        order = dict(zip(file["question_id_test"][:].tolist(), numbers.values(), strict=True))
        images = own["image_id_test"][:].tolist()
    maps = tmp_path / "maps"
    maps.mkdir()
    for path in (tiny_world / "annotators").iterdir():
        (maps / f"q{path.name}").symlink_to(path)
    masks = tmp_path / "masks"
    masks.mkdir()
    for path in (tiny_world / "truth").iterdir():
        (masks / f"q{path.name}").symlink_to(path)
    folders = {"folder": with_text_ids, "annotator_maps": maps, "truth_masks": masks}
    checkpoint = moved(tiny_checkpoint, tmp_path / "text.ckpt", **folders)
    assert analyze([checkpoint, "--out", str(tmp_path / "out"), "--limit", "4"]) == 0
    [records] = (tmp_path / "out").rglob("records.parquet")
    rows = pq.read_table(records).to_pylist()
    assert {row["question_id_text"] for row in rows} == {f"q{order[row['question_id']]}" for row in rows}
    assert {row["image_id_text"] for row in rows} <= {f"i{image}" for image in images}
    for column in ("rho", "localisation_mass_accuracy"):  # maps and masks were found by the texts
        assert any(row[column] is not None for row in rows)
    [result] = (tmp_path / "out").glob("*_results.json")
    assert result.name == "vqa_OpenEnded_epoch=010_results.json"
    said = json.loads(result.read_text())
    assert [one["question_id"] for one in said] == [f"q{number}" for number in numbers.values()]
    # Figures, and the page, name a question by its text, and are asked for it so.
    run, texts = (
        next((tmp_path / "out").rglob("analysis")).parent,
        sorted({row["question_id_text"] for row in rows}),
    )
    drawn = tmp_path / "figures"
    asked = ["figures", str(run), "--out", str(drawn), "--format", "svg", "--question"]
    assert analyze([*asked, texts[0]]) == 0
    [strip] = drawn.glob("example_*.svg")
    assert f"question {texts[0]}<" in strip.read_text()
    assert analyze([*asked, "q0"]) == 2
    assert f"found --question q0; {texts[0]}" in capsys.readouterr().err
    assert analyze(["compare", str(run), "--out", str(tmp_path / "page.html")]) == 0
    assert f'"id":"{texts[0]}"' in (tmp_path / "page.html").read_text()


@pytest.mark.parametrize(
    ("data_type", "subtype", "name"),
    [
        ("mscoco", "val2014", "mscoco_val2014"),
        ("mscoco", "test-dev2015", "mscoco_test-dev2015"),
        ("abstract_v002", "val2015", "abstract_v002_val2015"),
    ],
)
def test_result_files_of_a_vqa_split_have_the_official_name(
    tiny_world, tiny_checkpoint, tmp_path, data_type, subtype, name
):
    def edit(content, kind, split):
        content |= {"data_type": data_type, "data_subtype": subtype} if split == "val" else {}

    out, said = tmp_path / "world", tmp_path / "said"
    assert prepare(["questions", *rewrite(tiny_world, tmp_path / "json", edit), "--out", str(out)]) == 0
    images = json.loads((out / "data_prepro.json").read_text())["unique_img_test"]
    assert "COCO_test2015_" in images[0] if subtype == "test-dev2015" else subtype in images[0]
    (out / "data_img.h5").write_bytes((tiny_world / "data_img.h5").read_bytes())
    with h5py.File(out / "data_img.h5", "a") as file:
        del file["images_test"].attrs["files_sha256"]  # these features are of the images' other names
    assert analyze([str(tiny_checkpoint), "--data", str(out), "--out", str(said)]) == 0
    run_name = tiny_checkpoint.parent.parent.name
    assert [path.name for path in said.iterdir()] == [
        f"vqa_OpenEnded_{name}_{run_name}-epoch010_results.json"
    ]


def test_features_of_another_network_train_and_their_pixels_are_not_analysed(
    tiny_world, tmp_path, capsys, monkeypatch
):
    (tmp_path / "data").mkdir()
    world = copy_prepared(tiny_world, tmp_path / "data/mine")
    names = json.loads((world / "data_prepro.json").read_text())
    images = [*names["unique_img_train"], *names["unique_img_test"]]
    np.savez(
        tmp_path / "features.npz",
        **dict(zip(images, np.random.default_rng(0).random((len(images), 5, 2)), strict=True)),
    )
    monkeypatch.chdir(tmp_path)
    [script] = [
        text for language, _, text in code_blocks((ROOT / "docs/data.md").read_text()) if language == "python"
    ]
    exec(script, {})
    options = train_options(world, "--trainer.max_epochs=1", "--trainer.logger=false", f"--runs={tmp_path}")
    assert train(options) == 2
    message = capsys.readouterr().err
    assert "a model trained on them answers questions, but its maps need that network" in message
    assert len(message.strip().splitlines()) == 1
    assert train([*options, "--analysis.epochs=[]"]) == 0
    last = next(tmp_path.rglob("last.ckpt"))
    assert analyze([str(last), "--data", str(world), "--out", str(tmp_path / "said")]) == 0
    assert analyze([str(last), "--out", str(tmp_path / "out")]) == 2
    assert "found no stamp in" in capsys.readouterr().err
