"""What is asked: request number n of a seed, and what may become of it. Pure, so that none of it need be kept."""

from __future__ import annotations

import random
import struct
from dataclasses import dataclass, replace
from enum import Flag, auto
from typing import TYPE_CHECKING, Any, Final

import orjson

from schemas import headers as names
from schemas.errors import ErrorCode
from schemas.topics import Lane

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from schemas.headers import Header

MODEL: Final = "all-MiniLM-L6-v2"
DOCUMENT_KEY: Final = b"doc-"
"""Begins the key of a document: requests that share one are answered in their order."""
POOL_TEXTS: Final = 500

_DOCUMENTS: Final = 200
_NUMBER: Final = struct.Struct(">q")
_MASK: Final = (1 << 64) - 1
_PAST_MS: Final = 60_000
_TIGHT_MS: Final = 3_000
_FAR_MS: Final = 24 * 3_600_000


class Part(Flag):
    """A message that a request can lead to."""

    NONE = 0
    RESPONSE = auto()
    DEAD_LETTER = auto()


@dataclass(frozen=True, slots=True)
class Asked:
    """A request, and what is to become of it."""

    kind: str
    value: bytes | None
    key: bytes | None
    headers: tuple[Header, ...]
    lane: Lane = Lane.BULK
    request_id: str = ""
    texts: tuple[int, ...] = ()
    """Places in the pool of what is to be answered with vectors."""
    code: ErrorCode | None = None
    """Of the error that is the right answer."""
    may_expire: bool = False
    """Whether `timeout` is a right answer too."""
    needs: Part = Part.RESPONSE


def pool() -> list[str]:
    """Texts of 8 to about 800 characters, no two alike."""
    chance = random.Random("texts")
    return [f"text {n} " + "word " * chance.choice((0, 1, 3, 10, 40, 160)) for n in range(POOL_TEXTS)]


def number_of(correlation_id: bytes | None) -> int | None:
    """Which request a message is about, told by the header that the worker hands back; None: none of ours."""
    if correlation_id is None or len(correlation_id) != _NUMBER.size:
        return None
    number: int = _NUMBER.unpack(correlation_id)[0]
    return number


