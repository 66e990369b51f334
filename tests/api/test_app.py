from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jsonschema import Draft202012Validator

from schemas.requests import EmbeddingBody
from tests.stack.command import run_command
from tests.stack.stack import MODEL

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx

_FORBIDDEN = ("torch", "transformers", "sentence_transformers", "tokenizers", "worker")


def _references(document: Any) -> Iterator[str]:
    if isinstance(document, dict):
        if isinstance(document.get("$ref"), str):
            yield document["$ref"]
        document = list(document.values())
    if isinstance(document, list):
        for item in document:
            yield from _references(item)


def test_openapi_is_of_3_1_and_every_schema_in_it_is_one(http: httpx.Client) -> None:
    document = http.get("/openapi.json").json()

    assert document["openapi"].startswith("3.1.")
    assert document["info"].keys() >= {"title", "version"}
    components = document["components"]["schemas"]
    for schema in components.values():
        Draft202012Validator.check_schema(schema)
    assert {reference.removeprefix("#/components/schemas/") for reference in _references(document)} <= set(components)
    operations = [operation["operationId"] for path in document["paths"].values() for operation in path.values()]
    assert len(operations) == len(set(operations))
    assert set(document["paths"]) == {
        "/v1/embeddings",
        "/v1/models",
        "/v1/models/{model}",
        "/v1/health/live",
        "/v1/health/ready",
        "/v1/metadata",
        "/v1/license",
        "/v1/manifest",
        "/v1/version",
        "/v1/metrics",
    }


def test_openapi_tells_the_whole_body_and_accepts_what_the_api_accepts(http: httpx.Client) -> None:
    post = http.get("/openapi.json").json()["paths"]["/v1/embeddings"]["post"]
    schema = post["requestBody"]["content"]["application/json"]["schema"]

    Draft202012Validator.check_schema(schema)
    body = Draft202012Validator(schema)
    assert schema["properties"].keys() == EmbeddingBody.model_fields.keys()
    assert schema["required"] == ["model", "input"]
    assert all("description" in field for field in schema["properties"].values())
    assert body.is_valid({"model": MODEL, "input": ["a", "b"], "truncate": "END", "dimensions": 8})
    for wrong in ({"model": MODEL}, {"model": MODEL, "input": []}, {"model": MODEL, "input": "a", "truncate": "end"}):
        assert not body.is_valid(wrong)


def test_openapi_describes_what_comes_back(http: httpx.Client) -> None:
    document = http.get("/openapi.json").json()
    reference = document["paths"]["/v1/embeddings"]["post"]["responses"]["200"]["content"]["application/json"][
        "schema"
    ]
    answer = http.post("/v1/embeddings", json={"model": MODEL, "input": ["a", "b"]}).json()

    validator = Draft202012Validator({**reference, "components": document["components"]})
    assert validator.is_valid(answer)
    assert not validator.is_valid({**answer, "data": "none"})


def test_the_page_of_the_api_is_served(http: httpx.Client) -> None:
    response = http.get("/docs")

    assert response.status_code == 200
    assert "text/html" in response.headers["content-type"]


def test_the_api_imports_no_model_library_and_nothing_of_the_worker() -> None:
    script = f"""
import sys
from api.app import create_app
from api.serving import serve
from api.settings import ApiSettings
from client.request_reply import EmbeddingClient
from schemas.topics import Lane, TopicNames
settings = ApiSettings()
client = EmbeddingClient(settings.kafka, TopicNames(), Lane.INTERACTIVE, settings.client)
create_app(client, settings)
print("fastapi" in sys.modules, [name for name in {_FORBIDDEN!r} if name in sys.modules])
"""
    status, command = run_command(script=script)

    assert status == 0, command.quote()
    assert command.stdout == "True []\n"
