from __future__ import annotations

import hashlib
import json
from importlib.metadata import version
from typing import TYPE_CHECKING

import pytest

from api.metadata import license_info
from tests.deploy.files import ROOT

from .stand_in import StandInClient, api_over, beat

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx

LICENSE = (ROOT / "LICENSE").read_bytes()


@pytest.fixture(scope="module")
def client() -> StandInClient:
    """Two models, one of them on two workers, and the default one not the first by name."""
    client = StandInClient()
    client.beats = [
        beat("baai/bge m3", slug="bge-m3", revision="r1", dim=1024, max_tokens=8192),
        beat("small", revision="r2"),
        beat("small", revision="r2", worker_id="another"),
    ]
    return client


@pytest.fixture(scope="module")
def asked(client: StandInClient) -> Iterator[httpx.Client]:
    with api_over(client) as http:
        yield http


def test_the_license_is_told_with_its_text_size_and_hash(asked: httpx.Client) -> None:
    body = asked.get("/v1/license").json()

    assert body.keys() == {"name", "path", "sha", "size", "url", "type", "content"}
    assert body["content"].encode() == LICENSE
    assert body["sha"] == hashlib.sha256(LICENSE).hexdigest()
    assert body["size"] == len(LICENSE)
    assert (body["name"], body["type"]) == ("Apache-2.0", "file")
    assert body["path"].endswith(".dist-info/licenses/LICENSE")
    assert body["url"].startswith("https://www.apache.org/")


def test_metadata_name_the_release_and_each_served_model_once(asked: httpx.Client) -> None:
    body = asked.get("/v1/metadata").json()

    assert body == {
        "version": version("kafka-embeddings"),
        "modelInfo": [
            {"shortName": "small", "modelUrl": "/v1/models/small"},
            {"shortName": "baai/bge m3", "modelUrl": "/v1/models/baai/bge%20m3"},
        ],
        "assetInfo": [],
        "licenseInfo": license_info().model_dump(),
        "repository_override": "",
        "selectedModelProfileId": "r2",
    }
    for model in body["modelInfo"]:
        assert asked.get(model["modelUrl"]).json()["id"] == model["shortName"]


def test_the_manifest_names_the_revision_of_each_model(asked: httpx.Client) -> None:
    body = asked.get("/v1/manifest").json()

    assert body.keys() == {"manifest_file", "repository_override"}
    small, large = map(json.loads, body["manifest_file"].splitlines())
    assert (small["model"], small["revision"]) == ("small", "r2")
    assert (large["model"], large["revision"], large["dim"], large["max_tokens"]) == ("baai/bge m3", "r1", 1024, 8192)
    assert "another" not in body["manifest_file"]


def test_release_and_api_are_of_the_installed_package(asked: httpx.Client) -> None:
    assert asked.get("/v1/version").json() == {
        "release": version("kafka-embeddings"),
        "api": asked.get("/openapi.json").json()["info"]["version"],
    }


def test_without_a_worker_the_endpoints_still_have_their_keys() -> None:
    client = StandInClient()
    client.beats = []
    with api_over(client) as http:
        metadata, manifest = http.get("/v1/metadata").json(), http.get("/v1/manifest").json()

    assert (metadata["modelInfo"], metadata["selectedModelProfileId"]) == ([], "")
    assert manifest == {"manifest_file": "", "repository_override": ""}
