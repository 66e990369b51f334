"""`kafka-embeddings topics create`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer

from schemas.topics import TopicNames
from transport.cluster import Cluster
from transport.settings import ProcessSettings
from transport.topic_setup import create_topics
from worker.catalogue import read_catalogue

if TYPE_CHECKING:
    from pathlib import Path


def run_topics_create(flags: dict[str, Any], slug: str, models: Path | None, config: Path | None) -> None:
    """Create what is missing and show all of it, a line a topic.

    Args:
        flags: What the command line says of the cluster.
        slug: Of one model.
        models: Catalogue, whose models all get their topics.
        config: Settings file.

    Raises:
        SettingsError: The catalogue is wrong.
        TransportError: No broker answers, or it refuses.
    """
    settings = ProcessSettings.build(flags, config, "topics")
    slugs = [slug] if models is None else [model.slug for model in read_catalogue(models).values()]
    names = [TopicNames(settings.topic_prefix, one) for one in slugs]
    topics = {name: spec for of_model in names for name, spec in of_model.all().items()}
    cluster = Cluster.probe(settings.kafka)
    outcomes = create_topics(cluster, topics)
    width = max(len(outcome.name) for outcome in outcomes)
    for outcome in outcomes:
        state = "created" if outcome.created else "exists"
        differs = f", differs from the table: {'; '.join(outcome.notes)}" if outcome.notes else ""
        typer.echo(f"{outcome.name:<{width}}  {state}{differs}")
