"""Lives the API's life: bind, connect, serve, drain. The composition root of the API."""

from __future__ import annotations

import asyncio
import math
import signal
import socket
import time
from contextlib import aclosing
from typing import TYPE_CHECKING

import structlog
import uvicorn

from client.request_reply import EmbeddingClient
from schemas.topics import Lane, TopicNames
from transport.errors import SettingsError

from .admission import Admission
from .app import create_app
from .http_protocol import HttpProtocol
from .rate_limits import RateLimits, storage_at

if TYPE_CHECKING:
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


def bind(host: str, port: int) -> socket.socket:
    """A socket bound to the address.

    Raises:
        SettingsError: It is taken or may not be used; one line that names the port and the flag.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # Named, or asyncio leaves Nagle's algorithm on, and every answer's second half waits 40 ms for an ACK.
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
        listening.listen(512)
    except OSError as error:
        listening.close()
        raise SettingsError(
            f"cannot listen on {host}:{port} ({error.strerror}): stop what uses it, or choose another with --port"
        ) from error
    return listening


async def _serve(settings: ApiSettings, listening: socket.socket) -> None:
    failures: list[BaseException] = []
    topics = TopicNames(settings.topic_prefix)

    def failed(error: BaseException) -> None:
        failures.append(error)
        server.should_exit = True

    admission = Admission(settings.max_in_flight_bytes, settings.max_in_flight_tokens)
    client = EmbeddingClient(settings.kafka, topics, Lane.INTERACTIVE, settings.client, failed)
    limits = RateLimits(storage_at(settings.rate_limit_storage))
    config = uvicorn.Config(
        create_app(client, settings, admission, limits),
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
