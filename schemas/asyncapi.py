"""The AsyncAPI 3.0 document: the topics as channels, and what each process does on them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from .asyncapi_messages import CORRELATION, messages, schemas
from .headers import CORRELATION_ID, REPLY_TOPIC
from .topics import (
    DEAD_LETTERS,
    DEFAULT_PREFIX,
    ERRORS,
    PREFIX_PATTERN,
    REPLIES,
    REQUESTS,
    REQUESTS_INTERACTIVE,
    RESPONSES,
    SLUG_PATTERN,
    TOPICS,
    WORKERS,
    Lane,
    TopicSpec,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_BINDING: Final = "0.5.0"
_PREFIX: Final = "{prefix}"
_SLUG: Final = "{slug}"
_OF_MODEL: Final = "OfModel"
"""Ends the name of a channel that a further model has for itself."""

REPLY_TO: Final = "replyTo"
"""The channel whose address only the request knows."""

_ANSWERS: Final = ("EmbeddingResponse", "ErrorResponse", "ResponseTombstone")
_MESSAGES: Final[Mapping[TopicSpec, tuple[str, ...]]] = {
    REQUESTS: ("EmbeddingRequest", "RequestTombstone"),
    REQUESTS_INTERACTIVE: ("EmbeddingRequest", "RequestTombstone"),
    RESPONSES: _ANSWERS,
    REPLIES: _ANSWERS,
    DEAD_LETTERS: ("DeadLetter",),
    WORKERS: ("Beat", "WorkerTombstone"),
    ERRORS: ("ErrorResponse",),
}
_MEANINGS: Final[Mapping[TopicSpec, str]] = {
    REQUESTS: "Bulk work.",
    REQUESTS_INTERACTIVE: "Requests that somebody waits for.",
    RESPONSES: "The answer to every request that names no other destination, keyed by the request's id.",
    REPLIES: "Answers to synchronous callers. Any topic whose name begins with this one's may be named as well.",
    DEAD_LETTERS: "What nobody could be told about, or failed on every attempt.",
    WORKERS: "Signs of life; a worker silent for 5 s counts as gone.",
    ERRORS: "Errors of requests whose destination has the `flat` profile.",
}
_PARAMETERS: Final = {
    "prefix": {
        "description": f"First part of every topic's name. Pattern: `{PREFIX_PATTERN}`.",
        "default": DEFAULT_PREFIX,
    },
    "slug": {
        "description": f"Names a further model's own topics; the default model has none. Pattern: `{SLUG_PATTERN}`.",
        "examples": ["bge-m3"],
    },
}
_TAGS: Final[Mapping[str, str]] = {
    "worker": "Reads requests, computes, publishes what each one ends in.",
    "producer": "Whoever publishes bulk work.",
    "consumer": "Whoever reads what came of it.",
    "api": "The HTTP front, and every other synchronous caller.",
}


def asyncapi_document(version: str) -> dict[str, Any]:
    """The whole document.

    Args:
        version: Of this software.
    """
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "kafka-embeddings",
            "version": version,
            "description": "Kafka in, vectors out: publish an embedding request, read its response under its id. "
            "Delivery is at least once. Readers ignore fields, headers and codes they do not know.",
            "license": {"name": "Apache-2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0"},
            "tags": [{"name": name, "description": meaning} for name, meaning in _TAGS.items()],
        },
        "defaultContentType": "application/json",
        "servers": {
            "kafka": {
                "host": "{bootstrap}",
                "protocol": "kafka",
                "description": "A Kafka cluster.",
                "variables": {"bootstrap": {"default": "127.0.0.1:9092", "description": "One of its brokers."}},
            }
        },
        "channels": dict(_channels()),
        "operations": dict(_operations()),
        "components": {
            "messages": messages(),
            "schemas": schemas(),
            "parameters": _PARAMETERS,
            "correlationIds": {
                CORRELATION: {
                    "description": "Comes back byte for byte.",
                    "location": f"$message.header#/{CORRELATION_ID}",
                }
            },
        },
    }


# --- channels -------------------------------------------------------------------------------------------


def channel_name(spec: TopicSpec, *, of_model: bool = False) -> str:
    """Name of a topic's channel: `requests.interactive` is `requestsInteractive`."""
    first, *rest = spec.suffix.split(".")
    return first + "".join(part.capitalize() for part in rest) + (_OF_MODEL if of_model else "")


