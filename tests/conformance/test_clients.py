"""Cases 25 to 27 and 29 with real clients, where several models are served and the first of them knows roles."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import numpy as np
import openai
import pytest
from openai import AsyncOpenAI, OpenAI

from tests.clients.environments import tiktoken_cache

from .models import DEFAULT, SHORTER, F, M, S, body_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tests.clients.environments import PythonClients

    from .conftest import Guarded
    from .service import Service

pytestmark = [pytest.mark.model, pytest.mark.slow, pytest.mark.timeout(900)]

BROKERS = ["embedded"]
"""No client meets the broker."""

TEXTS = ["how does a consumer find its broker", "the broker keeps 5 MiB", "offset", "lag and offset"]
ENVIRONMENT = {"HAYSTACK_TELEMETRY_ENABLED": "False"}


@pytest.fixture(scope="module")
def vectors(service: Service) -> dict[str, NDArray[Any]]:
    """What plain HTTP answers for `TEXTS`, by role."""
    return {role: service.ok(body_of(M, TEXTS, input_type=role)).vectors for role in ("query", "passage")}


def test_the_roles_are_so_far_apart_that_one_is_not_taken_for_the_other(vectors: dict[str, NDArray[Any]]) -> None:
    assert np.abs(vectors["query"] - vectors["passage"]).max(axis=1).min() > 0.01


def _is(got: Any, expected: NDArray[Any]) -> bool:
    """Whether it is these numbers; the size of a batch shows in their last digits."""
    return np.shape(got) == expected.shape and bool(np.abs(np.array(got) - expected).max() < 1e-5)


# --- clients of NVIDIA's: they choose the model, and the role by what is asked ------------------------------------


def test_case_26_langchain_nvidia_asks_the_base_model_for_passages_and_queries(
    service: Service, python_clients: PythonClients, vectors: dict[str, NDArray[Any]]
) -> None:
    answer = python_clients.run("with_langchain_nvidia.py", f"{service.url}/v1", *TEXTS)

    assert answer["model"] == M
    for name in ("documents", "async_documents"):
        assert _is(answer[name], vectors["passage"])
    for name in ("query", "async_query"):
        assert _is(answer[name], vectors["query"][0])
    assert answer["refused"].startswith("[400] ")


def test_case_26_langchain_nvidia_gets_vectors_as_short_as_it_wants(
    service: Service, python_clients: PythonClients
) -> None:
    answer = python_clients.run("with_langchain_nvidia_shorter.py", f"{service.url}/v1", str(SHORTER[0]), *TEXTS)

    for name, role, texts in (("documents", "passage", TEXTS), ("query", "query", TEXTS[0])):
        shorter = service.ok(body_of(M, texts, input_type=role, dimensions=SHORTER[0])).vectors
        assert _is(np.atleast_2d(answer[name]), shorter)


def test_case_27_llama_index_asks_the_base_model_for_passages_and_for_a_query_only_asynchronously(
    service: Service, python_clients: PythonClients, vectors: dict[str, NDArray[Any]]
) -> None:
    answer = python_clients.run("with_llama_index.py", f"{service.url}/v1", *TEXTS)

    assert answer["model"] == M
    for name in ("documents", "async_documents"):
        assert _is(answer[name], vectors["passage"])
    assert _is(answer["query"], vectors["passage"][0])
    assert _is(answer["async_query"], vectors["query"][0])


def test_case_27_haystack_asks_the_base_model_for_a_query_by_one_component_and_passages_by_the_other(
    service: Service, python_clients: PythonClients, vectors: dict[str, NDArray[Any]]
) -> None:
    answer = python_clients.run("with_haystack.py", f"{service.url}/v1", *TEXTS, environment=ENVIRONMENT)

    assert answer["model"] == answer["documents_model"] == M
    assert _is(answer["query"], vectors["query"][0])
    assert _is(answer["documents"], vectors["passage"])
    for name, role, texts in (("query_meta", "query", TEXTS[0]), ("documents_meta", "passage", TEXTS)):
        assert answer[name]["usage"]["prompt_tokens"] == service.ok(body_of(M, texts, input_type=role)).tokens


# --- clients of OpenAI's: the role is a suffix of the model's name ------------------------------------------------


@pytest.mark.parametrize("role", ["query", "passage"])
def test_case_25_openai_python_names_the_role_with_the_model(
    service: Service, vectors: dict[str, NDArray[Any]], role: str
) -> None:
    asked: dict[str, Any] = {"model": f"{M}-{role}", "input": TEXTS}

    async def ask() -> openai.types.CreateEmbeddingResponse:
        async with AsyncOpenAI(base_url=f"{service.url}/v1", api_key="any", max_retries=0) as asynchronous:
            return await asynchronous.embeddings.create(**asked)

    with OpenAI(base_url=f"{service.url}/v1", api_key="any", max_retries=0) as client:
        for answer in (
            client.embeddings.create(**asked),
            client.embeddings.create(**asked, encoding_format="float"),
            asyncio.run(ask()),
        ):
            assert _is([entry.embedding for entry in answer.data], vectors[role])
            assert answer.model == f"{M}-{role}"
        shorter = client.embeddings.create(**asked, dimensions=SHORTER[0])
        assert len(shorter.data[0].embedding) == SHORTER[0]
        assert [model.id for model in client.models.list()] == [M, DEFAULT, F, S]


def test_case_25_langchain_openai_names_the_role_with_the_model(
    service: Service, python_clients: PythonClients, vectors: dict[str, NDArray[Any]]
) -> None:
    environment = {"TIKTOKEN_CACHE_DIR": str(tiktoken_cache(python_clients))}
    answer = python_clients.run(
        "with_langchain_openai.py", f"{service.url}/v1", f"{M}-query", *TEXTS, environment=environment
    )

    for name in ("documents", "async_documents"):
        assert _is(answer[name], vectors["query"])
    assert _is(answer["query"], vectors["query"][0])
    assert answer["default_refused"]["status"] == 400


# --- keys ---------------------------------------------------------------------------------------------------------


def test_case_29_langchain_nvidia_is_let_in_with_its_key_and_told_without(
    guarded: Guarded, python_clients: PythonClients
) -> None:
    def ask(**environment: str) -> dict[str, Any]:
        arguments = (f"{guarded.service.url}/v1", str(SHORTER[0]), TEXTS[0])
        answer: dict[str, Any] = python_clients.run(
            "with_langchain_nvidia_shorter.py", *arguments, environment=environment
        )
        return answer

    assert np.shape(ask(NVIDIA_API_KEY=guarded.key)["query"]) == (SHORTER[0],)
    for environment in ({}, {"NVIDIA_API_KEY": "ke-wrong"}):
        refused = ask(**environment)["refused"]
        assert refused.startswith("[401] ")
        assert "Unauthorized" in refused


def test_case_29_openai_python_is_let_in_with_its_key_and_told_without(guarded: Guarded) -> None:
    def ask(key: str) -> openai.types.CreateEmbeddingResponse:
        with OpenAI(base_url=f"{guarded.service.url}/v1", api_key=key, max_retries=0) as client:
            return client.embeddings.create(model=f"{M}-query", input=TEXTS)

    assert len(ask(guarded.key).data) == len(TEXTS)
    for wrong in ("any", guarded.key[:-1]):
        with pytest.raises(openai.AuthenticationError) as refused:
            ask(wrong)
        assert (refused.value.status_code, refused.value.code) == (401, "invalid_api_key")
        assert "Unauthorized" in refused.value.message
