from __future__ import annotations

import asyncio
import socket
import threading
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson
import pytest

import api.answer
import api.embeddings
from api.admission import Admission
from api.answer import Answer, encode_answer
from schemas.codec import encode_list
from schemas.errors import ErrorCode
from schemas.requests import EncodingFormat
from tests.stack.stack import MODEL
from tests.stack.waiting import wait_until

from .hybrid import check_error
from .stand_in import StandInClient, api_over, ask, beat

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx

LARGE = {"input": ["a text"] * 2048, "encoding_format": "base64"}
DIM = 2048
ANSWER_BYTES = 2048 * DIM * 4 * 4 // 3


@pytest.fixture
def client() -> StandInClient:
    """Its answers are larger than what two sockets hold."""
    client = StandInClient()
    client.beats = [beat(dim=DIM)]
    return client


def asking(http: httpx.Client) -> closing[socket.socket]:
    """A connection that has asked for a large answer, and reads none of it by itself."""
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.settimeout(20)
    connection.connect(("127.0.0.1", http.base_url.port))
    body = orjson.dumps({"model": MODEL, **LARGE})
    head = f"POST /v1/embeddings HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {len(body)}\r\n\r\n"
    connection.sendall(head.encode() + body)
    return closing(connection)


def received(connection: socket.socket) -> Iterator[bytes]:
    """Everything up to the end of the connection."""
    while chunk := connection.recv(2**20):
        yield chunk


def is_sending(admission: Admission) -> bool:
    """Whether one request is answered, and its answer not taken."""
    return (admission.requests, admission.used_tokens) == (1, 0) and admission.used_bytes > ANSWER_BYTES


def test_an_answer_holds_its_room_until_its_caller_has_taken_it(client: StandInClient) -> None:
    admission = Admission(ANSWER_BYTES * 5 // 4, 10**9)
    with api_over(client, admission) as http:
        with asking(http) as connection:
            wait_until(lambda: is_sending(admission), "an answer that nobody reads")
            check_error(ask(http, **LARGE), ErrorCode.OVERLOADED)
            assert is_sending(admission)

            answer = b"".join(received(connection))

            wait_until(lambda: admission.requests == admission.used_bytes == 0, "the room of the answer")
        assert ask(http, **LARGE).content == answer.partition(b"\r\n\r\n")[2]


def test_a_caller_that_does_not_take_its_answer_is_hung_up_on(
    client: StandInClient, caplog: pytest.LogCaptureFixture
) -> None:
    admission = Admission(10**9, 10**9)
    with api_over(client, admission, timeout_seconds=1.0) as http, asking(http) as connection:
        wait_until(lambda: is_sending(admission), "an answer that nobody reads")
        wait_until(lambda: admission.requests == admission.used_bytes == 0, "the room of the answer")

        answer = b"".join(received(connection))
        assert answer.startswith(b"HTTP/1.1 200 ")
        assert len(answer) < ANSWER_BYTES
    # Nor does the server complain of an answer that was not completed.
    assert [record.getMessage() for record in caplog.records] == []


def test_a_caller_that_goes_away_while_it_is_answered_frees_its_room(client: StandInClient) -> None:
    admission = Admission(10**9, 10**9)
    with api_over(client, admission) as http:
        with asking(http):
            wait_until(lambda: is_sending(admission), "an answer that nobody reads")

        wait_until(lambda: admission.requests == admission.used_bytes == 0, "the room of the answer")


@pytest.mark.parametrize("encoding", EncodingFormat)
@pytest.mark.parametrize("dtype", [np.float32, np.int8])
@pytest.mark.parametrize("shape", [(3, 4), (300, 1000), (2, 70_000)], ids=str)
def test_however_large_an_answer_is_the_one_of_the_codec(
    encoding: EncodingFormat, dtype: type, shape: tuple[int, int]
) -> None:
    vectors = (np.random.default_rng(0).random(shape) * 100).astype(dtype)
    fields: dict[str, Any] = {"model": '[] "m"', "vectors": vectors, "encoding": encoding, "prompt_tokens": 7}

    assert asyncio.run(encode_answer(**fields)) == encode_list(**fields)


def test_what_would_hold_the_event_loop_is_done_beside_it(
    client: StandInClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: dict[str, threading.Thread] = {}

    def watch(module: Any, name: str) -> None:
        call = getattr(module, name)

        def watched(*arguments: Any, **named: Any) -> Any:
            threads[name] = threading.current_thread()
            return call(*arguments, **named)

        monkeypatch.setattr(module, name, watched)

    watch(api.embeddings, "decode_body")
    watch(api.embeddings, "tokens_of_inputs")
    watch(api.answer, "embedding_list")
    with api_over(client) as http:
        assert ask(http, **LARGE | {"input": ["x" * 200] * 2048}).status_code == 200
        assert threads["decode_body"] is not threads["tokens_of_inputs"]
        assert threads["embedding_list"] is not threads["tokens_of_inputs"]

        assert ask(http).status_code == 200
        assert threads["decode_body"] is threads["tokens_of_inputs"]


@pytest.mark.parametrize(("size_bytes", "pieces"), [(0, [0]), (65_536, [65_536]), (65_537, [65_536, 1, 0])])
def test_a_short_answer_is_one_piece_and_a_long_one_is_awaited_to_its_end(size_bytes: int, pieces: list[int]) -> None:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        raise AssertionError("nothing is read for an answer")

    asyncio.run(Answer(b"x" * size_bytes, ExitStack(), 20)({"type": "http", "state": {}}, receive, send))

    assert sent[0]["status"] == 200
    assert [len(message["body"]) for message in sent[1:]] == pieces
    assert [message.get("more_body", False) for message in sent[1:]] == [True] * (len(pieces) - 1) + [False]
