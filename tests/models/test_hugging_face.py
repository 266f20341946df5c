"""Models of transformers: candidates of BLIP and chat models, ViLT's attention, and what is refused.

The models are small, with random weights, of the real classes, saved to and loaded from a folder.
"""

from dataclasses import replace

import numpy as np
import pytest
import torch

pytest.importorskip("transformers", reason="transformers is not installed (extra hf)")

import tiny_models
import transformers

from lookwhy.attribution import (
    AttentionGradCAM,
    AttentionRelevance,
    AttentionRollout,
    Occlusion,
    WordAttentionRelevance,
    WordAttentionRollout,
)
from lookwhy.attribution.attention_grad_cam import attention_grad_cam
from lookwhy.attribution.attention_relevance import relevance
from lookwhy.attribution.attention_rollout import rollout
from lookwhy.attribution.token_method import over_words
from lookwhy.errors import LookwhyError
from lookwhy.models.foreign import TextModel, open_model, takes_candidates
from lookwhy.models.foreign.text_model import Words, padded
from lookwhy.types import VQABatch

CANDIDATES = ["yes", "no", "red cube", "light blue ball", "2"]
TEXTS = ["what color is the cube ?", "how many", "is there a ball that you can see ?"]
RULES = {"rollout": lambda a, g: rollout(a), "relevance": relevance, "grad_cam": attention_grad_cam}
METHODS = [AttentionRollout, AttentionRelevance, AttentionGradCAM]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("models")
    tiny_models.main(made, "vilt", "blip", "llava", "qwen")
    return made


@pytest.fixture(scope="module")
def pictures():
    return np.random.default_rng(0).integers(0, 255, (3, 60, 100, 3), np.uint8)


def test_vilt_has_a_sigmoid_for_each_of_its_answers(folder, pictures):
    model = open_model(f"hf:{folder / 'vilt'}")
    assert model.answers == tiny_models.ANSWERS
    own = transformers.ViltForQuestionAnswering.from_pretrained(folder / "vilt").eval()
    processor = transformers.AutoProcessor.from_pretrained(folder / "vilt")
    together = model.answer_scores(pictures, TEXTS)
    for row, text in enumerate(TEXTS):
        with torch.no_grad():
            logits = own(**processor(images=[pictures[row]], text=[text], return_tensors="pt")).logits
        torch.testing.assert_close(together[row], logits[0].sigmoid(), atol=1e-5, rtol=1e-4)
    assert together.std(0).max() > 1e-4


def alone(answer, pictures):
    return torch.cat([answer(pictures[row : row + 1], TEXTS[row : row + 1]) for row in range(3)])


def test_blip_scores_each_candidate_as_its_own_loss_does(folder, pictures):
    model = open_model(f"hf:{folder / 'blip'}", candidates=CANDIDATES)
    own = transformers.BlipForQuestionAnswering.from_pretrained(folder / "blip").eval()
    processor = transformers.AutoProcessor.from_pretrained(folder / "blip")
    found = model.log_likelihoods(pictures, TEXTS)
    for row, text in enumerate(TEXTS):
        inputs = processor(images=[pictures[row]], text=[text], return_tensors="pt")
        for column, answer in enumerate(CANDIDATES):
            labels = processor.tokenizer(answer, return_tensors="pt").input_ids
            labels[:, 0] = own.config.text_config.bos_token_id
            with torch.no_grad():
                loss = own(**inputs, labels=labels).loss  # a mean over the tokens after the first
            expected = -loss * (labels.shape[1] - 1)
            torch.testing.assert_close(found[row, column], expected, atol=1e-4, rtol=1e-4)
    assert found.std(0).min() > 1e-3
    probabilities = model.answer_scores(pictures, TEXTS)
    expected = np.exp(found.numpy()) / np.exp(found.numpy()).sum(1, keepdims=True)
    np.testing.assert_allclose(probabilities, expected, rtol=1e-5)
    torch.testing.assert_close(alone(model.log_likelihoods, pictures), found, atol=1e-4, rtol=1e-4)


