"""How answers and a lane's progress reach the broker: what publisher and intake ask for, whatever is promised.

Two ways: `AtLeastOnce` here, `transactions.ExactlyOnce`. The publisher hands over messages, the intake's thread says
when it is time to commit, and nothing is committed whose answer is not there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from schemas.topics import Lane

from .offsets import LaneOffsets

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from transport.consumer import GroupConsumer
    from transport.messages import Message, Outgoing
    from transport.offsets import OffsetTracker, Submitted
    from transport.producer import DeliveringProducer
    from transport.producer import Delivery as OnDelivery

    from .attempts import Attempts
    from .request import RequestInFlight


class Outlet(Protocol):
    """What the publisher hands messages to."""

    def produce(self, item: RequestInFlight, message: Outgoing, on_delivery: OnDelivery) -> None:
        """Hand over one of the messages that answer a request.

        Its callback is called once: with None when the message is there for every reader it is meant for, else with
        why it is not. `item.unacknowledged` tells how many messages the request takes in all.
        """


class Committer(Protocol):
    """How far a lane is done. All but `acknowledged` belongs to the thread that owns the consumer."""

    tracker: OffsetTracker
    attempts: Attempts
    """Which messages are suspected of killing the process."""
    commits: int
    """How often it was done."""
    failed_commits: int
    lost_messages: int
    """Messages the broker deleted before they were read."""

    def acknowledged(self, submitted: Submitted) -> None:
        """Everything this message led to is there. From any thread."""

    def commit_if_due(self, consumer: GroupConsumer) -> None:
        """Commit when it is time to and there is something to."""

    def commit(self, consumer: GroupConsumer) -> bool:
        """Commit what is done. Waits for the broker.

        Returns:
            Whether the group has it; False after a transient failure.
        """

    def mark(self, consumer: GroupConsumer, messages: Sequence[Message]) -> None:
        """Messages are about to be computed together: store what `attempts` remembers of that. Waits for the broker.

        What it does not take is stored with the next messages.
        """

    def mark_alone(self, consumer: GroupConsumer, turn: Sequence[Message]) -> bool:
        """Messages are about to be computed, and nothing else: store that. Waits for the broker.

        Returns:
            Whether the group has it; False after a transient failure.
        """

    def give_back(self, consumer: GroupConsumer, *, commit: bool = True) -> None:
        """What follows is an orderly end: no start of this process counts against messages. Waits for the broker.

        Args:
            consumer: The lane's.
            commit: Whether what is done is committed with it.
        """

    def hasten(self) -> None:
        """From now on it is always time to commit."""

    def settle(self, consumer: GroupConsumer, partitions: Sequence[int], timeout_seconds: float) -> bool:
        """Partitions are about to go: wait for what is under way of them, up to the time, and commit what is done.

        That is an orderly end, see `give_back`.

        Returns:
            Whether nothing of them is left.
        """

    def unassign(self, partitions: Sequence[int]) -> None:
        """Partitions are another's: what was not committed of them is no longer ours to answer."""

    def wait_until_done(self, partitions: Sequence[int] | None, timeout_seconds: float) -> bool:
        """Wait until nothing of these partitions is uncommitted or unanswered, or the time is up.

        Returns:
            Whether nothing is.
        """


class Delivery(Outlet, Committer, Protocol):
    """Both ends of one lane."""


class AtLeastOnce(LaneOffsets):
    """Publishes at once, and commits by the watermark of what the broker has acknowledged.

    Args:
        lane: Whose answers and offsets.
        commit_every_seconds: Time between commits.
        producers: One a lane, whichever lanes are served.
    """

    def __init__(self, lane: Lane, commit_every_seconds: float, producers: Mapping[Lane, DeliveringProducer]) -> None:
        super().__init__(lane, commit_every_seconds)
        self._producer = producers[lane]
        self._at_once = producers[Lane.INTERACTIVE]

    def produce(self, item: RequestInFlight, message: Outgoing, on_delivery: OnDelivery) -> None:
        """See `Outlet`. Blocks while the producer's buffer is full."""
        # Nothing will come to be sent together with what runs alone.
        producer = self._at_once if item.is_alone else self._producer
        producer.produce(
            message.topic,
            key=message.key,
            value=message.value,
            headers=message.headers,
            partition=message.partition,
            on_delivery=on_delivery,
        )
