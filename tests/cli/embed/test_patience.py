from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from cli.embed.errors import NoAnswerError
from cli.embed.patience import PatientEmbed
from schemas.codec import Vectors
from schemas.errors import ErrorCode, RequestError
from schemas.requests import EmbeddingBody

if TYPE_CHECKING:
    from collections.abc import Coroutine

_BODY = EmbeddingBody(model="m", input=["a text"])
_ANSWER = Vectors(np.ones((1, 2), np.float32), 1)


class _Time:
    """Seconds that pass when told to."""

    def __init__(self) -> None:
        self._allowed = asyncio.Semaphore(0)

    async def sleep(self, seconds: float) -> None:
        assert seconds == 1.0
        await self._allowed.acquire()

    async def passes(self, seconds: int) -> None:
        for _ in range(seconds):
            self._allowed.release()
            await _settle()


async def _settle() -> None:
    """Let everything run that can."""
    for _ in range(10):
        await asyncio.sleep(0)


class _Bench:
    """An embedder that answers when told to, and one that is patient with it."""

    def __init__(self, give_up_after_seconds: float = 100) -> None:
        self.time = _Time()
        self.said: list[str] = []
        self.may_be_expected = True
        self.held: dict[str, asyncio.Future[Vectors]] = {}
        self.patient = PatientEmbed(
            self._answer, give_up_after_seconds, self.said.append, counts=self._counts, sleep=self.time.sleep
        )

    async def ask(self, request_id: str) -> asyncio.Future[Vectors]:
        asked = asyncio.ensure_future(self.patient(_BODY, request_id))
        await _settle()
        return asked

    def _counts(self) -> bool:
        return self.may_be_expected

    async def _answer(self, body: EmbeddingBody, request_id: str) -> Vectors:
        self.held[request_id] = asyncio.get_running_loop().create_future()
        return await self.held[request_id]


def _run(test: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(test, 20))


def test_every_request_that_waits_is_given_up_when_no_answer_has_come_for_too_long() -> None:
    async def test() -> None:
        bench = _Bench()
        async with bench.patient:
            asked = [await bench.ask(f"r{number}") for number in range(3)]
            await bench.time.passes(99)
            assert not any(one.done() for one in asked)
            await bench.time.passes(1)

            ended = await asyncio.gather(*asked, return_exceptions=True)
        assert {(type(error), str(error)) for error in ended} == {(NoAnswerError, "no answer for 100 s")}
        assert all(held.cancelled() for held in bench.held.values())

    _run(test())


@pytest.mark.parametrize("outcome", [_ANSWER, RequestError(ErrorCode.INVALID_REQUEST, "no")], ids=["answer", "error"])
def test_each_answer_and_each_error_begins_the_time_anew(outcome: Vectors | RequestError) -> None:
    async def test() -> None:
        bench = _Bench()
        async with bench.patient:
            asked = {f"r{number}": await bench.ask(f"r{number}") for number in range(4)}
            for request_id, one in asked.items():
                await bench.time.passes(99)
                if isinstance(outcome, Vectors):
                    bench.held[request_id].set_result(outcome)
                else:
                    bench.held[request_id].set_exception(outcome)
                [ended] = await asyncio.gather(one, return_exceptions=True)
                assert ended is outcome

    _run(test())


def test_a_second_in_which_no_answer_may_be_expected_is_no_silence() -> None:
    async def test() -> None:
        bench = _Bench()
        async with bench.patient:
            asked = await bench.ask("r")
            await bench.time.passes(99)
            bench.may_be_expected = False
            await bench.time.passes(500)
            assert not asked.done()
            bench.may_be_expected = True
            await bench.time.passes(1)
            with pytest.raises(NoAnswerError):
                await asked

    _run(test())


def test_while_nothing_is_asked_there_is_no_silence() -> None:
    async def test() -> None:
        bench = _Bench()
        async with bench.patient:
            await bench.time.passes(500)
            asked = await bench.ask("r")
            await bench.time.passes(99)
            bench.held["r"].set_result(_ANSWER)
            assert await asked is _ANSWER
        assert bench.said == ["no answer for 60 s, 1 requests wait (giving up after 100 s)"]

    _run(test())


def test_silence_is_told_each_minute_until_it_ends() -> None:
    async def test() -> None:
        bench = _Bench(give_up_after_seconds=600)
        async with bench.patient:
            asked = [await bench.ask(f"r{number}") for number in range(1200)]
            await bench.time.passes(130)
            bench.held["r0"].set_result(_ANSWER)
            await asked[0]
            await bench.time.passes(62)
            for one in asked:
                one.cancel()
            await asyncio.gather(*asked, return_exceptions=True)
        assert bench.said == [
            "no answer for 60 s, 1,200 requests wait (giving up after 600 s)",
            "no answer for 120 s, 1,200 requests wait (giving up after 600 s)",
            "no answer for 60 s, 1,199 requests wait (giving up after 600 s)",
        ]

    _run(test())
