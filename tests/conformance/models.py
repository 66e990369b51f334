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

QUERY, PASSAGE = "query: ", "passage: "
SHORTER: Final = (8, 16)
RANGES: Final = (-0.5, 0.5)

M, F, S = "org/matryoshka", "org/fixed", "org/symmetric"
"""Asymmetric with shorter lengths; of one length and floats only; symmetric, clamping and reading token ids."""

_ARCHITECTURES: Final = {M: "bert", F: "xlm-roberta", S: "mpnet"}

_CATALOGUE: Final = """
[models."{M}"]
source = "{folder}/{M}/model"
asymmetric = true
query_prefix = "{QUERY}"
passage_prefix = "{PASSAGE}"
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

[models."all-MiniLM-L6-v2"]
slug = "minilm"
"""


@dataclass(frozen=True, slots=True)
class Reference:
    """A model as sentence-transformers itself runs it, in float32."""

    model: SentenceTransformer
    tokenizer: RawTokenizer
    """A copy that cuts nothing: the model's own one cuts again after each call."""

    def vector(self, text: str, prefix: str = "", dim: int | None = None) -> NDArray[np.float32]:
        """The unit vector of one text, cut to `dim` and normalised again."""
        whole: NDArray[np.float32] = self.model.encode([prefix + text], show_progress_bar=False)[0]
        cut = whole[: dim or len(whole)]
        return cut / np.linalg.norm(cut)  # type: ignore[no-any-return]

    def tokens(self, text: str, prefix: str = "") -> int:
        """Tokens of a text, special ones counted, nothing cut."""
        return len(self.tokenizer.encode(prefix + text).ids)

    def ids(self, text: str) -> list[int]:
        """Token ids of a text, special ones included."""
        ids: list[int] = self.tokenizer.encode(text).ids
        return ids

    def text_of(self, tokens: int, prefix: str = "", word: str = "broker") -> str:
        """A text of so many tokens, prefix and special ones counted."""
        words = 1
        while self.tokens(" ".join([word] * words), prefix) < tokens:
            words += 1
        text = " ".join([word] * words)
        while self.tokens(text, prefix) > tokens:
            text = text[:-1]
        assert self.tokens(text, prefix) == tokens
        return text


@dataclass(frozen=True, slots=True)
class SmallModels:
    """What was saved."""

    catalogue: Path
    """Of these models and the default one."""
    references: dict[str, Reference]


def save_models(folder: Path) -> SmallModels:
    """Make the models below a folder, load each with sentence-transformers, and write the catalogue of them all."""
    from sentence_transformers import SentenceTransformer

    references = {}
    for seed, (name, architecture) in enumerate(_ARCHITECTURES.items()):
        (folder / name).mkdir(parents=True)
        source = save_tiny_model(architecture, folder / name, seed=seed)
        model = SentenceTransformer(source, device="cpu")
        tokenizer = RawTokenizer.from_str(model.tokenizer.backend_tokenizer.to_str())
        tokenizer.no_truncation()
        tokenizer.no_padding()
        references[name] = Reference(model, tokenizer)
    return SmallModels(_write_catalogue(folder), references)


def _write_catalogue(folder: Path) -> Path:
    path = folder / "models.toml"
    path.write_text(
        _CATALOGUE.format(
            folder=folder,
            M=M,
            F=F,
            S=S,
            QUERY=QUERY,
            PASSAGE=PASSAGE,
            shorter=list(SHORTER),
            ranges=list(RANGES),
        )
    )
    return path


def body_of(model: str, given: str | Sequence[Any], **fields: Any) -> dict[str, Any]:
    """A request body."""
    return {"model": model, "input": given, **fields}
