"""`/metrics`, `/health/live` and `/health/ready` of a worker: one thread, a bound for everything, GET and HEAD only.

Nothing that comes in here can take the worker down, and slow or many callers cannot keep a probe waiting for long:
a connection lives for 5 s at the most, and beyond 32 at once further ones are hung up on.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from http import HTTPStatus
from typing import TYPE_CHECKING, Final, NamedTuple

import structlog

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Mapping

log = structlog.get_logger("worker")

_CONNECTION_SECONDS: Final = 5.0
_MOST_CONNECTIONS: Final = 32
_HEAD_BYTES: Final = 8192
_STOP_SECONDS: Final = 2.0
_PLAIN: Final = "text/plain; charset=utf-8"


class Page(NamedTuple):
    """What is answered."""

    status: HTTPStatus
    content_type: str
    body: bytes


class ProbeServer:
    """Serves pages from a thread of its own.

    Args:
        listening: A socket that listens; closed at the end.
        pages: Path -> makes its page, given the request's `accept` header. Called on the server's thread.
    """

    def __init__(self, listening: socket.socket, pages: Mapping[str, Callable[[str], Page]]) -> None:
        self._listening = listening
        self._pages = pages
        self._connections: set[asyncio.Task[None]] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping: asyncio.Event | None = None
        self._started = threading.Event()
        self._thread = threading.Thread(target=self._run, name="probes", daemon=True)

    def start(self) -> None:
        """Begin to answer; returns once it does."""
        self._thread.start()
        self._started.wait(_STOP_SECONDS)

    def stop(self) -> None:
        """End; whoever is connected is hung up on."""
        if self._loop is not None and self._stopping is not None:
            with contextlib.suppress(RuntimeError):  # it has ended by itself
                self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join(_STOP_SECONDS)

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except Exception as error:  # noqa: BLE001 - the worker goes on without probes; its supervisor will notice
            log.error("probes are not answered any more", error=type(error).__name__)

    async def _serve(self) -> None:
        self._loop, self._stopping = asyncio.get_running_loop(), asyncio.Event()
        server = await asyncio.start_server(self._connected, sock=self._listening, limit=_HEAD_BYTES)
        self._started.set()
        await self._stopping.wait()
        # First nobody new: a server that is closed while it accepts a connection leaves that open.
        self._loop.remove_reader(self._listening)
        await _a_few_turns()
        server.close()
        for connection in self._connections:
            connection.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)
        await _a_few_turns()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is None or len(self._connections) >= _MOST_CONNECTIONS:
            writer.transport.abort()
            return
        self._connections.add(task)
        try:
            async with asyncio.timeout(_CONNECTION_SECONDS):
                head = await reader.readuntil(b"\r\n\r\n")
                writer.write(self._answer(head))
                await writer.drain()
                writer.close()
                await writer.wait_closed()
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError) as error:
            # It went away, was too slow (TimeoutError), or sent too much: its own affair, and nobody waits any more.
            log.debug("probe broken off", error=type(error).__name__)
        finally:
            self._connections.discard(task)
            writer.transport.abort()

    def _answer(self, head: bytes) -> bytes:
        lines = head.decode("latin-1").split("\r\n")
        method, _, rest = lines[0].partition(" ")
        path = rest.partition(" ")[0].partition("?")[0]
        page = self._page(method, path, _accepted(lines[1:]))
        lead = (
            f"HTTP/1.1 {page.status.value} {page.status.phrase}\r\ncontent-type: {page.content_type}\r\n"
            f"content-length: {len(page.body)}\r\nconnection: close\r\ncache-control: no-store\r\n\r\n"
        )
        return lead.encode("latin-1") + (b"" if method == "HEAD" else page.body)

    def _page(self, method: str, path: str, accept: str) -> Page:
        make = self._pages.get(path)
        if make is None:
            known = ", ".join(self._pages)
            return Page(HTTPStatus.NOT_FOUND, _PLAIN, f"not here: ask for one of {known}\n".encode())
        if method not in ("GET", "HEAD"):
            return Page(HTTPStatus.METHOD_NOT_ALLOWED, _PLAIN, b"GET or HEAD only\n")
        try:
            return make(accept)
        except Exception as error:  # noqa: BLE001 - a bug in telling must not end what is told of
            log.error("a page of the worker cannot be made", path=path, error=type(error).__name__)
            return Page(HTTPStatus.INTERNAL_SERVER_ERROR, _PLAIN, b"a bug of ours, see the worker's log\n")


async def _a_few_turns() -> None:
    """What the loop has begun, accepting a connection or hanging up on one, takes up to five turns of it."""
    for _ in range(8):
        await asyncio.sleep(0)


def _accepted(lines: list[str]) -> str:
    for line in lines:
        name, _, value = line.partition(":")
        if name.strip().lower() == "accept":
            return value.strip()
    return ""
