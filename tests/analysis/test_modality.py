"""The share of the question: exact games, models that ignore a side, and samples beside the exact values."""

from itertools import permutations

import numpy as np
import pytest
import torch
from known_models import OnlyScores, make_batch
from torch import nn

from lookwhy.analysis import AnalysisPlan, run_analysis
from lookwhy.analysis.modality import Modality, ModalityMeter, shapley_values, share_of
from lookwhy.analysis.part_of_speech import Tagger
from lookwhy.attribution import WordDrop, explaining
from lookwhy.errors import LookwhyError
from lookwhy.models import MCAN, SAN, DeeperLSTM, Pipeline, VQAHead
from lookwhy.towers import Memory

TAGGER = Tagger("none", lambda words: ["NN"] * len(words))
RANDOM = np.random.default_rng(0)


class AdditiveHead(VQAHead):
    """Logit of answer 1 = sum of the features times `look_at` + sum of the words' ids times `ask`."""

    def __init__(self, look_at, ask):
        super().__init__()
        self.look_at, self.ask = look_at, ask

    def embed(self, tokens):
        return tokens[..., None].double()

    def read(self, embedded, lengths):
        places = torch.arange(embedded.shape[1])
        return (embedded[..., 0] * (places < lengths[:, None])).sum(1, keepdim=True) * self.ask

    def look(self, features):
        return features.flatten(1).sum(1, keepdim=True) * self.look_at

    def answer(self, view, code):
        score = view + code
        return torch.cat([torch.zeros_like(score), score], dim=1)


def image_of(cells):
    """An image of 2 x 2 cells whose pixels add up to the given numbers."""
    image = torch.zeros(3, 8, 8, dtype=torch.float64)
    image[0] = (
        torch.tensor(cells, dtype=torch.float64).view(2, 2).repeat_interleave(4, 0).repeat_interleave(4, 1)
        / 16
    )
    return image


def test_shapley_values_are_the_mean_over_all_orders():
    values = RANDOM.normal(size=2**5)
    expected = np.zeros(5)
    for order in permutations(range(5)):
        coalition = 0
        for player in order:
            expected[player] += values[coalition | 1 << player] - values[coalition]
            coalition |= 1 << player
    np.testing.assert_allclose(shapley_values(values), expected / 120, atol=1e-12)
    assert shapley_values(values).sum() == pytest.approx(values[-1] - values[0])


def test_the_share_is_that_of_the_game_of_all_words_and_cells_by_hand():
    cells, words = [0.6, -0.2, 0.1, 0.0], [1, 2]
    model = Pipeline(nn.Identity(), AdditiveHead(look_at=1.0, ask=0.3))
    meter = ModalityMeter(model, Modality(cells=2))
    found = meter.share(image_of(cells), torch.tensor(words), [True, True], "patch")
    worth = np.array([*cells, 0.3, 0.6])  # the log-odds of every player
    bits = (np.arange(64)[:, None] >> np.arange(6)) % 2
    game = 1 / (1 + np.exp(-(bits @ worth)))
    phi = shapley_values(game)
    assert found.is_exact
    assert found.text_share == pytest.approx(np.abs(phi[4:]).sum() / np.abs(phi).sum(), abs=1e-10)
    four = 1 / (1 + np.exp(-np.array([0, 0.5, 0.9, 1.4])))  # nothing, image, question, both
    image, question = shapley_values(four)
    assert found.two_players == pytest.approx(abs(question) / (abs(image) + abs(question)), abs=1e-10)
    # A token without letters is no player: it always stays.
    without = meter.share(image_of(cells), torch.tensor([1, 2]), [True, False], "patch")
    bits = (np.arange(32)[:, None] >> np.arange(5)) % 2
    phi = shapley_values(1 / (1 + np.exp(-(0.6 + bits @ worth[:5]))))
    assert without.text_share == pytest.approx(abs(phi[4]) / np.abs(phi).sum(), abs=1e-10)


@pytest.mark.parametrize(("look_at", "ask", "share"), [(0.0, 0.1, 1.0), (0.01, 0.0, 0.0), (0.0, 0.0, np.nan)])
@pytest.mark.parametrize("evaluations", [1 << 16, 64])
def test_a_side_without_any_part_in_the_answer_has_no_share(look_at, ask, share, evaluations):
    model = Pipeline(nn.Identity(), AdditiveHead(look_at, ask))
    meter = ModalityMeter(model, Modality(evaluations=evaluations, orders=5))
    for fill in ("patch", "blur"):
        image = torch.rand(3, 9, 9, generator=torch.Generator().manual_seed(1)).double()
        found = meter.share(image, torch.tensor([4, 5, 6, 7, 8]), [True] * 5, fill)
        assert found.is_exact == (evaluations > 64)
        assert [found.text_share, found.two_players] == pytest.approx([share, share], nan_ok=True)


