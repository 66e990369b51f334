"""A member of a consumer group over one topic, owned by one thread.

confluent-kafka makes every other thread's call on a Consumer wait for the running poll, so a `GroupConsumer` refuses
calls from any thread but the one that first polled it; other stages reach it through the thread that owns it.
Listeners are called on that thread, inside `poll` and `close`.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

import structlog
from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from .access import Operation, Resource, Right, acl_commands, reading
from .cluster import new_client
from .errors import FatalTransportError, SettingsError
from .messages import Message, from_confluent

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from .cluster import Cluster

log = structlog.get_logger("transport")

_ASK_SECONDS: Final = 5.0

_ACCESS_DENIED: Final = frozenset(
    {
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.GROUP_AUTHORIZATION_FAILED,
        KafkaError.CLUSTER_AUTHORIZATION_FAILED,
        KafkaError._AUTHENTICATION,
        KafkaError.SASL_AUTHENTICATION_FAILED,
    }
)


class Progress(NamedTuple):
    """What a group has stored of one partition."""

    next_offset: int
    metadata: str
    """What whoever committed wrote beside the offset; at most 4,096 bytes, unless the broker is told otherwise."""


class Membership(NamedTuple):
    """A consumer's place in its group at one moment; what is committed with it counts only while it holds."""

    topic: str
    metadata: object
    """librdkafka's, for its transactional producer."""


class AssignmentListener(Protocol):
    """Told of partitions that come and go, on the consumer's own thread."""

    def assigned(self, partitions: Sequence[int]) -> None:
        """New partitions are ours; the first message of each is still to come."""

    def revoked(self, partitions: Sequence[int]) -> None:
        """Partitions go to another member when this returns; offsets can still be committed from within."""

    def lost(self, partitions: Sequence[int]) -> None:
        """Partitions are another member's already; nothing can be committed."""


