"""Small models of several architectures with weights from a seed, saved as sentence-transformers saves its own."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, Final, TypeVar

import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Dense, Normalize, Pooling, Transformer
from tokenizers import Tokenizer as RawTokenizer
from tokenizers import decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import (
    BertConfig,
    BertModel,
    DebertaV2Config,
    DebertaV2Model,
    DistilBertConfig,
    DistilBertModel,
    LlamaConfig,
    LlamaModel,
    MistralConfig,
    MistralModel,
    ModernBertConfig,
    ModernBertModel,
    MPNetConfig,
    MPNetModel,
    PreTrainedTokenizerFast,
    Qwen3Config,
    Qwen3Model,
    RobertaConfig,
    RobertaModel,
    XLMRobertaConfig,
    XLMRobertaModel,
)

from .texts import varied_texts

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from transformers import PreTrainedModel

DIM: Final = 32
LIMIT: Final = 48
_SIZE: Final = {"hidden_size": DIM, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
_VOCABULARY: Final = 400

_Config = TypeVar("_Config")


def save_tiny_model(architecture: str, folder: Path, *, seed: int = 0, after: Sequence[Any] | None = None) -> str:
    """Make and save one of `ARCHITECTURES`; what is saved is what its arguments say, each time.

    Args:
        architecture: Which.
        folder: Where to.
        seed: Of the weights.
        after: Modules behind the transformer; none given: the architecture's own pooling.

    Returns:
        The folder, as `ModelSettings.source` takes it.
    """
    make, tokenizer, pooling = ARCHITECTURES[architecture]
    torch.manual_seed(seed)
    model = make()
    with torch.no_grad():
        for parameter in model.parameters():
            # Fifty times the weights of a fresh model: were attention weak, nobody would see it go wrong.
            if parameter.ndim > 1:
                parameter.normal_()
    parts = folder / "parts"
    model.save_pretrained(parts)
    tokenizer().save_pretrained(parts)
    transformer = Transformer(str(parts), max_seq_length=LIMIT)
    SentenceTransformer(modules=[transformer, *(after or [Pooling(DIM, pooling)])], device="cpu").save(
        str(folder / "model"), create_model_card=False
    )
    return str(folder / "model")


def a_dense_layer(scale: float = 1.0, seed: int = 5) -> Dense:
    torch.manual_seed(seed)
    dense = Dense(DIM, 2 * DIM, activation_function=torch.nn.Tanh() if scale == 1.0 else torch.nn.Identity())
    with torch.no_grad():
        dense.linear.weight.mul_(scale)
        dense.linear.bias.zero_()
    return dense


def pooling_then(*modules: Any) -> list[Any]:
    return [Pooling(DIM, "mean"), *modules]


def normalize() -> Normalize:
    return Normalize()


@cache
def _wordpiece() -> PreTrainedTokenizerFast:
    raw = RawTokenizer(models.WordPiece(unk_token="[UNK]"))
    raw.normalizer = normalizers.BertNormalizer()
    raw.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    _train(raw, trainers.WordPieceTrainer(vocab_size=_VOCABULARY, special_tokens=special, show_progress=False))
    raw.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    return _wrap(raw, special, ["input_ids", "token_type_ids", "attention_mask"])


@cache
def _sentencepiece() -> PreTrainedTokenizerFast:
    """As in XLM-R and mpnet: `<pad>` is 1, and positions count from it."""
    raw = RawTokenizer(models.Unigram())
    raw.normalizer = normalizers.NFKC()
    raw.pre_tokenizer = pre_tokenizers.Metaspace()
    special = ["<s>", "<pad>", "</s>", "<unk>"]
    trainer = trainers.UnigramTrainer(
        vocab_size=_VOCABULARY, special_tokens=special, unk_token="<unk>", show_progress=False
    )
    _train(raw, trainer)
    raw.post_processor = processors.TemplateProcessing(single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)])
    return _wrap(raw, ["<pad>", "<unk>", "<s>", "</s>"], ["input_ids", "attention_mask"])


@cache
def _byte_level_left_padding() -> PreTrainedTokenizerFast:
    """As in Qwen3-Embedding: padding in front, `<end>` behind the text, whose state is the vector."""
    raw = RawTokenizer(models.BPE())
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    special = ["<pad>", "<end>"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    _train(
        raw,
        trainers.BpeTrainer(
            vocab_size=_VOCABULARY, special_tokens=special, initial_alphabet=alphabet, show_progress=False
        ),
    )
    raw.post_processor = processors.TemplateProcessing(single="$A <end>", special_tokens=[("<end>", 1)])
    return PreTrainedTokenizerFast(
        tokenizer_object=raw,
        pad_token="<pad>",
        eos_token="<end>",
        padding_side="left",
        model_input_names=["input_ids", "attention_mask"],
    )


def _train(raw: RawTokenizer, trainer: Any) -> None:
    """Once a process: of two pieces as frequent as one another, either may come first."""
    raw.train_from_iterator(varied_texts(200, seed=3), trainer)


def _wrap(raw: RawTokenizer, special: Sequence[str], inputs: list[str]) -> PreTrainedTokenizerFast:
    pad, unk, cls, sep = special
    return PreTrainedTokenizerFast(
        tokenizer_object=raw, pad_token=pad, unk_token=unk, cls_token=cls, sep_token=sep, model_input_names=inputs
    )


def _bert() -> PreTrainedModel:
    return BertModel(BertConfig(vocab_size=_VOCABULARY, max_position_embeddings=64, pad_token_id=0, **_SIZE))


def _xlm_roberta() -> PreTrainedModel:
    return XLMRobertaModel(
        XLMRobertaConfig(
            vocab_size=_VOCABULARY,
            max_position_embeddings=66,
            pad_token_id=1,
            bos_token_id=0,
            eos_token_id=2,
            type_vocab_size=1,
            **_SIZE,
        )
    )


def _roberta() -> PreTrainedModel:
    return RobertaModel(
        RobertaConfig(vocab_size=_VOCABULARY, max_position_embeddings=66, pad_token_id=1, hidden_act="relu", **_SIZE)
    )


def _distilbert() -> PreTrainedModel:
    return DistilBertModel(
        DistilBertConfig(
            vocab_size=_VOCABULARY, max_position_embeddings=64, dim=DIM, n_layers=2, n_heads=4, hidden_dim=64
        )
    )


def _modernbert() -> PreTrainedModel:
    """Every layer but the first sees eight tokens to either side."""
    return ModernBertModel(
        ModernBertConfig(
            vocab_size=_VOCABULARY,
            max_position_embeddings=64,
            pad_token_id=0,
            bos_token_id=2,
            eos_token_id=3,
            cls_token_id=2,
            sep_token_id=3,
            local_attention=16,
            global_attn_every_n_layers=2,
            **_SIZE,
        )
    )


def _deberta() -> PreTrainedModel:
    return DebertaV2Model(
        DebertaV2Config(
            vocab_size=_VOCABULARY,
            max_position_embeddings=64,
            pad_token_id=0,
            relative_attention=True,
            pos_att_type=["p2c", "c2p"],
            **_SIZE,
        )
    )


def _of_decoder(kind: Callable[..., _Config], **special: int) -> _Config:
    """The size of each that only looks back: two heads share their keys, the end of text ends every input."""
    return kind(
        vocab_size=_VOCABULARY,
        max_position_embeddings=64,
        pad_token_id=0,
        eos_token_id=1,
        bos_token_id=None,
        num_key_value_heads=2,
        **special,
        **_SIZE,
    )


def _mistral() -> PreTrainedModel:
    """Causal; a token sees the ten before it."""
    return MistralModel(_of_decoder(MistralConfig, head_dim=8, sliding_window=11))


def _llama() -> PreTrainedModel:
    return LlamaModel(_of_decoder(LlamaConfig))


def _mpnet() -> PreTrainedModel:
    return MPNetModel(MPNetConfig(vocab_size=_VOCABULARY, max_position_embeddings=66, pad_token_id=1, **_SIZE))


def _qwen3() -> PreTrainedModel:
    return Qwen3Model(_of_decoder(Qwen3Config, head_dim=8))


ARCHITECTURES: Final[dict[str, tuple[Callable[[], Any], Callable[[], PreTrainedTokenizerFast], str]]] = {
    "bert": (_bert, _wordpiece, "cls"),
    "xlm-roberta": (_xlm_roberta, _sentencepiece, "mean"),
    "mpnet": (_mpnet, _sentencepiece, "mean"),
    "roberta": (_roberta, _sentencepiece, "mean"),
    "distilbert": (_distilbert, _wordpiece, "mean"),
    "modernbert": (_modernbert, _wordpiece, "cls"),
    "deberta-v2": (_deberta, _wordpiece, "mean"),
    "mistral": (_mistral, _byte_level_left_padding, "lasttoken"),
    "llama": (_llama, _byte_level_left_padding, "mean"),
    "qwen3": (_qwen3, _byte_level_left_padding, "lasttoken"),
}
