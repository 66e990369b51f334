"""Messages nobody would send on purpose, by the thousand, and the same ones in every run."""

from __future__ import annotations

import json
import struct
from functools import cache, partial
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias, TypeVar

from hypothesis import HealthCheck, Phase, Verbosity, given, settings
from hypothesis import strategies as st

from schemas import headers as names
from schemas.topics import Lane

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hypothesis.strategies import SearchStrategy

REPLIES: Final = "<replies>"
"""Stands for the place's own reply topic in a header, which is named when the message is sent."""


class OddMessage(NamedTuple):
    """A message as it is to be published."""

    lane: Lane
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...]


class AskedModel(NamedTuple):
    """What a right request to a model may hold beside its texts."""

    names: tuple[str, ...]
    """By its first one a request needs nothing else."""
    dimensions: tuple[int, ...]
    """Right ones and wrong ones."""
    token_ids: bool = False
    """Whether inputs may be ids of its vocabulary."""


@cache
def odd_messages(count: int, model: AskedModel) -> tuple[OddMessage, ...]:
    """So many messages, none of them failing anything here: they are only gathered."""
    made: list[OddMessage] = []

    @settings(
        derandomize=True,
        database=None,
        deadline=None,
        max_examples=count,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
        verbosity=Verbosity.quiet,
    )
    @given(_messages(_right_for(model)))
    def gather(message: OddMessage) -> None:
        made.append(message)

    gather()
    return tuple(made)


# --- JSON, as bytes: much of what is sent could not be made from Python values ----------------------------


def _dumped(value: object) -> bytes:
    return json.dumps(value).encode()


def _nested(depth: int, opening: bytes, inmost: bytes, closing: bytes) -> bytes:
    return opening * depth + inmost + closing * depth


_TEXTS: Final = st.one_of(
    st.text(min_size=1, max_size=20),
    st.text(st.characters(categories=["Cs", "Cc", "Cf", "Co", "Cn", "Mn"]), min_size=1, max_size=8),
    st.sampled_from(["\x00", "\ud83d", "\u202eabc", "e" + "\u0301" * 300, "😀" * 70, "שלום", "ﷺ" * 200, "\ufeff"]),
    st.builds(str.__mul__, st.sampled_from(["word ", "x", "\n", "漢"]), st.integers(1, 3000)),
)
_NUMBERS: Final = st.one_of(
    st.integers().map(_dumped),
    st.floats().map(_dumped),  # NaN and Infinity too, as Python writes them
    st.sampled_from([2**63 - 1, 2**63, 2**64, -(2**63), 10**400, 0, -1]).map(_dumped),
    st.sampled_from([b"1e999", b"-1e999", b"-0", b"-0.0", b"1e-400", b"0.1e1", b"01", b"+1", b"1.", b"0x10"]),
)
_DEPTHS: Final = st.sampled_from([1, 5, 248, 249, 250, 251, 1023, 1024, 1025, 3000])
_DEEP: Final = st.one_of(
    st.builds(_nested, _DEPTHS, st.just(b"["), st.sampled_from([b"", b"1", b'"a"']), st.sampled_from([b"]", b""])),
    st.builds(_nested, _DEPTHS, st.just(b'{"a":'), st.just(b"null"), st.just(b"}")),
    st.builds(_nested, _DEPTHS, st.just(b'[{"b":'), st.just(b"0"), st.just(b"}]")),
)
_VALUES: Final = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | _TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXTS, inner, max_size=3),
    max_leaves=4,
).map(_dumped)
_RAW: Final = st.sampled_from(
    [b"", b"null", b"true", b'"\xff\xfe"', b'"\xed\xa0\x80"', b'"\\ud800"', b'"open', b"'a'"]
)
_EMPTY: Final = st.sampled_from(
    [b'""', b"[]", b"{}", b'[""]', b'["a",""]', b"[null]", b"[[]]", b"[[1],[2]]", b"[1,2]"]
)
_ODD: Final = st.one_of(_VALUES, _EMPTY, _TEXTS.map(_dumped), _NUMBERS, _DEEP, _RAW)

# --- requests ---------------------------------------------------------------------------------------------

