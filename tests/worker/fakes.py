"""Requests, a model, a producer and a consumer in memory, for the tests of every stage."""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import orjson

from schemas.errors import RequestError
from schemas.headers import parse_request_headers
from schemas.requests import EmbeddingRequest, Truncate
from schemas.topics import Lane
from transport.consumer import Membership, Progress
from transport.messages import Message
from transport.offsets import Submitted
from worker.bounds import Reservation
from worker.destinations import Destination, Profile
from worker.encoder.interface import ModelCard, Tokens
from worker.request import RequestInFlight
from worker.scheduler import WaitingInput

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from schemas.headers import Header
    from transport.consumer import AssignmentListener
    from transport.producer import Delivery, DeliveryFailure

DIM = 4
MODEL = "a-model"
RESPONSES = "embedding.responses"


def a_card(**changes: Any) -> ModelCard:
    """A symmetric text model of 4 numbers a vector and 16 tokens an input."""
    known: dict[str, Any] = {
        "name": MODEL,
        "aliases": (),
        "slug": "",
        "revision": "cafe",
        "dim": DIM,
        "dimensions": (),
        "max_tokens": 16,
        "asymmetric": False,
        "device": "cpu",
        "dtype": "float32",
        "budget_tokens": 64,
    }
    return ModelCard(**(known | changes))


def a_value(request_id: str | None = "r1", texts: str | Sequence[str] = "some text", **fields: Any) -> bytes:
    """The bytes of a request message."""
    body: dict[str, Any] = {"model": MODEL, "input": texts, **fields}
    if request_id is not None:
        body["id"] = request_id
    return orjson.dumps(body)


def a_message(
    value: bytes | None = b"{}",
    *,
    key: bytes | None = None,
    headers: Iterable[Header] = (),
    partition: int = 0,
    offset: int = 0,
    topic: str = "embedding.requests",
) -> Message:
    return Message(topic, partition, offset, 1_700_000_000_000, key, value, tuple(headers))


def an_item(
    texts: Sequence[str] = ("some text",),
    *,
    request_id: str = "r1",
    lane: Lane = Lane.BULK,
    key: bytes | None = None,
    headers: Iterable[Header] = (),
    partition: int = 0,
    offset: int = 0,
    dim: int = DIM,
    prefix: str = "",
    topic: str = RESPONSES,
    reply_partition: int | None = None,
    profile: Profile = Profile.OPENAI,
    tombstone: bool = False,
    **fields: Any,
) -> RequestInFlight:
    """A request as it leaves intake."""
    value = None if tombstone else a_value(request_id, list(texts), **fields)
    message = a_message(value, key=key, headers=headers, partition=partition, offset=offset)
    request = None if value is None else EmbeddingRequest.model_validate(orjson.loads(value))
    return RequestInFlight(
        lane=lane,
        message=message,
        submitted=Submitted(partition, offset, 1),
        headers=parse_request_headers(message.headers),
        destination=Destination(topic, reply_partition, profile, is_default=topic == RESPONSES),
        reservation=Reservation(0, 0),
        request=request,
        prefix=prefix,
        dim=0 if tombstone else dim,
        remaining=0 if tombstone else len(texts),
    )


def waiting_inputs(item: RequestInFlight, lengths: Sequence[int]) -> list[WaitingInput]:
    """The inputs of a request as they leave tokenization; the first token tells which input it is."""
    item.remaining = len(lengths)
    return [WaitingInput(item, index, [index, *[0] * (tokens - 1)]) for index, tokens in enumerate(lengths)]


def unit_vectors(count: int, dim: int = DIM, seed: int = 0) -> NDArray[np.float32]:
    vectors = np.random.default_rng(seed).standard_normal((count, dim)).astype(np.float32)
    unit: NDArray[np.float32] = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return unit


def answer(item: RequestInFlight, seed: int = 0) -> RequestInFlight:
    """The same request, computed."""
    if item.request is not None:
        for index, vector in enumerate(unit_vectors(len(item.request.inputs), item.dim, seed)):
            item.deliver(index, vector)
    return item


class WordTokenizer:
    """A token a word, the number of its letters; what is in a word decides nothing."""

    def __init__(self, max_tokens: int = 16) -> None:
        self._max_tokens = max_tokens
        self.calls: list[list[str]] = []
        self.threads: set[str] = set()

    def tokenize(
        self, texts: Sequence[str], truncations: Sequence[Truncate], prefixes: Sequence[int] | None = None
    ) -> list[Tokens]:
        self.calls.append(list(texts))
        self.threads.add(threading.current_thread().name)
        tokenized = []
        for text, truncation in zip(texts, truncations, strict=True):
            ids = [len(word) for word in text.split()]
            cut = {
                Truncate.NONE: ids,
                Truncate.START: ids[-self._max_tokens :],
                Truncate.END: ids[: self._max_tokens],
            }[truncation]
            tokenized.append(Tokens(cut, len(ids)))
        return tokenized


# --- Kafka ------------------------------------------------------------------------------------------------


