"""A real W&B run, offline, read back."""

import json
import os
import sys
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import urlsplit

import matplotlib
import numpy as np
import pytest
import wandb
from made_measures import add_measures
from made_results import make_result, save_pictures
from tiny_runs import leet, run

from lookwhy import store
from lookwhy.errors import LookwhyError
from lookwhy.reporting.wandb import environment, log, media, state
from lookwhy.reporting.wandb.summary import best_values, read_summaries

SCRIPT = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[3])
from made_results import make_result
from lookwhy import store
from lookwhy.reporting.publish import publish

run_folder = Path(sys.argv[1])
bare = make_result(defined=False)
bare.manifest["examples"] = []
publish(bare, run_folder, 0, None)
imported = "wandb" in sys.modules
from lookwhy.reporting.wandb.log import finish
from lookwhy.reporting.wandb.environment import prepare_environment

print(prepare_environment(run_folder))
import wandb
# As Lightning's logger does it.
run = wandb.init(project="lookwhy", name="first")
run.define_metric("trainer/global_step")
run.define_metric("*", step_metric="trainer/global_step", step_sync=True)
for epoch in (0, 1, 2):
    run.log({"train/loss": 1.0, "trainer/global_step": 100 * epoch})
    result = make_result(epoch, folder=Path(sys.argv[2]))
    result.manifest["examples"] = [100, 101]
    result.summary["selective/confidence/ece"] = 0.05
    if epoch == 0:  # a value that is undefined at first
        del result.summary["image/occlusion/rank_correlation"]
    store.save(result, store.epoch_folder(run_folder, epoch))
    publish(result, run_folder, epoch, run)
