"""Clients in Python against the real model: the vectors of plain HTTP, and errors as each client tells them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from tests.stack.stack import MODEL

from .environments import tiktoken_cache
from .vectors import TEXTS, assert_same_vectors, by_plain_http

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from tests.stack.stack import Stack

    from .counting_proxy import Call, CountingProxy
    from .environments import PythonClients

pytestmark = [pytest.mark.model, pytest.mark.slow, pytest.mark.timeout(900)]

TOO_LONG = "maximum context length"


class Asked(NamedTuple):
    """One run of a client's program."""

    answer: dict[str, Any]
    calls: list[Call]
    """What arrived at the API, in order."""

    @property
    def batches(self) -> list[int]:
        """Inputs of every call for vectors that was answered with them."""
        return [
            len(call.body["input"]) for call in self.calls if call.path == "/v1/embeddings" and call.status == 200
        ]

    @property
    def looked_up_models(self) -> bool:
        return any(call.path == "/v1/models" for call in self.calls)


def _ask(clients: PythonClients, proxy: CountingProxy, program: str, *arguments: str, **environment: str) -> Asked:
    before = len(proxy.calls)
    answer = clients.run(program, f"{proxy.url}/v1", *arguments, *TEXTS, environment=environment)
    return Asked(answer, proxy.calls[before:])


# --- langchain-nvidia-ai-endpoints --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def langchain_nvidia(python_clients: PythonClients, proxy: CountingProxy) -> Asked:
    return _ask(python_clients, proxy, "with_langchain_nvidia.py")


def test_langchain_nvidia_without_a_model_picks_the_base_model(langchain_nvidia: Asked) -> None:
    assert langchain_nvidia.looked_up_models
    assert langchain_nvidia.answer["model"] == MODEL


def test_langchain_nvidia_gets_the_vectors_of_plain_http_in_their_order(
    langchain_nvidia: Asked, expected: NDArray[np.float32]
) -> None:
    answer = langchain_nvidia.answer

    for name in ("documents", "async_documents"):
        assert_same_vectors(answer[name], expected)
    for name in ("query", "async_query"):
        assert_same_vectors([answer[name]], expected[:1])


def test_langchain_nvidia_makes_three_calls_of_101_documents(langchain_nvidia: Asked) -> None:
    documents, query = [50, 50, 1], [1]

    assert langchain_nvidia.batches == [*documents, *query, *documents, *query, 1]


def test_langchain_nvidia_raises_status_400_and_the_reason_for_an_over_long_text(langchain_nvidia: Asked) -> None:
    for name in ("refused", "async_refused"):
        refused = langchain_nvidia.answer[name]
        assert refused.startswith("[400] ")
        assert TOO_LONG in refused


def test_langchain_nvidia_can_have_a_long_text_cut(langchain_nvidia: Asked, model_stack: Stack) -> None:
    as_much_as_fits = by_plain_http(model_stack.api_url, ["word " * 254])

    assert_same_vectors([langchain_nvidia.answer["truncated"]], as_much_as_fits)


# --- langchain-openai ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def langchain_openai(python_clients: PythonClients, proxy: CountingProxy) -> Asked:
    vocabulary = str(tiktoken_cache(python_clients))
    return _ask(python_clients, proxy, "with_langchain_openai.py", MODEL, TIKTOKEN_CACHE_DIR=vocabulary)


def test_langchain_openai_gets_the_vectors_of_plain_http_when_it_sends_texts(
    langchain_openai: Asked, expected: NDArray[np.float32]
) -> None:
    answer = langchain_openai.answer

    for name in ("documents", "async_documents"):
        assert_same_vectors(answer[name], expected)
    assert_same_vectors([answer["query"]], expected[:1])