class GroupConsumer:
    """Reads one topic as a member of a group.

    Args:
        cluster: Where to read.
        topic: What to read.
        group: The consumer group.
        listener: Told of assignments.
        prefetch_bytes: Bound of what librdkafka reads ahead.
        patient: Whether nobody waits for what is read, see `Cluster.consumer_config`.
    """

    def __init__(
        self,
        cluster: Cluster,
        topic: str,
        group: str,
        listener: AssignmentListener,
        *,
        prefetch_bytes: int,
        patient: bool = False,
    ) -> None:
        self._cluster_settings = cluster.settings
        self._topic = topic
        self._group = group
        self._listener = listener
        self._owner: int | None = None
        self._assigned: set[int] = set()
        self._taken_away: set[int] = set()
        """Partitions revoked or lost during the current poll."""
        self._paused: set[int] = set()
        config = {
            "queued.max.messages.kbytes": max(64, prefetch_bytes // 1024),
            "queued.min.messages": 10_000,
            # Refilling late costs a stall of this length; librdkafka's own default is a second.
            "fetch.queue.backoff.ms": 20,
            **_group_config(cluster),
            **cluster.consumer_config(group, group, patient=patient),
        }
        self._consumer = new_client(Consumer, config)
        self._consumer.subscribe([topic], on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_lost)

    def poll(self, max_messages: int, timeout_seconds: float) -> list[Message]:
        """Wait for a first message, then take what else is at hand. Blocks up to `timeout_seconds`.

        Raises:
            FatalTransportError: librdkafka gave up, or access is denied; nothing of this poll was taken note of.
        """
        self._own()
        self._taken_away.clear()
        first = self._consumer.poll(timeout_seconds)
        if first is None:
            return []
        # consume(n, t) would wait for n messages or the whole of t.
        polled = [first, *self._consumer.consume(max_messages - 1, 0)] if max_messages > 1 else [first]
        messages = []
        for message in polled:
            error = message.error()
            if error is None:
                messages.append(from_confluent(message))
            else:
                self._check(error)
        return self._still_ours(messages) if self._taken_away else messages

    def pause(self, partitions: Iterable[int]) -> None:
        """Stop reading these until `resume`, or until they leave; what was prefetched of them is read again later."""
        self._own()
        chosen = set(partitions)
        self._consumer.pause(self._topic_partitions(chosen))
        self._paused |= chosen

    def resume(self, partitions: Iterable[int]) -> None:
        """Go on reading these."""
        self._own()
        chosen = set(partitions)
        self._consumer.resume(self._topic_partitions(chosen))
        self._paused -= chosen

    def seek(self, partition: int, offset: int) -> None:
        """Go on reading a partition at an offset; what was prefetched of it is dropped.

        Raises:
            FatalTransportError: librdkafka cannot.
        """
        self._own()
        try:
            self._consumer.seek(TopicPartition(self._topic, partition, offset))
        except KafkaException as error:
            raise FatalTransportError(
                f"{self._topic} {partition}: cannot read from offset {offset} on: {error.args[0].str()}"
            ) from error

    def commit(self, offsets: Mapping[int, int], metadata: Mapping[int, str] | None = None) -> bool:
        """Store next offsets as the group's progress, and wait for the broker to have them.

        Args:
            offsets: Partition -> next offset.
            metadata: Text to stand beside them, by partition; none given: none, and what stood there is gone.

        Returns:
            Whether they are stored; False after a transient failure, to be tried again.

        Raises:
            FatalTransportError: Access is denied.
        """
        self._own()
        if not offsets:
            return True
        beside = metadata or {}
        wanted = [
            TopicPartition(self._topic, partition, offset, beside.get(partition, ""))
            for partition, offset in offsets.items()
        ]
        try:
            stored = self._consumer.commit(offsets=wanted, asynchronous=False) or []
        except KafkaException as error:
            self._check(error.args[0])
            return False
        failed = [item.error for item in stored if item.error is not None]
        for failure in failed:
            self._check(failure)
        return not failed

    def progress(self, partitions: Iterable[int]) -> dict[int, Progress] | None:
        """What the group has stored, by partition, where anything is.

        Asks the broker; None when it does not tell in 5 s, for instance while a transaction over them is open.
        """
        self._own()
        try:
            stored = self._consumer.committed(self._topic_partitions(partitions), timeout=_ASK_SECONDS)
        except KafkaException as error:
            log.warning("cannot tell what the group has committed", topic=self._topic, error=error.args[0].str())
            return None
        return {
            item.partition: Progress(item.offset, item.metadata or "")
            for item in stored
            if item.error is None and item.offset >= 0
        }

    def membership(self) -> Membership | None:
        """This consumer's place in the group, for a transaction that commits now; None while it has none."""
        self._own()
        metadata = self._consumer.consumer_group_metadata()
        # Asked second: without a member's id the broker takes the offsets of anybody, unchecked.
        return Membership(self._topic, metadata) if self._consumer.memberid() else None

    def lost_to_retention(self, progress: Mapping[int, Progress]) -> dict[int, int]:
        """Messages that were deleted before this group read them: partition -> how many, where any.

        Asks the broker; transient trouble counts as none.

        Args:
            progress: What the group has stored.
        """
        self._own()
        lost: dict[int, int] = {}
        try:
            for partition, stored in progress.items():
                place = TopicPartition(self._topic, partition)
                low, _ = self._consumer.get_watermark_offsets(place, timeout=_ASK_SECONDS)
                if low > stored.next_offset:
                    lost[partition] = low - stored.next_offset
        except KafkaException as error:
            log.warning("cannot tell whether messages were lost to retention", error=error.args[0].str())
        return lost

    def first_offset(self, partition: int) -> int:
        """Where a partition begins, as the last fetch told; 0 when none has."""
        self._own()
        low, _ = self._consumer.get_watermark_offsets(TopicPartition(self._topic, partition), cached=True)
        return max(0, low)

    def close(self) -> None:
        """Leave the group. `revoked` is called for what is still held."""
        self._own()
        self._consumer.close()

    def _still_ours(self, messages: list[Message]) -> list[Message]:
        """Leave out messages whose partition was taken away by a rebalance within the same poll."""
        if any(message.partition in self._taken_away & self._assigned for message in messages):
            # Old and new messages of one partition cannot be told apart; the next process starts from the commit.
            raise FatalTransportError(f"{self._topic}: a partition left and came back within one poll: restart")
        return [message for message in messages if message.partition not in self._taken_away]

    def _own(self) -> None:
        current = threading.get_ident()
        if self._owner is None:
            self._owner = current
        elif self._owner != current:
            raise RuntimeError(f"the consumer of {self._topic} is used from a thread that does not own it")

    def _check(self, error: KafkaError) -> None:
        if error.code() == KafkaError._PARTITION_EOF:
            return
        if error.code() in _ACCESS_DENIED:
            rights = [*reading(self._topic), Right(Operation.READ, Resource.GROUP, self._group)]
            commands = "; ".join(f"`{command}`" for command in acl_commands(self._cluster_settings, rights))
            raise FatalTransportError(
                f"reading {self._topic}: {error.str()}: give this user the rights to read topic and group, "
                f"for instance with {commands}"
            )
        if error.fatal():
            raise FatalTransportError(f"reading {self._topic}: {error.name()}: {error.str()}")
        log.warning("kafka trouble, retrying by itself", topic=self._topic, error=error.name(), detail=error.str())

    def _topic_partitions(self, partitions: Iterable[int]) -> list[TopicPartition]:
        return [TopicPartition(self._topic, partition) for partition in partitions]

    def _on_assign(self, _: Consumer, partitions: list[TopicPartition]) -> None:
        numbers = [item.partition for item in partitions]
        self._assigned.update(numbers)
        self._listener.assigned(numbers)

    def _on_revoke(self, _: Consumer, partitions: list[TopicPartition]) -> None:
        self._listener.revoked(self._take_away(partitions))

    def _on_lost(self, _: Consumer, partitions: list[TopicPartition]) -> None:
        self._listener.lost(self._take_away(partitions))

    def _take_away(self, partitions: list[TopicPartition]) -> list[int]:
        numbers = [item.partition for item in partitions]
        self._assigned.difference_update(numbers)
        self._taken_away.update(numbers)
        if left_paused := self._paused.intersection(numbers):
            # librdkafka keeps a pause beyond the assignment: the partition would come back and give nothing.
            self._consumer.resume(self._topic_partitions(left_paused))
            self._paused -= left_paused
        return numbers


def _group_config(cluster: Cluster) -> dict[str, str | int]:
    """Under `consumer` session and assignor are the broker's business; librdkafka refuses them there.

    Raises:
        SettingsError: A static member under `consumer`.
    """
    if cluster.group_protocol == "consumer":
        if "group.instance.id" in cluster.settings.librdkafka_options():
            # A member that is back before its session ends gets UNRELEASED_INSTANCE_ID, fatal to librdkafka.
            raise SettingsError("librdkafka option group.instance.id works under group_protocol classic only")
        return {"group.protocol": "consumer"}
    session_ms = int(cluster.settings.session_timeout_seconds * 1000)
    return {
        "group.protocol": "classic",
        "partition.assignment.strategy": "cooperative-sticky",
        "session.timeout.ms": session_ms,
        "heartbeat.interval.ms": max(1, min(3000, session_ms // 3)),
    }