def test_many_pairs_go_through_blips_decoder_in_parts(folder, pictures, monkeypatch):
    model = open_model(f"hf:{folder / 'blip'}", candidates=CANDIDATES)
    expected = model.log_likelihoods(pictures, TEXTS)
    monkeypatch.setattr("lookwhy.models.foreign.blip.ROWS_AT_ONCE", 4)
    torch.testing.assert_close(model.log_likelihoods(pictures, TEXTS), expected, atol=1e-4, rtol=1e-4)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU that PyTorch can use")
@pytest.mark.parametrize("kind", ["vilt", "blip", "llava", "qwen"])
def test_a_gpu_scores_as_the_cpu_does(kind, folder, pictures):
    candidates = None if kind == "vilt" else CANDIDATES
    found = []
    for device in ("cpu", "cuda"):
        model = open_model(f"hf:{folder / kind}", candidates=candidates, device=device)
        found.append(model.answer_scores(pictures, TEXTS))
        if kind == "vilt":
            seen = model.attention([*pictures], TEXTS, torch.tensor([0, 1, 2]))
            found[-1] = torch.cat([found[-1].flatten(), *(one.gradients.flatten() for one in seen)])
    torch.testing.assert_close(found[1], found[0], atol=1e-5, rtol=1e-4)


def plain_chat_score(folder, picture, question, answer):
    """Log likelihood of an answer from the text of the whole conversation, in one pass."""
    own = transformers.AutoModelForImageTextToText.from_pretrained(folder).eval()
    processor = transformers.AutoProcessor.from_pretrained(folder)
    asked = f"{question}\nAnswer the question using a single word or phrase."
    mark = "<|vision_start|><|image_pad|><|vision_end|>" if folder.name == "qwen" else "<image>"
    prompt = f"User:{mark} {asked}<end>\nAssistant:"
    ids = [
        processor(images=[picture], text=[text], return_tensors="pt")
        for text in (prompt, f"{prompt} {answer}<end>")
    ]
    count = ids[1].input_ids.shape[1] - ids[0].input_ids.shape[1]
    assert count == len(answer) + 2  # characters, the blank before them and the end of the turn
    with torch.no_grad():
        logs = own(**ids[1]).logits[0, -count - 1 : -1].log_softmax(-1)
    return logs.gather(1, ids[1].input_ids[0, -count:, None]).sum()


@pytest.mark.parametrize("kind", ["llava", "qwen"])
def test_chat_models_score_candidates_after_the_prompt(kind, folder, pictures, monkeypatch):
    monkeypatch.setattr("lookwhy.models.foreign.chat.CANDIDATES_AT_ONCE", 2)
    model = open_model(f"hf:{folder / kind}", candidates=CANDIDATES[:3])
    found = model.log_likelihoods(pictures[:2], TEXTS[:2])
    for row in range(2):
        for column, answer in enumerate(CANDIDATES[:3]):
            expected = plain_chat_score(folder / kind, pictures[row], TEXTS[row], answer)
            torch.testing.assert_close(found[row, column], expected, atol=1e-3, rtol=1e-4)
    assert found.std(0).min() > 1e-3
    torch.testing.assert_close(
        model.answer_scores(pictures[:2], TEXTS[:2]), found.double().softmax(1), atol=1e-6, rtol=1e-4
    )
    # A class whose memory is laid out in another way.
    again = open_model(f"hf:{folder / kind}", candidates=CANDIDATES[:3])
    monkeypatch.setattr(again, "_with_memory", lambda prompt, tokens: torch.zeros(len(tokens)))
    with pytest.warns(UserWarning, match=r"every candidate runs with the whole prompt"):
        slow = again.log_likelihoods(pictures[:2], TEXTS[:2])
    torch.testing.assert_close(slow, found, atol=1e-3, rtol=1e-4)


