from __future__ import annotations

from typing import TYPE_CHECKING

import httpx
import pytest

from schemas.errors import ErrorCode

from .hybrid import check_error
from .stand_in import StandInClient, api_over, raw_connection

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def http() -> Iterator[httpx.Client]:
    with api_over(StandInClient()) as http:
        yield http


def answer_of(connection: socket.socket) -> httpx.Response:
    """Everything up to the end of the connection, as a response."""
    raw = b"".join(iter(lambda: connection.recv(65536), b""))
    head, _, body = raw.partition(b"\r\n\r\n")
    status, *lines = head.decode().split("\r\n")
    headers = [tuple(line.split(": ", 1)) for line in lines]
    return httpx.Response(int(status.split()[1]), headers=headers, content=body)


@pytest.mark.parametrize(
    "sent",
    [
        b"nonsense\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: x\r\nno colon\r\n\r\n",
        b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: -1\r\n\r\n",
    ],
    ids=["no request", "no host", "no header", "no length"],
)
def test_what_is_no_http_is_refused_in_the_body_of_every_error(http: httpx.Client, sent: bytes) -> None:
    with raw_connection(http) as connection:
        connection.sendall(sent)

        answer = answer_of(connection)

    check_error(answer, ErrorCode.INVALID_REQUEST)
    assert answer.headers["connection"] == "close"


def test_a_body_that_turns_to_nonsense_is_refused_likewise(http: httpx.Client) -> None:
    with raw_connection(http) as connection:
        connection.sendall(
            b"POST /v1/embeddings HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nnonsense\r\n"
        )

        check_error(answer_of(connection), ErrorCode.INVALID_REQUEST)
