"""`kafka-embeddings contract`: the published contracts, printed or written."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final

import typer

_PRINT: Final = Path("-")


class Contract(StrEnum):
    """What there is."""

    OPENAPI = "openapi"
    ASYNCAPI = "asyncapi"
    JSON_SCHEMA = "json-schema"


Which = Annotated[Contract | None, typer.Argument(help="One of them; none given: all.", show_default=False)]
Output = Annotated[
    Path, typer.Option("--output", "-o", metavar="DIR", help="Folder to write to; - for standard output.")
]


def contract(which: Which = None, output: Output = _PRINT) -> None:
    """Show or write what API and topics keep to, as OpenAPI, AsyncAPI and JSON Schema."""
    from .contract_files import contract_files, encoded

    files = contract_files(which)
    if output == _PRINT:
        # Several are one object, each under the path of its file.
        [*others, document] = files.values()
        sys.stdout.write(encoded(files if others else document).decode())
        return
    for name, document in files.items():
        path = output / name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(encoded(document))
        except OSError as error:
            raise typer.BadParameter(f"cannot write {path}: {error.strerror}", param_hint="--output") from error
        typer.echo(path)