@pytest.mark.parametrize("kind", ["blip", "qwen"])
def test_a_models_own_answers_join_the_candidates_before_the_analysis_and_not_in_it(kind, folder, pictures):
    model = open_model(f"hf:{folder / kind}", candidates=["yes", "no"])
    (own,) = model.written_answers(pictures[:1], TEXTS[:1])
    assert own
    assert own not in model.answers
    model.add_candidates([own, "yes"])
    assert model.answers == ["yes", "no", own]
    clean = model.answer_scores(pictures[:1], TEXTS[:1])
    masked = pictures[:1].copy()
    masked[:, :30] = 128
    assert model.answer_scores(masked, TEXTS[:1]).shape == clean.shape == (1, 3)
    box = TextModel(model, Words(TEXTS))
    model.add_candidates(["blue"])
    tokens, lengths = padded([Words(TEXTS).ids(TEXTS[0])])
    with pytest.raises(LookwhyError, match=r"shape \(1, 3\).*found \(1, 4\)"):
        box.answer_scores(torch.from_numpy(pictures[:1]).permute(0, 3, 1, 2).float(), tokens, lengths)


def test_models_that_cannot_be_explained_are_refused_in_one_line(folder, tmp_path):
    tiny_models.main(tmp_path, "vilt")
    config = transformers.AutoConfig.from_pretrained(tmp_path / "vilt")
    transformers.ViltForMaskedLM(config).save_pretrained(tmp_path / "vilt")
    transformers.BertConfig().save_pretrained(tmp_path / "bert")
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "config.json").write_text('{"model_type": "from_the_future"}')
    (tmp_path / "silent").mkdir()
    for file in (folder / "llava").iterdir():
        if file.name != "chat_template.jinja":
            (tmp_path / "silent" / file.name).write_bytes(file.read_bytes())
    cases = {
        folder / "blip": "expected candidates for",
        folder / "llava": "--candidates FILE",
        tmp_path / "bert": "a ViLT, a BLIP or a chat model that sees images, found bert",
        tmp_path / "new": "from_the_future",
        tmp_path / "vilt": "expected all weights of a ViltForQuestionAnswering",
        "no/such-model": "hf download no/such-model",
    }
    for name, said in cases.items():
        with pytest.raises(LookwhyError, match=said) as error:
            open_model(f"hf:{name}")
        assert "\n" not in str(error.value)
    with pytest.raises(LookwhyError, match="chat template"):
        open_model(f"hf:{tmp_path / 'silent'}", candidates=["yes"])
    with pytest.raises(LookwhyError, match="which has answers of its own"):
        open_model(f"hf:{folder / 'vilt'}", candidates=["yes"])
    with pytest.raises(LookwhyError, match="which has answers of its own"):
        open_model("colour:scores", candidates=["yes"])
    assert [takes_candidates(f"hf:{folder / kind}") for kind in ("vilt", "blip", "qwen")] == [
        False,
        True,
        True,
    ]


@pytest.mark.parametrize("name", RULES)
def test_a_rule_is_that_of_its_paper(name):
    draws = np.random.default_rng(1)
    weights = draws.dirichlet(np.ones(6), (3, 2, 6))
    gradients = draws.normal(size=weights.shape)
    identity = np.eye(6)
    whole = identity
    for layer, gradient in zip(weights, gradients, strict=True):
        if name == "rollout":  # Abnar and Zuidema 2020, equations 1 and 2
            whole = (0.5 * layer.mean(0) + 0.5 * identity) @ whole
        elif name == "relevance":  # Chefer et al. 2021, equations 5 and 6
            whole = whole + np.maximum(gradient * layer, 0).mean(0) @ whole
    if name == "grad_cam":
        whole = np.maximum(
            np.mean([g.mean() * a for g, a in zip(gradients[-1], weights[-1], strict=True)], axis=0), 0
        )
        assert whole[0].any()
    found = RULES[name](torch.from_numpy(weights), torch.from_numpy(gradients))
    np.testing.assert_allclose(found, whole[0], rtol=1e-12)


