"""Lives the API's life: bind, connect, serve, drain. The composition root of the API."""

from __future__ import annotations

import asyncio
import signal
import socket
from typing import TYPE_CHECKING

import structlog
import uvicorn

from client.request_reply import EmbeddingClient
from schemas.topics import Lane, TopicNames
from transport.errors import SettingsError

from .app import create_app

if TYPE_CHECKING:
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
    listening = socket.socket(family)
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

    client = EmbeddingClient(settings.kafka, topics, Lane.INTERACTIVE, settings.client, failed)
    config = uvicorn.Config(
        create_app(client, settings),
        log_config=None,
        access_log=False,
        lifespan="off",
        server_header=False,
        timeout_graceful_shutdown=int(settings.drain_timeout_seconds),
    )
    server = uvicorn.Server(config)
    _stop_on_signal(server)
    async with client:
        host, port = listening.getsockname()[:2]
        log.info("listening", url=f"http://{host}:{port}")
        await server.serve(sockets=[listening])
    if failures:
        raise failures[0]


def _stop_on_signal(server: uvicorn.Server) -> None:
    """Hear a signal also before uvicorn listens for it.

    uvicorn raises the signal it was stopped by once more when it is done; the exit status is ours to choose.
    """

    def received(*_: object) -> None:
        server.should_exit = True

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, received)
