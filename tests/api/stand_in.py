"""The application in this process: over real HTTP, with a client that answers by itself in place of Kafka."""

from __future__ import annotations

import asyncio
import socket
import threading
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import uvicorn

from api.app import create_app
from api.http_protocol import HttpProtocol
from api.settings import ApiSettings
from client.request_reply import EmbeddingClient
from client.settings import ClientSettings
from schemas.beats import Beat, WorkerState
from schemas.codec import Vectors
from schemas.topics import Lane, TopicNames
from tests.stack.stack import MODEL, http_client
from transport.listening import bind
from transport.settings import KafkaSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import httpx
    from starlette.types import ASGIApp

    from api.admission import Admission
    from schemas.headers import Header

DIM = 4
TOKENS_AN_INPUT = 3


class StandInClient(EmbeddingClient):
    """Answers every request with unit vectors and `TOKENS_AN_INPUT` tokens an input; or holds it, or fails."""

    def __init__(self) -> None:
        super().__init__(KafkaSettings(), TopicNames(), Lane.INTERACTIVE, ClientSettings())
        self.beats = [beat()]
        self.failure: Exception | None = None
        self.tokens_an_input = TOKENS_AN_INPUT
        self.headers: list[Header] = []
        """Of the last request, as `timeout_seconds` is."""
        self.timeout_seconds: float | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._answers = asyncio.Event()
        self._answers.set()

    def workers(self) -> list[Beat]:
        return self.beats

    async def embed(
        self, body: Any, *, worker: Beat, timeout_seconds: float | None = None, headers: Any = (), **_: Any
    ) -> Vectors:
        self.headers, self.timeout_seconds = headers, timeout_seconds
        self._loop = asyncio.get_running_loop()
        await self._answers.wait()
        if self.failure is not None:
            raise self.failure
        vectors = np.zeros((len(body.inputs), worker.dim), np.float32)
        vectors[:, 0] = 1
        return Vectors(vectors, self.tokens_an_input * len(body.inputs))

    def hold(self) -> None:
        """Answer nothing until `let_go`."""
        self._now(self._answers.clear)

    def let_go(self) -> None:
        """Answer what is held, and everything after it."""
        self._now(self._answers.set)

    def _now(self, call: Callable[[], None]) -> None:
        """Call on the loop that serves, if there is one, and wait until it was called."""
        if self._loop is None or self._loop.is_closed():
            call()
            return

        async def called() -> None:
            call()

        asyncio.run_coroutine_threadsafe(called(), self._loop).result(20)


def beat(model: str = MODEL, **fields: Any) -> Beat:
    """A ready worker's beat."""
    known = {
        "worker_id": f"stand-in-{model}",
        "state": WorkerState.READY,
        "dim": DIM,
        "max_tokens": 256,
        "started_at_ms": 1_700_000_000_000,
    }
    return Beat(model=model, **(known | fields))


@contextmanager
def serving(app: ASGIApp) -> Iterator[httpx.Client]:
    """A client of an application served on a free port by a thread.

    Uvicorn's own `serve` looks every 0.1 s whether it shall end, and then waits as long again; this does not.
    """
    listening = bind("127.0.0.1", 0)
    server = uvicorn.Server(uvicorn.Config(app, http=HttpProtocol, log_config=None, access_log=False, lifespan="off"))
    stops: list[Callable[[], object]] = []
    has_started = threading.Event()

    async def serve() -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        stops.append(lambda: loop.call_soon_threadsafe(stop.set))
        server.config.load()
        server.lifespan = server.config.lifespan_class(server.config)
        await server.startup(sockets=[listening])
        has_started.set()
        await stop.wait()
        for one in server.servers:
            one.close()
        for connection in list(server.server_state.connections):
            connection.shutdown()

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    try:
        assert has_started.wait(20)
        with http_client(f"http://127.0.0.1:{listening.getsockname()[1]}") as http:
            yield http
    finally:
        for stop in stops:
            stop()
        thread.join()
        listening.close()


@contextmanager
def api_over(client: EmbeddingClient, admission: Admission | None = None, **settings: Any) -> Iterator[httpx.Client]:
    """A client of an API over a stand-in."""
    with serving(create_app(client, ApiSettings(**settings), admission)) as http:
        yield http


def ask(http: httpx.Client, *, key: str | None = None, **fields: Any) -> httpx.Response:
    """Ask for the vector of a text."""
    headers = {} if key is None else {"authorization": f"Bearer {key}"}
    return http.post("/v1/embeddings", json={"model": MODEL, "input": "a text", **fields}, headers=headers)


def raw_connection(http: httpx.Client) -> closing[socket.socket]:
    """A connection of one's own to the API a client is for, closed on leaving."""
    return closing(socket.create_connection(("127.0.0.1", http.base_url.port or 0), timeout=20))
