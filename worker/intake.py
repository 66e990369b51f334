"""Reads one lane: polls, decodes, validates, and stops reading before too much is in flight.

One thread, which owns the lane's consumer: it also commits, and answers to partitions that come and go. What cannot
be computed goes straight to the publisher, which tells the caller; everything else goes to tokenization.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Final

import structlog

from schemas.codec import decode_request
from schemas.errors import ErrorCode, RequestError, UnanswerableError
from schemas.headers import parse_request_headers
from schemas.response_sizes import least_response_bytes
from transport.errors import FatalTransportError

from .bounds import expected_use
from .destinations import Profile
from .outcomes import deadline_error
from .request import RequestInFlight

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from schemas.requests import EmbeddingRequest
    from schemas.served_model import Plan
    from schemas.topics import Lane
    from transport.consumer import AssignmentListener, GroupConsumer
    from transport.messages import Message
    from transport.offsets import Submitted

    from .bounds import InFlight
    from .delivery import Committer
    from .destinations import Destination, Destinations
    from .isolation import Isolation
    from .ordering import KeyOrder
    from .planning import Planning
    from .sizes import Sizes

log = structlog.get_logger("worker")

_POLL_SECONDS: Final = 0.05
_POLL_MESSAGES: Final = 512
_TURN_SECONDS: Final = 0.005
"""Between looks while requests run in turns: an answer that waits for its transaction wakes nobody."""
_SUSPECTS_FIRST_SECONDS: Final = 5.0
"""So long after the last suspect the other partitions of its lane are not read."""
_ASK_AGAIN_SECONDS: Final = 0.5
_POLL_AT_LEAST_EVERY_SECONDS: Final = 1.0
"""Rebalances are answered within polls, so that one must come also while what was read before waits for its turn."""


class Intake:
    """The first stage of one lane.

    Args:
        lane: Which lane.
        planning: Decides how a request is computed.
        destinations: Where answers may go.
        offsets: The lane's watermark, and how it is committed.
        in_flight: The lane's bounds.
        order: Order of the answers of one key.
        isolation: Whether requests run in turns.
        sizes: What fits where.
        max_past_watermark: Messages of one partition read beyond its first unanswered one.
        gaps_are_losses: Whether a hole in the offsets means that the broker dropped messages.
        revoke_timeout_seconds: How long a departing partition is waited for.
        clock_skew_seconds: How much later than its deadline a request counts as expired.
        on_accepted: Gets requests to compute.
        on_failed: Gets what is answered without computing, tombstones included.
    """

    def __init__(
        self,
        lane: Lane,
        *,
        planning: Planning,
        destinations: Destinations,
        offsets: Committer,
        in_flight: InFlight,
        order: KeyOrder,
        isolation: Isolation,
        sizes: Sizes,
        max_past_watermark: int,
        gaps_are_losses: bool,
        revoke_timeout_seconds: float,
        clock_skew_seconds: float,
        on_accepted: Callable[[list[RequestInFlight]], None],
        on_failed: Callable[[RequestInFlight], None],
    ) -> None:
        self._lane = lane
        self._planning = planning
        self._destinations = destinations
        self._offsets = offsets
        self._in_flight = in_flight
        self._order = order
        self._isolation = isolation
        self._sizes = sizes
        self._max_past_watermark = max_past_watermark
        self._most_polled = min(_POLL_MESSAGES, max(1, max_past_watermark // 2))
        self._gaps_are_losses = gaps_are_losses
        self._revoke_timeout_seconds = revoke_timeout_seconds
        self._clock_skew_ms = clock_skew_seconds * 1000
        self._on_accepted = on_accepted
        self._on_failed = on_failed
        self._consumer: GroupConsumer | None = None
        self._paused: set[int] = set()
        self._held: deque[Message] = deque()
        """Read, and waiting for a turn: as good as unread to everybody else."""
        self._untold: set[int] = set()
        """Partitions of which the broker has not told what is stored."""
        self._begins: dict[int, int] = {}
        """Next offset that is stored, of partitions of which nothing was let in yet."""
        self._polled_at = self._suspects_at = 0.0
        self._is_alone = False
        """Whether this lane's turn is all that is under way."""
        self._closing = False
        self._is_draining = False
        self._abandoned = threading.Event()

    # --- the loop -------------------------------------------------------------------------------------

    def run(
        self,
        connect: Callable[[AssignmentListener], GroupConsumer],
        *,
        drain: threading.Event,
        drain_timeout_seconds: float,
    ) -> None:
        """Read until told to drain, then wait for what was read to be answered, commit and leave the group.

        Raises:
            FatalTransportError: Reading cannot go on; nothing was committed for it.
        """
        consumer = self._consumer = connect(self)
        while not drain.is_set():
            if self._abandoned.is_set():
                self._offsets.give_back(consumer, commit=False)
                return
            self._pause_or_resume(consumer)
            self._take(consumer, self._poll(consumer))
            self._offsets.commit_if_due(consumer)
        self._held.clear()
        self._is_draining = True
        self._drain(consumer, time.monotonic() + drain_timeout_seconds)
        self._closing = True
        self._offsets.give_back(consumer)
        consumer.close()

    def abandon(self) -> None:
        """End `run` without draining and without a commit; the end is held against no request. From any thread."""
        self._abandoned.set()

    def _poll(self, consumer: GroupConsumer) -> list[Message]:
        now = time.monotonic()
        if self._held and now - self._polled_at < _POLL_AT_LEAST_EVERY_SECONDS:
            return []
        self._polled_at = now
        if self._isolation.is_on:
            at_once = min(self._offsets.attempts.at_once, self._most_polled)
            return consumer.poll(at_once, 0 if self._held else _POLL_SECONDS)
        return consumer.poll(1 if self._held else self._most_polled, _POLL_SECONDS)

    def _drain(self, consumer: GroupConsumer, until: float) -> None:
        """Stay a member, reading nothing, while what was read is answered."""
        self._offsets.hasten()
        while (pending := self._offsets.tracker.pending_in()) and time.monotonic() < until:
            fresh = self._offsets.tracker.assigned - self._paused
            if fresh:
                consumer.pause(fresh)
                self._paused |= fresh
            # A message that slips through is left uncommitted, so the next owner reads it again.
            consumer.poll(1, 0)
            self._offsets.wait_until_done(None, _POLL_SECONDS)
            self._offsets.commit_if_due(consumer)
        if pending:
            log.warning(
                "drain timed out, the rest is left to the next worker", lane=self._lane.value, pending=pending
            )

    def _pause_or_resume(self, consumer: GroupConsumer) -> None:
        tracker = self._offsets.tracker
        assigned = tracker.assigned
        if self._in_flight.is_full:
            wanted = set(assigned)
        else:
            wanted = {p for p in assigned if tracker.pending(p) >= self._pause_at(p)}
            suspected = self._offsets.attempts.suspected
            # Others would have to run in turns as well; but suspects that do not come are not waited for.
            if suspected and time.monotonic() - self._suspects_at < _SUSPECTS_FIRST_SECONDS:
                wanted |= assigned - suspected
        if to_pause := wanted - self._paused:
            consumer.pause(to_pause)
        if to_resume := (self._paused - wanted) & assigned:
            consumer.resume(to_resume)
        self._paused = wanted

    def _pause_at(self, partition: int) -> int:
        """Pauses where one more poll could lead beyond the bound, resumes at half of it.

        A pause throws the prefetch away, so it should not be one of many.
        """
        bound = self._max_past_watermark
        return max(1, bound // 2) if partition in self._paused else bound - self._most_polled + 1

    # --- partitions come and go (called inside poll and close) ----------------------------------------

    def assigned(self, partitions: Sequence[int]) -> None:
        self._offsets.tracker.assign(partitions)
        log.info("partitions assigned", lane=self._lane.value, partitions=len(partitions))
        self._offsets.attempts.assigned(partitions, {}, {})
        self._untold.update(partitions)
        # Of what comes during a drain nothing is read: asking would only hold up the end.
        if self._consumer is not None and not self._is_draining:
            self._learn(self._consumer, partitions)

    def _learn(self, consumer: GroupConsumer, partitions: Sequence[int]) -> None:
        """Ask what the group has stored, and so which messages are suspected."""
        progress = consumer.progress(partitions)
        if progress is None:
            return
        self._untold.difference_update(partitions)
        self._begins.update({partition: stored.next_offset for partition, stored in progress.items()})
        lost = consumer.lost_to_retention(progress)
        for partition, count in lost.items():
            self._say_lost_to_retention(partition, count)
        self._offsets.attempts.assigned(partitions, progress, lost)
        self._tell_suspects()

    def revoked(self, partitions: Sequence[int]) -> None:
        timeout_seconds = 0.0 if self._closing else self._revoke_timeout_seconds
        consumer = self._consumer
        finished = consumer is None or self._offsets.settle(consumer, partitions, timeout_seconds)
        self._let_go(partitions)
        log.info("partitions revoked", lane=self._lane.value, partitions=len(partitions), finished=finished)

    def lost(self, partitions: Sequence[int]) -> None:
        self._let_go(partitions)
        log.warning(
            "partitions lost: the group took this worker for dead, what is under way is discarded",
            lane=self._lane.value,
            partitions=len(partitions),
        )

    def _let_go(self, partitions: Sequence[int]) -> None:
        self._offsets.unassign(partitions)
        self._paused.difference_update(partitions)
        self._held = deque(message for message in self._held if message.partition not in partitions)
        for partition in partitions:
            self._begins.pop(partition, None)
        self._tell_suspects()

    def _tell_suspects(self) -> None:
        """The last suspect counts as one until it is answered."""
        has_suspects = self._offsets.attempts.has_suspects
        if has_suspects and not self._isolation.is_on:
            log.warning(
                "workers died again and again at the same offset, few requests at a time until it is known which",
                lane=self._lane.value,
                at_once=self._offsets.attempts.at_once,
            )
            self._suspects_at = time.monotonic()
        if has_suspects or not (self._is_alone or self._in_flight.requests):
            self._isolation.suspect(self._lane, has_suspects)

    # --- whose turn it is -----------------------------------------------------------------------------

    def _take(self, consumer: GroupConsumer, messages: list[Message]) -> None:
        """Let in what was read, as far as it may run now."""
        if self._is_alone:
            self._leave_when_answered(consumer)
        if self._untold or self._begins:
            self._held.extend(messages)
            messages = []
            if not self._is_told(consumer):
                return
            self._drop_what_is_done(consumer)
        if self._isolation.is_on:
            self._tell_suspects()
        if (messages or self._held) and not self._is_alone and self._isolation.enter(self._lane):
            try:
                self._take_together(consumer, [*self._held, *messages] if self._held else messages)
            finally:
                self._isolation.leave(self._lane)
            self._held.clear()
            return
        self._held.extend(messages)
        if self._held and not self._is_alone and self._isolation.enter_alone(self._lane):
            self._is_alone = True
            self._take_alone(consumer)
        if self._isolation.is_on:
            self._isolation.wait(_TURN_SECONDS)

    def _is_told(self, consumer: GroupConsumer) -> bool:
        """Whether it is known where the group stands with all that is held. Asks."""
        read = self._untold.intersection(message.partition for message in self._held)
        if read:
            self._learn(consumer, sorted(read))
        if read & self._untold:
            self._abandoned.wait(_ASK_AGAIN_SECONDS)
            return False
        return True

    def _drop_what_is_done(self, consumer: GroupConsumer) -> None:
        """Of what is held: librdkafka may begin at the topic's begin although the group has stored more."""
        begins, self._begins = self._begins, dict(self._begins)
        early: set[int] = set()
        kept: deque[Message] = deque()
        for message in self._held:
            begin = begins.get(message.partition, 0)
            if message.offset < begin:
                early.add(message.partition)
            else:
                kept.append(message)
                self._begins.pop(message.partition, None)
        self._held = kept
        for partition in sorted(early & self._begins.keys()):
            log.warning(
                "reading began before what the group has stored, going there",
                lane=self._lane.value,
                partition=partition,
                offset=begins[partition],
            )
            consumer.seek(partition, begins[partition])

    def _take_together(self, consumer: GroupConsumer, messages: list[Message]) -> None:
        self._offsets.mark(consumer, messages)
        self._hand_on([self._admit(message) for message in messages])

    def _take_alone(self, consumer: GroupConsumer) -> None:
        """What comes next of what is held, once the group knows of it."""
        attempts = self._offsets.attempts
        turn = attempts.turn(self._held)
        if attempts.is_suspect(turn[0]):
            self._suspects_at = time.monotonic()
        if attempts.is_guilty(turn[0]):
            items = [self._condemn(turn[0])]
        elif self._offsets.mark_alone(consumer, turn):
            items = [self._admit(message) for message in turn]
        else:
            return
        for item in items:
            item.is_alone = True
        taken = {(message.partition, message.offset) for message in turn}
        self._held = deque(message for message in self._held if (message.partition, message.offset) not in taken)
        self._hand_on(items)

    def _leave_when_answered(self, consumer: GroupConsumer) -> None:
        """Nobody else's turn comes before this one's mark is gone: it would be taken for guilty as well."""
        if self._in_flight.requests == 0 and self._offsets.commit(consumer):
            self._is_alone = False
            self._isolation.leave(self._lane)

    # --- one message ----------------------------------------------------------------------------------

    def _hand_on(self, items: list[RequestInFlight]) -> None:
        accepted = []
        for item in items:
            self._order.register(item)
            if item.error is None and not item.is_tombstone:
                accepted.append(item)
            else:
                self._on_failed(item)
        if accepted:
            self._on_accepted(accepted)

    def _condemn(self, message: Message) -> RequestInFlight:
        """A dead letter, unread: what is in it killed the process."""
        starts = self._offsets.attempts.condemned(message)
        log.error(
            "a request kills the worker, kept as a dead letter",
            topic=message.topic,
            partition=message.partition,
            offset=message.offset,
            starts=starts,
        )
        return RequestInFlight(
            lane=self._lane,
            message=message,
            submitted=self._submit(message),
            headers=parse_request_headers(message.headers),
            destination=None,
            reservation=self._in_flight.reserve(*expected_use(message, None, None)),
            error=UnanswerableError(
                ErrorCode.KILLED_WORKER,
                f"{starts} worker processes died while they had this request, the last with nothing else to do: "
                "find out what in it they cannot bear before it is sent again",
            ),
        )

    def _admit(self, message: Message) -> RequestInFlight:
        """Decode and validate one message; whatever is wrong with it is noted in what is returned."""
        submitted = self._submit(message)
        headers = parse_request_headers(message.headers)
        destination: Destination | None = None
        request: EmbeddingRequest | None = None
        error: RequestError | UnanswerableError | None = None
        chosen: Plan | None = None
        try:
            destination = self._destinations.of(headers)
            if message.value is not None:
                request = decode_request(message.value, message.key)
                chosen = self._plan(request, destination)
        except (RequestError, UnanswerableError) as problem:
            error = problem
            if request is not None and isinstance(problem, RequestError):
                problem.request_id, problem.metadata = request.id, request.metadata
        item = RequestInFlight(
            lane=self._lane,
            message=message,
            submitted=submitted,
            headers=headers,
            destination=destination,
            reservation=self._in_flight.reserve(*expected_use(message, request, chosen)),
            request=request,
            error=error,
        )
        if chosen is not None:
            item.prefix = self._planning.prefix(chosen.role)
            item.dim, item.embedding_type = chosen.dim, chosen.embedding_type
        if error is None:
            item.error = deadline_error(item, time.time() * 1000, self._clock_skew_ms)
        return item

    def _submit(self, message: Message) -> Submitted:
        """Take note of a message, and say so when the broker has lost some before it.

        Raises:
            FatalTransportError: The partition starts again from an earlier offset.
        """
        try:
            submitted, skipped = self._offsets.tracker.submit(message.partition, message.offset)
        except ValueError as error:
            raise FatalTransportError(
                f"{message.topic}: {error}: the topic was truncated or made anew; start the worker again"
            ) from error
        if skipped and self._gaps_are_losses:
            self._offsets.lost_messages += skipped
            log.error(
                "the broker dropped messages: it keeps 5 MiB a partition; send less at once, or use Apache Kafka",
                topic=message.topic,
                partition=message.partition,
                messages=skipped,
            )
        elif skipped and self._consumer is not None:
            # On Kafka gaps are usual (transactions); where the partition now begins tells a loss.
            lost = min(skipped, self._consumer.first_offset(message.partition) - (message.offset - skipped))
            if lost > 0:
                self._say_lost_to_retention(message.partition, lost)
        return submitted

    def _say_lost_to_retention(self, partition: int, messages: int) -> None:
        self._offsets.lost_messages += messages
        log.error(
            "messages were deleted before they were read: raise the topic's retention.ms, or add workers",
            lane=self._lane.value,
            partition=partition,
            messages=messages,
        )

    def _plan(self, request: EmbeddingRequest, destination: Destination) -> Plan:
        """How the request is to be computed.

        Raises:
            RequestError: The request asks for what cannot be done or answered.
        """
        chosen = self._planning.plan(request, self._lane)
        if destination.profile is Profile.FLAT and len(request.inputs) > 1:
            raise RequestError(
                ErrorCode.INVALID_REQUEST,
                f"topic {destination.topic} takes one input a request, not {len(request.inputs)}: split the request",
                param="input",
            )
        least = least_response_bytes(len(request.inputs), chosen.dim, request.encoding_format, chosen.embedding_type)
        limit = self._sizes.limit(destination.topic)
        if least > limit:
            raise RequestError(
                ErrorCode.RESPONSE_TOO_LARGE,
                f"the response would have at least {least} bytes, topic {destination.topic} takes {limit}: "
                "send fewer inputs a request, or ask for encoding_format base64",
                param="input",
            )
        return chosen
