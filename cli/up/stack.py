"""The processes behind `up` and `embed`: broker, worker and, if wanted, API; a client to talk to them.

The parent holds the embedded broker and supervises its children. Leaving stops the API first, so that nobody new is
let in, then the worker, then the broker.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, TypeVar

from client.request_reply import EmbeddingClient
from client.settings import ClientSettings
from schemas.beats import WorkerState
from schemas.topics import Lane, TopicNames
from transport.cluster import Cluster
from transport.embedded import EmbeddedBroker
from transport.errors import BrokerUnavailableError
from transport.settings import KafkaSettings
from transport.topic_setup import create_topics
from worker.settings import WorkerSettings

from .children import Child

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from pathlib import Path

    from transport.settings import ProcessSettings

_Result = TypeVar("_Result")

_API_STOP_SECONDS: Final = 1.5
_WORKER_STOP_SECONDS: Final = 2.5
_DRAIN_SECONDS: Final = 1.5
_WATCH_EVERY_SECONDS: Final = 0.1
_SILENT_SECONDS: Final = 10.0


@dataclass(slots=True)
class Stack:
    """What runs."""

    kafka: KafkaSettings
    client: EmbeddingClient
    topics: TopicNames
    embedded: bool
    say: Callable[[str], None]
    children: list[Child] = field(default_factory=list)
    restarts: int = 0
    failure: BaseException | None = None
    """Why replies can no longer be read."""

    async def supervised(self, work: asyncio.Future[_Result]) -> _Result:
        """Wait for work that needs the children, restarting those that die meanwhile.

        Raises:
            ChildKeepsDyingError: One of them keeps dying; the work was cancelled.
            TransportError: Replies can no longer be read; the work was cancelled.
        """
        watching = asyncio.ensure_future(self._watch())
        try:
            await asyncio.wait([work, watching], return_when=asyncio.FIRST_COMPLETED)  # type: ignore[type-var]
            if watching.done():
                watching.result()
            return await work
        finally:
            for task in (work, watching):
                task.cancel()
            await asyncio.gather(work, watching, return_exceptions=True)

    async def _watch(self) -> None:
        ready_at = time.monotonic()
        was_ready = False
        while self.failure is None:
            now = time.monotonic()
            self.restarts += sum(child.revive(now) for child in self.children)
            if any(beat.state is WorkerState.READY for beat in self.client.workers()):
                ready_at, was_ready = now, True
            elif was_ready and now - ready_at > _SILENT_SECONDS:
                self.say(
                    f"no worker has been ready on {self.kafka.bootstrap} for {_SILENT_SECONDS:g} s, waiting for one"
                )
                was_ready = False
            await asyncio.sleep(_WATCH_EVERY_SECONDS)
        raise self.failure

    def fail(self, error: BaseException) -> None:
        """Note that the client cannot go on; `supervised` raises it."""
        self.failure = error


@asynccontextmanager
async def running_stack(
    settings: ProcessSettings,
    *,
    own_broker: bool,
    worker_flags: list[str] | None,
    api_flags: list[str] | None,
    say: Callable[[str], None],
) -> AsyncIterator[Stack]:
    """Start broker, worker and API; stop them on leaving, within 5 s.

    Args:
        settings: How to reach the cluster; with a broker of our own its address is put in.
        own_broker: Whether to start the embedded broker.
        worker_flags: Command line of the worker; None: no worker of ours.
        api_flags: Command line of the API; None: no API.
        say: Gets a line about what happens to the children.
    """
    topics = TopicNames(settings.topic_prefix)
    async with AsyncExitStack() as leaving:
        kafka = settings.kafka
        if own_broker:
            broker = leaving.enter_context(EmbeddedBroker())
            broker.create_topics(topics)
            kafka = KafkaSettings(bootstrap=broker.bootstrap)
        elif worker_flags is not None:
            await asyncio.to_thread(_create_topics, kafka, topics)
        pipe = leaving.enter_context(_parent_pipe())
        address = ["--bootstrap", kafka.bootstrap, "--prefix", settings.topic_prefix]
        client = EmbeddingClient(kafka, topics, Lane.BULK, ClientSettings(), lambda error: stack.fail(error))
        stack = Stack(kafka, client, topics, own_broker, say)
        if worker_flags is not None:
            drain = ["--drain-timeout", str(_DRAIN_SECONDS)] if own_broker else []
            worker = Child("worker", ["worker", *address, *drain, *worker_flags], pipe, say)
            leaving.callback(lambda: worker.stop(time.monotonic() + _WORKER_STOP_SECONDS))
            stack.children.append(worker)
        if api_flags is not None:
            api = Child("API", ["api", *address, *api_flags], pipe, say)
            leaving.callback(lambda: api.stop(time.monotonic() + _API_STOP_SECONDS))
            stack.children.append(api)
        await leaving.enter_async_context(client)
        yield stack


def served_name(name: str | None, config: Path | None) -> str:
    """The name a worker serves its model under, by the same settings as the worker itself.

    Args:
        name: What the command line says, if anything.
        config: Its `--config`.
    """
    return WorkerSettings.build({"model": {"name": name}}, config, "worker").model.name


def _create_topics(kafka: KafkaSettings, topics: TopicNames) -> None:
    """Create the topics on a cluster that answers; one that does not is waited for by the worker."""
    with contextlib.suppress(BrokerUnavailableError):
        cluster = Cluster.probe(kafka)
        if cluster.profile.has_admin:
            create_topics(cluster, topics.all())


@contextmanager
def _parent_pipe() -> Iterator[int]:
    """The end that children inherit; ours closes with this process, however it ends."""
    theirs, ours = os.pipe()
    try:
        yield theirs
    finally:
        os.close(ours)
        os.close(theirs)
