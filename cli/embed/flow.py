"""Groups to results: many in flight, bounded by count and bytes, given back in input order."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable

    from .grouping import Group
    from .isolation import GroupResult

MAX_GROUPS: Final = 256
MAX_BYTES: Final = 64 * 1024 * 1024


class Window:
    """Room for what was read and not yet written; a group larger than all of it goes alone."""

    def __init__(self, max_groups: int = MAX_GROUPS, max_bytes: int = MAX_BYTES) -> None:
        self._max_groups = max_groups
        self._max_bytes = max_bytes
        self._groups = 0
        self._bytes = 0
        self._freed = asyncio.Event()

    async def enter(self, size_bytes: int) -> None:
        """Wait until there is room. One caller at a time."""
        while not self._has_room(size_bytes):
            self._freed.clear()
            await self._freed.wait()
        self._groups += 1
        self._bytes += size_bytes

    def leave(self, size_bytes: int) -> None:
        self._groups -= 1
        self._bytes -= size_bytes
        self._freed.set()

    def _has_room(self, size_bytes: int) -> bool:
        if self._groups == 0:
            return True
        return self._groups < self._max_groups and self._bytes + size_bytes <= self._max_bytes


async def in_order(
    groups: AsyncIterable[Group],
    embed_group: Callable[[Group], Awaitable[GroupResult]],
    window: Window,
) -> AsyncGenerator[GroupResult, None]:
    """Results in the order of the groups, each as soon as all before it are there.

    A group counts against the window until the next result is asked for. What `groups` or `embed_group` raise
    is raised once every result before it was given back. Close the iterator to cancel what is in flight.
    """
    started: asyncio.Queue[tuple[asyncio.Future[GroupResult], int] | None] = asyncio.Queue()

    async def start_all() -> None:
        try:
            async for group in groups:
                size_bytes = group.size_bytes
                await window.enter(size_bytes)
                started.put_nowait((asyncio.ensure_future(embed_group(group)), size_bytes))
        finally:
            started.put_nowait(None)

    starter = asyncio.create_task(start_all())
    running: asyncio.Future[GroupResult] | None = None
    try:
        while (next_up := await started.get()) is not None:
            running, size_bytes = next_up
            yield await running
            window.leave(size_bytes)
        await starter
    finally:
        starter.cancel()
        await asyncio.gather(starter, return_exceptions=True)
        unfinished = [running] if running is not None else []
        while not started.empty():
            if (next_up := started.get_nowait()) is not None:
                unfinished.append(next_up[0])
        for future in unfinished:
            future.cancel()
        await asyncio.gather(*unfinished, return_exceptions=True)