@pytest.mark.parametrize("kind", [DeeperLSTM, SAN, MCAN])
def test_a_question_only_model_gives_exactly_one_in_single_precision(kind):
    torch.manual_seed(0)
    tower = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(3))
    sizes = {
        DeeperLSTM: {"common_size": 33, "hidden_size": 9},
        SAN: {"regions": 9, "attention_size": 7, "hidden_size": 9},
        MCAN: {"regions": 9, "common_size": 33, "hidden_size": 8},
    }
    head = kind(20, 7, 36, embedding_size=6, use_image=False, **sizes[kind])
    model = Pipeline(tower, head).eval()
    meter = ModalityMeter(model, Modality())
    with explaining(model):
        found = meter.share(torch.rand(3, 12, 12), torch.tensor([3, 1, 4, 1, 5]), [True] * 5, "blur")
    assert (found.text_share, found.two_players) == (1.0, 1.0)


@torch.no_grad()
def test_samples_come_near_the_exact_share_and_the_network_runs_once_an_image(
    small_pipeline, small_batch, tmp_path, monkeypatch
):
    image, words = small_batch.images[0], small_batch.tokens[0]
    exact = ModalityMeter(small_pipeline, Modality(cells=3)).share(image, words, [True] * 4, "patch")
    small_pipeline.tower.memory = Memory(tmp_path)
    passes, forward = [], small_pipeline.tower.network.forward
    monkeypatch.setattr(
        small_pipeline.tower.network, "forward", lambda x: passes.append(len(x)) or forward(x)
    )
    settings = Modality(cells=3, evaluations=2048, orders=200)
    found = [
        ModalityMeter(small_pipeline, settings).share(image, words[:length], [True] * length, "patch")
        for length in (4, 4, 3)
    ]
    assert exact.is_exact
    assert not found[0].is_exact
    assert sum(passes) == 2 + 200 * 8  # the whole image, none of it, and 8 parts an order
    assert found[0] == found[1]
    assert 0.05 < exact.text_share < 0.95
    assert 1e-9 < abs(found[0].text_share - exact.text_share) < 0.05
    assert found[0].two_players == pytest.approx(
        exact.two_players, abs=1e-3
    )  # exact up to the bank's rounding


def test_an_analysis_has_the_share_by_type_and_in_its_records(small_pipeline, small_batch):
    small_batch.question_types = ["what", "is the", "what"]
    small_batch.image_ids = torch.tensor([10, 11, 12])
    plan = AnalysisPlan(
        [], [WordDrop()], bootstrap_samples=20, modality=Modality(questions=2, evaluations=256, cells=2)
    )
    result = run_analysis(small_pipeline, [small_batch], plan, tagger=TAGGER)
    column = [row["modality_text_share"] for row in result.records]
    assert column[2] is None
    assert result.summary["modality/text_share"] == pytest.approx(np.mean(column[:2]))
    assert result.summary["modality/text_share/n"] == 2
    assert result.summary["modality/exact"] == 1
    assert result.summary["slice/question_type/what/modality/text_share"] == pytest.approx(column[0])
    assert result.summary["slice/question_type/is the/modality/text_share"] == pytest.approx(column[1])
    assert {"modality/text_share_blur", "modality/two_player_text_share"} <= result.summary.keys()
    assert AnalysisPlan.from_dict(plan.describe(), "a test").modality == plan.modality


def test_without_texts_all_tokens_count_as_words(small_pipeline, small_batch):
    plan = AnalysisPlan([], [], bootstrap_samples=20, modality=Modality(cells=2))
    expected = run_analysis(small_pipeline, [small_batch], plan, tagger=TAGGER).summary
    small_batch.questions = []
    found = run_analysis(small_pipeline, [small_batch], plan, tagger=TAGGER).summary
    assert 0 < found["modality/text_share"] == expected["modality/text_share"]


def test_models_and_settings_without_sense_are_refused(small_pipeline):
    with pytest.raises(
        LookwhyError, match="expected a model that reads .* found OnlyScores; leave modality out"
    ):
        ModalityMeter(OnlyScores(small_pipeline), Modality())

    class Head(nn.Module):
        def forward(self, features, tokens, lengths):
            return features

    with pytest.raises(LookwhyError, match="expected a model that reads .* found Head; leave"):
        ModalityMeter(Pipeline(nn.Flatten(), Head()), Modality())
    with pytest.raises(LookwhyError, match="modality.evaluations of at least 64, found 3"):
        Modality(evaluations=3)
    with pytest.raises(LookwhyError, match="modality.fills, each once"):
        Modality(fills=["patch", "patch"])
    assert np.isnan(share_of(np.zeros(3), cells=2))
    batch = make_batch(torch.zeros(1, 3, 8, 8))
    assert len(batch.take(torch.tensor([0, 0]))) == 2