def batch_of(words, images, texts):
    tokens, lengths = padded([words.ids(text) for text in texts])
    numbers = torch.arange(len(texts))
    pixels = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float()
    return VQABatch(numbers, tokens, lengths, numbers, numbers * 0, images=pixels)


def test_attention_is_that_of_the_layers_with_the_random_order_undone(folder, pictures, monkeypatch):
    model = open_model(f"hf:{folder / 'vilt'}")
    inner, orders = model._model.vilt.embeddings, []

    def recorded(*given, **more):
        found = transformers.models.vilt.modeling_vilt.ViltEmbeddings.visual_embed(inner, *given, **more)
        orders.append(found[2][0][0])
        return found

    monkeypatch.setattr(inner, "visual_embed", recorded)
    inputs = model._encoded([*pictures[:1]], TEXTS[:1])
    torch.manual_seed(3)
    with torch.enable_grad():
        own = model._model
        own.requires_grad_(True)
        expected = own(**inputs, output_attentions=True)
        given = torch.autograd.grad(expected.logits[0, 2], expected.attentions)
        own.requires_grad_(False)
    order = orders[-1]
    for seed in (1, 2):
        torch.manual_seed(seed)
        (found,) = model.attention([*pictures[:1]], TEXTS[:1], torch.tensor([2]))
        assert found.grid == (4, 6)
        assert found.patches.tolist() == [-1, *range(24)]
        text = len(found.spans)
        places = (order[:, 0] * 6 + order[:, 1]).argsort()
        kept = torch.cat([torch.arange(text + 1), text + 1 + places])
        for ours, theirs in ((found.weights, expected.attentions), (found.gradients, given)):
            sorted_ = torch.cat(list(theirs))[:, :, kept][..., kept].detach().double()
            torch.testing.assert_close(ours, sorted_, atol=1e-6, rtol=1e-4)
    assert not torch.equal(orders[-1], orders[-2])  # the order is random, or there would be nothing to undo


def test_a_picture_and_a_question_have_the_same_attention_alone_and_in_a_padded_batch(folder, pictures):
    model = open_model(f"hf:{folder / 'vilt'}")
    images = [pictures[0], pictures[1].transpose(1, 0, 2).copy(), pictures[2][:, :60].copy()]
    target = torch.tensor([1, 2, 3])
    together = model.attention(images, TEXTS, target)
    assert [one.grid for one in together] == [(4, 6), (6, 4), (4, 4)]
    for row, found in enumerate(together):
        (expected,) = model.attention(images[row : row + 1], TEXTS[row : row + 1], target[row : row + 1])
        assert found.spans == expected.spans
        assert found.patches.tolist() == expected.patches.tolist()
        for rule in RULES.values():
            ours, theirs = (rule(one.weights, one.gradients) for one in (found, expected))
            torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=1e-3)


def hot_patch_model(folder):
    """A ViLT of one layer that attends to bright patches, and answers "red" the surer the more it does."""
    model = open_model(f"hf:{folder / 'vilt'}")
    own = model._model
    for parameter in own.parameters():
        parameter.data.zero_()
    own.vilt.embeddings.patch_embeddings.projection.weight.data[0] = 1.0  # feature 0: how bright a patch is
    own.vilt.embeddings.text_embeddings.LayerNorm.bias.data[2] = 1.0  # feature 2: a token of the text
    for layer in own.vilt.encoder.layer:
        layer.layernorm_before.weight.data.fill_(1.0)
        inside = layer.attention.attention
        inside.query.bias.data.fill_(1.0)
        inside.key.weight.data[:, 0] = 0.25
        for feature in (1, 17):  # one of each head
            inside.value.weight.data[feature, 0] = 1.0
            inside.value.bias.data[feature] = 5.6  # no patch counts against the answer
        layer.attention.output.dense.weight.data[1, 1] = layer.attention.output.dense.weight.data[1, 17] = 1.0
    own.vilt.layernorm.weight.data.fill_(1.0)
    own.vilt.pooler.dense.weight.data[1, 1] = 0.1
    first, last = own.classifier[0], own.classifier[-1]
    first.weight.data[1, 1] = 1.0
    own.classifier[1].weight.data.fill_(1.0)
    last.weight.data[2, 1] = 1.0
    return model


