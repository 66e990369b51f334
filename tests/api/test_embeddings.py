from __future__ import annotations

import base64
import itertools
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from typing import TYPE_CHECKING, Any

import httpx
import numpy as np
import pytest

from schemas.beats import WorkerState
from schemas.errors import ErrorCode
from tests.stack.stack import MODEL, Stack
from tests.stack.waiting import wait_until

from .conftest import MAX_BODY_BYTES, MAX_IN_FLIGHT_BYTES
from .hybrid import check_error

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.stack.stack import Api

PATH = "/v1/embeddings"


def ask(http: httpx.Client, **fields: Any) -> httpx.Response:
    return http.post(PATH, json={"model": MODEL, "input": "a text", **fields})


# --- what is answered -------------------------------------------------------------------------------------


def test_a_text_gets_its_unit_vector_and_its_usage(http: httpx.Client) -> None:
    response = ask(http)

    body = response.json()
    assert response.status_code == 200
    assert body.keys() == {"object", "data", "model", "usage"}
    [entry] = body["data"]
    assert (body["object"], entry["object"], entry["index"], body["model"]) == ("list", "embedding", 0, MODEL)
    assert np.linalg.norm(entry["embedding"]) == pytest.approx(1, abs=1e-3)
    assert len(entry["embedding"]) == 384
    assert body["usage"]["prompt_tokens"] == body["usage"]["total_tokens"] > 0


def test_float_equals_base64(http: httpx.Client) -> None:
    [as_float] = ask(http, encoding_format="float").json()["data"]
    [as_base64] = ask(http, encoding_format="base64").json()["data"]

    decoded = np.frombuffer(base64.b64decode(as_base64["embedding"], validate=True), "<f4")
    assert np.allclose(decoded, as_float["embedding"], rtol=0, atol=1e-6)


def test_a_request_split_over_messages_comes_back_whole_with_its_usage_summed(http: httpx.Client) -> None:
    body = ask(http, input=["a text"] * 2048, encoding_format="base64").json()

    assert [entry["index"] for entry in body["data"]] == list(range(2048))
    assert body["usage"]["total_tokens"] == 2048 * ask(http).json()["usage"]["total_tokens"]


@pytest.mark.parametrize(
    "fields",
    [
        {"encoding_format": None},
        {"input_type": "query"},
        {"input_type": "passage", "truncate": "END"},
        {"dimensions": 384},
        {"user": "somebody"},
        {"modality": "text"},
        {"a_field_of_tomorrow": {"x": 1}},
        {"model": f"{MODEL}-query"},
        {"model": f"{MODEL}-passage"},
        {"input": "NUL \x00 in the middle"},
        {"input": "emoji 🙂 and עברית"},
        {"input": "x" * 5000, "truncate": "START"},
    ],
    ids=lambda fields: ",".join(fields),
)
def test_a_request_within_the_contract_is_answered(http: httpx.Client, fields: dict[str, Any]) -> None:
    response = ask(http, **fields)

    assert response.status_code == 200, response.text
    assert response.json()["model"] == fields.get("model", MODEL)
    assert response.headers["x-request-id"]


@pytest.mark.parametrize("authorization", ["Bearer **********", "Basic eDp5", "nonsense"])
def test_any_authorization_is_accepted(http: httpx.Client, authorization: str) -> None:
    response = http.post(PATH, json={"model": MODEL, "input": "a text"}, headers={"authorization": authorization})

    assert response.status_code == 200


def test_requests_at_the_same_time_get_their_own_answers(http: httpx.Client) -> None:
    counts = [1, 3, 65, 130] * 16

    with ThreadPoolExecutor(16) as threads:
        bodies = list(threads.map(lambda count: ask(http, input=["a text"] * count).json(), counts))

    assert [len(body["data"]) for body in bodies] == counts


# --- what is refused: the caller's mistakes ---------------------------------------------------------------


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"not json", b"\xff\xfe", b'{"model": NaN}', b"[1]", b'"text"', b"null", b"[" * 2000],
    ids=repr,
)
def test_a_body_that_is_no_json_object_is_refused(http: httpx.Client, content: bytes) -> None:
    check_error(http.post(PATH, content=content), ErrorCode.INVALID_REQUEST)