(run_folder / "analysis" / ".epoch=003.77.partial").mkdir()
(run_folder / "analysis" / ".epoch=003.77.partial" / "manifest.json").write_text("{")
finish(run_folder, run)
run.finish()
print("wandb imported without a run:", imported)
"""


@pytest.fixture(scope="module")
def logged(tmp_path_factory):
    """An offline run of three epochs in a home of its own: its folder, records, output, and the home."""
    base = tmp_path_factory.mktemp("wandb")
    images, home, temporary = save_pictures(base / "images"), base / "home", base / "tmp"
    for folder in (home, temporary):
        folder.mkdir()
    # matplotlib keeps its list of fonts in the home folder: it has one already.
    own = {"HOME": str(home), "TMPDIR": str(temporary), "MPLCONFIGDIR": matplotlib.get_cachedir()}
    words = [sys.executable, "-c", SCRIPT, base / "run", images, Path(__file__).parents[1]]
    done = run(words, base, XDG_CONFIG_HOME="", XDG_CACHE_HOME="", XDG_DATA_HOME="", NETRC="", **own)
    assert done.returncode == 0, done.stderr
    outside = [str(p.relative_to(base)) for f in (home, temporary) for p in f.rglob("*") if p.is_file()]
    (file,) = (base / "run" / "wandb").glob("offline-run-*/*.wandb")
    with leet(file) as lines:
        records = [json.loads(line) for line in lines]
    with leet(file, "--summary") as lines:
        summary = json.load(lines)
    items = [r["history"]["item"] for r in records if r["type"] == "history"]
    return SimpleNamespace(
        base=base, run=base / "run", files=file.parent / "files", records=records, done=done, outside=outside,
        summary=summary,
        # Entries that the analysis logged: one an epoch, and one at the end.
        history=[item for item in items if "analysis/accuracy/overall" in item],
        end=[item for item in items if any("_type" in key and "table" in str(item[key]) for key in item)],
    )  # fmt: skip


def table_of(logged, key: str) -> dict:
    """The only table under a key."""
    (item,) = logged.end
    assert item["epoch"] == 2
    return json.loads((logged.files / item[f"analysis/{key}.path"]).read_text())


def test_each_epoch_is_logged_once_with_its_number_and_every_scalar(logged):
    assert [item["epoch"] for item in logged.history] == [0, 1, 2]
    expected = make_result(2).summary
    assert {key: logged.history[2][f"analysis/{key}"] for key in expected} == pytest.approx(expected)
    assert "analysis/image/occlusion/rank_correlation" not in logged.history[0]


def test_every_metric_is_tied_to_the_epoch_by_its_exact_name(logged):
    metrics = [r["metric"] for r in logged.records if r["type"] == "metric"]
    ours = [m for m in metrics if m.get("name", "").startswith("analysis/")]
    assert all(m["step_metric"] == "epoch" for m in ours)
    assert [m["glob_name"] for m in metrics if m.get("glob_name")] == ["*"], "no pattern but Lightning's"
    names = [m["name"] for m in ours]
    assert len(names) == len(set(names)), "defined once a run, also a key that turns up later"
    items = [*logged.history, *logged.end]
    media = {key.partition("._type")[0] for item in items for key in item if key.endswith("._type")}
    assert media | {f"analysis/{key}" for key in make_result(2).summary} <= set(names)


def test_bounds_and_counts_have_no_panel_and_every_table_is_logged_once_at_the_end(logged):
    metrics = [r["metric"] for r in logged.records if r["type"] == "metric"]
    hidden = {m["name"] for m in metrics if m["options"].get("hidden")}
    scalars = {f"analysis/{key}" for key in make_result(2).summary}
    further = ("/ci_low", "/ci_high", "/n", "/n_undefined", "/images", "/macro")
    further += ("/expected", "/expected_by_place", "/p_value")
    # The measures of selective prediction are many, and the saved view has panels of them.
    expected = {key for key in scalars if key.endswith(further)} | {"analysis/selective/confidence/ece"}
    assert hidden == expected
    assert (len(scalars), len(hidden)) == (212, 150)
    kinds = [item[key] for item in logged.history for key in item if key.endswith("._type")]
    assert set(kinds) == {"images/separated", "image-file"}
    tables = [r["artifact"] for r in logged.records if r["type"] == "artifact"]
    assert sum(one["type"] == "run_table" for one in tables) == 15
    assert len([*logged.files.rglob("*.table.json")]) == 15


def test_the_table_of_questions_has_a_row_a_question_of_the_last_epoch(logged):
    table = table_of(logged, "questions")
    rows = [dict(zip(table["columns"], row, strict=True)) for row in table["data"]]
    assert len(rows) == len({row["question_id"] for row in rows}) == 12, "W&B joins by the id"
    assert {(row["run"], row["epoch"]) for row in rows} == {("first", 2)}
    assert rows[1]["question"] == "how many green things are there ?"
    assert rows[1]["rho/occlusion"] == pytest.approx(0.1)
    assert (rows[1]["flips/occlusion"], rows[1]["flips/guided_backprop"]) == (1, None)
    others = {"top_word/word_drop", "top_tag/gradient", "ground_truth", "predicted", "confidence"}
    assert others <= rows[1].keys()


def test_examples_are_images_with_captions_and_of_one_size_and_figures_and_words_are_logged(logged):
    item = logged.history[1]
    assert item["analysis/examples._type"] == "images/separated"
    assert item["analysis/examples.count"] == 2
    assert item["analysis/examples.captions"][1] == (
        "epoch 1 · how many green things are there ? · answered red · true answer red · "
        "ρ of magnitudes: Guided backpropagation 0.10, Occlusion 0.10"
    )
    assert all((logged.files / name).is_file() for name in item["analysis/examples.filenames"])
    assert "sizes do not match" not in logged.done.stderr
    for name in ("most_important_words", "failure_prediction", "accuracy_by_type"):
        assert logged.history[0][f"analysis/figures/{name}._type"] == "image-file"
    table = table_of(logged, "most_important_words/gradient_table")
    assert table["columns"] == ["run", "epoch", "part of speech", "P(most important)", "by chance", "words"]
    assert table["data"][0] == ["first", 2, "Noun", pytest.approx(0.144), 0.12, 400]


def test_the_curves_of_the_failure_predictor_are_charts_of_each_runs_newest_table(logged):
    expected = make_result(2).curves
    assert len(expected) == 12
    for key, curve in expected.items():
        run, number, x, y = zip(*(row[:4] for row in table_of(logged, f"{key}_table")["data"]), strict=True)
        assert (set(run), set(number)) == ({"first"}, {2})
        assert (x, y) == (pytest.approx(curve["x"]), pytest.approx(curve["y"]))


def test_a_chart_has_the_same_settings_in_every_run_so_that_runs_lie_over_each_other(logged):
    charts = chart_settings(logged.records)
    curves, words = charts["analysis/failure/all/roc"], charts["analysis/most_important_words/gradient"]
    for (config,) in (curves, words):
        # The newest table of each run that is shown.
        found = [word in json.dumps(config) for word in ("epoch", "first", '"summaryTable"')]
        assert found == [False, False, True]
    assert curves[0]["panel_config"]["fieldSettings"]["stroke"] == "run"


def chart_settings(records) -> dict[str, list]:
    """All different settings of each custom chart."""
    found: dict[str, list] = {}
    for record in records:
        for key, value in record["config"]["update"].items() if record["type"] == "config" else ():
            name = key.removeprefix("_wandb.visualize.")
            if name != key and value not in found.setdefault(name, []):
                found[name].append(value)
    return found


def test_the_summary_holds_the_best_and_the_last_values(logged):
    expected = make_result(2).summary | best_values(read_summaries(logged.run))
    assert expected["accuracy/overall/best"] == pytest.approx(0.52)
    summary = logged.summary["summary"]
    assert {key: summary[f"analysis/{key}"] for key in expected} == pytest.approx(expected)
    assert summary["epoch"] == 2
    history = {key for r in logged.records if r["type"] == "history" for key in r["history"]["item"]}
    assert not {key for key in history if key.endswith(("/best", "/best_epoch"))}, "no charts of them"


def test_the_analysis_folder_is_an_artifact_without_what_is_half_written(logged):
    artifacts = [r["artifact"] for r in logged.records if r["type"] == "artifact"]
    (artifact,) = [one for one in artifacts if one["type"] == "analysis"]  # W&B makes one of each table, too
    text = json.dumps(artifact)
    names = ("manifest.json", "summary.json", "records.parquet", "maps.h5", "figures/example_100.png")
    assert all(f"epoch=00{epoch}/{name}" in text for epoch in range(3) for name in names)
    assert "partial" not in text


def test_the_keys_that_a_view_may_show_are_the_ones_that_are_logged(logged):
    result = make_result(2)
    # W&B appends the kinds of its media after a dot.
    keys = {key.partition(".")[0] for item in (*logged.history, *logged.end) for key in item}
    real = {key for key in keys if key.startswith("analysis/") or key == "epoch"}
    real |= {key for key in logged.summary["summary"] if key.endswith(("/best", "/best_epoch"))}
    charts = set(chart_settings(logged.records))
    assert log.logged_keys(result) - charts == real - {"analysis/selective/confidence/ece"}
    assert charts <= log.logged_keys(result)


def test_nothing_is_left_outside_the_runs_folder_and_wandb_is_imported_for_a_run_alone(logged):
    assert logged.outside == []
    assert {p.name for p in logged.base.iterdir()} == {"images", "home", "tmp", "run"}
    said = logged.done.stdout
    assert said.startswith("W&B: no API key found, so the run stays offline in ")
    assert str(logged.run / "wandb") in said
    assert logged.done.stderr == ""
    assert "wandb imported without a run: False" in said


class Recorder:
    """A stand-in for a W&B run that counts calls."""

    name, define_metric = "recorder", lambda *_, **__: None

    def __init__(self):
        self.logs, self.summary = [], {}
        self.log = self.logs.append


def test_long_curves_and_lists_of_images_are_thinned_to_what_wandb_shows(monkeypatch, image_folder):
    result = make_result()
    monkeypatch.setattr(media, "MOST_IMAGES", 2)
    pictures = {f"example_{i}": image_folder / "0.png" for i in range(100, 104)}
    assert len(media.example_images(result, pictures, 0)) == 2
    x = np.linspace(0, 1, 200).tolist()
    result.curves = {"failure/all/roc": {"x": x, "y": x}}
    table = media.charts(result, "first", 1)["failure/all/roc"].table
    assert len(table.data) == len({row[2] for row in table.data}) == 50
    assert [table.data[0][2:4], table.data[-1][2:4]] == [[0.0, 0.0], [1.0, 1.0]], "the ends are kept"


def test_the_caption_of_an_example_has_the_lights_of_the_sanity_card(image_folder):
    result = make_result()
    pictures = {f"example_{i}": image_folder / "0.png" for i in range(100, 104)}
    before = media.example_images(result, pictures, 0)[0]._caption
    values = {"image/guided_backprop": 0.83, "image/occlusion": 0.9, "question/gradient": 0.1}
    result.summary |= {f"{name}/sanity/head/spearman_magnitude": one for name, one in values.items()}
    assert media.example_images(result, pictures, 0)[0]._caption == (
        f"{before} · sanity card: ● barely notices the trained head: Guided backpropagation, Occlusion; "
        "○ changes with the trained head: Gradient (words)"
    )


def test_deletion_and_insertion_are_charts_with_a_line_a_method_and_run_beside_those_of_failures():
    result = make_result()
    add_measures(result)
    found = media.charts(result, "first", 2)
    assert [key for key in found if key.startswith("curves/")] == [
        "curves/deletion_patch", "curves/insertion_patch", "curves/deletion_blur", "curves/insertion_blur",
        "curves/words_deletion", "curves/words_insertion",
    ]  # fmt: skip
    assert not found.keys() & result.summary.keys(), "no chart takes the key of a scalar"
    assert len([key for key in found if key.startswith("failure/")]) == 12
    table = found["curves/deletion_patch"].table
    assert table.columns[:4] == ["run", "epoch", "method", "method, run"]
    rows = [row for row in table.data if row[3] == "Occlusion, first"]
    stored = result.curves["image/occlusion/faithfulness/deletion_patch"]
    assert [row[4:] for row in rows] == [list(point) for point in zip(stored["x"], stored["y"], strict=True)]
    assert {row[2] for row in table.data} == {"Occlusion", "Guided backpropagation", "Random", "Centre prior"}
    words = found["curves/words_insertion"].table
    assert {row[2] for row in words.data} == {"Gradient", "Word drop", "Random"}
    assert words.columns[4:] == ["share of the words shown", "probability of the answer"]


def test_a_part_of_speech_with_few_words_is_left_out_and_the_title_of_its_chart_stays():
    result = make_result()
    before = media.charts(result, "first", 1)["most_important_words/gradient"]
    result.summary["question/gradient/most_important/verb/n"] = 12.0
    after = media.charts(result, "first", 1)["most_important_words/gradient"]
    names = [[row[2] for row in one.table.data] for one in (before, after)]
    assert [name for name in names[0] if name not in names[1]] == ["Verb"]
    assert before.spec.string_fields == after.spec.string_fields


def test_the_same_analysis_is_logged_once_by_any_number_of_runs(tmp_path):
    result, first, second = make_result(1), Recorder(), Recorder()
    result.manifest["weights_sha256"] = "abc"
    store.save(result, store.epoch_folder(tmp_path, 1))
    assert log.publish(result, first, 1, {}, tmp_path)
    assert log.publish(result, second, 1, {}, tmp_path) == {}
    assert (len(first.logs), len(second.logs)) == (1, 0)
    assert second.summary["analysis/accuracy/overall/best"] == pytest.approx(0.46), "it has them all the same"
    result.manifest["weights_sha256"] = "other"
    assert log.publish(result, second, 1, {}, tmp_path)


def test_an_epoch_that_a_killed_process_lost_is_not_taken_for_logged(logged, monkeypatch):
    monkeypatch.setenv("WANDB_RUN_ID", logged.summary["run_id"])
    state.run_id(logged.run)
    for epoch in (0, 2, 3):
        state.mark_logged(logged.run, epoch, "abc")
    state.forget_lost(logged.run)
    known = [epoch for epoch in range(4) if state.is_logged(logged.run, epoch, "abc")]
    assert known == [0, 2]


def test_a_run_folder_keeps_its_run_id_unless_the_user_says_another(bare, tmp_path, monkeypatch):
    own = state.run_id(tmp_path)
    assert len(own) == 8
    state.mark_logged(tmp_path, 0, "abc")
    assert (state.run_id(tmp_path), state.is_logged(tmp_path, 0, "abc")) == (own, True)
    assert state.run_id(tmp_path / "another") != own
    monkeypatch.setenv("WANDB_RUN_ID", "mine")
    assert (state.run_id(tmp_path), state.is_logged(tmp_path, 0, "abc")) == ("mine", False), "not to that run"


@pytest.fixture
def bare(monkeypatch, tmp_path):
    """No W&B settings at all, and an empty home."""
    for name in [name for name in os.environ if name.startswith(("WANDB_", "NETRC"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    return tmp_path / "home"


KEY = "k" * 40
NETRC, SETTINGS = ".netrc", ".config/wandb/settings"
BASE_URL = "https://wandb.example.org"


def write(home: Path, name: str, text: str) -> None:
    (home / name).parent.mkdir(parents=True, exist_ok=True)
    (home / name).write_text(f"[default]\n{text}\n" if name == SETTINGS else text)
    (home / name).chmod(0o600)


LOGIN = "login user password {key}"


@pytest.mark.parametrize(
    ("name", "text", "mode"),
    [("nothing", "", "offline"), (NETRC, "machine github.com login user password x", "offline"),
     (NETRC, "default login user password x", "offline"), (NETRC, f"machine {{host}} {LOGIN}", None),
     (NETRC, f"machine api.wandb.ai {LOGIN}", None), (SETTINGS, "api_key = {key}", None)],
)  # fmt: skip
def test_without_a_key_of_the_server_the_run_is_offline(bare, tmp_path, monkeypatch, name, text, mode):
    write(bare, name, text.format(key=KEY, host=urlsplit(wandb.Settings().base_url).hostname))
    found = environment.offline_environment(tmp_path / "run")
    assert found.get("WANDB_MODE") == mode
    folders = [Path(value) for variable, value in found.items() if variable.endswith("_DIR")]
    assert [folder.is_relative_to(tmp_path / "run") for folder in folders] == [True] * 4
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    assert "WANDB_MODE" not in environment.offline_environment(tmp_path / "run")


@pytest.mark.parametrize("own", [{}, {"WANDB_BASE_URL": BASE_URL}], ids=[SETTINGS, "environment"])
def test_the_server_that_the_user_has_chosen_is_named(bare, tmp_path, monkeypatch, own):
    write(bare, SETTINGS, "" if own else f"base_url = {BASE_URL}")
    monkeypatch.setattr(os, "environ", dict(os.environ) | own | {"WANDB_API_KEY": KEY})
    sentence = environment.prepare_environment(tmp_path / "run")
    assert f"API key found, logging to {BASE_URL}; files in" in sentence


@pytest.mark.parametrize("variable", [("WANDB_API_KEY", " key"), ("WANDB_BASE_URL", "no address")])
def test_a_setting_that_wandb_refuses_is_one_line(bare, tmp_path, monkeypatch, variable):
    monkeypatch.setenv(*variable)
    with pytest.raises(LookwhyError, match="^expected settings that W&B accepts, found: .*WANDB_.. or leave"):
        environment.prepare_environment(tmp_path / "run")


@pytest.mark.parametrize("mode", ["disabled", "online", "offline"])
def test_variables_that_the_user_has_set_stay(bare, tmp_path, monkeypatch, mode):
    mine = {"WANDB_MODE": mode, "WANDB_DIR": str(tmp_path / "elsewhere")}
    monkeypatch.setattr(os, "environ", dict(os.environ) | mine)
    sentence = environment.prepare_environment(tmp_path / "run")
    assert {name: os.environ[name] for name in mine} == mine
    assert sentence == f"W&B: {mode}, as WANDB_MODE says; files in {tmp_path / 'elsewhere/wandb'}"
