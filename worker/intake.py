"""Reads one lane: polls, decodes, validates, and stops reading before too much is in flight.

One thread, which owns the lane's consumer: it also commits, and answers to partitions that come and go. What cannot
be computed goes straight to the publisher, which tells the caller; everything else goes to tokenization.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

import structlog

from schemas.codec import decode_request, least_response_bytes, response_bytes
from schemas.errors import ErrorCode, RequestError, UnanswerableError
from schemas.headers import parse_request_headers
from transport.errors import FatalTransportError

from .destinations import Profile
from .outcomes import deadline_error
from .request import RequestInFlight

if TYPE_CHECKING:
    import threading
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
    from .ordering import KeyOrder
    from .planning import Planning

log = structlog.get_logger("worker")

_POLL_SECONDS: Final = 0.05
_POLL_MESSAGES: Final = 512
_BYTES_PER_TOKEN: Final = 4
"""Estimate until tokenization counts."""


class Intake:
    """The first stage of one lane.

    Args:
        lane: Which lane.
        planning: Decides how a request is computed.
        destinations: Where answers may go.
        offsets: The lane's watermark, and how it is committed.
        in_flight: The lane's bounds.
        order: Order of the answers of one key.
        max_response_bytes: Largest response a destination takes.
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
        max_response_bytes: int,
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
        self._max_response_bytes = max_response_bytes
        self._max_past_watermark = max_past_watermark
        self._gaps_are_losses = gaps_are_losses
        self._revoke_timeout_seconds = revoke_timeout_seconds
        self._clock_skew_ms = clock_skew_seconds * 1000
        self._on_accepted = on_accepted
        self._on_failed = on_failed
        self._consumer: GroupConsumer | None = None
        self._paused: set[int] = set()
        self._closing = False

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
            self._pause_or_resume(consumer)
            self._take(consumer.poll(_POLL_MESSAGES, _POLL_SECONDS))
            self._offsets.commit_if_due(consumer)
        self._drain(consumer, time.monotonic() + drain_timeout_seconds)
        self._closing = True
        self._offsets.commit(consumer)
        consumer.close()

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
        if to_pause := wanted - self._paused:
            consumer.pause(to_pause)
        if to_resume := (self._paused - wanted) & assigned:
            consumer.resume(to_resume)
        self._paused = wanted

    def _pause_at(self, partition: int) -> int:
        """Pauses at the bound, resumes at half of it: a pause throws the prefetch away."""
        bound = self._max_past_watermark
        return max(1, bound // 2) if partition in self._paused else bound

    # --- partitions come and go (called inside poll and close) ----------------------------------------

    def assigned(self, partitions: Sequence[int]) -> None:
        self._offsets.tracker.assign(partitions)
        log.info("partitions assigned", lane=self._lane.value, partitions=len(partitions))
        if self._consumer is None:
            return
        for partition, count in self._consumer.lost_to_retention(partitions).items():
            self._say_lost_to_retention(partition, count)

    def revoked(self, partitions: Sequence[int]) -> None:
        timeout_seconds = 0.0 if self._closing else self._revoke_timeout_seconds
        consumer = self._consumer
        finished = consumer is None or self._offsets.settle(consumer, partitions, timeout_seconds)
        self.lost(partitions)
        log.info("partitions revoked", lane=self._lane.value, partitions=len(partitions), finished=finished)

    def lost(self, partitions: Sequence[int]) -> None:
        self._offsets.unassign(partitions)
        self._paused.difference_update(partitions)

    # --- one message ----------------------------------------------------------------------------------

    def _take(self, messages: list[Message]) -> None:
        accepted = []
        for message in messages:
            item = self._admit(message)
            self._order.register(item)
            if item.error is None and not item.is_tombstone:
                accepted.append(item)
            else:
                self._on_failed(item)
        if accepted:
            self._on_accepted(accepted)

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
            reservation=self._in_flight.reserve(*_expected(message, request, chosen)),
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
        if least > self._max_response_bytes:
            raise RequestError(
                ErrorCode.RESPONSE_TOO_LARGE,
                f"the response would have at least {least} bytes, its topic takes {self._max_response_bytes}: "
                "send fewer inputs a request, or ask for encoding_format base64",
                param="input",
            )
        return chosen


def _expected(message: Message, request: EmbeddingRequest | None, chosen: Plan | None) -> tuple[int, int]:
    """Tokens and bytes a message holds from here to its acknowledgement, estimated."""
    size_bytes = len(message.value or b"")
    if request is None or chosen is None:
        return 0, size_bytes
    inputs, dim = len(request.inputs), chosen.dim
    vectors = inputs * dim * 4 + response_bytes(inputs, dim, request.encoding_format, chosen.embedding_type)
    return size_bytes // _BYTES_PER_TOKEN + inputs, size_bytes + vectors
