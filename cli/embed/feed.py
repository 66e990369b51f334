"""A blocking iterator on a thread of its own, handed to the event loop a few items ahead."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Generator
from typing import TYPE_CHECKING, Final, Generic, TypeVar, cast

if TYPE_CHECKING:
    from collections.abc import Iterable

T = TypeVar("T")

_END: Final = object()


class Feed(Generic[T]):
    """Iterate `items` off the loop; what they raise is raised here, in its place in the order.

    The thread is a daemon: one that hangs in a read of a terminal must not keep the process from leaving.

    Args:
        items: Read by the thread only.
        ahead: Items read and not yet taken, at most.
    """

    def __init__(self, items: Iterable[T], ahead: int) -> None:
        self._items = items
        self._room = threading.Semaphore(ahead)
        self._ready: asyncio.Queue[object] = asyncio.Queue()
        self._loop = asyncio.get_running_loop()
        self._closed = False
        self._thread = threading.Thread(target=self._read, name="feed", daemon=True)
        self._thread.start()

    def __aiter__(self) -> Feed[T]:
        return self

    async def __anext__(self) -> T:
        item = await self._ready.get()
        if item is _END:
            raise StopAsyncIteration
        if isinstance(item, _Raised):
            raise item.error
        self._room.release()
        return cast(T, item)

    def close(self) -> None:
        """Stop reading at the next item; does not wait."""
        self._closed = True
        self._room.release()

    def _read(self) -> None:
        try:
            for item in self._items:
                self._room.acquire()
                if self._closed:
                    return
                self._hand_over(item)
            self._hand_over(_END)
        except BaseException as error:  # noqa: BLE001 - raised again by the reader of the feed
            self._hand_over(_Raised(error))
        finally:
            if isinstance(self._items, Generator):
                self._items.close()  # closes the file it reads

    def _hand_over(self, item: object) -> None:
        try:
            self._loop.call_soon_threadsafe(self._ready.put_nowait, item)
        except RuntimeError:
            self._closed = True  # the loop is gone, and whoever read with it


class _Raised:
    def __init__(self, error: BaseException) -> None:
        self.error = error
