"""Each config parses, names options that exist, and has a row in configs/README.md."""

from pathlib import Path

import pytest
import yaml
from tiny_runs import parse_only

from lookwhy import attribution
from lookwhy.analysis import AnalysisPlan
from lookwhy.cli.configs import with_packaged_configs
from lookwhy.errors import LookwhyError

CONFIGS = Path(__file__).parent.parent / "configs"
OTHER = ("analysis.yaml", "analysis_full.yaml", "sweep.yaml")
TRAINING = sorted(path for path in CONFIGS.glob("*.yaml") if path.name not in OTHER)


@pytest.mark.parametrize("path", TRAINING, ids=lambda path: path.name)
def test_every_training_config_parses_with_all_its_options_and_has_a_row_in_the_readme(path):
    config = parse_only(["fit", "--config", str(path)])
    content = yaml.safe_load(path.read_text())
    assert config.fit.name == content["name"]
    assert config.fit.data.folder == content["data"]["folder"]
    assert f"`{path.name}`" in (CONFIGS / "README.md").read_text()


def test_analysis_yaml_states_every_option_at_its_default():
    content = yaml.safe_load((CONFIGS / "analysis.yaml").read_text())
    assert set(content) == set(vars(AnalysisPlan()))
    assert AnalysisPlan.from_yaml(CONFIGS / "analysis.yaml").describe() == AnalysisPlan().describe()


def test_analysis_full_yaml_has_every_method_but_those_that_only_some_heads_have():
    plan = AnalysisPlan.from_yaml(CONFIGS / "analysis_full.yaml")
    found = {type(method) for method in plan.methods}
    classes = {getattr(attribution, name) for name in attribution.__all__}
    known = {one for one in classes if isinstance(one, type) and issubclass(one, attribution.Attributor)}
    attending = {one for one in known if getattr(one, "needs", "") == "attention"}
    assert len(attending) == 6
    assert found == known - attending - {attribution.Attributor, attribution.Attention, attribution.BoxDrop}
    pages = (CONFIGS.parent / "docs" / "methods.md").read_text()
    assert [
        one.__name__ for one in known - {attribution.Attributor} if f"| `{one.__name__}` |" not in pages
    ] == []


def test_a_name_cut_short_is_no_option():
    config = ["fit", f"--config={CONFIGS / 'shapes.yaml'}"]
    assert parse_only([*config, "--model.learning_rate=1"])
    with pytest.raises(LookwhyError, match="model.learning_rat"):
        parse_only([*config, "--model.learning_rat=1"])


@pytest.mark.parametrize("words", [["--config", "shapes"], ["--config=shapes"], ["-c", "shapes"]])
def test_a_config_that_comes_with_lookwhy_is_found_by_its_name(words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = with_packaged_configs(["fit", *words, "--name", "shapes"])
    assert found[-2:] == ["--name", "shapes"]
    path = Path(found[-3].removeprefix("--config="))
    assert path.read_text() == (CONFIGS / "shapes.yaml").read_text()


def test_a_file_in_the_working_directory_wins_and_a_folder_does_not(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "shapes_san").mkdir()
    assert with_packaged_configs(["--config", "shapes_san"])[1].endswith("shapes_san.yaml")
    (tmp_path / "shapes").write_text("name: mine\n")
    assert with_packaged_configs(["--config", "shapes"]) == ["--config", "shapes"]
