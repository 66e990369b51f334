from __future__ import annotations

import asyncio
import signal
import socket
import time
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
import uvicorn

from api.rate_limits import RateLimits
from api.serving import serve
from api.settings import ApiSettings
from schemas.beats import WorkerState
from schemas.errors import ErrorCode
from schemas.topics import TopicNames
from tests.stack.command import Command, run_command
from tests.stack.stack import Api, Stack, http_client
from tests.stack.waiting import wait_until
from transport.errors import SettingsError
from transport.listening import bind
from transport.reader import PartitionReader

from .hybrid import check_error
from .stand_in import StandInClient, ask

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx


def test_an_api_that_ends_lets_go_of_what_counts_the_limits_of_its_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    ended: list[str] = []

    class Unconnected(StandInClient):
        def __init__(self, *_: object) -> None:
            super().__init__()

        async def start(self) -> None:
            pass

        async def stop(self) -> None:
            pass

    async def serves(self: uvicorn.Server, sockets: list[socket.socket]) -> None:
        sockets[0].close()
        ended.append("served")

    async def closes(self: RateLimits) -> None:
        ended.append("closed")

    monkeypatch.setattr("api.serving.EmbeddingClient", Unconnected)
    monkeypatch.setattr("api.serving._stop_on_signal", lambda _: None)
    monkeypatch.setattr(uvicorn.Server, "serve", serves)
    monkeypatch.setattr(RateLimits, "aclose", closes)

    serve(ApiSettings(port=0))

    assert ended == ["served", "closed"]


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        yield other.getsockname()[1]


def test_port_0_takes_a_free_one() -> None:
    with bind("127.0.0.1", 0) as listening:
        assert listening.getsockname()[1] > 0