_IDS: Final = st.one_of(st.uuids().map(str), st.integers(-(2**63), 2**63 - 1), st.text(min_size=1, max_size=30))
_TOKEN_IDS: Final = st.lists(st.integers(0, 399) | st.sampled_from([400, 2**31, -1]), min_size=1, max_size=60)
_RIGHT: Final[dict[str, SearchStrategy[bytes]]] = {
    "id": _IDS.map(_dumped),
    "model": st.nothing(),
    "input": (_TEXTS | st.lists(_TEXTS, min_size=1, max_size=6)).map(_dumped),
    "input_type": st.sampled_from(["query", "passage", None]).map(_dumped),
    "encoding_format": st.sampled_from(["float", "base64", None]).map(_dumped),
    "embedding_type": st.sampled_from(["float", "int8", "uint8", "binary", "ubinary"]).map(_dumped),
    "truncate": st.sampled_from(["NONE", "START", "END"]).map(_dumped),
    "dimensions": st.nothing(),
    "modality": st.sampled_from(["text", "image"]).map(_dumped),
    "metadata": st.dictionaries(_TEXTS, _TEXTS | st.integers() | st.none(), max_size=3).map(_dumped),
}
_TOO_LONG: Final = st.integers(1500, 3000).map(lambda words: _dumped("word " * words))
_NO_MODELS: Final = st.sampled_from(["no such model", "gpt-4", "all-minilm"]).map(_dumped)
_FIELD_NAMES: Final = st.sampled_from([*_RIGHT, "user", "later", ""]) | st.text(max_size=6)
_T = TypeVar("_T")
_Right: TypeAlias = "dict[str, SearchStrategy[bytes]]"


def _right_for(model: AskedModel) -> _Right:
    of_this = {
        "model": st.sampled_from(model.names).map(_dumped),
        "dimensions": st.sampled_from(model.dimensions).map(_dumped),
    }
    if model.token_ids:
        ids = _TOKEN_IDS | st.lists(_TOKEN_IDS, min_size=1, max_size=6)
        of_this["input"] = _RIGHT["input"] | ids.map(_dumped)
    return _RIGHT | of_this


def _evenly(kinds: Sequence[SearchStrategy[_T]]) -> SearchStrategy[_T]:
    """Each kind as often as another, where `one_of` would count a kind that is itself several as those several."""
    return st.integers(0, len(kinds) - 1).flatmap(kinds.__getitem__)


def _object(fields: list[tuple[str, bytes]]) -> bytes:
    return b"{" + b",".join(_dumped(name) + b":" + raw for name, raw in fields) + b"}"


@st.composite
def _requests(draw: st.DrawFn, right: _Right, least_odd: int, most_odd: int) -> bytes:
    """A request whose fields are right, with so many odd ones instead of them, doubled or beside them."""
    fields = [(name, draw(right[name])) for name in ("id", "model", "input")]
    more = draw(st.lists(st.sampled_from([*right][3:]), max_size=3, unique=True))
    fields += [(name, draw(right[name])) for name in more]
    for _ in range(draw(st.integers(least_odd, most_odd))):
        odd = (draw(_FIELD_NAMES), draw(_ODD))
        replaced = [field for field in fields if field[0] != odd[0]]
        fields = [*draw(st.sampled_from([replaced, fields])), odd]
    return _object(fields)


@st.composite
def _damaged(draw: st.DrawFn, right: _Right) -> bytes:
    """A valid request after an accident."""
    value = draw(_requests(right, 0, 0))
    place = draw(st.integers(0, len(value)))
    damaged: bytes = draw(
        st.one_of(
            st.just(value[:place]),
            st.just(value[place:]),
            st.binary(min_size=1, max_size=4).map(lambda noise: value[:place] + noise + value[place + len(noise) :]),
            st.sampled_from([b"\xef\xbb\xbf", b"\x00\x00\x00\x00\x07", b" \n", b"\x1f\x8b", b"\x00"]).map(
                lambda prefix: prefix + value
            ),
            st.sampled_from([value + value, value + b"\n" + value, value + b"\x00", b"[" + value + b"]"]),
            st.just(value.decode("utf-8", "replace").encode("utf-16")),
        )
    )
    return damaged


