from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from schemas.beats import WorkerState
from schemas.errors import ErrorCode
from tests.stack.stack import MODEL, Api
from tests.stack.waiting import wait_until

from .hybrid import check_error
from .stand_in import StandInClient, api_over, beat

if TYPE_CHECKING:
    from tests.stack.stack import Stack


def _health(api: Api, probe: str) -> tuple[int, bool, str]:
    response = api.http.get(f"/v1/health/{probe}")
    body = response.json()
    assert body.keys() == {"object", "message", "ready"}
    assert body["object"] == "health.response"
    return response.status_code, body["ready"], body["message"]


def test_a_served_model_means_live_and_ready(null_stack: Stack) -> None:
    api = null_stack.apis[0]

    assert _health(api, "live") == (200, True, "live")
    assert _health(api, "ready") == (200, True, "ready")


@pytest.mark.parametrize("state", [WorkerState.READY, WorkerState.LOADING])
@pytest.mark.parametrize("path", ["/v1/health/live", "/v1/health/ready", "/v1/models", f"/v1/models/{MODEL}"])
def test_head_is_answered_as_get_is_without_its_body(path: str, state: WorkerState) -> None:
    client = StandInClient()
    client.beats = [beat(state=state)]
    with api_over(client) as http:
        head, get = http.head(path), http.get(path)

    assert head.status_code == get.status_code
    assert head.content == b""
    for name in ("content-length", "content-type"):
        assert head.headers[name] == get.headers[name]


def test_without_a_broker_the_api_lives_and_is_not_ready() -> None:
    with Api("api", "--bootstrap", "127.0.0.1:1", "--port", "0") as api:
        assert _health(api, "live") == (200, True, "live")
        assert _health(api, "ready") == (503, False, "no worker is running, or no broker answers")
        response = api.http.post("/v1/embeddings", json={"model": MODEL, "input": "a text"})

        check_error(response, ErrorCode.UNAVAILABLE)
        assert api.http.get("/v1/models").json() == {"object": "list", "data": []}


@pytest.mark.slow
def test_readiness_follows_the_worker_through_its_whole_life(new_stack: Stack) -> None:
    api = new_stack.start_api()
    assert _health(api, "ready") == (503, False, "no worker is running, or no broker answers")

    new_stack.say_beat(WorkerState.LOADING)
    wait_until(lambda: _health(api, "ready") == (503, False, "the model is loading"), "the loading worker")
    assert _health(api, "live") == (200, True, "live")

    worker = new_stack.start_worker("--encoder", "null")
    api.wait_until_ready()

    worker.kill()
    killed_at = time.monotonic()
    wait_until(lambda: api.readiness() == 503, "the API to miss its worker", 10)
    assert time.monotonic() - killed_at < 6
    response = api.http.post("/v1/embeddings", json={"model": MODEL, "input": "a text"})
    check_error(response, ErrorCode.UNAVAILABLE)
    assert _health(api, "live") == (200, True, "live")

    new_stack.start_worker("--encoder", "null")
    api.wait_until_ready()
    response = api.http.post("/v1/embeddings", json={"model": MODEL, "input": "a text"})
    assert response.status_code == 200