async def _delays_small_packets(listening: socket.socket) -> bool:
    """Whether a connection that asyncio accepts there holds its packets back until the last one is acknowledged."""
    accepted: asyncio.Future[asyncio.BaseTransport] = asyncio.get_running_loop().create_future()

    class Accepting(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            accepted.set_result(transport)

    async with await asyncio.get_running_loop().create_server(Accepting, sock=listening) as server:
        _, writer = await asyncio.open_connection(*server.sockets[0].getsockname()[:2])
        transport = await accepted
        ours = transport.get_extra_info("socket")
        delays = ours.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 0
        transport.abort()
        writer.close()
    return delays


def test_no_answer_waits_for_the_acknowledgement_of_its_first_half() -> None:
    assert not asyncio.run(_delays_small_packets(bind("127.0.0.1", 0)))


def test_a_taken_port_is_named_with_the_flag_that_chooses_another(taken_port: int) -> None:
    with pytest.raises(SettingsError, match=rf"127\.0\.0\.1:{taken_port} .*--port"):
        bind("127.0.0.1", taken_port)


def test_an_address_that_is_not_ours_is_refused_like_a_taken_port() -> None:
    with pytest.raises(SettingsError, match=r"cannot listen on 192\.0\.2\.1:8000"):
        bind("192.0.2.1", 8000)


def test_a_taken_port_ends_the_command_in_one_line_with_status_2(taken_port: int) -> None:
    status, command = run_command("api", "--port", str(taken_port))

    assert status == 2, command.quote()
    [line] = command.stderr.splitlines()
    assert line.startswith(f"kafka-embeddings: cannot listen on 127.0.0.1:{taken_port}")
    assert "--port" in line


@pytest.mark.slow
def test_sigterm_ends_an_api_that_waits_for_its_broker_with_status_0() -> None:
    with Api("api", "--bootstrap", "127.0.0.1:1", "--port", "0") as api:
        assert api.url
        api.signal(signal.SIGTERM)

        assert api.wait(10) == 0, api.quote()
        assert "Traceback" not in api.stderr


@pytest.mark.slow
def test_a_stop_between_its_first_breath_and_its_first_request_is_heard() -> None:
    # The moment is chosen by the API itself: just before its server begins to serve.
    script = f"""
import asyncio
import os, uvicorn
from cli.main import run
serve = uvicorn.Server.serve
async def stopped_first(self, **arguments):
    os.kill(os.getpid(), {int(signal.SIGTERM)})
    await serve(self, **arguments)
uvicorn.Server.serve = stopped_first
run()
"""
    with Command("api", "--bootstrap", "127.0.0.1:1", "--port", "0", script=script) as api:
        assert api.wait(10) == 0, api.quote()


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_asked_to_stop_an_api_is_unready_at_once_answers_what_is_in_flight_and_ends_with_0(
    number: signal.Signals,
) -> None:
    with Stack() as stack, ThreadPoolExecutor() as threads:
        api = stack.start("--encoder", "null").api
        stack.worker.pause()
        with http_client(api.url) as waiting:
            in_flight = threads.submit(ask, waiting)
            wait_until(lambda: _is_published(stack), "the request on its topic")
            api.signal(number)
            wait_until(lambda: api.readiness() == 503, "an API that is not ready", within_seconds=1)

            # To everybody, on old connections and new ones, until the last one is answered.
            with http_client(api.url) as newcomer:
                for http in (api.http, newcomer):
                    assert http.get("/v1/health/ready").json() == {
                        "object": "health.response",
                        "message": "stopping",
                        "ready": False,
                    }
                    assert http.get("/v1/health/live").status_code == 200
                    error = check_error(ask(http), ErrorCode.UNAVAILABLE)
                    assert "stopping" in error["message"]
            assert api.is_running
            assert not in_flight.done()

            stack.worker.resume()

            assert in_flight.result().status_code == 200
        assert api.wait(10) == 0, api.quote()
        assert "Traceback" not in api.stderr


@pytest.mark.slow
def test_an_api_with_nothing_in_flight_ends_at_once() -> None:
    with Stack() as stack:
        api = stack.start_api()
        started_at = time.monotonic()
        api.signal(signal.SIGTERM)

        assert api.wait() == 0, api.quote()
        assert time.monotonic() - started_at < 8


def test_what_is_in_flight_when_the_drain_is_over_is_refused(new_stack: Stack) -> None:
    api = new_stack.start_api(environment={"KAFKA_EMBEDDINGS_DRAIN_TIMEOUT_SECONDS": "0.5"})
    with _in_flight(new_stack, api) as in_flight:
        api.signal(signal.SIGTERM)

        check_error(in_flight.result(), ErrorCode.UNAVAILABLE)
        assert api.wait() == 0, api.quote()
    assert '"drain timed out"' in api.stderr
    assert "Traceback" not in api.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_refuses_what_is_in_flight_and_ends(new_stack: Stack, number: signal.Signals) -> None:
    api = new_stack.start_api()
    with _in_flight(new_stack, api) as in_flight:
        started_at = time.monotonic()
        api.signal(number)
        wait_until(lambda: api.readiness() == 503, "an API that is not ready")
        api.signal(number)

        check_error(in_flight.result(), ErrorCode.UNAVAILABLE)
        assert api.wait() == 0, api.quote()
        assert time.monotonic() - started_at < 8


@contextmanager
def _in_flight(stack: Stack, api: Api) -> Iterator[Future[httpx.Response]]:
    """A request that no worker will answer."""
    stack.say_beat(WorkerState.READY)
    api.wait_until_ready()
    with ThreadPoolExecutor() as threads:
        in_flight = threads.submit(ask, api.http)
        wait_until(lambda: _is_published(stack), "the request on its topic")
        yield in_flight


def _is_published(stack: Stack) -> bool:
    topic = TopicNames().requests_interactive
    cluster = stack.cluster()
    reader = PartitionReader(cluster, topic, range(cluster.topics()[topic]), back=1)
    try:
        return bool(reader.poll(1, 0.2))
    finally:
        reader.close()
