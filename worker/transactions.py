"""Exactly once: answers wait in an outbox, and go out in transactions that carry the offsets they answer.

Three threads meet here. The publisher's adds answers; the intake's, which owns the consumer, cuts a transaction when
one is due and reads its membership of the group for it; the transactions' own publishes and commits, so that reading
goes on meanwhile. One transaction is under way at a time.

What `attempts` wants stored before messages are computed goes the same way, in a transaction that may hold nothing
else: no offset of this lane is ever committed beside the transactions, so none can move the group back.
"""

from __future__ import annotations

import queue
import threading
import time
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

import structlog

from transport.consumer import Progress
from transport.errors import FatalTransportError
from transport.offsets import OffsetTracker

from .attempts import Attempts
from .offsets import commit_is_due
from .outbox import Held, Outbox, Transaction

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from transport.consumer import GroupConsumer, Membership
    from transport.messages import Message, Outgoing
    from transport.offsets import Submitted
    from transport.producer import Delivery as OnDelivery
    from transport.transactional_producer import Aborted

    from .attempts import Mark
    from .bounds import InFlight
    from .request import RequestInFlight

    _Marks = Callable[[dict[int, int]], dict[int, Mark]]

log = structlog.get_logger("worker")

_MAX_BYTES: Final = 32 * 1024 * 1024
"""Of one transaction: it must be over before its timeout, also on a slow line."""
_AGAIN_AFTER_SECONDS: Final = 0.2
_COMMIT_SECONDS: Final = 1.0
"""Of the time a departing partition is waited for, left to its last transaction; no more than half of it."""
_MARK_SECONDS: Final = 3.0
"""Nothing is read while a mark is stored. Without it a request that kills is found later, nothing else."""
_LOOK_EVERY_SECONDS: Final = 0.02
_OVERDUE_SECONDS: Final = 10.0
"""Beyond a transaction's timeout: so long the broker may take to notice that it is over."""


class Transacting(Protocol):
    """`transport.transactional_producer.TransactionalProducer`, as it is used here."""

    def transact(
        self, messages: Sequence[Outgoing], progress: Mapping[int, Progress], membership: Membership
    ) -> Aborted | None:
        """Publish and commit together; None when it is done."""