class Traffic:
    """All requests of a run, by their number.

    Args:
        seed: The same seed gives the same requests.
        replies: The topic that interactive requests name; None: there are none.
    """

    def __init__(self, seed: int, replies: str | None) -> None:
        self._seed = seed
        self._replies = replies
        self._texts = pool()

    def request(self, number: int, now_ms: int = 0) -> Asked:
        """One request.

        Args:
            number: Which.
            now_ms: The time that deadlines are counted from; nothing else depends on it.
        """
        dice = _mixed(self._seed, number)
        roll, dice = dice % 10_000, dice // 10_000
        for share, make in _KINDS:
            if roll < share:
                return make(self, number, dice, now_ms)
            roll -= share
        return self._plain("plain", number, dice)

    # --- kinds of requests -------------------------------------------------------------------------------

    def _plain(self, kind: str, number: int, dice: int, **fields: Any) -> Asked:
        text = dice % POOL_TEXTS
        headers: tuple[Header, ...] = ((names.CORRELATION_ID, _NUMBER.pack(number)),)
        if "deadline_ms" in fields:
            headers += ((names.DEADLINE, b"%d" % fields.pop("deadline_ms")),)
        asked = {key: fields.pop(key) for key in ("code", "may_expire") if key in fields}
        body = {"id": f"r{number}", "model": MODEL, "input": self._texts[text], "encoding_format": "base64"} | fields
        return Asked(kind, orjson.dumps(body), None, headers, request_id=f"r{number}", texts=(text,), **asked)

    def _expired(self, number: int, dice: int, now_ms: int) -> Asked:
        return self._plain("expired", number, dice, deadline_ms=now_ms - _PAST_MS, code=ErrorCode.TIMEOUT)

    def _tight(self, number: int, dice: int, now_ms: int) -> Asked:
        later_ms = dice // POOL_TEXTS % _TIGHT_MS
        return self._plain("tight deadline", number, dice, deadline_ms=now_ms + later_ms, may_expire=True)

    def _far(self, number: int, dice: int, now_ms: int) -> Asked:
        return self._plain("far deadline", number, dice, deadline_ms=now_ms + _FAR_MS)

    def _numbers(self, number: int, dice: int, _: int) -> Asked:
        return self._plain("as numbers", number, dice, encoding_format="float")

    def _several(self, number: int, dice: int, _: int) -> Asked:
        texts = tuple((dice // 7**place) % POOL_TEXTS for place in range(2 + dice % 3))
        asked = self._plain("several inputs", number, dice, input=[self._texts[text] for text in texts])
        return replace(asked, texts=texts)

    def _interactive(self, number: int, dice: int, now_ms: int) -> Asked:
        if self._replies is None:
            return self._plain("plain", number, dice)
        asked = self._plain("interactive", number, dice)
        return replace(
            asked,
            lane=Lane.INTERACTIVE,
            key=asked.request_id.encode(),
            headers=(*asked.headers, (names.REPLY_TOPIC, self._replies.encode())),
        )

    def _document(self, number: int, dice: int, _: int) -> Asked:
        key = DOCUMENT_KEY + b"%d" % (dice // POOL_TEXTS % _DOCUMENTS)
        asked = self._plain("document", number, dice, id=key.decode())
        return replace(asked, key=key, request_id=key.decode())

    def _tombstone(self, number: int, dice: int, now_ms: int) -> Asked:
        return replace(self._document(number, dice, now_ms), kind="tombstone", value=None, texts=())

    # --- poison ------------------------------------------------------------------------------------------

    def _poison(self, number: int, dice: int, _: int) -> Asked:
        change = _POISONS[dice % len(_POISONS)]
        asked = self._plain("poison", number, dice)
        return replace(asked, **({"texts": (), "needs": Part.RESPONSE | Part.DEAD_LETTER} | change(asked)))


_KINDS: Final[Sequence[tuple[int, Callable[[Traffic, int, int, int], Asked]]]] = (
    (100, Traffic._poison),
    (100, Traffic._expired),
    (100, Traffic._tight),
    (100, Traffic._far),
    (400, Traffic._document),
    (100, Traffic._tombstone),
    (500, Traffic._interactive),
    (300, Traffic._several),
    (300, Traffic._numbers),
)
"""Shares in 10,000 requests; the rest are plain ones."""


def _with(**fields: Any) -> Callable[[Asked], dict[str, Any]]:
    """A request that differs in some fields of its value; None leaves a field out."""
    code = fields.pop("code")

    def change(asked: Asked) -> dict[str, Any]:
        body = orjson.loads(asked.value or b"") | fields
        return {
            "value": orjson.dumps({name: value for name, value in body.items() if value is not None}),
            "code": code,
        }

    return change


def _not_json(asked: Asked) -> dict[str, Any]:
    return {"value": b"no JSON " + asked.request_id.encode(), "code": ErrorCode.NOT_JSON, "needs": Part.DEAD_LETTER}


def _no_id(asked: Asked) -> dict[str, Any]:
    return _with(id=None, code=ErrorCode.NO_ID)(asked) | {"needs": Part.DEAD_LETTER}


def _elsewhere(asked: Asked) -> dict[str, Any]:
    headers = (*asked.headers, (names.REPLY_TOPIC, b"elsewhere"))
    return {"headers": headers, "code": ErrorCode.DESTINATION_NOT_ALLOWED, "needs": Part.DEAD_LETTER}


_POISONS: Final[Sequence[Callable[[Asked], dict[str, Any]]]] = (
    _not_json,
    _no_id,
    _elsewhere,
    _with(model="unknown", code=ErrorCode.MODEL_NOT_FOUND),
    _with(input="x" * 2000, truncate="NONE", code=ErrorCode.CONTEXT_LENGTH_EXCEEDED),
    _with(dimensions=7, code=ErrorCode.INVALID_REQUEST),
    _with(input=[], code=ErrorCode.INVALID_REQUEST),
)


def _mixed(seed: int, number: int) -> int:
    """64 bits that look like chance. Source: splitmix64, as in Java's SplittableRandom."""
    state = (seed * 0xD1B54A32D192ED03 + (number + 1) * 0x9E3779B97F4A7C15) & _MASK
    state = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) & _MASK
    return state ^ (state >> 31)
