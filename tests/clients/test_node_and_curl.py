"""OpenAI's client for JavaScript, and curl, against the real model."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from tests.lacking import needs
from tests.stack.stack import MODEL

from .environments import SOURCES
from .vectors import TEXTS, as_array, assert_same_vectors

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from tests.stack.stack import Stack

    from .environments import NodeClients

pytestmark = [pytest.mark.model, pytest.mark.slow, pytest.mark.timeout(900)]


def _ask_openai_node(clients: NodeClients, stack: Stack, texts: list[str]) -> dict[str, Any]:
    answer: dict[str, Any] = clients.run("with_openai.js", f"{stack.api_url}/v1", MODEL, *texts)
    return answer


@pytest.fixture(scope="module")
def openai_node(node_clients: NodeClients, model_stack: Stack) -> dict[str, Any]:
    return _ask_openai_node(node_clients, model_stack, TEXTS)


def test_openai_node_gets_the_vectors_of_plain_http_in_their_order(
    openai_node: dict[str, Any], expected: NDArray[np.float32]
) -> None:
    for name in ("documents", "float_documents"):
        assert_same_vectors(openai_node[name], expected)
    assert openai_node["prompt_tokens"] > len(TEXTS)


def test_openai_node_gets_the_same_vector_by_default_as_by_floats(
    node_clients: NodeClients, model_stack: Stack
) -> None:
    # One text: where a CPU computes in bfloat16, a text's last digits depend on its neighbours in the batch.
    answer = _ask_openai_node(node_clients, model_stack, TEXTS[:1])

    difference = as_array(answer["documents"]) - as_array(answer["float_documents"])
    assert abs(difference).max() < 1e-6


def test_openai_node_raises_status_400_the_code_and_the_reason_for_an_over_long_text(
    openai_node: dict[str, Any],
) -> None:
    refused = openai_node["refused"]

    assert (refused["status"], refused["code"]) == (400, "context_length_exceeded")
    assert "maximum context length" in refused["message"]


# --- curl ---------------------------------------------------------------------------------------------------

needs_curl = needs("curl")


def _curl(stack: Stack, model: str, text: str) -> tuple[int, dict[str, Any]]:
    program = str(SOURCES / "shell" / "with_curl.sh")
    done = subprocess.run(
        ["sh", program, f"{stack.api_url}/v1", model, text], capture_output=True, text=True, check=False, timeout=60
    )
    return done.returncode, json.loads(done.stdout)


@needs_curl
def test_curl_gets_the_vector_of_its_text(model_stack: Stack, expected: NDArray[np.float32]) -> None:
    status, response = _curl(model_stack, MODEL, TEXTS[0])

    assert status == 0
    assert response["model"] == MODEL
    assert_same_vectors([entry["embedding"] for entry in response["data"]], expected[:1])


@needs_curl
def test_curl_fails_and_shows_the_reason_for_an_unknown_model(model_stack: Stack) -> None:
    status, response = _curl(model_stack, "nothing", TEXTS[0])

    assert status == 22
    assert response["error"]["code"] == "model_not_found"
