"""`kafka-embeddings keys`: makes, lists and revokes the keys of the API."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

keys_app = typer.Typer(help="Make, list and revoke keys of the API.", no_args_is_help=True, rich_markup_mode=None)

Auth = Annotated[
    Path, typer.Option("--auth", metavar="FILE", help="File of keys.", envvar="KAFKA_EMBEDDINGS_AUTH_FILE")
]
Name = Annotated[str, typer.Argument(metavar="NAME", help="Whose key it is.")]


@keys_app.command("new")
def keys_new(
    name: Name,
    auth: Auth,
    requests_per_minute: Annotated[int | None, typer.Option(help="Most requests a minute; none: no limit.")] = None,
    tokens_per_minute: Annotated[int | None, typer.Option(help="Most tokens a minute; none: no limit.")] = None,
) -> None:
    """Make a key and show it, this once; the file keeps its SHA-256."""
    from api.keys import new_key

    typer.echo(
        new_key(auth, name, requests_per_minute=requests_per_minute, tokens_per_minute=tokens_per_minute),
    )
    typer.echo(f"key {name} made: keep it now, it cannot be shown again", err=True)


@keys_app.command("list")
def keys_list(auth: Auth) -> None:
    """Show the name, age and limits of every key."""
    from api.keys import read_keys

    rows = [("name", "created", "requests/min", "tokens/min")]
    for key in read_keys(auth):
        requests, tokens = (
            f"{one:,}" if one else "no limit" for one in (key.requests_per_minute, key.tokens_per_minute)
        )
        rows.append((key.name, f"{key.created:%Y-%m-%d}", requests, tokens))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        typer.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


@keys_app.command("revoke")
def keys_revoke(name: Name, auth: Auth) -> None:
    """Take a key away; a running API refuses it within about a second."""
    from api.keys import revoke_key

    revoke_key(auth, name)
    typer.echo(f"key {name} revoked", err=True)