def _channels() -> Iterator[tuple[str, dict[str, Any]]]:
    for spec in TOPICS:
        yield channel_name(spec), _channel(spec, [_PREFIX, spec.suffix], ["prefix"])
        if spec.per_model:
            address = [_PREFIX, _SLUG, spec.suffix]
            yield channel_name(spec, of_model=True), _channel(spec, address, ["prefix", "slug"])
    yield (
        REPLY_TO,
        {
            "address": None,
            "title": f"Whatever `{REPLY_TOPIC}` names",
            "description": "The topic of responses, a topic of replies, or one that the worker's settings allow.",
            "messages": _listed((*_ANSWERS, "FlatResponse")),
        },
    )


def _channel(spec: TopicSpec, address: list[str], parameters: list[str]) -> dict[str, Any]:
    config = spec.config
    kept: dict[str, Any] = {"cleanup.policy": [config["cleanup.policy"]]}
    kept |= {name: int(config[name]) for name in ("retention.ms", "max.message.bytes") if name in config}
    return {
        "address": ".".join(address),
        "description": _MEANINGS[spec],
        "parameters": {name: {"$ref": f"#/components/parameters/{name}"} for name in parameters},
        "messages": _listed(_MESSAGES[spec]),
        "bindings": {
            "kafka": {"partitions": spec.partitions, "topicConfiguration": kept, "bindingVersion": _BINDING}
        },
    }


def _listed(names: tuple[str, ...]) -> dict[str, dict[str, str]]:
    return {name: {"$ref": f"#/components/messages/{name}"} for name in names}


# --- operations -----------------------------------------------------------------------------------------


def _operations() -> Iterator[tuple[str, dict[str, Any]]]:
    for of_model in (False, True):
        for spec, lane in ((REQUESTS, Lane.BULK), (REQUESTS_INTERACTIVE, Lane.INTERACTIVE)):
            channel, names = channel_name(spec, of_model=of_model), _MESSAGES[spec]
            summary = "Answer each at its reply topic, or on the topic of responses."
            yield _operation("worker", "receive", channel, names, summary, reply=True, group=_group(lane, of_model))
            asker = "producer" if lane is Lane.BULK else "api"
            summary = {
                "producer": "Publish requests; without a reply topic the answers come on the topic of responses.",
                "api": "Ask and wait: name a reply topic and partition, match the reply by its correlation id.",
            }[asker]
            yield _operation(asker, "send", channel, names, summary, reply=True)
    for spec, summary in (
        (RESPONSES, "Publish the answer to every request that named no other destination."),
        (DEAD_LETTERS, "Publish what cannot be answered, and on the bulk lane every refused request too."),
        (ERRORS, "Publish the errors of `flat` destinations."),
        (WORKERS, "Say once a second what this worker serves."),
    ):
        yield _operation("worker", "send", channel_name(spec), _MESSAGES[spec], summary)
    yield _operation("worker", "send", REPLY_TO, (*_ANSWERS, "FlatResponse"), "Publish where a request asked for it.")
    for spec in (RESPONSES, ERRORS, DEAD_LETTERS):
        yield _operation("consumer", "receive", channel_name(spec), _MESSAGES[spec], _MEANINGS[spec])
    for spec, summary in (
        (REPLIES, "Read one partition, assigned at its end, without a group; drop the replies of others."),
        (WORKERS, "Know which models are served, and whether a worker is ready."),
    ):
        yield _operation("api", "receive", channel_name(spec), _MESSAGES[spec], summary)


def _operation(
    who: str,
    action: str,
    channel: str,
    names: tuple[str, ...],
    summary: str,
    *,
    reply: bool = False,
    group: str | None = None,
) -> tuple[str, dict[str, Any]]:
    operation: dict[str, Any] = {
        "action": action,
        "channel": {"$ref": f"#/channels/{channel}"},
        "summary": summary,
        "tags": [{"name": who}],
        "messages": _references(channel, names),
    }
    if reply:
        operation["reply"] = {
            "address": {
                "location": f"$message.header#/{REPLY_TOPIC}",
                "description": "Without the header: the topic of responses.",
            },
            "channel": {"$ref": f"#/channels/{REPLY_TO}"},
            "messages": _references(REPLY_TO, (*_ANSWERS, "FlatResponse")),
        }
    if group is not None:
        group_id = {"type": "string", "description": f"`{group}`"}
        operation["bindings"] = {"kafka": {"groupId": group_id, "bindingVersion": _BINDING}}
    return f"{who}.{action}.{channel}", operation


def _references(channel: str, names: tuple[str, ...]) -> list[dict[str, str]]:
    return [{"$ref": f"#/channels/{channel}/messages/{name}"} for name in names]


def _group(lane: Lane, of_model: bool) -> str:
    return ".".join((_PREFIX, *((_SLUG,) if of_model else ()), lane.value))
