"""The measure the clients are held to, and the proxy that counts their calls."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from tests.stack.stack import http_client

from .vectors import TEXTS, assert_same_vectors

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tests.stack.stack import Stack

    from .counting_proxy import CountingProxy

pytestmark = [pytest.mark.model, pytest.mark.slow]


def test_no_two_texts_are_so_alike_that_their_order_could_be_missed(expected: NDArray[np.float32]) -> None:
    cosines = expected @ expected.T
    np.fill_diagonal(cosines, 0)

    assert len(set(TEXTS)) == len(expected) == 101
    assert cosines.max() < 0.999


def test_two_vectors_in_the_wrong_order_are_noticed(expected: NDArray[np.float32]) -> None:
    swapped = expected[[1, 0, *range(2, len(expected))]]

    with pytest.raises(AssertionError):
        assert_same_vectors(swapped, expected)


def test_the_proxy_passes_on_what_the_api_answers_and_keeps_the_call(
    model_stack: Stack, proxy: CountingProxy
) -> None:
    body = {"model": "nothing", "input": ["a text"]}

    with http_client(proxy.url) as http:
        passed_on = http.post("/v1/embeddings", json=body)

    assert (passed_on.status_code, passed_on.json()["error"]["code"]) == (404, "model_not_found")
    assert passed_on.headers["x-request-id"]
    assert proxy.calls[-1] == ("POST", "/v1/embeddings", body, 404)
