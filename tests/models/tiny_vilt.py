"""Write a small ViLT with random weights and its processor into a folder: python tiny_vilt.py FOLDER."""

import sys
from pathlib import Path

import torch
from transformers import (
    BertTokenizer,
    ViltConfig,
    ViltForQuestionAnswering,
    ViltImageProcessor,
    ViltProcessor,
)

WORDS = "[PAD] [UNK] [CLS] [SEP] [MASK] what color is the a cube ball cone ? how many can you see there"
ANSWERS = ["yes", "no", "red", "blue"]


def main(folder):
    folder.mkdir(parents=True)
    words = WORDS.split()
    (folder / "vocab.txt").write_text("\n".join(words) + "\n")
    torch.manual_seed(0)
    labels = {"id2label": dict(enumerate(ANSWERS)), "label2id": {one: i for i, one in enumerate(ANSWERS)}}
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    sizes |= {"image_size": 64, "patch_size": 16, "max_position_embeddings": 40, "vocab_size": len(words)}
    model = ViltForQuestionAnswering(ViltConfig(num_labels=len(ANSWERS), **sizes, **labels)).eval()
    for parameter in model.parameters():
        parameter.data.mul_(3)
    model.save_pretrained(folder)
    pictures = ViltImageProcessor(size={"shortest_edge": 64}, size_divisor=16)
    ViltProcessor(pictures, BertTokenizer(str(folder / "vocab.txt"))).save_pretrained(folder)


main(Path(sys.argv[1]))
