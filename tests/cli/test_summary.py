"""`analyze.py summary`: groups, tables, the file of scalars read back, and every refusal."""

import csv
import json
import re
import shutil
import sys
import time

import numpy as np
import pytest
from made_results import make_run
from made_seeds import seeded
from scipy import stats
from tiny_runs import ROOT, run

from lookwhy import store
from lookwhy.cli.analyze import main

RHO = "image/occlusion/rank_correlation"


def noisy(seed, shift=0.0):
    """A change of an analysis: noise of the seed, and of the training."""

    def change(result):
        own = np.random.default_rng(seed).normal(0, 0.05)
        rng = np.random.default_rng([seed, int(1000 * shift), result.manifest["epoch"]])
        for method in ("occlusion", "guided_backprop"):
            for measure in ("rank_correlation", "specificity"):
                result.summary[f"image/{method}/{measure}"] += own + shift + rng.normal(0, 0.004)

    return change


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Four seeds of a group, three of another with two in common, and a run without a group."""
    folder = tmp_path_factory.mktemp("runs")
    base = [seeded(folder / f"base-{seed}", seed, change=noisy(seed), group="base") for seed in range(4)]
    other = [
        seeded(folder / f"san-{s}", s, range(3), noisy(s, 0.1), group="san", model={"learning_rate": 0.1})
        for s in (2, 3, 7)
    ]
    alone = seeded(folder / "alone", 3, group=None)
    for at, one in enumerate(base):
        finished = {"val/accuracy/overall": 0.8 + 0.01 * at, "analysis/accuracy/overall": 0.1}
        (one / "metrics.json").write_text(json.dumps(finished))
    return base, other, alone


def values(runs, key, epoch=1):
    folders = [store.epoch_folder(one, epoch) / "summary.json" for one in runs]
    return np.array([json.loads(path.read_text())[key] for path in folders])


def summary(capsys, runs, *more):
    assert main(["summary", *map(str, runs), *map(str, more)]) == 0
    return capsys.readouterr().out


def csv_rows(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_the_file_of_one_group_has_the_mean_and_spread_of_every_scalar(runs, tmp_path, capsys):
    base, _, _ = runs
    out = tmp_path / "seeds.csv"
    assert f"scalars  {out} (" in summary(capsys, base, "--out", out)
    rows = csv_rows(out)
    assert list(rows[0]) == ["key", "group", "n", "mean", "sd", "low", "high"]
    found = {row["key"]: row for row in rows}
    assert len(found) == len(rows)
    for key in json.loads((base[0] / "analysis/epoch=001/summary.json").read_text()):
        own = values(base, key)
        assert float(found[key]["mean"]) == pytest.approx(own.mean(), abs=1e-12), key
        assert float(found[key]["sd"]) == pytest.approx(own.std(ddof=1), abs=1e-12), key
    interval = stats.ttest_1samp(values(base, RHO), 0.0).confidence_interval(0.95)
    row = found[RHO]
    assert (row["group"], row["n"]) == ("base", "4")
    assert [float(row["low"]), float(row["high"])] == pytest.approx([interval.low, interval.high])
    # The end of the training, and points of curves; not the copies of the analysis in metrics.json.
    assert float(found["val/accuracy/overall"]["mean"]) == pytest.approx(0.815)
    assert "analysis/accuracy/overall" not in found
    curve = json.loads((base[0] / "analysis/epoch=001/curves.json").read_text())["failure/all/roc"]
    assert float(found["failure/all/roc/x=0.5"]["mean"]) == pytest.approx(curve["y"][curve["x"].index(0.5)])


@pytest.mark.parametrize("ending", [".json", ".md"])
def test_json_and_markdown_hold_the_rows_of_the_csv(ending, runs, tmp_path, capsys):
    base, _, alone = runs
    for one in (".csv", ending):
        summary(capsys, [*base, alone], "--out", tmp_path / f"seeds{one}")
    expected = csv_rows(tmp_path / "seeds.csv")
    text = (tmp_path / f"seeds{ending}").read_text()
    if ending == ".json":
        rows = json.loads(text)
        assert [row["sd"] for row in rows if row["n"] == 1][:1] == [None]
        rows = [{key: "" if one is None else str(one) for key, one in row.items()} for row in rows]
        assert rows == expected
        return
    lines = [line.strip("|").split(" | ") for line in text.splitlines()]
    heads, _, *lines = [[cell.strip() for cell in line] for line in lines]
    assert heads == list(expected[0])
    assert len(lines) == len(expected)
    for line, row in zip(lines, expected, strict=True):
        assert line[:3] == [row["key"], row["group"], row["n"]]
        numbers = [float(cell or "nan") for cell in line[3:]]
        kept = [float(row[name] or "nan") for name in heads[3:]]
        assert numbers == pytest.approx(kept, rel=1e-5, nan_ok=True)


def test_tables_show_the_mean_its_interval_the_spread_and_the_number_of_seeds(runs, capsys):
    base, _, alone = runs
    text = summary(capsys, [*base, alone])
    assert "base: 4 seeds (0, 1, 2, 3), epoch 1" in text
    assert "alone: 1 seed (3), epoch 1" in text
    assert "one seed says nothing about the spread" in text
    assert "Agreement with simulated annotators" in text
    own = values(base, RHO)
    interval = stats.ttest_1samp(own, 0.0).confidence_interval(0.95)
    short = [f"{one:.3f}".replace("0.", ".", 1) for one in (own.mean(), own.std(ddof=1), *interval)]
    lines = text.splitlines()
    at = next(place for place, line in enumerate(lines) if line.startswith(" Occlusion"))
    assert lines[at].split()[1:3] == [short[0], f"±{short[1]}"]
    assert lines[at + 1].split()[0] == f"{short[2]}–{short[3]}"
    assert re.search(r"Validation questions, at the end +81\.5% ±1\.3 \[79\.4, 83\.6\]", text)
    assert max(len(line) for line in lines) <= 100


def test_two_groups_are_compared_by_their_shared_seeds(runs, tmp_path, capsys):
    base, other, alone = runs
    out = tmp_path / "seeds.json"
    text = summary(capsys, [*base, *other, alone], "--out", out)
    assert "san, epoch 2 minus base, epoch 1, paired by seed" in text
    assert "2 shared seeds (2, 3)" in text
    one, two = (values(side, RHO, epoch) for side, epoch in ((base[2:], 1), (other[:2], 2)))
    test = stats.ttest_rel(two, one)
    interval = test.confidence_interval(0.95)
    (row,) = [
        row for row in json.loads(out.read_text()) if (row["key"], row["group"]) == (RHO, "san minus base")
    ]
    found = [row[name] for name in ("n", "mean", "low", "high", "p_value")]
    assert found == pytest.approx([2, np.mean(two - one), interval.low, interval.high, test.pvalue])
    assert row["p_holm"] >= row["p_value"]
    # A single run has a seed, too.
    assert "alone, epoch 1 minus base, epoch 1, paired by seed" in text
    assert "1 shared seed (3): one difference has no spread" in text
    assert "san minus base: Agreement with simulated annotators" in text
    # Both methods; the single seed is no test.
    assert "Number of tests in the family of each measure: Rank correlation 2" in " ".join(text.split())


def test_groups_without_shared_seeds_or_questions_are_not_paired(runs, tmp_path, capsys):
    base, other, _ = runs
    text = summary(capsys, [*base[:2], other[2]])
    assert "base and san have no seed in common, so nothing is paired." in text
    few = seeded(tmp_path / "few", 0, group="few", change=fewer_questions)
    text = " ".join(summary(capsys, [*base[:2], few]).split())
    assert "base and few were analysed on different questions, so nothing is paired." in text
    grid = lambda one: one.manifest.update(plan={"grid": 14, "image_methods": []})  # noqa: E731
    (first, second) = (tmp_path / name for name in ("first", "second"))
    seeded(first, 0, group=None)
    seeded(second, 0, group=None, change=grid)
    assert "Their plans differ: plan.grid nothing and 14." in summary(capsys, [first, second])


def test_an_epoch_may_be_chosen_and_all_epochs_written(runs, tmp_path, capsys):
    base, other, _ = runs
    assert "4 seeds (0, 1, 2, 3), epoch 0" in summary(capsys, base, "--epoch", 0)
    out = tmp_path / "seeds.csv"
    assert "base: 4 seeds (0, 1, 2, 3), epoch 1" in summary(
        capsys, [*base, *other], "--epoch", "all", "--out", out
    )
    found = {(row["group"], row["epoch"]): row for row in csv_rows(out) if row["key"] == RHO}
    assert set(found) == {
        *(("base", str(epoch)) for epoch in range(2)),
        *(("san", str(epoch)) for epoch in range(3)),
        ("san minus base", "2"),
    }
    assert float(found["base", "0"]["mean"]) == pytest.approx(values(base, RHO, 0).mean())


def fewer_questions(result):
    keep = result.question_ids[:-1]
    result.records = [one for one in result.records if one["question_id"] in keep]
    result.question_ids, result.human, result.truth = keep, result.human[:-1], result.truth[:-1]
    for maps in result.maps.values():
        for name in ("values", "valid", "question_ids", "answers", "flips"):
            if getattr(maps, name) is not None:
                object.__setattr__(maps, name, getattr(maps, name)[:-1])


def other_plan(result):
    result.manifest["plan"] = {"image_methods": [{"init_args": {"grid": 14}}]}


def refusals(folder):
    """Command lines, and the line that each is answered by; both with the names of the runs."""
    first = seeded(folder / "first", 1, 3)
    makers = {
        "again": {"seed": 1},
        "questions": {"seed": 2, "epochs": 3, "change": fewer_questions},
        "data": {
            "seed": 3,
            "epochs": 3,
            "change": lambda one: one.manifest.update(data={"data_prepro_sha256": "a"}),
        },
        "moved": {
            "seed": 4,
            "epochs": 3,
            "change": lambda one: one.manifest.update(data={"data_prepro_sha256": "b"}),
        },
        "plan": {"seed": 5, "epochs": 3, "change": other_plan},
        "rate": {"seed": 6, "epochs": 3, "model": {"learning_rate": 0.1}},
        "unseeded": {"seed": 7, "epochs": 3, "seed_everything": False},
        "short": {"seed": 8, "epochs": 2},
        "late": {"seed": 9, "epochs": range(5, 7)},
    }
    for name, settings in makers.items():
        seeded(folder / name, **settings)
    broken = make_run(folder / "broken", None, 1)
    (broken / "config.yaml").write_text("name: [")
    at = {path.name: path for path in folder.iterdir()}
    group = "of the group seeds"
    return {
        "nowhere": "expected a run folder with analysis/epoch=NNN/, found none in nowhere; name the folder that "
        "lookwhy train printed",
        f"{first} {folder}/data/../first": f"expected each run once, found {first} twice; name it once",
        f"{first} {at['again']}": f"expected each seed {group} once, found seed 1 in {first} and {at['again']}; "
        "leave one of them out",
        f"{first} {at['questions']}": f"expected the seeds {group} to be analysed on the same questions, found "
        f"different ones in {first} and {at['questions']}; analyse them on the same data, or name one of them",
        f"{at['data']} {at['moved']}": f"expected the seeds {group} to be analysed on the same questions, found "
        f"different ones in {at['data']} and {at['moved']}; analyse them on the same data, or name one of them",
        f"{first} {at['plan']}": f"expected the seeds {group} to be analysed by the same plan, found plan nothing and "
        f"{{'image_methods': [{{'init_args': {{'grid': 14}}}}]}} in {first} and {at['plan']}; name runs of one plan "
        "only",
        f"{first} {at['rate']}": f"expected runs {group} that differ only in their seed, found model.learning_rate "
        f"0.003 and 0.1 in {first} and {at['rate']}; name runs of one config only, or train each config with a "
        "--group of its own",
        f"{first} {at['unseeded']}": f"expected seed_everything in {at['unseeded']}/config.yaml, found no number; "
        "train each run of the group seeds with --seed_everything N, or name this run by itself",
        f"{first} {at['short']}": f"expected the same last epoch in all runs {group}, found epoch 2 in {first} and "
        f"epoch 1 in {at['short']}; finish the shorter training, or give --epoch 1",
        f"{first} {at['late']} --epoch all": f"expected an epoch that all runs {group} have analysed, found none; "
        "name runs whose analyses have a common epoch",
        f"{first} --epoch 9": f"expected an analysed epoch of {first}, found --epoch 9; it has epoch 0, epoch 1, "
        "epoch 2 (untrained is -1)",
        f"{first} --epoch last": "argument --epoch: expected a whole number or all, found 'last'; see lookwhy "
        "analyze summary --help",
        f"{first} --out table.xlsx": "expected --out with the ending .csv, .json or .md, found table.xlsx; give "
        "another name",
        f"{first} --out {first}/config.yaml/a.csv": "expected a file that can be written, found ",
        f"{broken}": f"expected YAML in {broken}/config.yaml, found ",
    }  # fmt: skip


def test_wrong_input_is_one_line_and_exit_code_2(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "runs"
    folder.mkdir()
    for words, line in refusals(folder).items():
        assert main(["summary", *words.split()]) == 2, words
        printed = capsys.readouterr()
        assert printed.out == ""
        (found,) = printed.err.splitlines()
        assert found.startswith(f"lookwhy: error: {line}"), found
        assert [path.name for path in tmp_path.iterdir()] == ["runs"]


def test_a_seed_given_twice_is_refused_as_a_user_types_it(tmp_path):
    for name in ("one", "two"):
        seeded(tmp_path / "runs" / name, 1)
    done = run([sys.executable, ROOT / "analyze.py", "summary", "runs/one", "runs/two"], tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "lookwhy: error: expected each seed of the group seeds once, found seed 1 in runs/one and runs/two; "
        "leave one of them out\n"
    )


def test_help_answers_at_once(tmp_path):
    before = time.monotonic()
    done = run([sys.executable, ROOT / "analyze.py", "summary", "--help"], tmp_path)
    assert time.monotonic() - before < 2
    assert done.returncode == 0
    assert {"--epoch", "--out", "RUN"} <= set(re.findall(r"--\w+|RUN", done.stdout))


def test_a_run_without_a_group_beside_a_group_of_its_name_has_another_name(tmp_path, capsys):
    seeded(tmp_path / "mine", 5, group=None)
    grouped = [seeded(tmp_path / f"mine-{seed}", seed, group="mine") for seed in range(2)]
    text = summary(capsys, [tmp_path / "mine", *grouped])
    assert "mine (no group): 1 seed (5), epoch 1" in text
    assert "mine: 2 seeds (0, 1), epoch 1" in text
    assert "the smaller and the larger of both" in " ".join(text.split())


def test_make_seeds_trains_the_seeds_that_are_not_finished_and_reads_all_together(tmp_path):
    shutil.copy(ROOT / "Makefile", tmp_path)
    places = ("pyproject.toml", "constraints.txt", "data/shapes/data_img.h5", ".venv/.installed")
    for name in (*places, "runs/demo-seed1/metrics.json", "runs/demo-seed3/checkpoints/last.ckpt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    done = run(["make", "--dry-run", "seeds", "SEEDS=1 2 3"], tmp_path)
    assert done.returncode == 0, done.stderr
    trained = re.findall(r"--name demo-seed(\d) --group demo --seed_everything (\d)", done.stdout)
    assert trained == [("2", "2"), ("3", "3")]
    assert "summary runs/demo-seed1 runs/demo-seed2 runs/demo-seed3 --out runs/demo-seeds.csv" in done.stdout
    assert "-j2" in (ROOT / "Makefile").read_text().partition("\nseeds:")[2].partition("\n\n")[0]
