"""Analyses that were cut, emptied, mixed or written by others: one line that names file and field, no output."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from made_results import make_result, make_run

from lookwhy import store
from lookwhy.cli.analyze import main
from lookwhy.errors import LookwhyError
from lookwhy.reporting.page.html import write_report


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("whole") / "run", None, 1, count=4)


def text(content: str):
    return lambda path: path.write_text(content)


def changed(**fields):
    return lambda path: path.write_text(json.dumps(json.loads(path.read_text()) | fields))


def cut(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def column(name, values, kind=None):
    """A change of one column of records.parquet; no values: without the column."""

    def change(path):
        table = pq.read_table(path)
        place = table.schema.get_field_index(name)
        table = table.remove_column(place)
        if values is not None:
            table = table.add_column(place, name, pa.array(values(table.num_rows), kind))
        pq.write_table(table, path)

    return change


def rows(change):
    def changed(path):
        table = pq.read_table(path)
        pq.write_table(pa.Table.from_pylist(change(table.to_pylist()), table.schema), path)

    return changed


def data(name, values=None, **attributes):
    """A change of one dataset of maps.h5; no values: without the dataset."""

    def change(path):
        with h5py.File(path, "r+") as file:
            old, attrs = file[name][:], dict(file[name].attrs)
            del file[name]
            if values is not None:
                file[name] = values(old)
                file[name].attrs.update(attrs)
                for attribute in attributes:
                    del file[name].attrs[attribute]

    return change


def group_as_dataset(path):
    with h5py.File(path, "r+") as file:
        del file["image"]
        file["image"] = [1.0]


CURVE = {"x": [0.0, 1.0], "y": [0.5]}
DAMAGES = {
    "manifest.json cut": (cut, "found a damaged one"),
    "manifest.json empty": (text(""), "found a damaged one"),
    "manifest.json list": (text("[]"), "expected the manifest of an analysis"),
    "manifest.json not UTF-8": (lambda path: path.write_bytes(b'{"a": "\xff"}'), "found a damaged one"),
    "manifest.json nested": (text("[" * 100_000), "found a damaged one"),
    "manifest.json newer": (changed(schema_version=2, examples="all"), "expected schema version 1, found 2"),
    "manifest.json without version": (text('{"epoch": 0}'), "expected schema version 1, found None"),
    "manifest.json version of text": (changed(schema_version="1"), "found '1'"),
    "manifest.json examples": (changed(examples=["a"]), "found examples.0: 'a'"),
    "manifest.json epoch": (changed(epoch="last"), "found epoch: 'last'"),
    "manifest.json epoch -7": (changed(epoch=-7), "found epoch: -7"),
    "manifest.json grid": (changed(grid=[16]), "found grid: a list"),
    "manifest.json excluded": (changed(excluded=["map"]), "found excluded: a list"),
    "manifest.json plan": (changed(plan={"correct_above": "most"}), "found plan.correct_above: 'most'"),
    "manifest.json data": (changed(data="here"), "found data: 'here'"),
    "manifest.json annotators": (changed(annotators=3), "found annotators: 3"),
    "manifest.json group_order": (changed(group_order=None), "found group_order: None"),
    "summary.json cut": (cut, "found a damaged one"),
    "summary.json list": (text("[1]"), "expected numbers by their keys, found a list"),
    "summary.json text": (changed(**{"accuracy/overall": "0.5"}), "found accuracy/overall: '0.5'"),
    "summary.json null": (changed(**{"accuracy/overall": None}), "found accuracy/overall: None"),
    "summary.json true": (changed(**{"accuracy/overall": True}), "found accuracy/overall: True"),
    "summary.json NaN": (changed(**{"accuracy/overall": float("nan")}), "found accuracy/overall: nan"),
    "summary.json huge": (text('{"accuracy/overall": 1e999}'), "found accuracy/overall: inf"),
    "curves.json cut": (cut, "found a damaged one"),
    "curves.json list": (text("[]"), "expected curves, found a list"),
    "curves.json without y": (changed(a={"x": [1.0]}), "found no a.y"),
    "curves.json lengths": (changed(a=CURVE), "should have as many points as each other"),
    "curves.json text": (changed(a={"x": ["0"], "y": [1.0]}), "found a.x.0: '0'"),
    "records.parquet cut": (cut, "found a damaged one"),
    "records.parquet empty": (text(""), "found a damaged one"),
    "records.parquet without rho": (column("rho", None), "expected a column rho of double, found none"),
    "records.parquet text": (column("flips", lambda n: ["a"] * n), "column flips of int64, found string"),
    "records.parquet null id": (
        column("image_id", lambda n: [None] * n, pa.int64()),
        "found 16 rows without",
    ),
    "records.parquet domain": (column("domain", lambda n: ["sound"] * n), "found 'sound'"),
    "records.parquet other ids": (
        column("question_id", lambda n: [*range(n)], pa.int64()),
        "expected question_id 0 of ",
    ),
    "records.parquet no rows": (rows(lambda _: []), "expected question_id 100 of "),
    "records.parquet other methods": (
        column("method", lambda n: ["other"] * n),
        "expected records of image/",
    ),
    "maps.h5 cut": (cut, "found a damaged one"),
    "maps.h5 empty": (text(""), "found a damaged one"),
    "maps.h5 no ids": (data("question_id"), "expected question_id of whole numbers (N), found none"),
    "maps.h5 more ids": (data("question_id", lambda old: np.arange(9)), "floating-point numbers (9, "),
    "maps.h5 ids twice": (data("question_id", lambda old: old * 0 + 100), "expected each question_id once"),
    "maps.h5 ids of text": (data("question_id", lambda old: [b"a"] * 4), "question_id of whole numbers"),
    "maps.h5 other grid": (data("image/occlusion", lambda old: old[:, :8, :8]), "image/occlusion of"),
    "maps.h5 flat": (data("image/occlusion", lambda old: old[:, 0]), "found float32 (4, 16)"),
    "maps.h5 whole numbers": (
        data("question/gradient", lambda old: old > 0),
        "question/gradient of floating",
    ),
    "maps.h5 no answers": (
        data("answer/image/occlusion"),
        "answer/image/occlusion of whole numbers (4), found",
    ),
    "maps.h5 flips": (data("flips/image/occlusion", lambda old: old[1:]), "flips/image/occlusion of"),
    "maps.h5 no target": (data("image/occlusion", lambda old: old, target=0), "found no attribute target"),
    "maps.h5 annotators": (
        data("image/human", lambda old: old[:3]),
        "image/human of floating-point numbers (4,",
    ),
    "maps.h5 masks": (data("image/truth", lambda old: old[:3]), "image/truth of floating-point numbers (4,"),
    "maps.h5 masks without target": (data("image/truth", lambda old: old, target=0), "no attribute target"),
    "maps.h5 no group": (group_as_dataset, "expected a group image, found a dataset"),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_a_damaged_analysis_is_one_line_that_names_file_and_field(whole, tmp_path, monkeypatch, capsys, name):
    (change, told), file = DAMAGES[name], name.split()[0]
    run = shutil.copytree(whole, tmp_path / "a" / "run")
    change(store.epoch_folder(run, 0) / file)
    monkeypatch.chdir(tmp_path)
    json_only = file.endswith(".json")
    for words in ("compare", "figures --out out/new", *(["workspace --out view.json"] * json_only)):
        assert main([*words.split(), str(run)]) == 2
        output = capsys.readouterr()
        (line,) = output.err.splitlines()
        assert told in line
        assert str(store.epoch_folder(run, 0) / file) in line, "the file is named"
        assert output.out == ""
        assert [path.name for path in tmp_path.iterdir()] == ["a"], "nothing is written"


def test_an_epoch_without_its_scalars_is_told_not_left_out(whole, tmp_path, capsys):
    run = shutil.copytree(whole, tmp_path / "run")
    (run / "analysis" / "epoch=001" / "figures").mkdir(parents=True)
    assert main(["compare", str(run), "--out", str(tmp_path / "report.html")]) == 2
    assert f"found none; {store.AGAIN}" in capsys.readouterr().err
    assert not (tmp_path / "report.html").exists()


def test_a_run_deleted_while_its_page_is_made_is_told_and_leaves_no_page(tmp_path):
    run = make_run(tmp_path / "run", None, 3, count=4)

    def deleted():
        shutil.rmtree(run)
        yield from ()

    with pytest.raises(LookwhyError, match="expected manifest.json in .*epoch=000, found none"):
        write_report([run], tmp_path / "report.html", deleted())
    assert [*tmp_path.iterdir()] == []


def test_fields_of_later_versions_are_kept_and_those_of_earlier_ones_may_be_missing(tmp_path):
    folder = store.save(make_result(count=4), tmp_path / "epoch=000")
    changed(new={"a": 1}, plan={"compared": "magnitude", "new": [1]})(folder / "manifest.json")
    found = store.load(folder)
    assert (found.manifest["new"], found.manifest["plan"]["new"]) == ({"a": 1}, [1])
    (folder / "curves.json").unlink()
    text('{"schema_version": 1}')(folder / "manifest.json")
    assert (store.load(folder).manifest, store.load(folder).curves) == ({}, {})


def test_tags_come_back_beside_the_words_and_analyses_of_earlier_versions_have_none(tmp_path):
    result = make_result(count=4)
    for record in result.records:
        record["tags"] = ["NN"] * len(record["words"])
    folder = store.save(result, tmp_path / "epoch=000")
    found = store.load(folder).records
    assert [one["tags"] for one in found] == [["NN"] * len(one["words"]) for one in found]
    file = folder / "records.parquet"
    pq.write_table(pq.read_table(file).drop_columns(["tags"]), file)
    older = store.load(folder)
    assert not any("tags" in record for record in older.records)
    # It can be stored again.
    assert store.load(store.save(older, folder)).records[0]["tags"] is None


def test_masks_come_back_as_they_were_and_analyses_of_earlier_versions_have_none(tmp_path):
    result = make_result(count=4)
    assert np.isnan(result.truth).any()
    folder = store.save(result, tmp_path / "epoch=000")
    found = store.load(folder)
    np.testing.assert_array_equal(found.truth, result.truth)
    assert found.truth.dtype == np.float32
    assert set(found.maps) == set(result.maps)
    with h5py.File(folder / "maps.h5") as file:
        assert not file["image/truth"].attrs["signed"]
        assert file["image/truth"].attrs["target"]
    data("image/truth")(folder / "maps.h5")
    assert store.load(folder).truth.shape == (0, 1, 1)
    result.truth = np.zeros((0, 1, 1), np.float32)
    assert "truth" not in h5py.File(store.save(result, folder) / "maps.h5")["image"]


def test_an_analysis_is_replaced_whole_and_leaves_no_other_folder(tmp_path):
    for count in (4, 5):
        store.save(make_result(count=count), tmp_path / "epoch=000")
    assert [path.name for path in Path(tmp_path).iterdir()] == ["epoch=000"]
    assert len(store.load(tmp_path / "epoch=000").question_ids) == 5
    with pytest.raises(LookwhyError, match="expected manifest.json in .*, found none"):
        store.load(tmp_path / "epoch=001")
