"""Exactly once: answers wait in an outbox, and go out in transactions that carry the offsets they answer.

Three threads meet here. The publisher's adds answers; the intake's, which owns the consumer, cuts a transaction when
one is due and reads its membership of the group for it; the transactions' own publishes and commits, so that reading
goes on meanwhile. One transaction is under way at a time.

Nothing stands beside these offsets, so a request that kills the process is not found: a mark must be stored before
its request is computed, and a plain commit could move the group back behind a transaction under way.
"""

from __future__ import annotations

import queue
import threading
import time
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

import structlog

from transport.errors import FatalTransportError
from transport.offsets import OffsetTracker

from .attempts import NoAttempts
from .offsets import commit_is_due
from .outbox import Held, Outbox, Transaction

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from transport.consumer import GroupConsumer, Membership
    from transport.messages import Outgoing
    from transport.offsets import Submitted
    from transport.producer import Delivery as OnDelivery
    from transport.transactional_producer import Aborted

    from .attempts import Attempts, Mark
    from .bounds import InFlight
    from .request import RequestInFlight

log = structlog.get_logger("worker")

_MAX_BYTES: Final = 32 * 1024 * 1024
"""Of one transaction: it must be over before its timeout, also on a slow line."""
_AGAIN_AFTER_SECONDS: Final = 0.2
_COMMIT_SECONDS: Final = 1.0
"""Of the time a departing partition is waited for, left to its last transaction; no more than half of it."""
_LOOK_EVERY_SECONDS: Final = 0.02
_OVERDUE_SECONDS: Final = 10.0
"""Beyond a transaction's timeout: so long the broker may take to notice that it is over."""


class Transacting(Protocol):
    """`transport.transactional_producer.TransactionalProducer`, as it is used here."""

    def transact(
        self, messages: Sequence[Outgoing], offsets: Mapping[int, int], membership: Membership
    ) -> Aborted | None:
        """Publish and commit together; None when it is done."""


class _Work(NamedTuple):
    transaction: Transaction
    membership: Membership


