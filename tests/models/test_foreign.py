"""Foreign models: the text and pictures that they see, what they may return, and how they are found."""

import sys
import warnings

import numpy as np
import pytest
import torch
from known_models import draw
from torch import nn

from lookwhy.analysis.modality import Modality, ModalityMeter
from lookwhy.attribution import KernelSHAP, Occlusion, WordDrop
from lookwhy.data.tokens import Vocabulary, tokenize
from lookwhy.errors import LookwhyError
from lookwhy.models import DeeperLSTM, Pipeline, VQAModel
from lookwhy.models.foreign import TextModel, open_model
from lookwhy.models.foreign.text_model import Words, padded
from lookwhy.towers import Tower
from lookwhy.towers.recipe import ImageRecipe
from lookwhy.types import VQABatch

QUESTIONS = ['What\'s on the "mat"?', "IS it red, or can't you see?", "ok"]


class RecordingModel:
    """Keeps what it was asked; its scores depend on picture and text."""

    answers = ("yes", "no", "maybe")

    def __init__(self):
        self.asked = []

    def answer_scores(self, images, questions):
        assert images.dtype == np.uint8
        self.asked += [(image.copy(), text) for image, text in zip(images, questions, strict=True)]
        bright = images.reshape(len(images), -1).mean(1) / 255
        long = np.array([len(text) for text in questions]) / 100
        return np.stack([bright / 2, long / 2, 1 - (bright + long) / 2], 1)


def make(model, folder=None, **settings):
    words = Words(QUESTIONS)
    tokens, lengths = padded([words.ids(text) for text in QUESTIONS])
    return TextModel(model, words, folder=folder, **settings), tokens, lengths


def test_questions_keep_their_spelling_also_without_some_words():
    words = Words(QUESTIONS)
    for question in QUESTIONS:
        ids = words.ids(question)
        assert len(ids) == len(tokenize(question))
        assert words.text(ids) == question
    ids = words.ids(QUESTIONS[1])
    assert words.text([*ids[:2], *ids[3:], 0, 0]) == "IS it, or can't you see?"


def test_a_model_sees_the_picture_and_the_text_and_is_asked_once(tmp_path):
    pictures = draw(3, 3, 4, 5, dtype=torch.float32).sigmoid() * 255
    model = RecordingModel()
    box, tokens, lengths = make(model, tmp_path, batch_size=2)
    scores = box.answer_scores(pictures, tokens, lengths)
    # The first question is asked twice, to see whether the answers differ.
    assert sorted(text for _, text in model.asked) == sorted([*QUESTIONS, QUESTIONS[0]])
    np.testing.assert_array_equal(model.asked[0][0], pictures[0].round().byte().permute(1, 2, 0))
    assert len(model.asked) == 4
    for again in (box, make(model, tmp_path)[0]):
        assert torch.equal(again.answer_scores(pictures, tokens, lengths), scores)
    assert len(model.asked) == 4
    make(model, tmp_path, name="another model")[0].answer_scores(pictures, tokens, lengths)
    assert len(model.asked) == 8


@pytest.mark.parametrize(
    ("scores", "found"),
    [
        ([[0.5, 0.5]], r"shape \(1, 3\).*found \(1, 2\)"),
        ([[0.5, float("nan"), 0.1]], "NaN"),
        ([[3.0, -1.0, 0.1]], "found -1"),
        ([[0.9, 0.9, 0.9]], "sum of 2.7"),
        ([["a", "b", "c"]], "numbers as scores"),
    ],
)
def test_scores_that_are_no_probabilities_are_refused(scores, found):
    model = RecordingModel()
    model.answer_scores = lambda images, questions: scores
    box, tokens, lengths = make(model)
    with pytest.raises(LookwhyError, match=found) as error:
        box.answer_scores(torch.zeros(1, 3, 2, 2), tokens[:1], lengths[:1])
    assert "\n" not in str(error.value)


