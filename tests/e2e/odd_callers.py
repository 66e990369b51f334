"""Callers of the API that do not all get what they ask for, and some of whom do not wait for it. For asyncio."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

LEAVES: Final = 499
"""Counted for a caller that hung up as soon as it had asked."""

_MANY: Final = [f"text {number}" for number in range(70)]
"""Inputs of a request that is split: a message holds 64."""
_TOO_LONG: Final = "x" * 4000


class _Odd(NamedTuple):
    """One kind of request, and the statuses it may end with."""

    fields: dict[str, Any]
    statuses: frozenset[int]
    timeout: str = "30"
    leaves: bool = False


_TIMELY: Final = frozenset({200, 504})
_KINDS: Final = (
    _Odd({"input": _MANY}, frozenset({200})),
    _Odd({"input": _TOO_LONG}, frozenset({400})),
    _Odd({"input": [*_MANY, _TOO_LONG]}, frozenset({400})),
    _Odd({"input": "text", "model": "unknown"}, frozenset({404})),
    _Odd({"input": []}, frozenset({400})),
    _Odd({"input": "text"}, _TIMELY, timeout="0.002"),
    _Odd({"input": _MANY}, _TIMELY, timeout="0.004"),
    _Odd({"input": "text"}, frozenset({LEAVES}), leaves=True),
    _Odd({"input": _MANY}, frozenset({LEAVES}), leaves=True),
    _Odd({"input": [*_MANY, _TOO_LONG]}, frozenset({LEAVES}), leaves=True),
)


async def ask_oddly(url: str, model: str, requests: int, callers: int) -> Counter[int]:
    """Ask so many times for something odd, each kind in its turn, from so many callers at once.

    Returns:
        How often which status came back; each was one of those its kind may end with.
    """
    host, _, port = url.removeprefix("http://").partition(":")
    kinds = (_KINDS[number % len(_KINDS)] for number in range(requests))
    seen: Counter[int] = Counter()

    async def call(kinds: Iterator[_Odd]) -> None:
        for kind in kinds:
            status = await _status_of(kind, host, int(port), model)
            assert status in kind.statuses, (status, kind)
            seen[status] += 1

    await asyncio.gather(*(call(kinds) for _ in range(callers)))
    return seen


async def _status_of(kind: _Odd, host: str, port: int, model: str) -> int:
    body = json.dumps({"model": model, "encoding_format": "base64", **kind.fields}).encode()
    head = (
        "POST /v1/embeddings HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n"
        f"x-request-timeout: {kind.timeout}\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    reader, writer = await asyncio.open_connection(host, port)
    try:
        writer.write(head.encode() + body)
        await writer.drain()
        if kind.leaves:
            return LEAVES
        answer = await reader.read()
        return int(answer.split(b" ", 2)[1])
    finally:
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()
