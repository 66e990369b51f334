"""A worker without a model: answers requests as a test tells it to, on the transport alone."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final, Self

import numpy as np

from schemas import headers as names
from schemas.codec import decode_request, encode_beat, encode_error, encode_response
from schemas.topics import Lane
from transport.reader import PartitionReader

from ..transport.testbed import BOUND_SECONDS, POLL_SECONDS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import TracebackType

    from numpy.typing import NDArray

    from schemas.beats import Beat
    from schemas.errors import RequestError
    from schemas.topics import TopicNames
    from transport.messages import Message

    from ..transport.testbed import Testbed

DIM: Final = 8


def vector_of(text: str) -> list[float]:
    """The vector this worker has for a text: one that no other text of a test shares."""
    encoded = text.encode()
    return [float(len(encoded)), *(float(number) for number in encoded[:7].ljust(7, b"\0"))]


def vectors_of(texts: Sequence[str]) -> NDArray[np.float32]:
    """Shape `(len(texts), DIM)`."""
    return np.array([vector_of(text) for text in texts], dtype=np.float32)


class StandInWorker:
    """Reads the requests of a lane sent while it is open, on a thread of its own; a context manager.

    In no group: nothing is committed, and one test's requests are not the next one's.

    Args:
        testbed: Where to read and answer.
        topics: Names of the topics.
        answering: Told of each request, on the worker's thread; None: answered at once with its vectors.
        lane: Whose requests.
        beat: Published all the time; None: it is known to nobody.
    """

    def __init__(
        self,
        testbed: Testbed,
        topics: TopicNames,
        answering: Callable[[StandInWorker, Message], None] | None = None,
        *,
        lane: Lane = Lane.INTERACTIVE,
        beat: Beat | None = None,
    ) -> None:
        self._answering = answering or StandInWorker.answer
        self._producer = testbed.shared_producer
        self._topics = topics
        self._beat = beat
        requests = topics.requests_of(lane)
        self._reader = PartitionReader(testbed.cluster, requests, range(testbed.cluster.topics()[requests]))
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._read, name="stand-in-worker", daemon=True)
        self.received: list[Message] = []

    def answer(self, message: Message) -> None:
        """Answer with the vectors of the request's inputs."""
        request = decode_request(message.value or b"", message.key)
        vectors = vectors_of(request.inputs)
        self.reply(
            message,
            encode_response(
                request_id=request.id,
                model=request.model,
                vectors=vectors,
                encoding=request.encoding_format,
                prompt_tokens=len(request.inputs),
            ),
        )

    def answer_error(self, message: Message, error: RequestError) -> None:
        error.request_id = decode_request(message.value or b"", message.key).id
        self.reply(message, encode_error(error))

    def reply(self, message: Message, value: bytes | None, *, correlation_id: bytes | None = b"as asked") -> None:
        """Publish any bytes where the request wants its reply."""
        asked = names.parse_request_headers(message.headers)
        assert asked.reply_topic is not None
        echoed = asked.correlation_id if correlation_id == b"as asked" else correlation_id
        headers = [] if echoed is None else [(names.CORRELATION_ID, echoed)]
        self._producer.produce(
            asked.reply_topic,
            key=message.key,
            value=value,
            headers=headers,
            partition=asked.reply_partition,
            on_delivery=lambda failure: None,
        )

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join(BOUND_SECONDS)
        self._producer.flush(BOUND_SECONDS)

    def _read(self) -> None:
        while not self._stop.is_set():
            self._say_beat()
            for message in self._reader.poll(100, POLL_SECONDS):
                self.received.append(message)
                self._answering(self, message)
        self._reader.close()

    def _say_beat(self) -> None:
        if self._beat is not None:
            self._producer.produce(
                self._topics.workers,
                key=self._beat.worker_id.encode(),
                value=encode_beat(self._beat),
                on_delivery=lambda failure: None,
            )