def test_answers_that_differ_from_call_to_call_are_told():
    model, draws = RecordingModel(), iter(np.linspace(0.1, 0.9, 9))
    model.answer_scores = lambda images, questions: [[next(draws), 0, 0] for _ in questions]
    box, tokens, lengths = make(model)
    with pytest.warns(UserWarning, match="differ by 0.1 from call to call"):
        box.answer_scores(torch.zeros(1, 3, 2, 2), tokens[:1], lengths[:1])
    with pytest.raises(LookwhyError, match="answers that differ"):
        model.answers = ("yes", "yes")
        make(model)


def test_our_own_model_as_a_black_box_has_the_maps_and_shares_of_the_fast_way(monkeypatch):
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten())
    head = DeeperLSTM(20, 5, 4 * 8 * 8, embedding_size=6, hidden_size=5, common_size=8)
    for parameter in head.parameters():
        parameter.data.mul_(6)
    questions = ["is it red ?", "what is this thing ?"]
    words, recipe = Words(questions), ImageRecipe("torchvision", 16, 16)
    vocabulary = Vocabulary.from_questions(map(tokenize, questions))
    encode = lambda text: vocabulary.encode(tokenize(text))  # noqa: E731
    pipeline = Pipeline(Tower(network, recipe), head, list("abcde"), encode).double().eval()
    rgb = (draw(3, 16, 16, dtype=torch.float32).sigmoid() * 255).round()
    box = TextModel(pipeline, words)

    def batch(pixels, ids):
        numbers, (tokens, lengths) = torch.arange(2), padded([ids(text) for text in questions])
        images = pixels.expand(2, *pixels.shape)
        return VQABatch(numbers, tokens, lengths, numbers, torch.zeros(2, dtype=torch.int64), images=images)

    pixels = recipe.from_rgb(rgb.byte().permute(1, 2, 0)).double()
    ours, theirs = batch(pixels, encode), batch(rgb, words.ids)
    assert isinstance(pipeline, VQAModel)
    with pytest.raises(LookwhyError, match="found one without encode"):
        Pipeline(Tower(network, recipe), head).answer_scores(np.zeros((1, 4, 4, 3), np.uint8), ["is"])
    # A patch of whole gray levels: a picture has no others.
    methods = [Occlusion(4, (120.0, 110.0, 100.0)), WordDrop(), KernelSHAP(4, samples=16, cells=2)]
    for method in methods[:2]:
        fast = method(pipeline, ours, torch.tensor([1, 2]))
        slow = method(box, theirs, torch.tensor([1, 2]))
        assert float(fast.values.nan_to_num().abs().max()) > 1e-3
        torch.testing.assert_close(slow.values, fast.values, atol=1e-6, rtol=1e-5, equal_nan=True)
    assert methods[2](box, theirs, torch.tensor([1, 2])).values.shape == (2, 4, 4)
    monkeypatch.setattr("lookwhy.towers.masks.PATCH_RGB", (120.0, 110.0, 100.0))
    fast, slow = (
        ModalityMeter(model, Modality(cells=2)).share(
            some.images[0], some.tokens[0, :4], [True] * 3 + [False], "patch"
        )
        for model, some in ((pipeline, ours), (box, theirs))
    )
    assert vars(slow) == pytest.approx(vars(fast), rel=1e-6)
    assert slow.is_exact
    assert 0 < slow.text_share < 1


class RedAndRed:
    """The probability of "yes" is 0.1, plus 0.4 times the share of red pixels, plus 0.2 for the word "red"."""

    answers = ("no", "yes", "other")

    def answer_scores(self, images, questions):
        red = (images == [255, 0, 0]).all(-1).mean((1, 2))
        yes = 0.1 + 0.4 * red + 0.2 * np.array(["red" in one for one in questions])
        return np.stack([0.05 + 0 * yes, yes, 0 * yes], axis=1)