def test_a_lone_surrogate_is_the_callers_mistake(http: httpx.Client) -> None:
    content = f'{{"model": "{MODEL}", "input": "half of a pair: \\ud83d"}}'

    error = check_error(http.post(PATH, content=content.encode()), ErrorCode.INVALID_REQUEST)

    assert "lone surrogate" in error["message"]


@pytest.mark.parametrize(
    ("fields", "param", "index"),
    [
        ({"model": None}, "model", None),
        ({"model": 5}, "model", None),
        ({"model": ""}, "model", None),
        ({"input": None}, "input", None),
        ({"input": 5}, "input", None),
        ({"input": {}}, "input", None),
        ({"input": ""}, "input", 0),
        ({"input": []}, "input", None),
        ({"input": ["a", ""]}, "input", 1),
        ({"input": ["a", 1]}, "input", 1),
        ({"input": ["a", "b", None]}, "input", 2),
        ({"input": ["a", ["b"]]}, "input", 1),
        ({"input": ["a"] * 2049}, "input", None),
        ({"input_type": "document"}, "input_type", None),
        ({"encoding_format": "hex"}, "encoding_format", None),
        ({"truncate": "end"}, "truncate", None),
        ({"truncate": "RIGHT"}, "truncate", None),
        ({"dimensions": 0}, "dimensions", None),
        ({"dimensions": -1}, "dimensions", None),
        ({"dimensions": 1.5}, "dimensions", None),
        ({"dimensions": "512"}, "dimensions", None),
        ({"dimensions": 256}, "dimensions", None),
        ({"user": 5}, "user", None),
        ({"modality": "image"}, "modality", None),
        ({"embedding_type": "int8"}, "embedding_type", None),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_field_against_the_contract_is_named(
    http: httpx.Client, fields: dict[str, Any], param: str, index: int | None
) -> None:
    response = ask(http, **fields)

    error = check_error(response, ErrorCode.INVALID_REQUEST)
    assert (error["param"], error["index"]) == (param, index)
    location = ["body", param] if index is None else ["body", param, index]
    assert response.json()["message"] == "Your request cannot be validated, it is incorrect."
    assert response.json()["detail"] == {"loc": location, "msg": error["message"], "type": "value_error"}
    if index is not None:
        assert f"input[{index}]" in error["message"]


@pytest.mark.parametrize("missing", ["model", "input"])
def test_a_missing_field_is_named(http: httpx.Client, missing: str) -> None:
    body = {"model": MODEL, "input": "a text"}
    del body[missing]

    error = check_error(http.post(PATH, json=body), ErrorCode.INVALID_REQUEST)

    assert error["message"] == f"'{missing}' is required"


@pytest.mark.parametrize("tokens", [[1, 2], [[1], [2]]])
def test_token_arrays_are_refused_with_the_hint_for_langchain(http: httpx.Client, tokens: list[Any]) -> None:
    error = check_error(ask(http, input=tokens), ErrorCode.INVALID_REQUEST)

    assert "check_embedding_ctx_length=False" in error["message"]


def test_dimensions_of_a_fixed_size_model_are_refused_in_the_known_words(http: httpx.Client) -> None:
    error = check_error(ask(http, dimensions=256), ErrorCode.INVALID_REQUEST)

    assert error["message"] == "This model does not support 'dimensions', but a value of '256' was provided."


def test_a_text_over_the_limit_is_refused_in_the_words_that_clients_match(http: httpx.Client) -> None:
    response = ask(http, input=["short", "x" * 5000])

    error = check_error(response, ErrorCode.CONTEXT_LENGTH_EXCEEDED)
    length = 5000 // 4 + 3
    assert f"Input length {length} exceeds maximum allowed token size 256" in response.json()["message"]
    assert f"Input length {length} exceeds maximum allowed token size 256" in error["message"]
    assert "maximum context length" in error["message"]
    assert (error["param"], error["index"]) == ("input", 1)


def test_the_index_of_a_bad_input_counts_from_the_start_of_a_split_request(http: httpx.Client) -> None:
    inputs = ["a text"] * 300
    inputs[200] = inputs[250] = "x" * 5000

    error = check_error(ask(http, input=inputs), ErrorCode.CONTEXT_LENGTH_EXCEEDED)

    assert error["index"] == 200
    assert "input[200]" in error["message"]


def test_an_unknown_model_is_refused_and_the_served_one_named(http: httpx.Client) -> None:
    error = check_error(ask(http, model="no/such-model"), ErrorCode.MODEL_NOT_FOUND)

    assert "'no/such-model' does not exist" in error["message"]
    assert MODEL in error["message"]
    assert error["param"] == "model"


# --- what is refused: too much ----------------------------------------------------------------------------


def test_a_declared_length_over_the_limit_is_refused(small_api: Api) -> None:
    response = small_api.http.post(PATH, content=b"x" * (MAX_BODY_BYTES + 1))

    error = check_error(response, ErrorCode.REQUEST_TOO_LARGE)
    assert str(MAX_BODY_BYTES) in error["message"]


def test_a_body_of_exactly_the_limit_is_read(small_api: Api) -> None:
    start = f'{{"model": "{MODEL}", "input": "'.encode()
    content = start + b"x" * (MAX_BODY_BYTES - len(start) - 2) + b'"}'
    assert len(content) == MAX_BODY_BYTES

    check_error(small_api.http.post(PATH, content=content), ErrorCode.CONTEXT_LENGTH_EXCEEDED)


def test_a_declared_length_over_the_limit_is_refused_before_the_body_is_sent(small_api: Api) -> None:
    with closing(_connect(small_api)) as connection:
        connection.sendall(_head(f"content-length: {MAX_BODY_BYTES + 1}"))

        assert b" 413 " in connection.recv(100)


def test_a_body_without_a_length_is_refused_while_it_is_read(small_api: Api) -> None:
    chunk = b"400\r\n" + b"x" * 1024 + b"\r\n"
    with closing(_connect(small_api)) as connection:
        connection.sendall(_head("transfer-encoding: chunked"))
        for _ in range(MAX_BODY_BYTES // 1024):
            connection.sendall(chunk)
        connection.settimeout(0.3)
        with pytest.raises(TimeoutError):
            connection.recv(100)

        # One more, and no end in sight: the answer does not wait for it.
        connection.sendall(chunk)
        connection.settimeout(20)

        assert b" 413 " in connection.recv(100)


def test_a_client_that_streams_far_too_much_reads_the_refusal(http: httpx.Client) -> None:
    megabytes = itertools.repeat(b"x" * 2**20, 32)

    check_error(http.post(PATH, content=megabytes), ErrorCode.REQUEST_TOO_LARGE)


# --- what is refused: not now -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def silent() -> Iterator[tuple[Stack, Api]]:
    """An API whose workers never answer; they live for 5 s after each beat."""
    with Stack() as stack:
        yield stack, stack.start_api(environment={"KAFKA_EMBEDDINGS_MAX_IN_FLIGHT_BYTES": str(MAX_IN_FLIGHT_BYTES)})


def test_without_a_worker_callers_are_told_to_come_back(silent: tuple[Stack, Api]) -> None:
    _, api = silent
    wait_until(lambda: "no worker is running" in api.http.get("/v1/health/ready").text, "no worker left")

    error = check_error(_ask(api), ErrorCode.UNAVAILABLE)

    assert "no worker" in error["message"]


def test_while_the_model_loads_callers_are_told_to_come_back(silent: tuple[Stack, Api]) -> None:
    stack, api = silent
    model = "one-that-loads"
    stack.say_beat(WorkerState.LOADING, model)
    wait_until(lambda: model in api.http.get("/v1/models").text, "the beat in /v1/models")

    error = check_error(_ask(api, model=model), ErrorCode.MODEL_NOT_READY)

    assert model in error["message"]


def test_a_request_without_a_reply_times_out_as_its_caller_asked(silent: tuple[Stack, Api]) -> None:
    _ready(*silent)
    started_at = time.monotonic()

    error = check_error(_ask(silent[1], within_seconds=0.4), ErrorCode.TIMEOUT)

    assert 0.35 < time.monotonic() - started_at < 4
    assert "0.4 s" in error["message"]


@pytest.mark.parametrize("timeout", ["soon", "-1", "0", "nan", "inf", "1e9"])
def test_a_timeout_that_is_none_or_longer_than_ours_changes_nothing(http: httpx.Client, timeout: str) -> None:
    response = http.post(PATH, json={"model": MODEL, "input": "a text"}, headers={"x-request-timeout": timeout})

    assert response.status_code == 200


def test_beyond_what_may_be_under_way_a_request_is_refused_at_once(silent: tuple[Stack, Api]) -> None:
    stack, api = silent
    with _a_request_under_way(stack, api):
        _ready(stack, api)
        error = check_error(_ask(api, within_seconds=0.3), ErrorCode.OVERLOADED)
        assert "try again" in error["message"]


def test_a_caller_that_disconnects_gives_its_place_free(silent: tuple[Stack, Api]) -> None:
    stack, api = silent

    with _a_request_under_way(stack, api):
        wait_until(lambda: api.metrics()["pending_replies"] > 0, "an awaited reply")

    def is_let_in() -> bool:
        _ready(stack, api)
        return _ask(api, within_seconds=0.1).json()["error"]["code"] == ErrorCode.TIMEOUT

    # Far sooner than the 20 s after which the request itself would have ended.
    wait_until(is_let_in, "a free place", within_seconds=10)
    wait_until(lambda: api.metrics()["pending_replies"] == 0, "no awaited reply")


@pytest.mark.slow
def test_a_stopped_worker_means_504_and_its_late_replies_harm_nobody() -> None:
    with Stack() as stack, ThreadPoolExecutor() as threads:
        stack.start("--encoder", "null")
        stack.worker.pause()
        timed_out = threads.submit(_ask, stack.api, within_seconds=0.5)
        patient = threads.submit(_ask, stack.api, within_seconds=20)
        check_error(timed_out.result(), ErrorCode.TIMEOUT)

        stack.worker.resume()

        assert patient.result().status_code == 200
        assert _ask(stack.api).status_code == 200


# --- by hand ----------------------------------------------------------------------------------------------


def _ask(api: Api, *, model: str = MODEL, within_seconds: float = 20) -> httpx.Response:
    """Asks with a body of about half of what the small API lets in."""
    return api.http.post(
        PATH,
        json={"model": model, "input": "x" * (MAX_IN_FLIGHT_BYTES // 2)},
        headers={"x-request-timeout": str(within_seconds)},
    )


def _ready(stack: Stack, api: Api) -> None:
    """Make a worker appear that stays for 5 s."""
    stack.say_beat(WorkerState.READY)
    api.wait_until_ready()


@contextmanager
def _a_request_under_way(stack: Stack, api: Api) -> Iterator[None]:
    """A request that waits for its reply and takes all the room there is; in the end its caller hangs up."""
    body = f'{{"model": "{MODEL}", "input": "{"x" * (MAX_IN_FLIGHT_BYTES // 2)}"}}'
    with ExitStack() as hanging_up:

        def takes_all_the_room() -> bool:
            # Each time once more: the one before may have been refused itself.
            _ready(stack, api)
            connection = hanging_up.enter_context(closing(_connect(api)))
            connection.sendall(_head(f"content-length: {len(body)}") + body.encode())
            return _ask(api, within_seconds=0.05).json()["error"]["code"] == ErrorCode.OVERLOADED

        wait_until(takes_all_the_room, "a full house", within_seconds=10)
        yield


def _connect(api: Api) -> socket.socket:
    url = httpx.URL(api.url)
    assert url.port is not None
    return socket.create_connection((url.host, url.port), timeout=20)


def _head(header: str) -> bytes:
    return f"POST {PATH} HTTP/1.1\r\nhost: x\r\n{header}\r\n\r\n".encode()