@pytest.mark.parametrize("size", [(64, 96), (96, 64), (64, 64)])
@pytest.mark.parametrize("place", [(0, 1), (3, 2)])
def test_the_patch_that_decides_is_hot_in_pictures_of_any_shape(size, place, folder):
    picture = np.zeros((*size, 3), np.uint8)
    row, column = place
    picture[row * 16 : row * 16 + 16, column * 16 : column * 16 + 16] = 255
    words = Words(TEXTS)
    box = TextModel(hot_patch_model(folder), words)
    batch = batch_of(words, [picture, picture], TEXTS[:2])
    expected = np.zeros((12, 12), bool)
    down, across = 12 * 16 // size[0], 12 * 16 // size[1]
    expected[row * down : (row + 1) * down, column * across : (column + 1) * across] = True
    for method in METHODS:
        found = method(grid=12)(box, batch, torch.tensor([2, 2])).values.numpy()
        for one in found:
            assert one[expected].min() > 10 * one[~expected].max() >= 0, method.name


def test_a_grid_that_is_no_multiple_keeps_the_mean(folder, pictures):
    words = Words(TEXTS)
    box = TextModel(open_model(f"hf:{folder / 'vilt'}"), words)
    batch, target = batch_of(words, pictures, TEXTS), torch.tensor([0, 1, 2])
    fine, coarse = (AttentionRelevance(grid)(box, batch, target) for grid in (5, 24))
    torch.testing.assert_close(fine.values.mean((1, 2)), coarse.values.mean((1, 2)))
    assert not fine.signed
    assert fine.target == "logit of the predicted answer"
    assert "same for every answer" in AttentionRollout(4)(box, batch, target).target


def test_words_have_the_sum_of_their_tokens(folder, pictures):
    question = "Darks, how many?"  # dark + ##s
    words = Words([question, *TEXTS])
    model = open_model(f"hf:{folder / 'vilt'}")
    box, batch = TextModel(model, words), batch_of(words, pictures[:2], [question, "ball?"])
    for method, rule in ((WordAttentionRelevance(), relevance), (WordAttentionRollout(), RULES["rollout"])):
        found = method(box, batch, torch.tensor([1, 1]))
        (one, _) = model.attention([*pictures[:2]], [question, "ball?"], torch.tensor([1, 1]))
        values = rule(one.weights, one.gradients)
        assert [question[slice(*span)] for span in one.spans] == [
            "",
            "Dark",
            "s",
            ",",
            "how",
            "many",
            "?",
            "",
        ]
        expected = torch.stack([values[1] + values[2], *values[3:7]]).float()
        torch.testing.assert_close(found.values[0], expected, atol=1e-6, rtol=1e-4)
        assert found.valid.tolist() == [[True] * 5, [True] * 2 + [False] * 3]
    cut = replace(one, spans=one.spans[:4])  # a model that reads the first tokens only
    assert over_words(cut, values, words.spans(words.ids(question)))[2:].tolist() == [0, 0, 0]


def test_a_model_without_attention_is_refused_with_methods_that_work(folder, small_pipeline):
    blip = TextModel(open_model(f"hf:{folder / 'blip'}", candidates=["yes"]), Words(TEXTS))
    for model, name in ((blip, "BlipModel"), (small_pipeline, "Pipeline")):
        with pytest.raises(LookwhyError, match=f"attention_rollout.*found {name}.*Occlusion, RISE") as error:
            AttentionRollout().check(model)
        assert "\n" not in str(error.value)
    Occlusion().check(blip)
