"""Models of a megabyte with random weights: they mean nothing, and have every part that a real one has."""

import json
from pathlib import Path

import torch
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    BertModel,
    ClapAudioConfig,
    ClapConfig,
    ClapFeatureExtractor,
    ClapModel,
    ClapTextConfig,
    PreTrainedTokenizerFast,
    SiglipConfig,
    SiglipImageProcessorPil,
    SiglipModel,
    SiglipTextConfig,
    SiglipVisionConfig,
)  # fmt: skip

WORDS = (
    "the", "a", "of", "gateway", "budget", "key", "model", "answer", "question", "paris", "france", "capital", "city",
    "is", "what", "how", "red", "green",
)  # fmt: skip
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
LETTERS = [
    *"abcdefghijklmnopqrstuvwxyz0123456789.,?!-",
    *(f"##{character}" for character in "abcdefghijklmnopqrstuvwxyz0123456789"),
]


def _tokenizer(folder: Path) -> None:
    """A WordPiece tokenizer of a few words and every letter."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

    vocabulary = {word: number for number, word in enumerate([*SPECIAL, *WORDS, *LETTERS])}
    made = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    made.normalizer = normalizers.BertNormalizer()
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    made.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", vocabulary["[CLS]"]), ("[SEP]", vocabulary["[SEP]"])],
    )  # fmt: skip
    PreTrainedTokenizerFast(
        tokenizer_object=made, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]",
        mask_token="[MASK]", model_max_length=64, model_input_names=["input_ids", "token_type_ids", "attention_mask"],
    ).save_pretrained(folder)  # fmt: skip


def bert_config(hidden: int = 32) -> BertConfig:
    """What the text models here are made by."""
    return BertConfig(
        vocab_size=len(SPECIAL) + len(WORDS) + len(LETTERS), hidden_size=hidden, num_hidden_layers=2,
        num_attention_heads=2, intermediate_size=2 * hidden, max_position_embeddings=64,
    )  # fmt: skip


def text(folder: Path, hidden: int = 32, seed: int = 0) -> Path:
    """A BERT with mean pooling, as sentence-transformers saves one, with prompts of its own."""
    torch.manual_seed(seed)
    BertModel(bert_config(hidden)).save_pretrained(folder)
    _tokenizer(folder)
    kinds = ("sentence_transformers.models.Transformer", "sentence_transformers.models.Pooling")
    modules = [
        {"idx": n, "name": str(n), "path": path, "type": kind}
        for n, (path, kind) in enumerate(zip(("", "1_Pooling"), kinds, strict=True))
    ]
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": 64, "do_lower_case": False}))
    (folder / "1_Pooling").mkdir(exist_ok=True)
    pooling = {"word_embedding_dimension": hidden, "pooling_mode_mean_tokens": True}
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(pooling))
    prompts = {"prompts": {"query": "question ", "document": ""}, "default_prompt_name": None}
    (folder / "config_sentence_transformers.json").write_text(json.dumps(prompts))
    return folder


def without_numbers(folder: Path) -> Path:
    """A text model whose weights hold NaN: every vector of it is no vector."""
    text(folder)
    model = BertModel.from_pretrained(folder)
    with torch.no_grad():
        model.get_parameter("encoder.layer.1.output.dense.bias").fill_(float("nan"))
    model.save_pretrained(folder)
    return folder


def cross_encoder(folder: Path) -> Path:
    """A BERT that scores a pair."""
    torch.manual_seed(1)
    config = bert_config()
    config.num_labels = 1
    BertForSequenceClassification(config).save_pretrained(folder)
    _tokenizer(folder)
    return folder


def siglip(folder: Path) -> Path:
    """A picture model of 32 dimensions."""
    torch.manual_seed(2)
    vision = SiglipVisionConfig(
        hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2, image_size=32, patch_size=8
    )
    words = SiglipTextConfig(
        vocab_size=64, hidden_size=32, intermediate_size=64, num_hidden_layers=1, num_attention_heads=2
    )
    SiglipModel(SiglipConfig(text_config=words.to_dict(), vision_config=vision.to_dict())).save_pretrained(folder)
    SiglipImageProcessorPil(size={"height": 32, "width": 32}).save_pretrained(folder)
    return folder


def clap(folder: Path) -> Path:
    """A sound model of 32 dimensions."""
    torch.manual_seed(3)
    audio = ClapAudioConfig(
        hidden_size=64, patch_embeds_hidden_size=8, depths=[1, 1, 1, 1], num_attention_heads=[1, 1, 1, 1],
        projection_dim=32, enable_fusion=False, spec_size=256, num_mel_bins=64,
    )  # fmt: skip
    words = ClapTextConfig(
        vocab_size=64, hidden_size=32, intermediate_size=64, num_hidden_layers=1, num_attention_heads=2,
        projection_dim=32,
    )  # fmt: skip
    config = ClapConfig(text_config=words.to_dict(), audio_config=audio.to_dict(), projection_dim=32)
    ClapModel(config).save_pretrained(folder)
    ClapFeatureExtractor(truncation="rand_trunc").save_pretrained(folder)
    return folder


def make_all(folder: Path) -> None:
    """Every kind under `folder`, by the names text, other, nan, rerank, siglip and clap."""
    text(folder / "text")
    text(folder / "other", hidden=48, seed=9)
    without_numbers(folder / "nan")
    cross_encoder(folder / "rerank")
    siglip(folder / "siglip")
    clap(folder / "clap")
