from __future__ import annotations

import pytest

from api.token_estimate import tokens_of_bytes, tokens_of_inputs


@pytest.mark.parametrize(("size_bytes", "tokens"), [(0, 0), (1, 1), (4, 1), (5, 2), (400, 100)])
def test_four_bytes_are_a_token_and_a_rest_is_one_too(size_bytes: int, tokens: int) -> None:
    assert tokens_of_bytes(size_bytes) == tokens


def test_an_input_has_a_token_at_least_and_its_utf_8_bytes_count() -> None:
    assert tokens_of_inputs(["a", "b"]) == 2
    assert tokens_of_inputs(["a" * 8, "é" * 8]) == 2 + 4


def test_token_ids_are_as_many_tokens() -> None:
    assert tokens_of_inputs([[1, 2, 3], [4]]) == 4