def test_langchain_openai_is_told_which_option_to_set_when_it_sends_tokens(langchain_openai: Asked) -> None:
    refused = langchain_openai.answer["default_refused"]
    sent = langchain_openai.calls[-1].body["input"]

    assert all(isinstance(token, int) for tokens in sent for token in tokens)
    assert refused["status"] == 400
    assert "check_embedding_ctx_length=False" in refused["message"]


# --- llama-index-embeddings-nvidia --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def llama_index(python_clients: PythonClients, proxy: CountingProxy) -> Asked:
    return _ask(python_clients, proxy, "with_llama_index.py")


def test_llama_index_without_a_model_picks_the_base_model(llama_index: Asked) -> None:
    assert llama_index.looked_up_models
    assert llama_index.answer["model"] == MODEL


def test_llama_index_gets_the_vectors_of_plain_http_in_their_order(
    llama_index: Asked, expected: NDArray[np.float32]
) -> None:
    answer = llama_index.answer

    for name in ("documents", "async_documents"):
        assert_same_vectors(answer[name], expected)
    for name in ("query", "async_query"):
        assert_same_vectors([answer[name]], expected[:1])


def test_llama_index_makes_eleven_calls_of_101_documents_and_repeats_none(llama_index: Asked) -> None:
    documents, query = [10] * 10 + [1], [1]

    assert sorted(llama_index.batches) == sorted(2 * (documents + query))
    assert [call.status for call in llama_index.calls if call.status != 200] == [400]


def test_llama_index_raises_status_400_and_the_code_for_an_over_long_text(llama_index: Asked) -> None:
    assert llama_index.answer["refused"] == {"status": 400, "code": "context_length_exceeded"}


# --- nvidia-haystack ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def haystack(python_clients: PythonClients, proxy: CountingProxy) -> Asked:
    return _ask(python_clients, proxy, "with_haystack.py", HAYSTACK_TELEMETRY_ENABLED="False")


def test_haystack_without_a_model_picks_the_base_model(haystack: Asked) -> None:
    assert haystack.looked_up_models
    assert haystack.answer["model"] == haystack.answer["documents_model"] == MODEL


def test_haystack_gets_the_vectors_of_plain_http_in_their_order(
    haystack: Asked, expected: NDArray[np.float32]
) -> None:
    assert_same_vectors(haystack.answer["documents"], expected)
    assert_same_vectors([haystack.answer["query"]], expected[:1])
    assert haystack.batches == [1, 32, 32, 32, 5]


def test_haystack_gets_the_usage_of_a_text_and_the_sum_over_the_calls_of_documents(
    haystack: Asked, model_stack: Stack
) -> None:
    def tokens(texts: list[str]) -> int:
        response = model_stack.api.http.post("/v1/embeddings", json={"model": MODEL, "input": texts})
        count: int = response.json()["usage"]["prompt_tokens"]
        return count

    for name, texts in (("query_meta", TEXTS[:1]), ("documents_meta", TEXTS)):
        usage = haystack.answer[name]["usage"]
        assert usage["prompt_tokens"] == usage["total_tokens"] == tokens(texts)


def test_haystack_tells_why_an_over_long_text_was_refused(haystack: Asked) -> None:
    assert TOO_LONG in haystack.answer["refused"]
    assert haystack.calls[-1].status == 400


# --- litellm ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def litellm(python_clients: PythonClients, proxy: CountingProxy) -> Asked:
    return _ask(python_clients, proxy, "with_litellm.py", MODEL, LITELLM_LOCAL_MODEL_COST_MAP="True")


def test_litellm_gets_the_vectors_of_plain_http_in_their_order(litellm: Asked, expected: NDArray[np.float32]) -> None:
    for name in ("documents", "async_documents"):
        assert_same_vectors(litellm.answer[name], expected)
    assert litellm.answer["prompt_tokens"] > len(TEXTS)


def test_litellm_knows_an_over_long_text_by_its_message(litellm: Asked) -> None:
    refused = litellm.answer["refused"]

    assert refused["status"] == 400
    assert refused["message"].startswith("litellm.ContextWindowExceededError")
