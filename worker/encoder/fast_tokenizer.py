"""The model's own fast tokenizer, as a private copy that neither pads nor cuts on its own.

A `tokenizer.json` may switch padding and truncation on by itself (all-MiniLM-L6-v2: cut at 128 while the model takes
256), so both are switched off and the model's limit is applied here, special tokens counted.

A text far longer than the limit is clipped by characters first: tokenizing costs its whole length, 2 s a megabyte.
The cut is made at white space, and counts only when at least as many tokens again lie between it and what is kept, so
that no token that is kept can see it; otherwise the whole text is tokenized.
"""

from __future__ import annotations

from bisect import bisect_left
from operator import itemgetter
from typing import TYPE_CHECKING, Final

from tokenizers import Tokenizer as RawTokenizer

from schemas.requests import Truncate

from .interface import Tokens

if TYPE_CHECKING:
    from collections.abc import Sequence


_CLIP_CHARACTERS_PER_TOKEN: Final = 32
_CLIP_MARGIN: Final = 2
_ANY_TEXT: Final = "a text"


class FastTokenizer:
    """Tokenizes texts in one call without the GIL; thread-safe.

    Args:
        serialized: The tokenizer as JSON, as `tokenizer.json` holds it.
        max_tokens: The model's limit for one input, special tokens counted.
        appended: Token ids to put behind every text, beside what the tokenizer itself does.
    """

    def __init__(self, serialized: str, max_tokens: int, appended: Sequence[int] = ()) -> None:
        self._tokenizer = RawTokenizer.from_str(serialized)
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        self._max_tokens = max_tokens
        self._appended = list(appended)
        self._special = self._special_tokens()

    def tokenize(
        self, texts: Sequence[str], truncations: Sequence[Truncate], prefixes: Sequence[int] | None = None
    ) -> list[Tokens]:
        """See `interface.Tokenizer`."""
        prefixes = prefixes or [0] * len(texts)
        clipped = list(map(self._clip, texts, truncations, prefixes))
        encodings = self._tokenizer.encode_batch_fast(clipped, add_special_tokens=True)
        tokenized = []
        for text, clip, truncation, prefix, encoding in zip(
            texts, clipped, truncations, prefixes, encodings, strict=True
        ):
            ids, kept_of = encoding.ids, clip
            if len(clip) < len(text) and len(ids) < _CLIP_MARGIN * self._max_tokens:
                ids, kept_of = self._tokenizer.encode(text, add_special_tokens=True).ids, text
            ids += self._appended
            length = len(ids)
            if length > self._max_tokens and truncation is not Truncate.NONE:
                ids = self._truncate(ids, kept_of, truncation, prefix)
            tokenized.append(Tokens(ids, length, is_counted=len(kept_of) == len(text)))
        return tokenized

    def _clip(self, text: str, truncation: Truncate, prefix: int) -> str:
        """Prefix and the end of the text that may be kept, cut at white space; all of it where there is none."""
        bound = self._max_tokens * _CLIP_CHARACTERS_PER_TOKEN
        if len(text) - prefix <= bound:
            return text
        if truncation is Truncate.START:
            space = next((index for index in range(len(text) - bound, len(text)) if text[index].isspace()), prefix)
            return text[:prefix] + text[space:]
        space = next((index for index in range(prefix + bound - 1, -1, -1) if text[index].isspace()), len(text))
        return text[:space]

    def _truncate(self, ids: list[int], text: str, truncation: Truncate, prefix: int) -> list[int]:
        """The text's own tokens cut, the special ones left around what is kept."""
        front, back = self._special
        own = ids[len(front) : len(ids) - len(back)]
        room = self._max_tokens - len(front) - len(back)
        if truncation is Truncate.END:
            return [*front, *own[:room], *back]
        of_prefix = min(self._tokens_of_prefix(text, prefix), room)
        return [*front, *own[:of_prefix], *own[len(own) - (room - of_prefix) :], *back]

    def _tokens_of_prefix(self, text: str, prefix: int) -> int:
        """How many tokens begin in the first characters; white space at their end belongs to what comes after it."""
        end = len(text[:prefix].rstrip())
        if not end:
            return 0
        return bisect_left(self._tokenizer.encode(text, add_special_tokens=False).offsets, end, key=itemgetter(0))

    def _special_tokens(self) -> tuple[list[int], list[int]]:
        """What the tokenizer puts before and behind the tokens of any text."""
        bare = self._tokenizer.encode(_ANY_TEXT, add_special_tokens=False).ids
        whole = self._tokenizer.encode(_ANY_TEXT, add_special_tokens=True).ids
        places = range(len(whole) - len(bare) + 1)
        start = next(place for place in places if whole[place : place + len(bare)] == bare)
        return whole[:start], whole[start + len(bare) :] + self._appended
