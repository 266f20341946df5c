"""Tags of a W&B run."""

from __future__ import annotations

import pytest
from tiny_runs import ROOT, parse_only

from lookwhy.cli.run_logger import LONGEST_TAG, tags

BLIND = "--model.head.init_args.use_image=false"


@pytest.mark.parametrize(
    ("config", "more", "environment", "expected"),
    [
        ("shapes.yaml", [], "", ["DeeperLSTM", "shapes", "simulated annotators"]),
        ("shapes_san.yaml", [], "", ["SAN", "shapes", "simulated annotators"]),
        ("vqa_v1.yaml", [], "", ["DeeperLSTM", "vqa_v1"]),
        ("vqa_v2.yaml", [], "first, second", ["DeeperLSTM", "vqa_v2", "first", "second"]),
        ("vqa_v2.yaml", ["--data.folder=a/" + "x" * 90], "", ["DeeperLSTM", "x" * LONGEST_TAG]),
        (
            "vqa_v2.yaml",
            ["--tags=[mine, SAN, mine]", BLIND],
            "",
            ["DeeperLSTM", "vqa_v2", "question-only", "mine", "SAN"],
        ),
    ],
)
def test_tags_name_model_data_and_other_facts(config, more, environment, expected, monkeypatch):
    monkeypatch.setenv("WANDB_TAGS", environment)
    assert tags(parse_only(["fit", "--config", str(ROOT / "configs" / config), *more]).fit) == expected