@pytest.mark.parametrize("evaluations", [1 << 16, 64])
def test_the_share_of_the_question_in_the_answer_of_a_foreign_model_is_that_by_hand(evaluations):
    questions = ["Is it red?"]
    words = Words(questions)
    box = TextModel(RedAndRed(), words, batch_size=3)
    picture = torch.zeros(3, 6, 10)
    picture[0, :, :5] = 255  # the left half, two of four cells, each a quarter of the picture
    meter = ModalityMeter(box, Modality(cells=2, evaluations=evaluations, orders=4))
    found = meter.share(picture, torch.tensor(words.ids(questions[0])), [True, True, True, False], "patch")
    assert found.is_exact is (evaluations > 64)
    # Both sides add what they have in every order: 0.2 of the word, 0.1 of each red cell.
    assert found.text_share == pytest.approx(0.2 / (0.2 + 2 * 0.1))
    assert found.two_players == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("spec", "found"),
    [
        ("nothing", "found 'nothing'"),
        ("no_such_module:model", "No module named"),
        ("foreign_example:missing", "no attribute"),
        ("foreign_example:plain", "answers of the function plain"),
        ("foreign_example:Needs", "needs no arguments"),
        ("foreign_example:number", "found int"),
        ("cmd:", "found none"),
        ("cmd:no-such-program-here", "No such file"),
        (f"cmd:{sys.executable} -c 'print(1)'", 'expected {"answers"'),
        (f"cmd:{sys.executable} -c pass", "ended with code 0"),
        ("http://127.0.0.1:9/none", "start the server"),
        ("http://example.com/model", "--allow-remote"),
    ],
)
def test_a_spec_without_a_model_is_one_line(spec, found, tmp_path, monkeypatch):
    source = "number = 3\ndef plain(images, questions): return []\n"
    source += "class Needs:\n    def __init__(self, size): pass\n"
    (tmp_path / "foreign_example.py").write_text(source)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("lookwhy.models.foreign.http.FIRST_WAIT", 0.01)
    monkeypatch.delitem(sys.modules, "foreign_example", raising=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        with pytest.raises(LookwhyError, match=found.replace("{", r"\{")) as error:
            open_model(spec)
    assert "\n" not in str(error.value)


def test_a_device_is_for_models_that_are_opened_here(tmp_path, monkeypatch):
    (tmp_path / "own_model.py").write_text("answers = ['a']\ndef scores(images, questions): return [[1.0]]\n")
    monkeypatch.chdir(tmp_path)
    assert open_model("own_model:scores").answers == ["a"]
    for spec in ("own_model:scores", "cmd:true", "http://127.0.0.1:9/none"):
        with pytest.raises(LookwhyError, match=r"expected no (--)?device.* for .*found cpu; leave it out"):
            open_model(spec, device="cpu")


DIES = """
import json, pathlib, sys
print(json.dumps({"answers": ["yes", "no"]}), flush=True)
for line in sys.stdin:
    asked, count = json.loads(line)["questions"], pathlib.Path("count")
    count.write_text(count.read_text() + "." if count.exists() else ".")
    if len(count.read_text()) <= LIVES:
        sys.exit(3)
    print(json.dumps({"scores": [[len(one) / 10, 0.0] for one in asked]}), flush=True)
"""


@pytest.mark.parametrize("deaths", [2, 3])
def test_a_program_that_ends_is_started_again_twice_and_asked_the_same(deaths, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "dies.py").write_text(DIES.replace("LIVES", str(deaths)))
    model = open_model(f"cmd:{sys.executable} dies.py")
    pictures = np.zeros((2, 2, 2, 3), np.uint8)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        if deaths == 2:
            assert model.answer_scores(pictures, ["a", "bcd"]) == [[0.1, 0], [0.3, 0]]
            assert model.answer_scores(pictures[:1], ["ef"]) == [[0.2, 0]]
        else:
            with pytest.raises(LookwhyError, match="found that it ended with code 3; see what it printed"):
                model.answer_scores(pictures, ["a", "bcd"])
    said = [str(one.message) for one in told if one.category is UserWarning]
    assert len(said) == 2
    assert said[0].endswith("dies.py ended with code 3: it is started again, and asked the same")
    model.close()
