"""How many tokens a text will be, from its bytes alone: the API has no tokenizer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Sized

_BYTES_A_TOKEN: Final = 4
"""Of UTF-8; what English text comes to with the tokenizers in use."""


def tokens_of_bytes(size_bytes: int) -> int:
    """Tokens of that much text, rounded up."""
    return -(-size_bytes // _BYTES_A_TOKEN)


def tokens_of_inputs(inputs: Iterable[str | Sized]) -> int:
    """Tokens of a request, at least one an input; token ids count themselves."""
    return sum(max(1, tokens_of_bytes(len(one.encode())) if isinstance(one, str) else len(one)) for one in inputs)