class Produced(NamedTuple):
    """One message handed to the producer, and how to say what became of it."""

    topic: str
    partition: int | None
    key: bytes | None
    value: bytes | None
    headers: dict[str, bytes | None]
    on_delivery: Delivery

    @property
    def body(self) -> dict[str, Any]:
        fields: dict[str, Any] = orjson.loads(self.value or b"null")
        return fields


class FakeProducer:
    """Keeps what is produced, for the test to deliver; what `at_once` names is delivered within `produce`."""

    def __init__(self) -> None:
        self.produced: list[Produced] = []
        self.at_once: deque[DeliveryFailure | None] = deque()

    def produce(
        self,
        topic: str,
        *,
        key: bytes | None,
        value: bytes | None,
        headers: Sequence[Header] = (),
        partition: int | None = None,
        on_delivery: Delivery,
    ) -> None:
        self.produced.append(Produced(topic, partition, key, value, dict(headers), on_delivery))
        if self.at_once:
            on_delivery(self.at_once.popleft())


class FakeTopics:
    """Topics that exist: name -> partitions."""

    def __init__(self, partitions: Mapping[str, int]) -> None:
        self.partitions = dict(partitions)

    def has(self, topic: str, partition: int | None) -> bool:
        known = self.partitions.get(topic, 0)
        return known > 0 if partition is None else partition < known


class FakeConsumer:
    """A group member that reads a script: each poll runs the next step, which may give messages or rebalance.

    Args:
        listener: Told of assignments, inside poll and close, as the real one does.
        steps: What each poll does.
        when_done: Called by the first poll after the last step, and by every later one.
    """

    def __init__(
        self,
        listener: AssignmentListener,
        steps: Iterable[Callable[[FakeConsumer], list[Message] | None]],
        when_done: Callable[[], None],
    ) -> None:
        self.listener = listener
        self._steps = deque(steps)
        self._when_done = when_done
        self.paused: set[int] = set()
        self.held: set[int] = set()
        self.commits: list[dict[int, int]] = []
        """Those that moved the group on."""
        self.stored: dict[int, Progress] = {}
        """What the group has."""
        self._begins: dict[int, int] = {}
        """Partition -> first offset read."""
        self.refuse_commits = 0
        self.untold = 0
        """How often it is not told yet what the group has."""
        self.retention_losses: dict[int, int] = {}
        self.first_offsets: dict[int, int] = {}
        self.asked_for = 0
        """Most messages that the last poll may give."""
        self.closed = False
        self.events: list[str] = []
        self.place: Membership | None = Membership("embedding.requests", object())

    def assign(self, *partitions: int) -> None:
        self.held.update(partitions)
        self.listener.assigned(list(partitions))

    def revoke(self, *partitions: int) -> None:
        self.listener.revoked(list(partitions))
        self.held.difference_update(partitions)

    def lose(self, *partitions: int) -> None:
        self.held.difference_update(partitions)
        self.listener.lost(list(partitions))

    def poll(self, max_messages: int, timeout_seconds: float) -> list[Message]:
        if not self._steps:
            self._when_done()
            return []
        self.asked_for = max_messages
        messages = self._steps.popleft()(self) or []
        for message in messages:
            self._begins.setdefault(message.partition, message.offset)
        return messages

    def pause(self, partitions: Iterable[int]) -> None:
        chosen = set(partitions)
        assert chosen <= self.held, "only what is held can be paused"
        self.paused |= chosen
        self.events.append(f"pause {sorted(chosen)}")

    def resume(self, partitions: Iterable[int]) -> None:
        chosen = set(partitions)
        assert chosen <= self.held, "only what is held can be resumed"
        self.paused -= chosen
        self.events.append(f"resume {sorted(chosen)}")

    def seek(self, partition: int, offset: int) -> None:
        assert partition in self.held, "only what is held can be sought in"
        self.events.append(f"seek {partition} {offset}")

    def commit(self, offsets: Mapping[int, int], metadata: Mapping[int, str] | None = None) -> bool:
        assert set(offsets) <= self.held, "only what is held can be committed"
        if self.refuse_commits:
            self.refuse_commits -= 1
            return False
        before = self._begins | {partition: stored.next_offset for partition, stored in self.stored.items()}
        beside = metadata or {}
        self.stored |= {p: Progress(offset, beside.get(p, "")) for p, offset in offsets.items()}
        moved = {p: offset for p, offset in offsets.items() if before.get(p) != offset}
        if moved:
            self.commits.append(moved)
        return True

    def progress(self, partitions: Iterable[int]) -> dict[int, Progress] | None:
        if self.untold:
            self.untold -= 1
            return None
        return {partition: self.stored[partition] for partition in partitions if partition in self.stored}

    def membership(self) -> Membership | None:
        return self.place

    def first_offset(self, partition: int) -> int:
        return self.first_offsets.get(partition, 0)

    def lost_to_retention(self, progress: Mapping[int, Progress]) -> dict[int, int]:
        return dict(self.retention_losses)

    def close(self) -> None:
        self.listener.revoked(sorted(self.held))
        self.closed = True


def error_of(item: RequestInFlight) -> RequestError:
    """The error a request was answered with."""
    assert isinstance(item.error, RequestError)
    return item.error
