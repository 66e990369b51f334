"""`worker/watch/server.py`: a small door that nobody can hold open."""

from __future__ import annotations

import socket
from contextlib import ExitStack, contextmanager
from http import HTTPStatus
from typing import TYPE_CHECKING

import httpx
import pytest

from tests.stack.waiting import wait_until
from transport.listening import bind
from worker.watch import server as server_module
from worker.watch.server import Page, ProbeServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


def _fails(_: str) -> Page:
    raise RuntimeError("a secret")


PAGES: dict[str, Callable[[str], Page]] = {
    "/here": lambda accept: Page(HTTPStatus.OK, "text/plain", f"accepts {accept}".encode()),
    "/not-now": lambda _: Page(HTTPStatus.SERVICE_UNAVAILABLE, "text/plain", b"no"),
    "/fails": _fails,
}


@contextmanager
def served() -> Iterator[tuple[str, int]]:
    listening = bind("127.0.0.1", 0)
    address: tuple[str, int] = listening.getsockname()
    server = ProbeServer(listening, PAGES)
    server.start()
    try:
        yield address
    finally:
        server.stop()
        assert not server._thread.is_alive()


@pytest.fixture
def address() -> Iterator[tuple[str, int]]:
    with served() as address:
        yield address


@pytest.fixture
def http(address: tuple[str, int]) -> Iterator[httpx.Client]:
    with httpx.Client(base_url="http://{}:{}".format(*address), verify=False) as client:
        yield client


def test_a_page_is_answered_with_its_status_and_type_query_or_not(http: httpx.Client) -> None:
    answer = http.get("/here?verbose", headers={"accept": "a/b"})
    assert (answer.status_code, answer.text) == (200, "accepts a/b")
    assert answer.headers["content-type"] == "text/plain"
    assert http.get("/not-now").status_code == 503


def test_head_gets_the_same_without_a_body(http: httpx.Client) -> None:
    answer = http.head("/here")
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["content-length"] == str(len("accepts */*"))


def test_other_paths_and_methods_are_told_what_there_is(http: httpx.Client) -> None:
    assert http.get("/elsewhere").status_code == 404
    assert "/here, /not-now" in http.get("/elsewhere").text
    assert http.post("/here", content=b"x").status_code == 405


def test_a_page_that_cannot_be_made_is_500_without_words_and_the_next_is_answered(http: httpx.Client) -> None:
    answer = http.get("/fails")
    assert answer.status_code == 500
    assert "secret" not in answer.text
    assert http.get("/here").status_code == 200


@pytest.mark.parametrize("sent", [b"\x00" * 20000, b"GET /here HTTP/1.1\r\nx: " + b"y" * 20000, b"\r\n\r\n", b"\xff"])
def test_whatever_comes_in_the_next_is_answered(address: tuple[str, int], http: httpx.Client, sent: bytes) -> None:
    with socket.create_connection(address) as connection:
        connection.sendall(sent)
        assert http.get("/here").status_code == 200


def test_a_caller_that_sends_nothing_is_hung_up_on_and_keeps_nobody_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "_CONNECTION_SECONDS", 0.2)
    with served() as address, socket.create_connection(address) as slow:
        assert httpx.get("http://{}:{}/here".format(*address), verify=False).status_code == 200
        slow.settimeout(10)
        assert _closed(slow)


def test_beyond_the_bound_callers_are_hung_up_on_until_others_have_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "_MOST_CONNECTIONS", 3)
    monkeypatch.setattr(server_module, "_CONNECTION_SECONDS", 60.0)
    with served() as address:
        with ExitStack() as held:
            for _ in range(3):
                held.enter_context(socket.create_connection(address))
            extra = held.enter_context(socket.create_connection(address))
            extra.settimeout(10)
            assert _closed(extra)

        def answered() -> bool:
            try:
                return httpx.get("http://{}:{}/here".format(*address), verify=False).status_code == 200
            except httpx.TransportError:
                return False

        wait_until(answered, "an answer once the others have gone")


def _closed(connection: socket.socket) -> bool:
    try:
        return connection.recv(1) == b""
    except ConnectionResetError:
        return True


def test_it_ends_when_told_although_somebody_is_connected() -> None:
    with ExitStack() as held:
        with served() as address:
            held.enter_context(socket.create_connection(address))
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(address)