class ExactlyOnce:
    """One lane's delivery in transactions.

    Args:
        every_seconds: Time between transactions.
        timeout_seconds: After this the broker aborts a transaction.
        in_flight: The lane's bounds: what waits here counts in bytes, and no longer in tokens.
        producer: Publishes and commits.
    """

    def __init__(
        self, every_seconds: float, timeout_seconds: float, in_flight: InFlight, producer: Transacting
    ) -> None:
        self.tracker = OffsetTracker()
        self.attempts: Attempts = NoAttempts()
        self._outbox = Outbox(self.tracker)
        self._every_seconds = every_seconds
        self._overdue_seconds = timeout_seconds + _OVERDUE_SECONDS
        self._in_flight = in_flight
        self._producer = producer
        self._work: queue.SimpleQueue[_Work | None] = queue.SimpleQueue()
        self._idle = threading.Event()
        self._idle.set()
        self._last_at = time.monotonic()
        self._not_before = 0.0
        self._more_waits = False
        self.commits = self.failed_commits = self.lost_messages = 0

    # --- the publisher's thread -----------------------------------------------------------------------

    def produce(self, item: RequestInFlight, message: Outgoing, on_delivery: OnDelivery) -> None:
        """See `delivery.Outlet`; never blocks."""
        # Computed: the device may have the tokens' room. The bytes stay, which bounds what waits here.
        self._in_flight.correct(item.reservation, tokens=0)
        self._outbox.add(Held(item, message, on_delivery))

    # --- any thread -----------------------------------------------------------------------------------

    def acknowledged(self, submitted: Submitted) -> None:
        """See `delivery.Committer`."""
        self.tracker.acknowledge(submitted)

    # --- the thread that owns the consumer ------------------------------------------------------------

    def commit_if_due(self, consumer: GroupConsumer) -> None:
        """Begin a transaction when one is due; never waits for it.

        Raises:
            FatalTransportError: The one under way does not come to an end.
        """
        now = time.monotonic()
        if not self._idle.is_set():
            self._check_it_ends(now)
            return
        if now < self._not_before:
            return
        # Reading stands still while the lane is full, and only a commit empties it.
        is_pressed = self._more_waits or self._in_flight.is_full
        if is_pressed or commit_is_due(now, self._last_at, self._every_seconds):
            self._begin(consumer, None)

    def commit(self, consumer: GroupConsumer) -> bool:
        """See `delivery.Committer`. Stops at a transaction that is aborted."""
        self._idle.wait()
        while self._begin(consumer, None):
            self._idle.wait()
            if time.monotonic() < self._not_before:
                return False
        return True

    def store(self, consumer: GroupConsumer, marks: Mapping[int, Mark]) -> bool:  # noqa: ARG002 - of `Committer`
        """See `delivery.Committer`. `NoAttempts` has no marks."""
        return not marks

    def give_back(self, consumer: GroupConsumer, *, commit: bool = True) -> None:
        """See `delivery.Committer`. No start was counted."""
        if commit:
            self.commit(consumer)

    def hasten(self) -> None:
        """See `delivery.Committer`."""
        self._every_seconds = 0.0

    def settle(self, consumer: GroupConsumer, partitions: Sequence[int], timeout_seconds: float) -> bool:
        """See `delivery.Committer`. A transaction that outlasts the time goes on by itself.

        It then counts only if it reached the group before the partitions' next owner did, who waits for its fate.
        """
        until = time.monotonic() + timeout_seconds
        left_to_commit = min(_COMMIT_SECONDS, timeout_seconds / 2)
        _wait(lambda: not self._outbox.has_unanswered(partitions), until - left_to_commit)
        while _wait(lambda: self._idle.is_set() and time.monotonic() >= self._not_before, until):
            if time.monotonic() >= until or not self._begin(consumer, partitions):
                break
        return self.tracker.pending_in(partitions) == 0

    def unassign(self, partitions: Sequence[int]) -> None:
        """See `delivery.Committer`."""
        self._outbox.unassign(partitions)

    def wait_until_done(self, partitions: Sequence[int] | None, timeout_seconds: float) -> bool:
        """See `delivery.Committer`."""
        return _wait(lambda: self.tracker.pending_in(partitions) == 0, time.monotonic() + timeout_seconds)

    def _check_it_ends(self, now: float) -> None:
        # librdkafka's issues 5456 and 5511: with its coordinator away, adding offsets may never return.
        if now - self._last_at > self._overdue_seconds:
            raise FatalTransportError(
                f"a transaction has had no end for {self._overdue_seconds:.0f} s, longer than the broker keeps one "
                "open: start the worker again, it goes on at the group's offsets"
            )

    def _begin(self, consumer: GroupConsumer, partitions: Sequence[int] | None) -> bool:
        """Hand a transaction to its thread; whether there was one to hand over."""
        self._last_at = time.monotonic()
        membership = consumer.membership()
        transaction = self._outbox.cut(_MAX_BYTES, partitions) if membership is not None else None
        self._more_waits = transaction is not None and transaction.leaves_more
        if membership is None or transaction is None:
            return False
        self._idle.clear()
        self._work.put(_Work(transaction, membership))
        return True

    # --- the transactions' thread ---------------------------------------------------------------------

    def run(self) -> None:
        """Work until stopped.

        Raises:
            FatalTransportError: The producer was fenced; the group's offsets tell what took place.
        """
        while (work := self._work.get()) is not None:
            self._transact(*work)
            self._idle.set()

    def stop(self) -> None:
        """Let `run` end once it has worked off what is queued."""
        self._work.put(None)

    def _transact(self, transaction: Transaction, membership: Membership) -> None:
        messages = [held.message for held in transaction.held]
        aborted = self._producer.transact(messages, transaction.offsets, membership)
        if aborted is None:
            self.commits += 1
            self.tracker.committed(transaction.offsets)
            for held in transaction.held:
                held.on_delivery(None)
            return
        self.failed_commits += 1
        log.warning(
            "transaction aborted, what is still ours is published again",
            reason=aborted.reason,
            messages=len(messages),
            at_fault=len(aborted.faults),
        )
        self._not_before = time.monotonic() + _AGAIN_AFTER_SECONDS
        self._outbox.put_back(transaction, aborted.faults)


def _wait(is_so: Callable[[], bool], until: float) -> bool:
    """Look again and again until it is so, or the time is up; whether it is."""
    while not is_so():
        left = until - time.monotonic()
        if left <= 0:
            return False
        time.sleep(min(left, _LOOK_EVERY_SECONDS))
    return True
