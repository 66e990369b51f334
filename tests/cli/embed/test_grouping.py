from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from cli.embed.grouping import group_rows
from cli.embed.rows import AnyRow, BadRow, Row


@given(st.lists(st.none() | st.integers(1, 60)), st.integers(1, 5), st.integers(1, 50))
def test_groups_hold_every_row_in_order_within_their_bounds(
    sizes: list[int | None], max_rows: int, max_characters: int
) -> None:
    items: list[AnyRow] = [
        BadRow(n, n, "bad") if size is None else Row(n, n, str(n), "x" * size, {}, size)
        for n, size in enumerate(sizes)
    ]
    groups = list(group_rows(items, max_rows, max_characters))
    assert [item for group in groups for item in group.items] == items
    for group in groups:
        assert 1 <= len(group.items) <= max_rows
        assert len(group.rows) <= 1 or sum(len(row.text) for row in group.rows) <= max_characters


def test_rows_are_read_no_further_than_the_group_needs() -> None:
    read: list[int] = []

    def rows() -> object:
        for n in range(100):
            read.append(n)
            yield Row(n, n, str(n), "x", {}, 1)

    next(group_rows(rows(), max_rows=3))  # type: ignore[arg-type]
    assert len(read) == 4
