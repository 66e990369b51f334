"""The reader: every answer goes to the checker as it comes, and every look at the commits at its right place.

A look takes the group's progress first, then the ends of all answer topics, reads up to them, and only then holds the
progress against what was read: an answer that came after the commit is no excuse for it.
"""

from __future__ import annotations

import threading
import time
import uuid
from collections import deque
from typing import TYPE_CHECKING, Final

from confluent_kafka import (
    Consumer,
    IsolationLevel,
    KafkaError,
    KafkaException,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient, OffsetSpec

from schemas import headers as names
from schemas.topics import Lane
from tests.groups import beside_group

from .checker import Answer
from .traffic import Part, number_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from confluent_kafka import Message

    from schemas.topics import TopicNames

    from .checker import Checker, Place

_ANSWER_SECONDS: Final = 3.0
_CATCH_UP_SECONDS: Final = 60.0
_POLL_SECONDS: Final = 0.02
_MESSAGES: Final = 2000


class Watching(threading.Thread):
    """One thread, which alone uses the checker while it runs.

    Args:
        bootstrap: The broker.
        topics: Whose answers and groups.
        checker: Told of everything.
        every_seconds: Time between two looks at the commits.
    """

    def __init__(self, bootstrap: str, topics: TopicNames, checker: Checker, *, every_seconds: float) -> None:
        super().__init__(name="watching", daemon=True)
        self._topics = topics
        self._checker = checker
        self._every_seconds = every_seconds
        self._consumer = Consumer(
            {
                "bootstrap.servers": bootstrap,
                "group.id": f"chaos-{uuid.uuid4().hex}",
                "enable.auto.commit": False,
                "enable.partition.eof": True,
                "isolation.level": "read_committed",
                "fetch.wait.max.ms": 20,
                "reconnect.backoff.max.ms": 1000,
                "log_level": 0,
            }
        )
        self._address = bootstrap
        self._admin = self._new_admin()
        self._groups = {lane: beside_group(bootstrap, topics.group(lane)) for lane in Lane}
        self._requests: dict[Lane, list[TopicPartition]] = {}
        self._acknowledged: deque[tuple[int, Lane, int, int]] = deque()
        self._reached: dict[tuple[str, int], int] = {}
        self._ended = threading.Event()
        self._lanes = {topics.requests_of(lane).encode(): lane for lane in Lane}
        self.longest_silence_seconds = 0.0
        """Longest time between two answers."""
        self.last_answer_at = time.monotonic()
        self.looks_missed = 0
        """Looks at the commits that the broker did not answer."""
        self.last_trouble = ""
        """Why the last of them was missed."""
        self.error: BaseException | None = None

    # --- told by others ----------------------------------------------------------------------------------

    def acknowledged(self, number: int, lane: Lane, partition: int, offset: int) -> None:
        """A request is with the broker; from any thread."""
        self._acknowledged.append((number, lane, partition, offset))

    def stop(self) -> None:
        """Read what is there, look at the commits a last time, and end."""
        self._ended.set()

    # --- the loop ----------------------------------------------------------------------------------------

    def run(self) -> None:
        try:
            self._assign()
            looked_at = 0.0
            while not self._ended.is_set():
                self._take(self._read())
                if time.monotonic() - looked_at >= self._every_seconds:
                    self._look()
                    looked_at = time.monotonic()
            until = time.monotonic() + _CATCH_UP_SECONDS
            while not self._look() and time.monotonic() < until:
                self._take(self._read())
        except BaseException as error:  # noqa: BLE001 - raised by whoever runs it all
            self.error = error
        finally:
            for consumer in (self._consumer, *self._groups.values()):
                consumer.close()

    def _assign(self) -> None:
        topics = self._topics
        known = self._admin.list_topics(timeout=_ANSWER_SECONDS).topics
        places = [
            TopicPartition(topic, partition, 0)
            for topic in (topics.responses, topics.replies, topics.dead_letters, topics.errors)
            for partition in known[topic].partitions
        ]
        self._reached = {(place.topic, place.partition): 0 for place in places}
        self._requests = {
            lane: [TopicPartition(topic, partition) for partition in known[topic].partitions]
            for lane in Lane
            for topic in (topics.requests_of(lane),)
        }
        self._consumer.assign(places)

    def _read(self) -> list[Message]:
        """The next messages; takes note of how far every partition is read."""
        messages = []
        for message in self._consumer.consume(_MESSAGES, _POLL_SECONDS):
            error, topic, partition, offset = message.error(), message.topic(), message.partition(), message.offset()
            if topic is None or partition is None or offset is None:
                continue
            if error is None:
                self._reached[topic, partition] = offset + 1
                messages.append(message)
            elif error.code() == KafkaError._PARTITION_EOF:
                # Past the markers of transactions, which are no messages.
                self._reached[topic, partition] = max(offset, self._reached[topic, partition])
        return messages

    def _take(self, messages: Sequence[Message]) -> None:
        while self._acknowledged:
            self._checker.acknowledged(*self._acknowledged.popleft())
        if not messages:
            return
        now = time.monotonic()
        self.longest_silence_seconds = max(self.longest_silence_seconds, now - self.last_answer_at)
        self.last_answer_at = now
        for message in messages:
            self._checker.answer(self._answer(message))

    def _answer(self, message: Message) -> Answer:
        headers = dict(message.headers() or ())
        is_dead_letter = message.topic() == self._topics.dead_letters
        topic, partition, offset = (
            (names.DLQ_TOPIC, names.DLQ_PARTITION, names.DLQ_OFFSET)
            if is_dead_letter
            else (names.SOURCE_TOPIC, names.SOURCE_PARTITION, names.SOURCE_OFFSET)
        )
        return Answer(
            number=number_of(headers.get(names.CORRELATION_ID)),
            part=Part.DEAD_LETTER if is_dead_letter else Part.RESPONSE,
            code=(headers[names.DLQ_CODE if is_dead_letter else names.STATUS] or b"").decode(),
            lane=self._lanes[headers[topic]],
            partition=int(headers[partition]),
            offset=int(headers[offset]),
            key=message.key(),
            value=message.value(),
        )

    # --- looking at the commits --------------------------------------------------------------------------

    def _look(self) -> bool:
        """Hold the commits against the answers; False: the broker did not tell them."""
        try:
            progress = self._progress()
            ends = ends_of(self._admin, self._reached)
        except (KafkaException, TimeoutError) as error:
            self.last_trouble = str(error)
            self.looks_missed += 1
            # It goes on asking under the leader epochs it has seen, which a restarted broker refuses.
            self._admin = self._new_admin()
            return False
        later: list[Message] = []
        until = time.monotonic() + _CATCH_UP_SECONDS
        while any(self._reached[place] < end for place, end in ends.items()):
            if time.monotonic() > until:
                self.last_trouble = "the ends of the answers were not reached"
                self.looks_missed += 1
                self._take(later)
                return False
            messages = self._read()
            late = [message for message in messages if message.offset() >= ends[message.topic(), message.partition()]]
            later += late
            self._take([message for message in messages if message not in late] if late else messages)
        self._checker.committed(progress)
        self._take(later)
        return True

    def _new_admin(self) -> AdminClient:
        return AdminClient({"bootstrap.servers": self._address, "reconnect.backoff.max.ms": 1000, "log_level": 0})

    def _progress(self) -> dict[Place, int]:
        progress: dict[Place, int] = {}
        for lane, group in self._groups.items():
            for place in group.committed(self._requests[lane], timeout=_ANSWER_SECONDS):
                if place.error is not None:
                    raise KafkaException(place.error)
                if place.offset >= 0:
                    progress[lane, place.partition] = place.offset
        return progress


def request_at(bootstrap: str, topic: str, partition: int, offset: int) -> int | None:
    """Number of the request that is there; None: none of ours."""
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": f"chaos-{uuid.uuid4().hex}", "log_level": 0})
    try:
        consumer.assign([TopicPartition(topic, partition, offset)])
        message = consumer.poll(_CATCH_UP_SECONDS)
        if message is None or message.error() is not None or message.offset() != offset:
            return None
        return number_of(dict(message.headers() or ()).get(names.CORRELATION_ID))
    finally:
        consumer.close()


def ends_of(admin: AdminClient, places: Iterable[tuple[str, int]]) -> dict[tuple[str, int], int]:
    """Where partitions end, what is not committed included.

    Args:
        admin: Asks.
        places: Topics and partitions.

    Raises:
        KafkaException, TimeoutError: Not all of them were told.
    """
    wanted = {TopicPartition(*place): OffsetSpec.latest() for place in places}
    told = admin.list_offsets(
        wanted, isolation_level=IsolationLevel.READ_UNCOMMITTED, request_timeout=_ANSWER_SECONDS
    )
    ends = {(place.topic, place.partition): asked.result(2 * _ANSWER_SECONDS).offset for place, asked in told.items()}
    # librdkafka 2.16.0 reports a broker that is silent beyond the timeout by an offset that is none, and no error.
    if any(end < 0 for end in ends.values()):
        raise KafkaException(KafkaError(KafkaError._TIMED_OUT, "the ends of the answers were not told"))
    return ends
