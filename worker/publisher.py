"""Publishes what every request ends in, and says when the broker has it.

One thread. A request ends in a response, a tombstone, an error response, a dead letter, or the last two together;
it is done when the broker has acknowledged each. Where a destination the caller chose cannot take an answer, the
message becomes a dead letter; where the default destination or the dead-letter topic cannot, the worker stops. While
something transient stands in the way, nothing is published but what failed by it, again and again, ever later.
"""

from __future__ import annotations

import queue
import random
import threading
import time
from collections import deque
from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING, Final, TypeAlias

import structlog

from schemas import headers as names
from schemas.codec import encode_error
from schemas.errors import ErrorCode, RequestError, UnanswerableError
from transport.backoff import backoff_seconds
from transport.messages import Outgoing
from transport.producer import DeliveryFailure, FailureKind

from .dead_letters import dead_letter_headers
from .destinations import Destination, Profile
from .errors import PublishError
from .outcomes import ends_in
from .request import origin_of
from .responses import Responses

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from schemas.topics import Lane, TopicNames
    from transport.known_topics import KnownTopics

    from .delivery import Outlet
    from .encoder.interface import ModelCard
    from .ordering import KeyOrder
    from .own_failures import OwnFailures
    from .request import RequestInFlight
    from .sizes import Sizes

log = structlog.get_logger("worker")

_FIRST_WAIT_SECONDS: Final = 0.1
_LONGEST_WAIT_SECONDS: Final = 5.0
_LEFT_OUT: Final = ("", "headers", "headers,payload")
"""Of a dead letter, each time that it is too large: first the original headers, then the original bytes too."""

_CALLERS_FAULT: Final = {
    FailureKind.UNKNOWN: ErrorCode.DESTINATION_UNKNOWN,
    FailureKind.REFUSED: ErrorCode.DESTINATION_REFUSED,
}


class _Kind(Enum):
    ANSWER = auto()
    ERROR = auto()
    DEAD_LETTER = auto()


@dataclass(frozen=True, slots=True)
class _Published:
    """One message on its way to the broker."""

    item: RequestInFlight
    kind: _Kind
    topic: str
    must_exist: bool
    shortened: int = 0
    """How often something was left out of it because it was too large."""


@dataclass(frozen=True, slots=True)
class _Undelivered:
    published: _Published
    failure: DeliveryFailure


class _Due:
    """It is time to publish again what failed."""


_Entry: TypeAlias = "RequestInFlight | _Undelivered | _Due | None"


