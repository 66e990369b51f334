"""An embedder that gives up when answers have stopped coming: to wait for ever looks like work."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from .errors import NoAnswerError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from types import TracebackType
    from typing import Self

    from schemas.codec import Vectors
    from schemas.requests import EmbeddingBody

    from .embedder import Embed

SAY_EVERY_SECONDS: Final = 60.0
_TICK_SECONDS: Final = 1.0


class PatientEmbed:
    """Hands requests on; when none is answered for too long, every one that waits ends in `NoAnswerError`.

    An error is an answer too. Time is counted in ticks of the event loop, so that a process that was suspended does
    not take its own absence for silence. An async context manager; ask inside of it.

    Args:
        embed: The embedder.
        give_up_after_seconds: Without any answer while some are awaited.
        say: Gets a line for each minute without an answer.
        counts: Asked at each tick: whether an answer may be expected at all.
        sleep: Waits for so many seconds.
    """

    def __init__(
        self,
        embed: Embed,
        give_up_after_seconds: float,
        say: Callable[[str], None],
        *,
        counts: Callable[[], bool] = lambda: True,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        self._embed = embed
        self._give_up_after_seconds = give_up_after_seconds
        self._say = say
        self._counts = counts
        self._sleep = sleep
        self._waiting: set[asyncio.Timeout] = set()
        self._answers = 0
        self._ticking: asyncio.Task[None] | None = None

    async def __call__(self, body: EmbeddingBody, request_id: str) -> Vectors:
        """See `Embed`.

        Raises:
            NoAnswerError: No request was answered for too long.
        """
        try:
            async with asyncio.timeout(None) as waiting:
                self._waiting.add(waiting)
                try:
                    return await self._embed(body, request_id)
                finally:
                    self._waiting.discard(waiting)
                    self._answers += 1
        except TimeoutError:
            raise NoAnswerError(f"no answer for {self._give_up_after_seconds:g} s") from None

    async def __aenter__(self) -> Self:
        self._ticking = asyncio.create_task(self._tick())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._ticking is not None:
            self._ticking.cancel()
            await asyncio.gather(self._ticking, return_exceptions=True)

    async def _tick(self) -> None:
        silent_seconds, said_seconds, answers = 0.0, 0.0, self._answers
        while True:
            await self._sleep(_TICK_SECONDS)
            if answers != self._answers or not self._waiting:
                silent_seconds, said_seconds, answers = 0.0, 0.0, self._answers
            elif self._counts():
                silent_seconds += _TICK_SECONDS
            if silent_seconds >= self._give_up_after_seconds:
                self._give_up()
            elif silent_seconds - said_seconds >= SAY_EVERY_SECONDS:
                said_seconds = silent_seconds
                self._say(
                    f"no answer for {silent_seconds:.0f} s, {len(self._waiting):,} requests wait "
                    f"(giving up after {self._give_up_after_seconds:g} s)"
                )

    def _give_up(self) -> None:
        for waiting in self._waiting:
            waiting.reschedule(0.0)
        self._waiting.clear()