class _Work(NamedTuple):
    transaction: Transaction
    progress: dict[int, Progress]
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
        self.attempts = Attempts()
        self._outbox = Outbox(self.tracker)
        self._every_seconds = every_seconds
        self._overdue_seconds = timeout_seconds + _OVERDUE_SECONDS
        self._in_flight = in_flight
        self._producer = producer
        self._work: queue.SimpleQueue[_Work | None] = queue.SimpleQueue()
        self._idle = threading.Event()
        self._idle.set()
        self._took_place = False
        """The last transaction; to be asked while idle."""
        self._has_ended = False
        self._marks: dict[int, Mark] = {}
        """Of the last transaction, while `attempts` does not know yet whether they are stored."""
        self._last_at = time.monotonic()
        self._not_before = 0.0
        self._more_waits = False
        self._is_waited_for = False
        """Whether an answer is there without which nothing else is computed."""
        self.commits = self.failed_commits = self.lost_messages = 0

    # --- the publisher's thread -----------------------------------------------------------------------

    def produce(self, item: RequestInFlight, message: Outgoing, on_delivery: OnDelivery) -> None:
        """See `delivery.Outlet`; never blocks."""
        # Computed: the device may have the tokens' room. The bytes stay, which bounds what waits here.
        self._in_flight.correct(item.reservation, tokens=0)
        self._outbox.add(Held(item, message, on_delivery))
        if item.is_alone:
            self._is_waited_for = True

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
        if now < self._not_before or self._has_ended:
            return
        # Reading stands still while the lane is full, and only a commit empties it.
        is_pressed = self._more_waits or self._is_waited_for or self._in_flight.is_full
        if is_pressed or commit_is_due(now, self._last_at, self._every_seconds):
            self._begin(consumer, self.attempts.beside)

    def commit(self, consumer: GroupConsumer) -> bool:
        """See `delivery.Committer`. Stops at a transaction that is aborted.

        Raises:
            FatalTransportError: The one under way does not come to an end.
        """
        return self._commit(consumer, self.attempts.beside)

    def mark(self, consumer: GroupConsumer, messages: Sequence[Message]) -> None:
        """See `delivery.Committer`."""
        if self.attempts.read(messages):
            # Asked again: the transaction under way may have moved the group on.
            self._store(consumer, lambda ahead: {**self.attempts.read(messages), **self.attempts.beside(ahead)})

    def mark_alone(self, consumer: GroupConsumer, turn: Sequence[Message]) -> bool:
        """See `delivery.Committer`."""
        return self._store(consumer, lambda ahead: {**self.attempts.alone(turn), **self.attempts.beside(ahead)})

    def give_back(self, consumer: GroupConsumer, *, commit: bool = True) -> None:
        """See `delivery.Committer`.

        Raises:
            FatalTransportError: The transaction under way does not come to an end.
        """
        if commit:
            self._commit(consumer, lambda ahead: self.attempts.given_back(ahead, None))
        else:
            self._store(consumer, lambda _: self.attempts.given_back({}, None), partitions=())

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
        while self._is_free(until) and time.monotonic() < until:
            if not self._begin(consumer, lambda ahead: self.attempts.given_back(ahead, partitions), partitions):
                break
        return self.tracker.pending_in(partitions) == 0

    def unassign(self, partitions: Sequence[int]) -> None:
        """See `delivery.Committer`."""
        self._outbox.unassign(partitions)
        self.attempts.gone(partitions)
        for partition in partitions:
            self._marks.pop(partition, None)

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

    def _is_free(self, until: float) -> bool:
        """Wait until a transaction can begin, or the time is up; whether one can."""
        self._idle.wait(until - time.monotonic())
        return (
            self._idle.is_set() and not self._has_ended and _wait(lambda: time.monotonic() >= self._not_before, until)
        )

    def _has_taken_place(self, until: float) -> bool:
        """Wait until the transaction under way is over, or the time is up; whether it took place."""
        return self._idle.wait(until - time.monotonic()) and self._took_place

    def _commit(self, consumer: GroupConsumer, marks: _Marks) -> bool:
        until = time.monotonic() + self._overdue_seconds
        while self._is_free(until):
            if not self._begin(consumer, marks):
                return True
            if not self._has_taken_place(until):
                break
        if not self._idle.is_set():
            self._check_it_ends(time.monotonic())
        return False

    def _store(self, consumer: GroupConsumer, marks: _Marks, partitions: Sequence[int] | None = None) -> bool:
        """One transaction, waited for; whether it took place."""
        until = time.monotonic() + _MARK_SECONDS
        return self._is_free(until) and self._begin(consumer, marks, partitions) and self._has_taken_place(until)

    def _begin(self, consumer: GroupConsumer, marks: _Marks, partitions: Sequence[int] | None = None) -> bool:
        """Hand a transaction to its thread, which must be free; whether there was one to hand over.

        Args:
            consumer: The lane's.
            marks: Given the next offsets behind its answers, what it stores.
            partitions: Whose answers; None: of all that are held.
        """
        self._take_note()
        self._last_at = time.monotonic()
        self._is_waited_for = False
        membership = consumer.membership()
        transaction = self._outbox.cut(_MAX_BYTES, partitions) if membership is not None else None
        self._more_waits = transaction is not None and transaction.leaves_more
        if membership is None:
            return False
        due = marks({} if transaction is None else transaction.offsets)
        if not due:
            return False
        self._marks = due
        progress = {partition: Progress(mark.offset, mark.attempt.encode()) for partition, mark in due.items()}
        self._idle.clear()
        self._work.put(_Work(transaction or Transaction([], {}), progress, membership))
        return True

    def _take_note(self) -> None:
        """Of what the last transaction has stored; only while none is under way."""
        marks, self._marks = self._marks, {}
        if self._took_place:
            self.attempts.stored(marks)

    # --- the transactions' thread ---------------------------------------------------------------------

    def run(self) -> None:
        """Work until stopped.

        Raises:
            FatalTransportError: The producer was fenced; the group's offsets tell what took place.
        """
        try:
            while (work := self._work.get()) is not None:
                self._took_place = self._transact(*work)
                self._idle.set()
        finally:
            # Whoever waits for the one under way is not left waiting.
            self._has_ended, self._took_place = True, False
            self._idle.set()

    def stop(self) -> None:
        """Let `run` end once it has worked off what is queued."""
        self._work.put(None)

    def _transact(self, transaction: Transaction, progress: dict[int, Progress], membership: Membership) -> bool:
        """Whether it took place."""
        messages = [held.message for held in transaction.held]
        aborted = self._producer.transact(messages, progress, membership)
        if aborted is None:
            self.commits += 1
            self.tracker.committed({partition: stored.next_offset for partition, stored in progress.items()})
            for held in transaction.held:
                held.on_delivery(None)
            return True
        self.failed_commits += 1
        log.warning(
            "transaction aborted, what is still ours is published again",
            reason=aborted.reason,
            messages=len(messages),
            at_fault=len(aborted.faults),
        )
        self._not_before = time.monotonic() + _AGAIN_AFTER_SECONDS
        if any(held.item.is_alone for held in transaction.held):
            self._is_waited_for = True
        self._outbox.put_back(transaction, aborted.faults)
        return False


def _wait(is_so: Callable[[], bool], until: float) -> bool:
    """Look again and again until it is so, or the time is up; whether it is."""
    while not is_so():
        left = until - time.monotonic()
        if left <= 0:
            return False
        time.sleep(min(left, _LOOK_EVERY_SECONDS))
    return True
