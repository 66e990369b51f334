"""The processes behind `up` and `embed`: broker, worker and, if wanted, API; a client to talk to them.

The parent holds the embedded broker and supervises its children. Leaving stops the API first, so that nobody new is
let in, then the worker, then the broker.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from contextlib import AsyncExitStack, asynccontextmanager
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

from ..children import Child, parent_pipe, stop_children

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from transport.settings import ProcessSettings

    from .workers import WorkerCommand

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

    @property
    def is_served(self) -> bool:
        """Whether some worker is ready."""
        return any(beat.state is WorkerState.READY for beat in self.client.workers())

    async def supervised(self, work: asyncio.Future[_Result]) -> _Result:
        """Wait for work that needs the children, restarting those that die meanwhile.

        Raises:
            ChildError: One of them cannot stay alive; the work was cancelled.
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
            if self.is_served:
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
    workers: Sequence[WorkerCommand],
    api_flags: list[str] | None,
    say: Callable[[str], None],
) -> AsyncIterator[Stack]:
    """Start broker, worker and API; stop them on leaving, within 5 s.

    Args:
        settings: How to reach the cluster; with a broker of our own its address is put in.
        own_broker: Whether to start the embedded broker.
        workers: The workers of ours.
        api_flags: Command line of the API; None: no API.
        say: Gets a line about what happens to the children.
    """
    topics = TopicNames(settings.topic_prefix)
    of_workers = [TopicNames(settings.topic_prefix, worker.slug) for worker in workers]
    async with AsyncExitStack() as leaving:
        kafka = settings.kafka
        if own_broker:
            broker = leaving.enter_context(EmbeddedBroker())
            for names in of_workers:
                broker.create_topics(names)
            kafka = KafkaSettings(bootstrap=broker.bootstrap)
        elif of_workers:
            await asyncio.to_thread(_create_topics, kafka, of_workers)
        pipe = leaving.enter_context(parent_pipe())
        address = ["--bootstrap", kafka.bootstrap, "--prefix", settings.topic_prefix]
        client = EmbeddingClient(kafka, topics, Lane.BULK, ClientSettings(), lambda error: stack.fail(error))
        stack = Stack(kafka, client, topics, own_broker, say)
        drain = ["--drain-timeout", str(_DRAIN_SECONDS)] if own_broker else []
        own: list[Child] = []
        leaving.callback(stop_children, own, _WORKER_STOP_SECONDS)
        own.extend(Child("worker", ["worker", *address, *drain, *worker.flags], pipe, say) for worker in workers)
        stack.children += own
        if api_flags is not None:
            api = Child("API", ["api", *address, *api_flags], pipe, say)
            leaving.callback(stop_children, [api], _API_STOP_SECONDS)
            stack.children.append(api)
        await leaving.enter_async_context(client)
        yield stack


def _create_topics(kafka: KafkaSettings, topics: Sequence[TopicNames]) -> None:
    """Create the topics on a cluster that answers; one that does not is waited for by the worker."""
    with contextlib.suppress(BrokerUnavailableError):
        cluster = Cluster.probe(kafka)
        if cluster.profile.has_admin:
            create_topics(cluster, {name: spec for names in topics for name, spec in names.all().items()})
