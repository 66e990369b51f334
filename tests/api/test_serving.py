from __future__ import annotations

import signal
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import httpx
import pytest

from api.serving import bind
from schemas.beats import WorkerState
from schemas.errors import ErrorCode
from schemas.topics import TopicNames
from tests.stack.command import Command, run_command
from tests.stack.stack import MODEL, Api, Stack, http_client
from tests.stack.waiting import wait_until
from transport.errors import SettingsError
from transport.reader import PartitionReader

from .hybrid import check_error

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        yield other.getsockname()[1]


def test_port_0_takes_a_free_one() -> None:
    with bind("127.0.0.1", 0) as listening:
        assert listening.getsockname()[1] > 0


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
def test_sigterm_ends_an_api_with_status_0_once_what_is_in_flight_is_answered() -> None:
    with Stack() as stack, ThreadPoolExecutor() as threads:
        api = stack.start("--encoder", "null").api
        url = f"{api.url}/v1/embeddings"
        stack.worker.signal(signal.SIGSTOP)
        with http_client() as keep_alive:
            in_flight = threads.submit(keep_alive.post, url, json={"model": MODEL, "input": "a text"})
            wait_until(lambda: _is_published(stack), "the request on its topic")
            api.signal(signal.SIGTERM)
            wait_until(lambda: not _accepts(api), "a closed door")
            assert api.is_running
            assert not in_flight.done()

            stack.worker.signal(signal.SIGCONT)

            assert in_flight.result().status_code == 200
        assert api.wait(10) == 0, api.quote()


def test_a_second_sigint_refuses_what_is_in_flight_and_ends(new_stack: Stack) -> None:
    api = new_stack.start_api()
    new_stack.say_beat(WorkerState.READY)
    api.wait_until_ready()
    with ThreadPoolExecutor() as threads:
        in_flight = threads.submit(api.http.post, "/v1/embeddings", json={"model": MODEL, "input": "a text"})
        wait_until(lambda: _is_published(new_stack), "the request on its topic")
        started_at = time.monotonic()
        api.signal(signal.SIGINT)
        wait_until(lambda: not _accepts(api), "a closed door")
        api.signal(signal.SIGINT)

        check_error(in_flight.result(), ErrorCode.UNAVAILABLE)
        assert api.wait() == 0
        assert time.monotonic() - started_at < 8


def _accepts(api: Api) -> bool:
    url = httpx.URL(api.url)
    with socket.socket() as probe:
        return probe.connect_ex((url.host, url.port or 0)) == 0


def _is_published(stack: Stack) -> bool:
    topic = TopicNames().requests_interactive
    cluster = stack.cluster()
    reader = PartitionReader(cluster, topic, range(cluster.topics()[topic]), back=1)
    try:
        return bool(reader.poll(1, 0.2))
    finally:
        reader.close()
