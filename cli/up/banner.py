"""What `up` tells a person: what runs, and how to use it."""

from __future__ import annotations

import shlex
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from schemas.topics import TopicNames
from worker.settings import DEFAULT_MODEL

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from schemas.beats import Beat

    from .stack import Stack


_NAME: Final = "kafka-embeddings"


def own_command() -> str:
    """What to type for this command, in any folder: its name where the shell finds it, else its path."""
    script = Path(sys.executable).with_name(_NAME)
    return _NAME if shutil.which(_NAME) or not script.exists() else shlex.quote(str(script))


def what_runs(stack: Stack, workers: Sequence[Beat], url: str, seconds: float) -> Iterator[str]:
    """Broker, workers and API, a line each."""
    kind = "embedded broker" if stack.embedded else "Kafka"
    yield f"[green]ready[/green] after {seconds:.0f} s"
    yield f"  {kind:<16} {stack.kafka.bootstrap}"
    if stack.embedded:
        yield "                   for development: in memory, this machine only, keeps 5 MiB a partition"
    for worker in workers:
        yield f"  worker           {worker.model} on {worker.device} in {worker.dtype}, {worker.dim} dimensions"
    yield f"  API              {url}"


def how_to_use(stack: Stack, worker: Beat, url: str) -> Iterator[str]:
    """One line for each kind of user."""
    role = ', "input_type": "query"' if worker.asymmetric else ""
    body = f'{{"model": "{worker.model}", "input": "hello"{role}}}'
    message = f'{{"id": "doc-1", "model": "{worker.model}", "input": "hello"{role}}}'
    yield ""
    yield "over HTTP:"
    yield f"  curl {url}/v1/embeddings -H 'content-type: application/json' -d '{body}'"
    yield "a file:"
    topics = TopicNames(stack.topics.prefix, worker.slug)
    flags = [
        *("--bootstrap", stack.kafka.bootstrap),
        *_unless("--prefix", topics.prefix, TopicNames().prefix),
        *_unless("--name", worker.model, DEFAULT_MODEL),
        *_unless("--input-type", "passage" if worker.asymmetric else "", ""),
    ]
    yield f"  {own_command()} embed FILE.jsonl -o OUT.jsonl {shlex.join(flags)}"
    requests, responses = topics.requests, topics.responses
    clients = "a librdkafka-based client" if stack.embedded else "any Kafka client"
    yield f"over Kafka, with {clients}: publish to {requests}, read {responses}"
    yield f"  echo '{message}' | kcat -b {stack.kafka.bootstrap} -t {requests} -P"
    yield f"  kcat -b {stack.kafka.bootstrap} -t {responses} -C -o beginning -e -K ' '"
    yield "Ctrl-C stops everything"


def _unless(flag: str, value: str, default: str) -> list[str]:
    return [] if value == default else [flag, value]
