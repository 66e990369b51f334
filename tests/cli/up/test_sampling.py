"""What the sample says when answers are missing and doubled, with a worker that loses and repeats them."""

from __future__ import annotations

import asyncio
import io
from typing import TYPE_CHECKING

import pytest
from rich.console import Console

from cli.up.sampling import sample_over
from cli.up.stack import Stack
from client.request_reply import EmbeddingClient
from client.settings import ClientSettings
from schemas.beats import Beat, WorkerState
from schemas.codec import decode_request
from schemas.topics import Lane, TopicNames
from tests.client.stand_in_worker import DIM, StandInWorker
from tests.stack.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.transport.testbed import Testbed
    from transport.messages import Message

pytestmark = pytest.mark.slow

_BEAT = Beat(worker_id="w1", model="m", state=WorkerState.READY, dim=DIM)
_TEXTS = 50


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    (tmp_path / "mod.py").write_text("".join(f'def f{number}(): "text {number}"\n' for number in range(_TEXTS)))
    return tmp_path


def _said(testbed: Testbed, sources: Path, answering: Callable[[StandInWorker, Message], None]) -> list[str]:
    """What a sample of the sources says."""
    shown = Console(file=io.StringIO(), width=200)

    async def sample() -> None:
        client = EmbeddingClient(testbed.cluster.settings, TopicNames(), Lane.BULK, ClientSettings())
        stack = Stack(testbed.cluster.settings, client, TopicNames(), embedded=True, say=shown.print)
        async with client:
            worker = await client.wait_for_worker(_BEAT.model)
            await sample_over(stack, worker, shown, root=sources, give_up_after_seconds=2)

    with StandInWorker(testbed, TopicNames(), answering, lane=Lane.BULK, beat=_BEAT):
        asyncio.run(asyncio.wait_for(sample(), 60))
    assert isinstance(shown.file, io.StringIO)
    return shown.file.getvalue().splitlines()


def _name(message: Message) -> str:
    return decode_request(message.value or b"", message.key).id


def test_a_reply_that_is_lost_and_one_that_comes_twice_are_counted_and_told(testbed: Testbed, sources: Path) -> None:
    def answering(worker: StandInWorker, message: Message) -> None:
        if _name(message) == "mod.f7":
            return
        worker.answer(message)
        if _name(message) == "mod.f11":
            worker.answer(message)

    said = _said(testbed, sources, answering)

    summary = said.index("50 docstrings sent, 49 embeddings received, 0 errors, 1 lost, 1 duplicated")
    assert sum(line.startswith("  ") for line in said[summary:]) == 3, said
    assert said[-3:] == [
        "no answer for 2 s while a worker was ready: what had none counts as lost",
        "the sample is not complete: see the counts above",
        "duplicated: answered again, as happens when a worker ends before its last commit",
    ]


def test_of_a_worker_that_answers_once_each_nothing_is_lost_and_nothing_duplicated(
    testbed: Testbed, sources: Path
) -> None:
    said = _said(testbed, sources, StandInWorker.answer)

    assert "50 docstrings sent, 50 embeddings received, 0 errors, 0 lost, 0 duplicated" in said
    assert said[-1].startswith("  ")


def test_nothing_is_lost_by_a_worker_that_is_away_for_longer_than_the_sample_waits(
    testbed: Testbed, sources: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked_whether = 0
    held: list[Message] = []

    def is_served(_: Stack) -> bool:
        nonlocal asked_whether
        asked_whether += 1
        return asked_whether > 3

    def answering(worker: StandInWorker, message: Message) -> None:
        held.append(message)
        if len(held) == _TEXTS:
            wait_until(lambda: asked_whether >= 3, "3 s without a worker")
            for one in held:
                worker.answer(one)
        elif len(held) > _TEXTS:
            worker.answer(message)

    monkeypatch.setattr(Stack, "is_served", property(is_served))

    said = _said(testbed, sources, answering)

    assert "50 docstrings sent, 50 embeddings received, 0 errors, 0 lost, 0 duplicated" in said
