"""`benchmarks/turns.py`."""

from __future__ import annotations

from benchmarks.turns import in_turn, percentiles


def test_sides_take_turns_and_each_is_first_every_second_round() -> None:
    order: list[str] = []

    def side(name: str) -> int:
        order.append(name)
        return len(order)

    given = in_turn({"a": lambda: side("a"), "b": lambda: side("b")}, 3)

    assert order == ["a", "b", "b", "a", "a", "b"]
    assert given == {"a": [1, 4, 5], "b": [2, 3, 6]}


def test_percentiles_lie_within_the_values() -> None:
    assert percentiles([1.0, 3.0]) == {"p50": 2.0, "p99": 2.98}
