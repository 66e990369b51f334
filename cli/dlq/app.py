"""The commands of `kafka-embeddings dlq` and their flags; each imports what it needs when it runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from ..options import Bootstrap, Config, KafkaOption, Prefix, kafka_flags

if TYPE_CHECKING:
    from pathlib import Path

    from .command import Place

dlq_app = typer.Typer(help="List, show, replay and purge dead letters.", no_args_is_help=True, rich_markup_mode=None)

_DEFAULT_ROWS = 50
_MAX_ATTEMPTS = 3

Code = Annotated[list[str] | None, typer.Option("--code", help="Why it is there; repeatable.")]
Topic = Annotated[list[str] | None, typer.Option("--topic", help="Topic it came from; repeatable.")]
Slug = Annotated[str | None, typer.Option("--slug", help="Model whose topics it came from; '' is the default one.")]
Partition = Annotated[int | None, typer.Option("--partition", min=0, help="Partition it came from.")]
Offset = Annotated[int | None, typer.Option("--offset", min=0, help="Offset it had there.")]
Key = Annotated[str | None, typer.Option("--key", help="Key of the message.")]
Id = Annotated[str | None, typer.Option("--id", help="Id of the request.")]
Since = Annotated[
    str | None,
    typer.Option("--since", metavar="TIME", help="Dead since: 30m, 2h, 7d ago, or 2026-01-31T03:00 (UTC)."),
]
Until = Annotated[str | None, typer.Option("--until", metavar="TIME", help="Dead before.")]
Json = Annotated[bool, typer.Option("--json", help="A line of JSON for each.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")]


@dlq_app.command("list")
def dlq_list(
    code: Code = None,
    topic: Topic = None,
    slug: Slug = None,
    partition: Partition = None,
    offset: Offset = None,
    key: Key = None,
    request_id: Id = None,
    since: Since = None,
    until: Until = None,
    limit: Annotated[
        int | None, typer.Option(min=1, help="Most to show.", show_default=f"{_DEFAULT_ROWS}, with --json all")
    ] = None,
    json_lines: Json = False,
    bootstrap: Bootstrap = None,
    kafka: KafkaOption = None,
    prefix: Prefix = None,
    config: Config = None,
) -> None:
    """Show which there are, the newest ones, and how many of each code."""
    from .listing import list_as_json, list_as_table

    at = _place(bootstrap, kafka, prefix, config)
    filters = at.filters(code, topic, slug, partition, offset, key, request_id, since, until)
    if json_lines:
        list_as_json(at.cluster, at.topics, filters, limit)
    else:
        list_as_table(at.cluster, at.topics, filters, limit or _DEFAULT_ROWS)


@dlq_app.command("show")
def dlq_show(
    place: Annotated[str, typer.Argument(metavar="PARTITION:OFFSET", help="As `list` shows it.")],
    payload: Annotated[bool, typer.Option("--payload", help="Also the bytes, which are what a caller sent.")] = False,
    json_lines: Json = False,
    bootstrap: Bootstrap = None,
    kafka: KafkaOption = None,
    prefix: Prefix = None,
    config: Config = None,
) -> None:
    """Show one: why it is there, where it came from, its headers."""
    from .letters import read_place
    from .listing import show

    wanted = read_place(place)
    at = _place(bootstrap, kafka, prefix, config)
    show(at.cluster, at.topics, wanted, payload=payload, json_lines=json_lines)


@dlq_app.command("replay")
def dlq_replay(
    places: Annotated[
        list[str] | None, typer.Argument(metavar="PARTITION:OFFSET", help="Only these, as `list` shows them.")
    ] = None,
    code: Code = None,
    topic: Topic = None,
    slug: Slug = None,
    partition: Partition = None,
    offset: Offset = None,
    key: Key = None,
    request_id: Id = None,
    since: Since = None,
    until: Until = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Most to replay.", show_default="all")] = None,
    max_attempts: Annotated[
        int, typer.Option(min=1, help="One that has failed so often is not replayed.")
    ] = _MAX_ATTEMPTS,
    force: Annotated[bool, typer.Option("--force", help="Also where a newer message has the key.")] = False,
    dry_run: DryRun = False,
    json_lines: Json = False,
    bootstrap: Bootstrap = None,
    kafka: KafkaOption = None,
    prefix: Prefix = None,
    config: Config = None,
) -> None:
    """Publish them again where they came from, each once; they stay until they are purged."""
    from .command import report_replay
    from .decisions import ReplayRules
    from .letters import read_place
    from .replay import replay

    wanted = [read_place(one) for one in places or ()]
    at = _place(bootstrap, kafka, prefix, config)
    filters = at.filters(code, topic, slug, partition, offset, key, request_id, since, until, wanted)
    rules = ReplayRules(at.topics.prefix, max_attempts, force)
    report = replay(at.cluster, at.topics, filters, rules, limit=limit, dry_run=dry_run)
    report_replay(report, dry_run=dry_run, json_lines=json_lines)


@dlq_app.command("purge")
def dlq_purge(
    code: Code = None,
    topic: Topic = None,
    slug: Slug = None,
    partition: Partition = None,
    offset: Offset = None,
    key: Key = None,
    request_id: Id = None,
    since: Since = None,
    until: Until = None,
    everything: Annotated[bool, typer.Option("--all", help="All of them, without a filter.")] = False,
    dry_run: DryRun = False,
    json_lines: Json = False,
    bootstrap: Bootstrap = None,
    kafka: KafkaOption = None,
    prefix: Prefix = None,
    config: Config = None,
) -> None:
    """Delete them, from the beginning of each partition up to the first one that is not meant."""
    from .command import check_is_meant, report_purge
    from .purge import purge

    at = _place(bootstrap, kafka, prefix, config)
    filters = at.filters(code, topic, slug, partition, offset, key, request_id, since, until)
    check_is_meant(filters, everything=everything)
    report_purge(purge(at.cluster, at.topics, filters, dry_run=dry_run), dry_run=dry_run, json_lines=json_lines)


def _place(bootstrap: str | None, kafka: list[str] | None, prefix: str | None, config: Path | None) -> Place:
    from .command import Place

    return Place.reach({"kafka": kafka_flags(bootstrap, kafka), "topic_prefix": prefix}, config)
