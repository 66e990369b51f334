"""Lives the API's life: bind, connect, serve, drain. The composition root of the API."""

from __future__ import annotations

import asyncio
import math
import signal
import time
from contextlib import aclosing
from typing import TYPE_CHECKING

import structlog
import uvicorn

from client.request_reply import EmbeddingClient
from schemas.topics import Lane, TopicNames
from transport.listening import bind
from transport.tracing import tracing_from_environment

from .admission import Admission
from .app import create_app
from .http_protocol import HttpProtocol
from .rate_limits import RateLimits, storage_at

if TYPE_CHECKING:
    import socket
    from types import FrameType

    from .settings import ApiSettings

log = structlog.get_logger("api")


def serve(settings: ApiSettings) -> None:
    """Serve until SIGTERM or SIGINT. Blocks.

    Raises:
        SettingsError: The port is taken or may not be used.
        TransportError: A topic is missing, or access is denied.
    """
    listening = bind(settings.host, settings.port)
    asyncio.run(_serve(settings, listening))


async def _serve(settings: ApiSettings, listening: socket.socket) -> None:
    failures: list[BaseException] = []
    topics = TopicNames(settings.topic_prefix)

    def failed(error: BaseException) -> None:
        failures.append(error)
        server.should_exit = True

    admission = Admission(settings.max_in_flight_bytes, settings.max_in_flight_tokens)
    client = EmbeddingClient(settings.kafka, topics, Lane.INTERACTIVE, settings.client, failed)
    limits = RateLimits(storage_at(settings.rate_limit_storage))
    tracing = tracing_from_environment("kafka-embeddings-api")
    config = uvicorn.Config(
        create_app(client, settings, admission, limits, tracing),
        http=HttpProtocol,
        log_config=None,
        access_log=False,
        lifespan="off",
        server_header=False,
    )
    server = _Server(config, admission, settings.drain_timeout_seconds)
    _stop_on_signal(server)
    async with client, aclosing(limits):
        host, port = listening.getsockname()[:2]
        log.info("listening", url=f"http://{host}:{port}")
        await server.serve(sockets=[listening])
    if tracing is not None:
        tracing.close()
    if failures:
        raise failures[0]


class _Server(uvicorn.Server):
    """Drains before it closes its door: asked to stop, it says so to probes and callers until nobody waits any more.

    A second signal, or the end of the drain's time, refuses what is still under way.
    """

    def __init__(self, config: uvicorn.Config, admission: Admission, drain_timeout_seconds: float) -> None:
        super().__init__(config)
        self._admission = admission
        self._drain_timeout_seconds = drain_timeout_seconds
        self._drain_until = math.inf

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002 - uvicorn's signature
        if self._admission.is_closed:
            self.should_exit = self.force_exit = True
        self._admission.close()
        self._drain_until = time.monotonic() + self._drain_timeout_seconds

    async def on_tick(self, counter: int) -> bool:
        if self._admission.is_closed and not self.should_exit:
            self._drain(time.monotonic())
        return await super().on_tick(counter)

    def _drain(self, now: float) -> None:
        under_way = self._admission.requests
        if under_way and now >= self._drain_until:
            log.warning("drain timed out", requests=under_way)
            self.force_exit = True
        if not under_way or self.force_exit:
            # For answers that are still being sent.
            self.config.timeout_graceful_shutdown = max(1, math.ceil(self._drain_until - now))
            self.should_exit = True


def _stop_on_signal(server: uvicorn.Server) -> None:
    """Hear a signal also before uvicorn listens for it.

    uvicorn raises the signal it was stopped by once more when it is done; the exit status is ours to choose.
    """

    def received(*_: object) -> None:
        server.should_exit = True

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, received)
