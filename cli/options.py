"""Flags that several commands share: where the cluster is, and how they become settings.

Every flag's default is None, "not given", so that environment and file can speak; `--help` names the real ones.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any

import typer

Bootstrap = Annotated[
    str | None, typer.Option(help="Kafka brokers, host:port[,host:port].", show_default="127.0.0.1:9092")
]
KafkaOption = Annotated[
    list[str] | None,
    typer.Option("--kafka", metavar="KEY=VALUE", help="Any librdkafka option; may be repeated."),
]
Config = Annotated[Path | None, typer.Option(help="TOML file with settings, see docs/configuration.md.")]
Prefix = Annotated[str | None, typer.Option(help="First part of every topic's name.", show_default="embedding")]


def kafka_flags(
    bootstrap: str | None, options: list[str] | None, group_protocol: str | None = None
) -> dict[str, Any]:
    """The settings group `kafka` as the command line gives it.

    Raises:
        typer.BadParameter: An option is not KEY=VALUE.
    """
    return {"bootstrap": bootstrap, "options": _pairs(options or []), "group_protocol": group_protocol}


def _pairs(options: list[str]) -> dict[str, str]:
    pairs = {}
    for option in options:
        key, separator, value = option.partition("=")
        if not separator or not key:
            # Not as it was given: it may hold a password, with another sign between the two.
            known = re.match(r"[a-z][a-z0-9.]*", key)
            named = f", as in {known.group()}=…" if known else ""
            raise typer.BadParameter(f"--kafka takes KEY=VALUE{named}", param_hint="--kafka")
        pairs[key] = value
    return pairs
