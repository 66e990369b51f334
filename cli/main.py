"""The commands and their flags. Each imports what it needs when it runs, so that `--help` is quick.

Flags win over the environment (`KAFKA_EMBEDDINGS_…`), the environment over the file given by `--config`. Whatever
goes wrong ends in one line on standard error: exit status 2 for wrong settings, 1 for everything else.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .contract import contract
from .dlq.app import dlq_app
from .keys import keys_app
from .options import Bootstrap, Config, KafkaOption, Prefix, kafka_flags

if TYPE_CHECKING:
    from collections.abc import Mapping

app = typer.Typer(
    name="kafka-embeddings",
    help="Kafka in, vectors out: embedding requests on a topic, embedding responses keyed by their id.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
topics_app = typer.Typer(help="Create the topics.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(topics_app, name="topics")
app.add_typer(dlq_app, name="dlq")
app.add_typer(keys_app, name="keys")
app.command()(contract)

# Every flag's default is None, "not given", so that environment and file can speak; --help names the real ones.
OwnOrBootstrap = Annotated[
    str | None,
    typer.Option("--bootstrap", help="Kafka brokers; none given: an embedded broker of our own."),
]
LogLevel = Annotated[str | None, typer.Option(help="debug, info, warning or error.", show_default="info")]
Model = Annotated[
    str | None,
    typer.Option(help="Directory or hub id of a model.", show_default="packaged all-MiniLM-L6-v2"),
]
Auth = Annotated[
    Path | None, typer.Option("--auth", metavar="FILE", help="The API asks for a key of this file, see `keys`.")
]
Models = Annotated[Path | None, typer.Option("--models", help="Catalogue (TOML) of the models that are served.")]
Name = Annotated[str | None, typer.Option(help="Name the model is served under.", show_default="all-MiniLM-L6-v2")]
Encoder = Annotated[
    str | None,
    typer.Option(help="auto, or null: vectors that cost nothing and no model.", show_default="auto"),
]
Device = Annotated[str | None, typer.Option(help="cpu, cuda, cuda:1, mps or auto.", show_default="auto")]
Devices = Annotated[
    str | None, typer.Option(help="auto, or devices with commas: a worker process on each.", metavar="DEVICE,…")
]
Dtype = Annotated[
    str | None,
    typer.Option(help="float32, bfloat16, float16 or auto.", show_default="auto"),
]


def run() -> None:
    """Entry point of the `kafka-embeddings` script."""
    from .failures import one_line

    try:
        app()
    except Exception as error:  # noqa: BLE001 - said in one line; --log-level debug shows where it came from
        from .log import log_cause

        log_cause(error)
        status, line = one_line(error)
        sys.stderr.write(f"kafka-embeddings: {line}\n")
        sys.exit(status)


def _show_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"kafka-embeddings {version('kafka-embeddings')}")
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[
        bool, typer.Option("--version", help="Show the version and exit.", callback=_show_version, is_eager=True)
    ] = False,
) -> None:
    """Kafka in, vectors out."""


@app.command()
def up(
    host: Annotated[str | None, typer.Option(help="Where the API listens.", show_default="127.0.0.1")] = None,
    port: Annotated[int | None, typer.Option(help="Port of the API.", show_default="8000")] = None,
    auth: Auth = None,
    sample: Annotated[bool, typer.Option("--sample", help="Embed the standard library's docstrings first.")] = False,
    bootstrap: OwnOrBootstrap = None,
    models: Models = None,
    model: Model = None,
    name: Name = None,
    encoder: Encoder = None,
    device: Device = None,
    devices: Devices = None,
    dtype: Dtype = None,
    kafka: KafkaOption = None,
    prefix: Prefix = None,
    config: Config = None,
    log_level: Annotated[str | None, typer.Option(help="Of worker and API.", show_default="warning")] = None,
) -> None:
    """Start broker, worker and API in one go; Ctrl-C stops them all."""
    from .up.command import UpOptions, run_up

    model_flags = {**_model_flags(model, name, encoder, device, dtype), "--devices": devices}
    shared_flags = {"--config": config, "--log-level": log_level or "warning"}
    raise typer.Exit(
        run_up(
            UpOptions(
                host=host,
                port=port,
                sample=sample,
                bootstrap=bootstrap,
                models=models,
                model_flags=model_flags,
                shared_flags=[
                    *_as_arguments(shared_flags),
                    *(part for item in kafka or () for part in ("--kafka", item)),
                ],
                api_flags={
                    **_api_flags(bootstrap, kafka, prefix, log_level or "warning", host=host, port=port),
                    "auth_file": auth,
                },
                config=config,
            )
        )
    )


@app.command()
def worker(
    bootstrap: Bootstrap = None,
    models: Models = None,
    model: Model = None,
    name: Name = None,
    slug: Annotated[str | None, typer.Option(help="Names the topics of a further model.")] = None,
    encoder: Encoder = None,
    device: Device = None,
    devices: Devices = None,
    threads: Annotated[int | None, typer.Option(help="CPU threads of the encoder.", show_default="all cores")] = None,
    dtype: Dtype = None,
    budget_tokens: Annotated[
        int | None, typer.Option(help="Tokens of one batch, padding counted.", show_default="tried out")
    ] = None,
    max_tokens: Annotated[int | None, typer.Option(help="Token limit of an input.")] = None,
    reply_topic: Annotated[list[str] | None, typer.Option(help="A topic requests may name; repeatable.")] = None,
    group_protocol: Annotated[str | None, typer.Option(help="classic, consumer or auto.")] = None,
    drain_timeout: Annotated[float | None, typer.Option(help="Seconds to answer what was read.")] = None,
    stuck_after: Annotated[
        float | None,
        typer.Option(
            metavar="SECONDS",
            help="End with 1 when nothing is done of a request for so long.",
            show_default="5 times the slowest batch, at least 60",
        ),
    ] = None,
    metrics_port: Annotated[
        int | None, typer.Option(help="Port of /metrics, /health/live, /health/ready; 0: any.", show_default="none")
    ] = None,
    metrics_host: Annotated[str | None, typer.Option(help="Address of them.", show_default="127.0.0.1")] = None,
    max_own_failures: Annotated[
        float | None,
        typer.Option(metavar="SHARE", help="Stop when more requests fail through our fault.", show_default="0.1"),
    ] = None,
    delivery: Annotated[
        str | None, typer.Option(help="at-least-once or exactly-once.", show_default="at-least-once")
    ] = None,
    lanes: Annotated[
        str | None, typer.Option(help="interactive, bulk, or both with a comma.", show_default="both")
    ] = None,
    trust_remote_code: Annotated[
        bool | None, typer.Option("--trust-remote-code", help="Run code that comes with the model.")
    ] = None,
    allow_mixed: Annotated[bool | None, typer.Option("--allow-mixed", help="Join other revisions.")] = None,
    kafka: KafkaOption = None,
    prefix: Prefix = None,
    config: Config = None,
    log_level: LogLevel = None,
) -> None:
    """Consume requests, embed them, publish responses."""
    from .worker import run_worker

    run_worker(
        {
            "kafka": kafka_flags(bootstrap, kafka, group_protocol),
            "topic_prefix": prefix,
            "log_level": log_level,
            "model": {
                "source": model,
                "name": name or _name_of(model),
                "slug": slug,
                "encoder": encoder,
                "device": device,
                "threads": threads,
                "dtype": dtype,
                "max_tokens": max_tokens,
                "trust_remote_code": trust_remote_code,
            },
            "models": models,
            "devices": devices and [device.strip() for device in devices.split(",")],
            "batch": {"budget_tokens": budget_tokens},
            "own_failures": {"share": max_own_failures},
            "reply_topics": reply_topic or None,
            "drain_timeout_seconds": drain_timeout,
            "stuck_after_seconds": stuck_after,
            "metrics_port": metrics_port,
            "metrics_host": metrics_host,
            "delivery": delivery,
            "lanes": lanes and [lane.strip() for lane in lanes.split(",")],
            "allow_mixed": allow_mixed,
        },
        config,
        sys.argv[1:],
    )


@app.command()
def api(
    bootstrap: Bootstrap = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on.", show_default="127.0.0.1")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on.", show_default="8000")] = None,
    auth: Auth = None,
    kafka: KafkaOption = None,
    prefix: Prefix = None,
    config: Config = None,
    log_level: LogLevel = None,
) -> None:
    """Offer the same synchronously, as POST /v1/embeddings."""
    from .api import run_api

    flags = _api_flags(bootstrap, kafka, prefix, log_level, host=host, port=port)
    run_api({**flags, "auth_file": auth}, config)


@app.command()
def embed(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="Text, JSONL, CSV or Parquet by its ending; - is standard input.")
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="JSONL or Parquet by its ending; - for standard output.")
    ],
    bootstrap: OwnOrBootstrap = None,
    format_: Annotated[str | None, typer.Option("--format", help="text, jsonl, csv or parquet.")] = None,
    field: Annotated[str, typer.Option(help="Field or column that holds the text.")] = "text",
    id_field: Annotated[str | None, typer.Option(help="Field or column of the id.", show_default="id")] = None,
    errors: Annotated[Path | None, typer.Option(help="Where bad rows go.", show_default="OUT.errors.jsonl")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue where an interrupted run stopped.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Overwrite the output.")] = False,
    input_type: Annotated[str | None, typer.Option(help="query or passage.")] = None,
    truncate: Annotated[str, typer.Option(help="NONE, START or END.")] = "END",
    dimensions: Annotated[int | None, typer.Option(help="Length of the vectors.")] = None,
    give_up_after: Annotated[
        float, typer.Option(metavar="SECONDS", help="Stop, for --resume, when no answer has come for so long.")
    ] = 600,
    model: Model = None,
    name: Name = None,
    encoder: Encoder = None,
    device: Device = None,
    dtype: Dtype = None,
    kafka: KafkaOption = None,
    prefix: Prefix = None,
    config: Config = None,
) -> None:
    """Embed a file: one vector a row, in input order."""
    from .embed_file import run_embed

    model_flags = _model_flags(model, name, encoder, device, dtype)
    run_embed(
        file,
        output,
        format_name=format_,
        field=field,
        id_field=id_field,
        errors=errors,
        resume=resume,
        force=force,
        input_type=input_type,
        truncate=truncate,
        dimensions=dimensions,
        give_up_after_seconds=give_up_after,
        model_flags=model_flags,
        kafka_flags={"kafka": kafka_flags(bootstrap, kafka), "topic_prefix": prefix},
        config=config,
    )


@topics_app.command("create")
def topics_create(
    bootstrap: Bootstrap = None,
    replication: Annotated[int | None, typer.Option(help="Replicas of each topic.", show_default="1")] = None,
    slug: Annotated[str, typer.Option(help="Also the request topics of this further model.")] = "",
    models: Models = None,
    kafka: KafkaOption = None,
    prefix: Prefix = None,
    config: Config = None,
) -> None:
    """Create what is missing, with the partitions, retention and sizes of the table of topics."""
    from .topics import run_topics_create

    flags = {"kafka": {**kafka_flags(bootstrap, kafka), "replication": replication}, "topic_prefix": prefix}
    run_topics_create(flags, slug, models, config)


# --- flags to settings --------------------------------------------------------------------------------------


def _api_flags(
    bootstrap: str | None,
    kafka: list[str] | None,
    prefix: str | None,
    log_level: str | None,
    *,
    host: str | None,
    port: int | None,
) -> dict[str, Any]:
    return {
        "kafka": kafka_flags(bootstrap, kafka),
        "topic_prefix": prefix,
        "log_level": log_level,
        "host": host,
        "port": port,
    }


def _as_arguments(flags: Mapping[str, object]) -> list[str]:
    """Flags to hand on to a child process."""
    return [part for flag, value in flags.items() if value is not None for part in (flag, str(value))]


def _model_flags(
    model: str | None, name: str | None, encoder: str | None, device: str | None, dtype: str | None
) -> dict[str, str | None]:
    return {
        "--model": model,
        "--name": name or _name_of(model),
        "--encoder": encoder,
        "--device": device,
        "--dtype": dtype,
    }


def _name_of(model: str | None) -> str | None:
    """A model given by directory is served under the directory's name, one from a hub under its id."""
    if model is None:
        return None
    path = Path(model).expanduser()
    return path.resolve().name if path.is_dir() or model.startswith((".", "/", "~")) else model


if __name__ == "__main__":
    run()
