from __future__ import annotations

import time
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest

from schemas.beats import WorkerState
from schemas.errors import ErrorCode
from tests.stack.stack import MODEL
from tests.stack.waiting import wait_until

from .hybrid import check_error

if TYPE_CHECKING:
    import httpx

    from tests.stack.stack import Stack


def test_a_model_is_listed_once_as_its_own_root(http: httpx.Client) -> None:
    body = http.get("/v1/models").json()

    assert body["object"] == "list"
    [model] = body["data"]
    assert model["id"] == model["root"] == MODEL
    assert (model["object"], model["parent"], model["owned_by"]) == ("model", None, "kafka-embeddings")
    assert time.time() - 3600 < model["created"] <= time.time()


def test_a_model_is_found_by_its_name(http: httpx.Client) -> None:
    assert http.get(f"/v1/models/{MODEL}").json() == http.get("/v1/models").json()["data"][0]


@pytest.mark.parametrize("name", ["nothing", "no/such/model"])
def test_a_model_nobody_serves_is_not_found(http: httpx.Client, name: str) -> None:
    error = check_error(http.get(f"/v1/models/{name}"), ErrorCode.MODEL_NOT_FOUND)

    assert name in error["message"]


def test_a_model_with_a_slash_in_its_name_is_found_and_owned_by_its_organisation(new_stack: Stack) -> None:
    name = "some-organisation/some-model"
    api = new_stack.start_api()
    new_stack.say_beat(WorkerState.READY, name)
    wait_until(lambda: bool(api.http.get("/v1/models").json()["data"]), "the beat in /v1/models")

    for path in (name, quote(name, safe="")):
        model = api.http.get(f"/v1/models/{path}").json()
        assert model["id"] == model["root"] == name
        assert model["owned_by"] == "some-organisation"
