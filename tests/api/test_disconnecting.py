"""A caller that leaves ends the waiting for its reply, and nothing else does under that name."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
import pytest
from starlette.requests import ClientDisconnect, Request

from api.embeddings import _unless_disconnected
from schemas.codec import Vectors

VECTORS = Vectors(np.zeros((1, 4), np.float32), 3)


class Caller:
    """A request whose caller leaves when told to."""

    def __init__(self) -> None:
        self.leaving = asyncio.Event()
        self.request = Request({"type": "http", "method": "POST", "headers": []}, self._receive)
        self.was_cancelled = False

    async def _receive(self) -> Any:
        await self.leaving.wait()
        return {"type": "http.disconnect"}

    async def reply(self, reply: asyncio.Future[Vectors]) -> Vectors:
        try:
            return await reply
        except asyncio.CancelledError:
            self.was_cancelled = True
            raise


async def started(caller: Caller) -> tuple[asyncio.Task[Vectors], asyncio.Future[Vectors]]:
    """What waits for the reply, and the reply."""
    reply: asyncio.Future[Vectors] = asyncio.get_running_loop().create_future()
    waiting = asyncio.ensure_future(_unless_disconnected(caller.request, caller.reply(reply)))
    for _ in range(3):
        await asyncio.sleep(0)
    return waiting, reply


def test_a_reply_is_given_and_nobody_listens_any_more() -> None:
    async def test() -> None:
        waiting, reply = await started(Caller())
        reply.set_result(VECTORS)

        assert await waiting is VECTORS
        await asyncio.sleep(0)
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(test())


def test_a_caller_that_leaves_ends_the_waiting_and_leaves_no_cancellation_behind() -> None:
    async def test() -> None:
        caller = Caller()
        waiting, _ = await started(caller)
        caller.leaving.set()

        with pytest.raises(ClientDisconnect):
            await waiting
        assert caller.was_cancelled
        assert waiting.cancelling() == 0

    asyncio.run(test())


@pytest.mark.parametrize("leaves_too", [False, True])
def test_who_cancels_the_request_sees_it_cancelled_also_when_its_caller_leaves_at_once(leaves_too: bool) -> None:
    async def test() -> None:
        caller = Caller()
        waiting, _ = await started(caller)
        if leaves_too:
            caller.leaving.set()
            await asyncio.sleep(0)
        waiting.cancel()

        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert waiting.cancelled()

    asyncio.run(test())
