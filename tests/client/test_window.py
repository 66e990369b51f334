"""Room for replies: first come, first served, whoever gives up in between."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from client.window import Window

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine


class _Holder:
    """A task that takes room, says so in `order`, and holds it until it is let go."""

    def __init__(self, window: Window, name: str, size_bytes: int, order: list[str]) -> None:
        self._let_go = asyncio.Event()
        self.task = asyncio.create_task(self._hold(window, name, size_bytes, order))

    async def _hold(self, window: Window, name: str, size_bytes: int, order: list[str]) -> None:
        async with window.room(size_bytes):
            order.append(name)
            await self._let_go.wait()

    def let_go(self) -> None:
        self._let_go.set()


async def _settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def _in_loop(test: Callable[[], Coroutine[None, None, None]]) -> Callable[[], None]:
    def run() -> None:
        asyncio.run(asyncio.wait_for(test(), 10))

    run.__name__ = test.__name__
    return run


@_in_loop
async def test_what_fits_enters_at_once_and_leaves_its_room_behind() -> None:
    window = Window(10)
    async with window.room(4), window.room(6):
        assert window.used_bytes == 10

    assert window.used_bytes == 0


@_in_loop
async def test_one_larger_than_the_whole_window_goes_alone() -> None:
    window, order = Window(10), list[str]()
    small, large, after = (_Holder(window, name, size, order) for name, size in (("s", 1), ("L", 99), ("a", 1)))
    await _settle()
    assert order == ["s"]
    small.let_go()
    await _settle()
    assert order == ["s", "L"]
    assert window.used_bytes == 99
    large.let_go()
    await _settle()

    assert order == ["s", "L", "a"]
    after.let_go()


@_in_loop
async def test_a_small_one_does_not_overtake_a_large_one_that_came_first() -> None:
    window, order = Window(10), list[str]()
    first = _Holder(window, "first", 6, order)
    await _settle()
    large, small = _Holder(window, "large", 8, order), _Holder(window, "small", 1, order)
    await _settle()
    assert order == ["first"]
    first.let_go()
    await _settle()

    assert order == ["first", "large", "small"]
    assert window.used_bytes == 9
    large.let_go()
    small.let_go()


@_in_loop
async def test_one_that_gives_up_while_it_waits_lets_the_next_in() -> None:
    window, order = Window(10), list[str]()
    first = _Holder(window, "first", 6, order)
    await _settle()
    large, small = _Holder(window, "large", 8, order), _Holder(window, "small", 1, order)
    await _settle()
    large.task.cancel()
    await _settle()

    assert order == ["first", "small"]
    assert window.used_bytes == 7
    first.let_go()
    small.let_go()


@_in_loop
async def test_one_cancelled_in_the_moment_it_was_admitted_gives_its_room_back() -> None:
    window, order = Window(10), list[str]()
    first = _Holder(window, "first", 10, order)
    await _settle()
    second, third = _Holder(window, "second", 10, order), _Holder(window, "third", 10, order)
    await _settle()
    first.let_go()
    # One turn of the loop: the first leaves and admits the second, which has not run yet.
    await asyncio.sleep(0)
    assert window.used_bytes == 10
    second.task.cancel()
    await _settle()

    assert order == ["first", "third"]
    assert window.used_bytes == 10
    third.let_go()
    await _settle()
    assert window.used_bytes == 0


@_in_loop
async def test_one_cancelled_in_the_moment_another_leaves_is_cancelled_and_nothing_else() -> None:
    window, order = Window(10), list[str]()
    first = _Holder(window, "first", 10, order)
    await _settle()
    second = _Holder(window, "second", 10, order)
    await _settle()
    first.let_go()
    second.task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await second.task
    assert order == ["first"]
    assert window.used_bytes == 0


@_in_loop
async def test_a_failure_inside_gives_the_room_back() -> None:
    window = Window(10)
    with pytest.raises(ZeroDivisionError):
        async with window.room(10):
            raise ZeroDivisionError

    assert window.used_bytes == 0


@_in_loop
async def test_the_window_is_never_overdrawn_and_everyone_gets_a_turn() -> None:
    window, most, done = Window(100), 0, 0

    async def work(size_bytes: int) -> None:
        nonlocal most, done
        async with window.room(size_bytes):
            most = max(most, window.used_bytes)
            await asyncio.sleep(0)
            done += 1

    tasks = [asyncio.create_task(work(1 + number % 60)) for number in range(500)]
    for task in tasks[::7]:
        await asyncio.sleep(0)
        task.cancel()
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)

    unexpected = [
        outcome for outcome in outcomes if outcome is not None and type(outcome) is not asyncio.CancelledError
    ]
    assert unexpected == []
    assert done == outcomes.count(None)
    assert most <= 100
    assert window.used_bytes == 0
