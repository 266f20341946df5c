"""The examples in docstrings are true, and every public function and class has one."""

import doctest
import importlib
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from lookwhy.models import SAN, Pipeline
from lookwhy.towers.boxes import BoxTower

SOURCE = Path(__file__).parent.parent / "src"
MODULES = [
    ".".join(path.relative_to(SOURCE).with_suffix("").parts).removesuffix(".__init__")
    for path in sorted(SOURCE.rglob("*.py"))
    if any(">>> " in line and "+SKIP" not in line for line in path.read_text().splitlines())
]
PUBLIC = {
    "lookwhy": ["load", "explain", "analyze", "report"],
    "lookwhy.metrics": ["vqa_accuracy", "normalize_answer", "VQAAccuracy"],
    "lookwhy.data": ["tokenize", "Vocabulary"],
    "lookwhy.models": ["DeeperLSTM", "SAN", "MCAN", "Pipeline", "load_checkpoint"],
    "lookwhy.towers": ["Tower", "Memory"],
    "lookwhy.attribution": [
        "Gradient", "GuidedBackprop", "Deconvnet", "Occlusion", "Attention", "WordDrop", "WordGradient",
        "IncrementalOcclusion",
    ],
    "lookwhy.analysis": ["rank_correlation", "AnalysisPlan", "run_analysis"],
    "lookwhy.analysis.statistics": ["clustered_mean"],
}  # fmt: skip


@pytest.fixture
def names(small_pipeline, small_batch, tiny_checkpoint):
    """The names that examples use without making them."""
    head = SAN(9, 5, 6 * 4 * 4, regions=16, embedding_size=6, hidden_size=5, attention_size=4).double()
    attending = Pipeline(small_pipeline.tower, head).eval()
    on_boxes = SAN(9, 5, 6 * 4, regions=4, embedding_size=6, hidden_size=5, mask_empty=True).double()
    boxes = torch.tensor(
        [[0.0, 0.0, 0.5, 0.5], [0.5, 0.0, 1.0, 1.0], [0.2, 0.2, 0.6, 0.9], [0.0, 0.0, 1.0, 1.0]]
    )
    grid = torch.rand(3, 6, 1, 4, dtype=torch.float64)
    with_boxes = replace(small_batch, images=None, features=grid, boxes=boxes.expand(3, 4, 4))
    return {
        "model_on_boxes": Pipeline(BoxTower(), on_boxes).eval(), "batch_of_boxes": with_boxes,
        "model": small_pipeline, "attending_model": attending, "batch": small_batch,
        "target": torch.zeros(3, dtype=torch.int64), "checkpoint": tiny_checkpoint,
    }  # fmt: skip


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_of_a_module_are_true(name, names):
    found = doctest.testmod(importlib.import_module(name), extraglobs=names)
    assert found.attempted
    assert not found.failed


@pytest.mark.parametrize(
    ("module", "name"), [(module, name) for module, some in PUBLIC.items() for name in some]
)
def test_every_public_name_has_an_example(module, name):
    assert "    >>> " in getattr(importlib.import_module(module), name).__doc__
