"""Texts as callers send them: short, long, of many scripts, and odd."""

from __future__ import annotations

import random
from typing import Final

_LINE: Final = (
    "kafka topic offset broker vector model the a of and to in is it read write line file compressed "
    "Überraschung naïve façade дом книга поток слово 東京 大学 数据 流 한국어 문장 שלום مرحبا नमस्ते "
    "x1 0.5 3,141 http://example.org/a?b=c user@example.org snake_case CamelCase don't e.g. -> != <b> 🙂 👩‍👩‍👧 ½ ﬁ"
)
_WORDS: Final = _LINE.split()

ODD: Final = (
    " ",
    "\n\t ",
    "a",
    " leading and trailing ",
    "two  spaces\u00a0and\u2003wide ones",
    "NUL \x00 and \x1b escape",
    "e\u0301 is e with an accent of its own",
    "\ufeffwith a byte order mark",
    "zero\u200bwidth",
    "[CLS] [SEP] [PAD] [MASK] </s> <pad>",
    "UPPER lower MiXeD",
    "line one\r\nline two\nline three",
    "a" * 300,
    "far more words than any of these models takes in " * 40,
    "\U0001f600" * 20,
    "….,;:!?()[]{}«»„“”—\u2013-_/\\|@#$%^&*+=~`'\"",
)


def varied_texts(count: int, seed: int = 0) -> list[str]:
    """So many texts, the odd ones first; one in thirty has several hundred words."""
    chance = random.Random(seed)
    texts = list(ODD[:count])
    while len(texts) < count:
        long = chance.random() < 1 / 30
        words = chance.randint(200, 300) if long else min(40, int(chance.lognormvariate(1.8, 0.8)) + 1)
        texts.append(" ".join(chance.choice(_WORDS) for _ in range(words)))
    return texts
