"""Write small models of transformers with random weights into folders: python tiny_models.py FOLDER KIND ...

The vocabularies are written here; nothing is downloaded.
"""

import sys
from pathlib import Path

import torch
import transformers as hf
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers

ANSWERS = ["yes", "no", "red", "blue"]
SPECIAL = "[PAD] [UNK] [CLS] [SEP] [MASK] [DEC]"
WORDS = "what color is the a cube ball cone ? . how many can you see there yes no red blue light 2 dark ##s"
CHAT = (
    "{% for m in messages %}{{ m['role'] | capitalize }}:{% for part in m['content'] %}"
    "{{ '<image>' if part['type'] == 'image' else ' ' + part['text'] }}{% endfor %}<end>\n{% endfor %}"
    "{% if add_generation_prompt %}Assistant:{% endif %}"
)
"""A chat template in the way of SmolVLM's."""


def bert_tokenizer(folder):
    (folder / "vocab.txt").write_text("\n".join(f"{SPECIAL} {WORDS}".split()) + "\n")
    return hf.BertTokenizer(str(folder / "vocab.txt"), bos_token="[DEC]")


def chat_tokenizer(*special):
    """A tokenizer of characters: every text is in its vocabulary."""
    names = ["<pad>", "<unk>", "<s>", "</s>", "<end>", "<image>", *special]
    letters = [chr(code) for code in range(32, 127)] + ["\n"]
    vocabulary = {name: number for number, name in enumerate([*names, *letters])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex("[\\s\\S]"), "isolated")
    tokenizer.decoder = decoders.Fuse()
    given = {"bos_token": "<s>", "eos_token": "<end>", "pad_token": "<pad>", "unk_token": "<unk>"}
    made = hf.PreTrainedTokenizerFast(tokenizer_object=tokenizer, **given)
    made.add_special_tokens({"additional_special_tokens": ["<image>", *special]})
    return made


def spread(model):
    """Larger weights: those of the initialisation answer nearly the same to everything."""
    torch.manual_seed(0)
    for parameter in model.parameters():
        parameter.data.mul_(3) if parameter.ndim > 1 else parameter.data.add_(torch.randn_like(parameter) / 9)
    return model.eval()


def vilt(folder):
    tokenizer = bert_tokenizer(folder)
    labels = {"id2label": dict(enumerate(ANSWERS)), "label2id": {one: i for i, one in enumerate(ANSWERS)}}
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    sizes |= {"image_size": 64, "patch_size": 16, "max_position_embeddings": 40, "vocab_size": len(tokenizer)}
    config = hf.ViltConfig(num_labels=len(ANSWERS), max_image_length=-1, **sizes, **labels)
    spread(hf.ViltForQuestionAnswering(config)).save_pretrained(folder)
    pictures = hf.ViltImageProcessor(size={"shortest_edge": 64}, size_divisor=16)
    hf.ViltProcessor(pictures, tokenizer).save_pretrained(folder)


def blip(folder):
    tokenizer = bert_tokenizer(folder)
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    ids = {"bos_token_id": 5, "sep_token_id": 3, "eos_token_id": 3, "pad_token_id": 0}
    text = {**sizes, **ids, "vocab_size": len(tokenizer), "encoder_hidden_size": 32, "projection_dim": 32}
    config = hf.BlipConfig(text_config=text, vision_config={**sizes, "image_size": 32, "patch_size": 8})
    spread(hf.BlipForQuestionAnswering(config)).save_pretrained(folder)
    pictures = hf.BlipImageProcessor(size={"height": 32, "width": 32})
    hf.BlipProcessor(pictures, tokenizer).save_pretrained(folder)


TEXT = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
TEXT |= {"num_key_value_heads": 2, "max_position_embeddings": 512, "pad_token_id": 0, "bos_token_id": 2}


def llava(folder):
    tokenizer = chat_tokenizer()
    vision = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    config = hf.LlavaConfig(
        vision_config=hf.CLIPVisionConfig(**vision, image_size=32, patch_size=8),
        text_config=hf.LlamaConfig(**TEXT, vocab_size=len(tokenizer), eos_token_id=4),
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
    )
    spread(hf.LlavaForConditionalGeneration(config)).save_pretrained(folder)
    pictures = hf.CLIPImageProcessor(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})
    more = {"patch_size": 8, "vision_feature_select_strategy": "default", "num_additional_image_tokens": 1}
    hf.LlavaProcessor(pictures, tokenizer, chat_template=CHAT, **more).save_pretrained(folder)


def qwen(folder):
    tokenizer = chat_tokenizer("<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>")
    ids = {name: tokenizer.convert_tokens_to_ids(f"<|{name}|>") for name in ("vision_start", "vision_end")}
    config = hf.Qwen2VLConfig(
        vision_config={"embed_dim": 32, "hidden_size": 32, "depth": 2, "num_heads": 2, "patch_size": 8},
        text_config={
            **TEXT,
            "vocab_size": len(tokenizer),
            "eos_token_id": 4,
            "rope_parameters": {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [1, 1, 2]},
        },
        image_token_id=tokenizer.convert_tokens_to_ids("<|image_pad|>"),
        video_token_id=tokenizer.convert_tokens_to_ids("<|video_pad|>"),
        vision_start_token_id=ids["vision_start"],
        vision_end_token_id=ids["vision_end"],
    )
    spread(hf.Qwen2VLForConditionalGeneration(config)).save_pretrained(folder)
    pictures = hf.Qwen2VLImageProcessor(patch_size=8, size={"shortest_edge": 256, "longest_edge": 4096})
    video = hf.Qwen2VLVideoProcessor(patch_size=8)
    chat = CHAT.replace("<image>", "<|vision_start|><|image_pad|><|vision_end|>")
    hf.Qwen2VLProcessor(pictures, tokenizer, video, chat_template=chat).save_pretrained(folder)


def main(folder, *kinds):
    for kind in kinds:
        (folder / kind).mkdir(parents=True)
        torch.manual_seed(0)
        globals()[kind](folder / kind)


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
