"""Publishes requests and awaits their replies: correlation, deadlines, splitting, a bounded window.

For asyncio. Replies are matched by correlation id; one that nobody awaits any more is dropped and counted. Every
request ends in its vectors or in a `RequestError`, whatever happens to broker and workers.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import socket
import time
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import structlog

from schemas import headers as names
from schemas.beats import Beat, WorkerState
from schemas.codec import Vectors, decode_response, join_vectors
from schemas.errors import ErrorCode, RequestError
from schemas.served_model import models_named
from schemas.topics import Lane, TopicNames
from transport.errors import TransportError
from transport.producer import DeliveringProducer, DeliveryFailure, FailureKind

from .errors import NotConnectedError
from .replies import Connection, ReplyReader
from .request_messages import RequestMessage, request_messages
from .splitting import first_error
from .window import Window

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from schemas.headers import Header
    from schemas.requests import EmbeddingBody, EmbeddingType
    from transport.messages import Message
    from transport.settings import KafkaSettings

    from .settings import ClientSettings

log = structlog.get_logger("client")

_LINGER_MS: Final[dict[Lane, float]] = {Lane.INTERACTIVE: 0, Lane.BULK: 5}
_CORRELATION_BYTES: Final = 16
_OWN_BYTES: Final = 8
_FULL_BUFFER_WAIT_SECONDS: Final = 0.02


@dataclass(frozen=True, slots=True)
class _Pending:
    future: asyncio.Future[Vectors]
    kind: EmbeddingType


@dataclass(slots=True)
class _Connected:
    connection: Connection
    producer: DeliveringProducer
    window: Window


class EmbeddingClient:
    """Asks for embeddings over topics. Use `start` and `stop`, or as an async context manager.

    Args:
        kafka: How to reach the cluster.
        topics: Names of our topics.
        lane: Which lane to ask on.
        settings: Sizes and times.
        on_failure: Called when replies can no longer be read; the process should end.
    """

    def __init__(
        self,
        kafka: KafkaSettings,
        topics: TopicNames,
        lane: Lane,
        settings: ClientSettings,
        on_failure: Callable[[BaseException], None] = lambda _: None,
    ) -> None:
        self._kafka = kafka
        self._topics = topics
        self._lane = lane
        self._settings = settings
        self._report_failure = on_failure
        self._instance_id = settings.instance_id or f"{socket.gethostname()}-{os.getpid()}"
        self._pending: dict[bytes, _Pending] = {}
        self._connected: _Connected | None = None
        self._ready = asyncio.Event()
        self._failure: BaseException | None = None
        self._ended: RequestError | None = None
        """Why nothing can be asked any more; also for requests that were still waiting for room."""
        self._reader: ReplyReader | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self.strangers = 0
        """Replies nobody awaited: late, repeated, or another replica's."""
        self.repeated = 0
        """Of those, the ones to requests of this client: late or repeated."""
        self._own = secrets.token_bytes(_OWN_BYTES)
        """Begins every correlation id of this client."""

    # --- life -----------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Begin to connect; returns at once, `connected` tells when a broker has answered."""
        loop = self._loop = asyncio.get_running_loop()

        def later(call: Callable[..., None]) -> Callable[..., None]:
            def schedule(*arguments: object) -> None:
                if not loop.is_closed():
                    loop.call_soon_threadsafe(call, *arguments)

            return schedule

        self._reader = ReplyReader(
            self._kafka,
            self._topics,
            self._lane,
            self._partition_of,
            on_connected=later(self._on_connected),
            on_replies=later(self._on_replies),
            on_failure=later(self._on_failure),
        )
        self._reader.start()

    async def stop(self) -> None:
        """End; requests under way fail as unavailable."""
        self._end(RequestError(ErrorCode.UNAVAILABLE, "the service is stopping: try again"))
        if self._reader is not None:
            await asyncio.to_thread(self._reader.stop)
        connected, self._connected = self._connected, None
        if connected is not None:
            await asyncio.to_thread(connected.producer.close, 1.0)

    async def __aenter__(self) -> EmbeddingClient:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def connected(self) -> None:
        """Wait until replies can be awaited.

        Raises:
            TransportError: They never can: a topic is missing, or access is denied.
        """
        await self._ready.wait()
        if self._failure is not None:
            raise self._failure

    @property
    def pending(self) -> int:
        """Messages whose reply is awaited."""
        return len(self._pending)

    # --- workers --------------------------------------------------------------------------------------

    def workers(self) -> list[Beat]:
        """Live workers that read our lane; none while no broker has answered."""
        if self._connected is None:
            return []
        return [beat for beat in self._connected.connection.workers.live() if self._lane in beat.lanes]

    def worker_of(self, model: str) -> Beat:
        """A ready worker that serves a model.

        Raises:
            RequestError: `unavailable`, `model_not_ready` or `model_not_found`.
        """
        live = self.workers()
        if not live:
            raise RequestError(ErrorCode.UNAVAILABLE, "no worker is running, or no broker answers: try again soon")
        # Also over those without a worker: `m-query` may be the whole name of one of them.
        meant = {beat.model for beat in models_named(model, [*live, *self._known_models()])}
        serving = [beat for beat in live if beat.model in meant]
        if meant and not serving:
            raise RequestError(ErrorCode.MODEL_NOT_READY, f"no worker of model {model} is running: try again soon")
        if not serving:
            known = ", ".join(sorted({beat.model for beat in live}))
            raise RequestError(
                ErrorCode.MODEL_NOT_FOUND, f"The model '{model}' does not exist: served here: {known}", param="model"
            )
        ready = next((beat for beat in serving if beat.state is WorkerState.READY), None)
        if ready is None:
            raise RequestError(ErrorCode.MODEL_NOT_READY, f"model {model} is not ready yet: try again soon")
        return ready

    def _known_models(self) -> list[Beat]:
        return [] if self._connected is None else self._connected.connection.workers.models()

    async def wait_for_worker(self, model: str, *, is_coming: bool = False, poll_seconds: float = 0.1) -> Beat:
        """Wait until a ready worker serves a model; for ever, so bound it by `asyncio.timeout`.

        Args:
            model: A served name.
            is_coming: Whether its worker has been started, so that those of other models say nothing.
            poll_seconds: Time between two looks.

        Raises:
            RequestError: `model_not_found`: workers are there, but none serves this model.
        """
        await self.connected()
        while True:
            try:
                return self.worker_of(model)
            except RequestError as error:
                if error.code is ErrorCode.MODEL_NOT_FOUND and not is_coming:
                    raise
            await asyncio.sleep(poll_seconds)

    # --- requests -------------------------------------------------------------------------------------

    async def embed(
        self,
        body: EmbeddingBody,
        *,
        request_id: str,
        worker: Beat,
        timeout_seconds: float | None = None,
        headers: Sequence[Header] = (),
    ) -> Vectors:
        """Ask for the vectors of a request and await them. Waits for room in the window.

        Args:
            body: What is asked; its encoding is ours to choose.
            request_id: Names the request in messages and logs.
            worker: The worker found for its model: tells length of vectors and topic.
            timeout_seconds: Time until the deadline; None: none.
            headers: Further headers, `traceparent` for instance.

        Returns:
            Vectors in input order, of the numbers that were asked for.

        Raises:
            RequestError: The model does not do what is asked, what the worker answered, or `timeout`, `unavailable`.
            NotConnectedError: No broker has answered yet.
        """
        connected = self._connected
        if connected is None:
            raise NotConnectedError("the client is not connected: await connected() first")
        messages = request_messages(
            body,
            request_id=request_id,
            worker=worker,
            settings=self._settings,
            deadline_ms=None if timeout_seconds is None else int(time.time() * 1000 + timeout_seconds * 1000),
            headers=headers,
        )
        topic = TopicNames(self._topics.prefix, worker.slug).requests_of(self._lane)
        asked = [self._ask(connected, topic, message) for message in messages]
        try:
            async with asyncio.timeout(timeout_seconds):
                outcomes = (
                    [await asked[0]] if len(asked) == 1 else await asyncio.gather(*asked, return_exceptions=True)
                )
        except TimeoutError:
            raise RequestError(
                ErrorCode.TIMEOUT, f"no reply within {timeout_seconds:g} s: try again, or send less at once"
            ) from None
        error = first_error([message.part for message in messages], outcomes)
        if error is not None:
            raise error
        return join_vectors([outcome for outcome in outcomes if isinstance(outcome, Vectors)])

    async def _ask(self, connected: _Connected, topic: str, message: RequestMessage) -> Vectors:
        async with connected.window.room(message.reply_bytes):
            if self._ended is not None:
                raise self._ended
            correlation_id = self._own + secrets.token_bytes(_CORRELATION_BYTES - _OWN_BYTES)
            future: asyncio.Future[Vectors] = asyncio.get_running_loop().create_future()
            self._pending[correlation_id] = _Pending(future, message.embedding_type)
            try:
                # A full buffer, while the broker is away, must not hold the event loop.
                while not connected.producer.try_produce(  # noqa: ASYNC110 - room in librdkafka's buffer is no event
                    topic,
                    key=message.key,
                    value=message.value,
                    headers=[*_reply_headers(connected.connection, correlation_id), *message.headers],
                    on_delivery=self._delivery_of(correlation_id, len(message.value)),
                ):
                    await asyncio.sleep(_FULL_BUFFER_WAIT_SECONDS)
                return await future
            finally:
                self._pending.pop(correlation_id, None)

    def _delivery_of(self, correlation_id: bytes, size_bytes: int) -> Callable[[DeliveryFailure | None], None]:
        """Fails the request at once when its message does not reach its topic."""

        def delivered(failure: DeliveryFailure | None) -> None:
            if failure is not None and self._loop is not None:
                self._loop.call_soon_threadsafe(self._settle, correlation_id, _undelivered(failure, size_bytes))

        return delivered

    # --- called on the event loop by the reader's threads -----------------------------------------------

    def _on_connected(self, connection: Connection) -> None:
        window_bytes = min(self._settings.window_bytes, connection.cluster.profile.reply_window_bytes)
        try:
            producer = DeliveringProducer(
                connection.cluster, f"client-{self._lane.value}", linger_ms=_LINGER_MS[self._lane]
            )
        except TransportError as error:
            self._on_failure(error)
            return
        self._connected = _Connected(connection, producer, Window(window_bytes))
        self._ready.set()

    def _on_replies(self, messages: list[Message], dropped: int) -> None:
        for message in messages:
            correlation_id = dict(message.headers).get(names.CORRELATION_ID)
            pending = None if correlation_id is None else self._pending.get(correlation_id)
            if correlation_id is None or pending is None:
                self.strangers += 1
                self.repeated += (correlation_id or b"").startswith(self._own)
                continue
            self._settle(correlation_id, _outcome(message, pending.kind))
        if dropped:
            log.error("the embedded broker dropped replies: it keeps 5 MiB a partition", messages=dropped)
            self._fail_pending(
                RequestError(ErrorCode.UNAVAILABLE, f"the embedded broker dropped {dropped} replies: try again")
            )

    def _on_failure(self, error: BaseException) -> None:
        self._failure = error
        self._end(RequestError(ErrorCode.UNAVAILABLE, f"replies can no longer be read: {error}"))
        self._ready.set()
        self._report_failure(error)

    def _settle(self, correlation_id: bytes, outcome: Vectors | RequestError) -> None:
        pending = self._pending.pop(correlation_id, None)
        if pending is None or pending.future.done():
            return
        if isinstance(outcome, Vectors):
            pending.future.set_result(outcome)
        else:
            pending.future.set_exception(outcome)

    def _end(self, error: RequestError) -> None:
        self._ended = error
        self._fail_pending(error)

    def _fail_pending(self, error: RequestError) -> None:
        for correlation_id in list(self._pending):
            self._settle(correlation_id, error)

    def _partition_of(self, partitions: int) -> int:
        return zlib.crc32(self._instance_id.encode()) % partitions


def _reply_headers(connection: Connection, correlation_id: bytes) -> list[Header]:
    return [
        (names.CORRELATION_ID, correlation_id),
        (names.REPLY_TOPIC, connection.reply_topic.encode()),
        (names.REPLY_PARTITION, names.encode_partition(connection.reply_partition)),
    ]


def _outcome(message: Message, kind: EmbeddingType) -> Vectors | RequestError:
    try:
        return decode_response(message.value or b"", kind)
    except RequestError as error:
        return error
    except ValueError as error:
        return RequestError(ErrorCode.INTERNAL_ERROR, f"the worker's reply cannot be read: {error}")


def _undelivered(failure: DeliveryFailure, size_bytes: int) -> RequestError:
    if failure.kind is FailureKind.TOO_LARGE:
        return RequestError(
            ErrorCode.REQUEST_TOO_LARGE,
            f"a message of {size_bytes} bytes is over what the broker takes: send shorter texts",
            param="input",
        )
    return RequestError(ErrorCode.UNAVAILABLE, f"the request could not be published: {failure.reason}")
