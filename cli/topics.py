"""`kafka-embeddings topics create`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer

from schemas.topics import TopicNames
from transport.cluster import Cluster
from transport.settings import ProcessSettings
from transport.topic_setup import create_topics

if TYPE_CHECKING:
    from pathlib import Path


def run_topics_create(flags: dict[str, Any], slug: str, config: Path | None) -> None:
    """Create what is missing and show all of it, a line a topic.

    Raises:
        TransportError: No broker answers, or it refuses.
    """
    settings = ProcessSettings.build(flags, config, "topics")
    cluster = Cluster.probe(settings.kafka)
    outcomes = create_topics(cluster, TopicNames(settings.topic_prefix, slug).all())
    width = max(len(outcome.name) for outcome in outcomes)
    for outcome in outcomes:
        state = "created" if outcome.created else "exists"
        differs = f", differs from the table: {'; '.join(outcome.notes)}" if outcome.notes else ""
        typer.echo(f"{outcome.name:<{width}}  {state}{differs}")