class Publisher:
    """The stage after the encoder.

    Args:
        outlets: Where messages go, one a lane.
        topics: Names of our topics.
        known_topics: Tells whether a destination exists.
        order: Order of the answers of one key.
        worker_id: Named in dead letters.
        card: The model's: its revision is named in responses, its ranges decide their numbers.
        sizes: What fits where.
        is_current: Whether a request's partition is still ours.
        on_closed: Gets every request once: True when the broker has all it led to, False when it was discarded.
        own_failures: Tells when too many requests fail through our fault; this publisher's alone.
        on_dead_letter: Gets the reason of every dead letter that the broker has; must not block.
    """

    def __init__(
        self,
        outlets: Mapping[Lane, Outlet],
        topics: TopicNames,
        known_topics: KnownTopics,
        order: KeyOrder,
        *,
        worker_id: str,
        card: ModelCard,
        sizes: Sizes,
        is_current: Callable[[RequestInFlight], bool],
        on_closed: Callable[[RequestInFlight, bool], None],
        own_failures: OwnFailures,
        on_dead_letter: Callable[[ErrorCode], None] = lambda _: None,
    ) -> None:
        self._outlets = outlets
        self._topics = topics
        self._known_topics = known_topics
        self._order = order
        self._worker_id = worker_id
        self._responses = Responses(card, sizes)
        self._sizes = sizes
        self._is_current = is_current
        self._on_closed = on_closed
        self._own_failures = own_failures
        self._on_dead_letter = on_dead_letter
        self._queue: queue.SimpleQueue[_Entry] = queue.SimpleQueue()
        self._again: list[_Published] = []
        """Failed by something transient, in the order of failing."""
        self._again_at = 0.0
        self._rounds = 0
        """Of them, since something was acknowledged."""
        self._counting = threading.Lock()

    def submit(self, item: RequestInFlight) -> None:
        """Queue a request that is computed, failed or a tombstone; never blocks."""
        self._queue.put(item)

    def stop(self) -> None:
        """Let `run` end once it has worked off what is queued."""
        self._queue.put(None)

    def run(self) -> None:
        """Work until stopped.

        Raises:
            PublishError: The default destination or the dead-letter topic takes nothing, or librdkafka gave up.
            OwnFailuresError: Too many requests fail through our fault.
        """
        held: deque[RequestInFlight] = deque()
        stopping = False
        while True:
            if self._again and time.monotonic() >= self._again_at:
                again, self._again = self._again, []
                for published in again:
                    self._publish_again(published)
            while held and not self._again:
                self._finish(held.popleft())
            if stopping and not self._again:
                return
            entry = self._next()
            if entry is None:
                stopping = True
            elif isinstance(entry, _Due):
                continue
            elif isinstance(entry, _Undelivered):
                self._recover(entry)
            elif self._again:
                held.append(entry)
            else:
                self._finish(entry)

    def _next(self) -> _Entry:
        """What is queued next; or that it is time to publish again what failed."""
        if not self._again:
            return self._queue.get()
        try:
            return self._queue.get(timeout=max(0.0, self._again_at - time.monotonic()))
        except queue.Empty:
            return _Due()

    def _finish(self, entry: RequestInFlight) -> None:
        for item in self._order.finish(entry):
            self._publish(item)

    # --- what a request ends in -----------------------------------------------------------------------

    def _publish(self, item: RequestInFlight) -> None:
        if not self._is_current(item):
            self._on_closed(item, False)
            return
        destination = item.destination
        if destination is not None and not self._known_topics.has(destination.topic, destination.partition):
            if _must_exist(destination):
                raise PublishError(
                    f"topic {destination.topic} is gone: create it with `kafka-embeddings topics create`"
                )
            item.error = UnanswerableError(
                ErrorCode.DESTINATION_UNKNOWN,
                f"no topic {destination.topic!r}"
                if destination.partition is None
                else f"topic {destination.topic!r} has no partition {destination.partition}",
            )
        if item.error is None and not item.is_tombstone:
            value = self._responses.encode(item)
            if value is not None:
                self._own_failures.count(time.monotonic(), None)
                self._answer(item, value)
                return
        if item.error is None:
            self._answer(item, None)
        else:
            self._own_failures.count(time.monotonic(), item.error.code)
            self._fail(item, item.error)

    def _answer(self, item: RequestInFlight, value: bytes | None) -> None:
        """Publish a response, or the tombstone that answers one."""
        destination = item.destination
        if destination is None:
            raise AssertionError("an answer has a destination")
        key = item.request.id.encode() if item.request else item.message.key
        item.unacknowledged = 1
        self._produce(
            _Published(item, _Kind.ANSWER, destination.topic, _must_exist(destination)),
            Outgoing(
                destination.topic, destination.partition, key, value, self._responses.headers(item, names.STATUS_OK)
            ),
        )

    def _fail(self, item: RequestInFlight, error: RequestError | UnanswerableError) -> None:
        fate = ends_in(item.lane, error)
        item.unacknowledged = int(fate.error_response) + int(fate.dead_letter)
        if fate.error_response and isinstance(error, RequestError):
            self._error_response(item, error)
        if fate.dead_letter:
            self._dead_letter(item, error)

    def _error_response(self, item: RequestInFlight, error: RequestError, shortened: int = 0) -> None:
        destination = self._error_destination(item)
        if shortened:
            error.metadata = None
        self._produce(
            _Published(item, _Kind.ERROR, destination.topic, _must_exist(destination), shortened),
            Outgoing(
                destination.topic,
                destination.partition,
                (error.request_id or "").encode(),
                encode_error(error),
                self._responses.headers(item, error.code.value),
            ),
        )

    def _error_destination(self, item: RequestInFlight) -> Destination:
        """Errors go where the response would; those of flat destinations never among documents."""
        destination = item.destination
        if destination is None or destination.profile is Profile.FLAT:
            return Destination(self._topics.errors, None, Profile.OPENAI, is_default=True)
        return destination

    def _dead_letter(
        self, item: RequestInFlight, error: RequestError | UnanswerableError, shortened: int = 0
    ) -> None:
        topic = self._topics.dead_letters
        message = item.message._replace(headers=()) if shortened else item.message
        if shortened == len(_LEFT_OUT) - 1:
            log.error("dead letter without the original bytes: too large, read them there", **origin_of(item))
            message = message._replace(value=b"")
        # Not the message of the error, which may quote the request; the dead letter's headers have it.
        log.warning("dead letter", code=error.code.value, **origin_of(item))
        headers = dead_letter_headers(
            message,
            error,
            self._worker_id,
            attempt=item.headers.failed_attempts + 1,
            left_out=_LEFT_OUT[shortened],
        )
        self._produce(
            _Published(item, _Kind.DEAD_LETTER, topic, must_exist=True, shortened=shortened),
            Outgoing(topic, None, message.key, message.value, headers),
        )

    # --- delivery -------------------------------------------------------------------------------------

    def _produce(self, published: _Published, message: Outgoing) -> None:
        def delivered(failure: DeliveryFailure | None) -> None:
            if failure is None:
                if published.kind is _Kind.DEAD_LETTER and published.item.error is not None:
                    self._on_dead_letter(published.item.error.code)
                self._acknowledged(published.item)
            else:
                self._queue.put(_Undelivered(published, failure))

        self._outlets[published.item.lane].produce(published.item, message, delivered)

    def _acknowledged(self, item: RequestInFlight) -> None:
        with self._counting:
            item.unacknowledged -= 1
            done = item.unacknowledged == 0
        if done:
            self._rounds = 0
            self._on_closed(item, True)

    def _recover(self, undelivered: _Undelivered) -> None:
        """Do what the table of failures says about a message that is not on its topic."""
        published, failure = undelivered.published, undelivered.failure
        item, kind = published.item, failure.kind
        if kind is not FailureKind.FATAL and not self._is_current(item):
            # The partition's next owner answers; of an earlier assignment, nothing is committed by this.
            self._acknowledged(item)
            return
        log.warning(
            "not delivered",
            what=published.kind.name.lower(),
            to=published.topic,
            reason=failure.reason,
            **origin_of(item),
        )
        if kind is FailureKind.FATAL:
            raise PublishError(f"librdkafka gave up on {published.topic}: {failure.reason}")
        if kind is FailureKind.TRANSIENT:
            self._put_off(published)
        elif kind is FailureKind.TOO_LARGE:
            self._shorten(published, failure)
        elif published.must_exist:
            raise PublishError(f"topic {published.topic} takes no messages: {failure.reason}")
        else:
            self._keep(published, _CALLERS_FAULT[kind], failure)

    def _put_off(self, published: _Published) -> None:
        """Publish it again a little later: librdkafka has waited and retried already, so trouble lasts."""
        if not self._again:
            self._rounds += 1
            self._again_at = time.monotonic() + backoff_seconds(
                self._rounds, first=_FIRST_WAIT_SECONDS, most=_LONGEST_WAIT_SECONDS, random=random.random
            )
        self._again.append(published)

    def _publish_again(self, published: _Published) -> None:
        item, error = published.item, published.item.error
        if not self._is_current(item):
            self._acknowledged(item)
        elif published.kind is _Kind.DEAD_LETTER:
            self._dead_letter(item, error or _unknown_error(), published.shortened)
        elif published.kind is _Kind.ERROR and isinstance(error, RequestError):
            self._error_response(item, error, published.shortened)
        elif item.is_tombstone:
            self._answer(item, None)
        elif (value := self._responses.encode(item)) is not None:
            self._answer(item, value)
        elif item.error is not None:
            self._fail(item, item.error)

    def _shorten(self, published: _Published, failure: DeliveryFailure) -> None:
        """Too large: a response becomes an error, an error loses its metadata, a dead letter headers, then bytes."""
        item, shortened = published.item, published.shortened
        if published.kind is _Kind.DEAD_LETTER:
            if shortened == len(_LEFT_OUT) - 1:
                raise PublishError(f"topic {published.topic} takes no messages this small: {failure.reason}")
            self._dead_letter(item, item.error or _unknown_error(), shortened + 1)
        elif published.kind is _Kind.ANSWER and item.request is not None:
            error = self._sizes.error(item)
            item.fail(error)
            self._fail(item, error)
        elif published.kind is _Kind.ERROR and isinstance(item.error, RequestError) and not shortened:
            self._error_response(item, item.error, shortened + 1)
        else:
            self._keep(published, ErrorCode.RESPONSE_TOO_LARGE, failure)

    def _keep(self, published: _Published, code: ErrorCode, failure: DeliveryFailure) -> None:
        """Nobody can be told: the message becomes a dead letter, unless it is one already."""
        item, error = published.item, published.item.error
        if published.kind is _Kind.ERROR and error is not None and ends_in(item.lane, error).dead_letter:
            self._acknowledged(item)
            return
        item.error = UnanswerableError(code, f"topic {published.topic!r}: {failure.reason}")
        self._dead_letter(item, item.error)


def _must_exist(destination: Destination) -> bool:
    """Whether a destination that takes nothing is the operator's trouble, not the caller's."""
    return destination.is_default and destination.partition is None


def _unknown_error() -> UnanswerableError:
    return UnanswerableError(ErrorCode.INTERNAL_ERROR, "could not be published")
