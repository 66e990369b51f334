"""`schemas/causes.py`: errors told without their words."""

from __future__ import annotations

import pytest

from schemas.causes import causes_of


def _fails() -> None:
    try:
        raise KeyError("a secret")
    except KeyError as error:
        raise RuntimeError("another secret") from error


def test_each_error_of_the_chain_is_told_by_type_and_place_only() -> None:
    with pytest.raises(RuntimeError) as failed:
        _fails()

    first, second = causes_of(failed.value)

    assert first.startswith("RuntimeError at ")
    assert second.startswith("KeyError at ")
    assert "_fails" in first
    assert "secret" not in first + second


def test_no_error_has_no_causes() -> None:
    assert causes_of(None) == []
