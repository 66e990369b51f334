"""Whether a client got the vectors that belong to its texts, in their order."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tests.stack.stack import MODEL, http_client

if TYPE_CHECKING:
    from numpy.typing import NDArray

TEXTS = [
    "How do I read a compressed file line by line?",
    "emoji 🙂 and עברית",
    *(
        f"Chapter {number}: {subject}"
        for number in range(11)
        for subject in ["cats", "ships", "snow", "bread", "law", "jazz", "iron"]
    ),
    *(f"{number} is a number" for number in range(22)),
]
"""101 texts, no two alike: NVIDIA's client for LangChain sends 50 a call."""


def by_plain_http(api_url: str, texts: list[str]) -> NDArray[np.float32]:
    """What the API answers to a hand-written request, shape `(len(texts), dim)`."""
    with http_client(api_url) as http:
        response = http.post("/v1/embeddings", json={"model": MODEL, "input": texts}).raise_for_status()
    return as_array([entry["embedding"] for entry in response.json()["data"]])


def as_array(vectors: Any) -> NDArray[np.float32]:
    """Vectors from JSON, shape `(rows, dim)`."""
    return np.array(vectors, np.float32)


def assert_same_vectors(vectors: Any, expected: NDArray[np.float32]) -> None:
    """Each vector is the expected one of its row, and not that of another row."""
    rows = as_array(vectors)
    assert rows.shape == expected.shape
    cosines = rows @ expected.T
    assert np.allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-3)
    assert cosines.diagonal().min() >= 0.9999
    assert (cosines.argmax(axis=1) == np.arange(len(expected))).all()
