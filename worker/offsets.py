"""When a lane's progress is committed, and how long a departing partition is waited for.

The watermark itself is `transport.offsets`. `acknowledged` may be called from any thread; everything that takes the
consumer must be called on the thread that owns it.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import structlog

from transport.offsets import OffsetTracker

from .attempts import Attempts

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from schemas.topics import Lane
    from transport.consumer import GroupConsumer
    from transport.messages import Message
    from transport.offsets import Submitted

    from .attempts import Mark

log = structlog.get_logger("worker")


def commit_is_due(now: float, last_commit_at: float, every_seconds: float) -> bool:
    """Whether it is time to commit again."""
    return now - last_commit_at >= every_seconds


class LaneOffsets:
    """The watermark of one lane and the commits that follow it.

    Args:
        lane: Whose offsets.
        commit_every_seconds: Time between commits.
    """

    def __init__(self, lane: Lane, commit_every_seconds: float) -> None:
        self.tracker = OffsetTracker()
        self.attempts = Attempts()
        """For the consumer's own thread only."""
        self._lane = lane
        self._every_seconds = commit_every_seconds
        self._last_commit_at = time.monotonic()
        self._progress = threading.Condition()
        self._waited_for = False
        self.commits = self.failed_commits = 0
        self.lost_messages = 0
        """Messages the broker deleted before they were read."""

    def acknowledged(self, submitted: Submitted) -> None:
        """The broker has everything this message led to."""
        self.tracker.acknowledge(submitted)
        # Read after the watermark has moved: who begins to wait from here on sees it moved.
        if self._waited_for:
            with self._progress:
                self._progress.notify_all()

    def commit_if_due(self, consumer: GroupConsumer) -> None:
        """Commit when it is time to and there is something to."""
        now = time.monotonic()
        if commit_is_due(now, self._last_commit_at, self._every_seconds):
            self._last_commit_at = now
            self.commit(consumer)

    def commit(self, consumer: GroupConsumer, partitions: Iterable[int] | None = None) -> bool:
        """Commit the watermarks that have moved; a transient failure is made up for by the next commit.

        Returns:
            Whether the group has them.
        """
        return self._store(consumer, self.attempts.beside(self.tracker.committable(partitions)))

    def mark(self, consumer: GroupConsumer, messages: Sequence[Message]) -> None:
        """Messages are about to be computed together: store what is remembered of that."""
        self._store(consumer, self.attempts.read(messages))

    def mark_alone(self, consumer: GroupConsumer, turn: Sequence[Message]) -> bool:
        """Messages are about to be computed, and nothing else: store what is remembered of that.

        Returns:
            Whether the group has it.
        """
        return self._store(consumer, self.attempts.alone(turn))

    def give_back(
        self, consumer: GroupConsumer, partitions: Iterable[int] | None = None, *, commit: bool = True
    ) -> None:
        """What follows for partitions is an orderly end: no start of this process counts against their messages.

        Args:
            consumer: The lane's.
            partitions: Only these; None: all that are held.
            commit: Whether watermarks that have moved are committed with it.
        """
        ahead = self.tracker.committable(partitions) if commit else {}
        self._store(consumer, self.attempts.given_back(ahead, partitions))

    def _store(self, consumer: GroupConsumer, marks: Mapping[int, Mark]) -> bool:
        """Commit offsets with what is to stand beside them.

        Returns:
            Whether the group has them; False after a transient failure.
        """
        if not marks:
            return True
        offsets = {partition: mark.offset for partition, mark in marks.items()}
        if not consumer.commit(offsets, {partition: mark.attempt.encode() for partition, mark in marks.items()}):
            self.failed_commits += 1
            log.warning("commit failed, trying again", lane=self._lane.value, partitions=len(marks))
            return False
        self.commits += 1
        self.tracker.committed(offsets)
        self.attempts.stored(marks)
        return True

    def hasten(self) -> None:
        """From now on it is always time to commit."""
        self._every_seconds = 0.0

    def settle(self, consumer: GroupConsumer, partitions: Sequence[int], timeout_seconds: float) -> bool:
        """Wait until nothing of partitions that are about to go is under way, up to the time; give them back.

        Returns:
            Whether nothing is under way.
        """
        finished = self.wait_until_done(partitions, timeout_seconds)
        self.give_back(consumer, partitions)
        return finished

    def unassign(self, partitions: Sequence[int]) -> None:
        """Forget these partitions: they are another's."""
        self.tracker.unassign(partitions)
        self.attempts.gone(partitions)

    def wait_until_done(self, partitions: Iterable[int] | None, timeout_seconds: float) -> bool:
        """Wait until nothing of these partitions is under way, or the time is up.

        Returns:
            Whether nothing is.
        """
        chosen = None if partitions is None else list(partitions)
        with self._progress:
            self._waited_for = True
            done = self._progress.wait_for(lambda: self.tracker.pending_in(chosen) == 0, timeout_seconds)
            self._waited_for = False
        return done
