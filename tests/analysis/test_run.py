"""One analysis over unlike batches, and a plan that does not fit the model."""

import pytest
import torch
from known_models import LinearBlackBox, make_batch
from tiny_runs import make_data, make_head, make_trainer
from torch import nn

from lookwhy.analysis import AnalysisPlan, run_analysis
from lookwhy.analysis.part_of_speech import Tagger
from lookwhy.attribution import Attention, GuidedBackprop, Occlusion, WordDrop, WordGradient
from lookwhy.callbacks import ImportanceCallback
from lookwhy.errors import LookwhyError
from lookwhy.models import DeeperLSTM, Pipeline, VQASystem
from lookwhy.towers import Memory

TAGGER = Tagger("none", lambda words: ["NN"] * len(words))


def test_images_of_different_sizes_are_explained_as_each_alone(tmp_path):
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(inplace=True), nn.AdaptiveAvgPool2d(2), nn.Flatten())
    model = Pipeline(network, DeeperLSTM(9, 5, 16, embedding_size=6, hidden_size=5, common_size=8)).eval()
    model.tower.memory = Memory(tmp_path)
    batches = []
    for number, size in enumerate(((12, 9), (12, 9), (20, 11), (12, 9))):
        batch = make_batch(torch.rand(1, 3, *size), image_ids=[number], dtype=torch.float32)
        batch.question_ids = torch.tensor([number])
        batches.append(batch)
    methods = [GuidedBackprop(4), Occlusion(4)], [WordGradient(), WordDrop()]
    plan = AnalysisPlan(*methods, grid=4, bootstrap_samples=10)
    found = run_analysis(model, batches, plan, tagger=TAGGER).maps
    for number, batch in enumerate(batches):
        target = model.answer_scores(batch.images, batch.tokens, batch.lengths).argmax(1)
        for method in plan.methods:
            ours = found[f"{method.domain}/{method.name}"].values[number]
            torch.testing.assert_close(ours, method(model, batch, target).values[0], atol=1e-6, rtol=1e-5)


def test_a_black_box_gets_as_many_images_at_once_as_the_method_says():
    class Counting(LinearBlackBox):
        def answer_scores(self, image, tokens, lengths):
            sizes.append(len(image))
            return super().answer_scores(image.sub_(0.0), tokens, lengths)

    sizes = []
    model = Counting(torch.zeros(3, 8, 8).double(), torch.linspace(0, 1, 5).double())
    plan = AnalysisPlan([Occlusion(4, batch_size=5)], [WordDrop()], grid=4, bootstrap_samples=10)
    run_analysis(model, [make_batch(torch.rand(1, 3, 8, 8))], plan, tagger=TAGGER)
    assert sizes == [1, 5, 5, 5, 2, 4]  # the answer, 17 images, 4 questions


def test_a_method_that_cannot_explain_the_model_is_refused_before_the_first_step(tiny_world, tmp_path):
    data = make_data(tiny_world)
    analysis = ImportanceCallback(AnalysisPlan([Attention()], []), untrained=False)
    trainer = make_trainer(tmp_path, 1, [analysis])
    with pytest.raises(LookwhyError, match="expected a head that attends, found DeeperLSTM"):
        trainer.fit(VQASystem(make_head(data)), data)
    assert trainer.global_step == 0