def _any_body(right: _Right) -> SearchStrategy[bytes | None]:
    bodies: tuple[SearchStrategy[bytes | None], ...] = (
        _requests(right, 0, 0),
        _requests(right, 0, 0),
        _requests(right, 1, 1),
        _requests(right, 1, 1),
        _requests(right, 1, 3),
        _requests(right | {"model": _NO_MODELS}, 0, 0),
        _requests(right | {"input": _TOO_LONG}, 0, 0),
        _damaged(right),
        st.binary(max_size=200),
        _ODD,
        st.none(),
    )
    return _evenly(bodies)


# --- keys and headers -------------------------------------------------------------------------------------

_KEYS: Final = st.one_of(
    st.none(),
    st.uuids().map(lambda key: str(key).encode()),
    st.text(max_size=20).map(str.encode),
    st.binary(max_size=30),
    st.sampled_from([b"", b"k" * 512, b"k" * 513, "é".encode() * 257, b"\x00", b"\xff" * 600]),
)
_ODD_BYTES: Final = st.none() | st.binary(max_size=20)
_PARTITIONS: Final = st.sampled_from([0, 1, 5, 23, 24, 63, 64, 9999, 2**31 - 1, -1, -(2**31)])
_DEADLINES: Final = st.sampled_from([0, 1000, 2**31, 4_102_444_800_000, 10**17, 10**18, 10**40, -5])
_PASSED: Final = st.sampled_from([0, 1000, 1_600_000_000_000])
_HEADER_VALUES: Final[dict[str, SearchStrategy[bytes | None]]] = {
    names.CORRELATION_ID: _ODD_BYTES | st.just(b"c" * 5000),
    names.REPLY_TOPIC: _ODD_BYTES
    | st.sampled_from([REPLIES, REPLIES + ".nobody-made", "__consumer_offsets", "", "a/b", "x" * 300, "é"]).map(
        str.encode
    ),
    names.REPLY_PARTITION: _ODD_BYTES | _PARTITIONS.map(partial(struct.pack, ">i")),
    names.DEADLINE: _ODD_BYTES
    | _DEADLINES.map(_dumped)
    | _PASSED.map(_dumped)
    | st.sampled_from([b"tomorrow", b"1e3", "٣".encode(), b" 1"]),
    names.TRACEPARENT: _ODD_BYTES,
    names.TRACESTATE: _ODD_BYTES,
    names.PART: _ODD_BYTES,
    names.PARTS: _ODD_BYTES,
    names.FIRST_INDEX: _ODD_BYTES,
    names.STATUS: _ODD_BYTES,
    names.SOURCE_OFFSET: _ODD_BYTES,
    names.DLQ_OFFSET: _ODD_BYTES,
}
_ACTED_ON: Final = (names.REPLY_TOPIC, names.REPLY_PARTITION, names.DEADLINE, names.DEADLINE)


@st.composite
def _headers(draw: st.DrawFn) -> tuple[str, bytes | None]:
    name = draw(st.sampled_from([*_HEADER_VALUES, *_ACTED_ON, *_ACTED_ON]))
    if draw(st.integers(0, 7)) == 0:
        # A NUL would end the name in the client's C code.
        characters = st.characters(codec="utf-8", exclude_characters="\x00")
        return draw(st.text(characters, min_size=1, max_size=10)), draw(_ODD_BYTES)
    return name, draw(_HEADER_VALUES[name])


def _all_headers() -> SearchStrategy[tuple[tuple[str, bytes | None], ...]]:
    none: SearchStrategy[tuple[tuple[str, bytes | None], ...]] = st.just(())
    several = st.lists(_headers(), min_size=1, max_size=4).map(tuple)
    too_late = _PASSED.map(lambda deadline: ((names.DEADLINE, _dumped(deadline)),))
    return _evenly([none, none, none, several, several, several, too_late])


def _messages(right: _Right) -> SearchStrategy[OddMessage]:
    return st.builds(
        OddMessage,
        lane=st.sampled_from(Lane),
        key=_KEYS,
        value=_any_body(right),
        headers=_all_headers(),
    )
