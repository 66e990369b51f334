from __future__ import annotations

import asyncio
import random
import threading
from contextlib import aclosing
from typing import TYPE_CHECKING

import pytest

from cli.embed.feed import Feed
from cli.embed.flow import Window, in_order
from cli.embed.grouping import Group
from cli.embed.isolation import GroupResult
from cli.embed.rows import BadRow, Row

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator


def group(number: int, size_bytes: int = 1) -> Group:
    return Group((Row(number, number, str(number), "x", {}, size_bytes),))


def result(of: Group) -> GroupResult:
    return GroupResult((BadRow(of.items[0].number, None, ""),), 0)


def number_of(given: GroupResult) -> int:
    [outcome] = given.outcomes
    assert isinstance(outcome, BadRow)
    return outcome.number


async def source(count: int, size_bytes: int = 1) -> AsyncIterator[Group]:
    for number in range(count):
        yield group(number, size_bytes)


@pytest.mark.parametrize("seed", range(5))
def test_results_come_in_order_and_the_window_holds(seed: int) -> None:
    chance = random.Random(seed)
    running = most = 0

    async def embed_group(given: Group) -> GroupResult:
        nonlocal running, most
        running += 1
        most = max(most, running)
        for _ in range(chance.randrange(30)):
            await asyncio.sleep(0)
        running -= 1
        return result(given)

    async def collect() -> list[int]:
        window = Window(max_groups=7)
        return [number_of(r) async for r in in_order(source(200), embed_group, window)]

    assert asyncio.run(collect()) == list(range(200))
    assert 1 < most <= 7


def test_the_window_counts_bytes_and_lets_a_larger_group_go_alone() -> None:
    running = most = 0

    async def embed_group(given: Group) -> GroupResult:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0)
        running -= 1
        return result(given)

    async def count(size_bytes: int) -> int:
        window = Window(max_bytes=100)
        return len([r async for r in in_order(source(20, size_bytes), embed_group, window)])

    assert (asyncio.run(count(50)), most) == (20, 2)
    most = 0
    assert (asyncio.run(count(1000)), most) == (20, 1)


def test_a_failure_is_raised_after_every_result_before_it_and_cancels_the_rest() -> None:
    cancelled = []

    async def embed_group(given: Group) -> GroupResult:
        number = given.items[0].number
        if number == 5:
            raise ValueError("five")
        if number > 5:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                cancelled.append(number)
                raise
        return result(given)

    got: list[int] = []

    async def collect() -> None:
        async with aclosing(in_order(source(10), embed_group, Window())) as results:
            async for r in results:
                got.append(number_of(r))  # noqa: PERF401 - what was taken before the failure counts

    async def fail() -> int:
        with pytest.raises(ValueError, match="five"):
            await collect()
        return len(asyncio.all_tasks())

    assert asyncio.run(fail()) == 1
    assert got == [0, 1, 2, 3, 4]
    assert cancelled == [6, 7, 8, 9]


def test_a_failing_source_is_raised_after_every_result_before_it() -> None:
    async def broken() -> AsyncIterator[Group]:
        yield group(0)
        raise ValueError("source")

    async def embed_group(given: Group) -> GroupResult:
        await asyncio.sleep(0)
        return result(given)

    got: list[int] = []

    async def collect() -> None:
        async for r in in_order(broken(), embed_group, Window()):
            got.append(number_of(r))  # noqa: PERF401 - what was taken before the failure counts

    with pytest.raises(ValueError, match="source"):
        asyncio.run(collect())
    assert got == [0]


def test_a_feed_reads_a_few_items_ahead_on_its_own_thread_and_closes_its_source() -> None:
    read: list[int] = []
    threads = set()
    closed = threading.Event()

    def items() -> Iterator[int]:
        try:
            for n in range(1000):
                read.append(n)
                threads.add(threading.current_thread().name)
                yield n
        finally:
            closed.set()

    async def take(count: int) -> list[int]:
        feed = Feed(items(), ahead=3)
        got = [await anext(feed) for _ in range(count)]
        feed.close()
        return got

    assert asyncio.run(take(10)) == list(range(10))
    assert closed.wait(10)
    assert len(read) <= 15
    assert threads == {"feed"}


def test_a_feed_raises_what_its_source_raises_in_its_place() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise ValueError("read error")

    async def take() -> int:
        feed = Feed(items(), ahead=3)
        first = await anext(feed)
        with pytest.raises(ValueError, match="read error"):
            await anext(feed)
        return first

    assert asyncio.run(take()) == 1
