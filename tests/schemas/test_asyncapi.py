"""`schemas/asyncapi.py`: the document is valid, and says what tables, models and the page on messages say."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from jsonschema import Draft7Validator, Draft202012Validator

from schemas import headers
from schemas.asyncapi import REPLY_TO, asyncapi_document, channel_name
from schemas.asyncapi_messages import with_references_alone
from schemas.errors import ErrorCode
from schemas.topics import TOPICS, Lane, TopicNames, TopicSpec

from .messages_page import examples, table
from .recorded import INVALID, VALID, Recorded, files

if TYPE_CHECKING:
    from collections.abc import Iterator

DOCUMENT = asyncapi_document("1.2.3")
CHANNELS, OPERATIONS, COMPONENTS = DOCUMENT["channels"], DOCUMENT["operations"], DOCUMENT["components"]
OF_A_MODEL = TopicNames("own.prefix", "bge-m3")


def validator(schema: str, kind: Any = Draft202012Validator) -> Any:
    """Of one of the document's payloads."""
    return kind({"$ref": f"#/components/schemas/{schema}", "components": {"schemas": COMPONENTS["schemas"]}})


def found_at(reference: str) -> Any:
    """What a reference leads to; KeyError where it leads nowhere."""
    part: Any = DOCUMENT
    for name in reference.removeprefix("#/").split("/"):
        part = part[name]
    return part


def referenced(part: Any) -> Iterator[str]:
    """Every `$ref` in a part of the document."""
    if isinstance(part, dict):
        if isinstance(part.get("$ref"), str):
            yield part["$ref"]
        part = list(part.values())
    if isinstance(part, list):
        for item in part:
            yield from referenced(item)


def headers_of(message: str) -> set[str]:
    return set(COMPONENTS["messages"][message]["headers"]["properties"])


def messages_of(operation: dict[str, Any]) -> set[str]:
    return {reference["$ref"].rpartition("/")[2] for reference in operation["messages"]}


# --- references and schemas ---------------------------------------------------------------------------------


def test_every_reference_leads_somewhere_and_every_component_is_referred_to() -> None:
    references = set(referenced(DOCUMENT))

    for reference in references:
        found_at(reference)
    assert references >= {f"#/components/{kind}/{name}" for kind, named in COMPONENTS.items() for name in named}


@pytest.mark.parametrize("name", COMPONENTS["schemas"])
def test_a_payload_is_a_json_schema_of_both_dialects_with_nothing_beside_a_reference(name: str) -> None:
    schema = COMPONENTS["schemas"][name]

    Draft7Validator.check_schema(schema)
    Draft202012Validator.check_schema(schema)
    assert '"$defs"' not in json.dumps(schema)
    beside = [part for part in _objects(schema) if "$ref" in part and len(part) > 1]
    assert beside == []


def test_what_stands_beside_a_reference_is_kept_where_draft_07_reads_it() -> None:
    reference = {"$ref": "#/components/schemas/Usage"}

    assert with_references_alone({"properties": {"usage": {**reference, "description": "Tokens."}}}) == {
        "properties": {"usage": {"allOf": [reference], "description": "Tokens."}}
    }
    assert with_references_alone({"anyOf": [reference, {"type": "null"}]}) == {"anyOf": [reference, {"type": "null"}]}


def _objects(part: Any) -> Iterator[dict[str, Any]]:
    if isinstance(part, dict):
        yield part
    for item in part.values() if isinstance(part, dict) else part if isinstance(part, list) else ():
        yield from _objects(item)


@pytest.mark.parametrize("name", [name for name, one in COMPONENTS["messages"].items() if "headers" in one])
def test_headers_are_a_json_schema(name: str) -> None:
    schema = COMPONENTS["messages"][name]["headers"]

    Draft7Validator.check_schema(schema)
    assert set(schema.get("required", ())) <= set(schema["properties"])


# --- topics -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("spec", TOPICS, ids=lambda spec: spec.suffix)
@pytest.mark.parametrize("names", [TopicNames(), OF_A_MODEL], ids=["default", "a-further-model"])
def test_a_channels_address_is_the_topics_name(spec: TopicSpec, names: TopicNames) -> None:
    channel = CHANNELS[channel_name(spec, of_model=spec.per_model and bool(names.slug))]

    address = channel["address"].replace("{prefix}", names.prefix).replace("{slug}", names.slug)
    assert address == names.name(spec)
    assert {f"{{{name}}}" for name in channel["parameters"]} == {
        part for part in channel["address"].split(".") if part.startswith("{")
    }
    assert COMPONENTS["parameters"]["prefix"]["default"] == TopicNames().prefix


@pytest.mark.parametrize("spec", TOPICS, ids=lambda spec: spec.suffix)
def test_a_channel_is_kept_and_bounded_as_the_table_says(spec: TopicSpec) -> None:
    binding = CHANNELS[channel_name(spec)]["bindings"]["kafka"]
    kept = binding["topicConfiguration"]

    assert binding["partitions"] == spec.partitions
    assert kept["max.message.bytes"] == spec.max_message_bytes
    assert kept.get("retention.ms") == spec.retention_ms
    assert kept["cleanup.policy"] == [spec.config["cleanup.policy"]]


@pytest.mark.parametrize("spec", TOPICS, ids=lambda spec: spec.suffix)
def test_a_channel_carries_what_the_table_says_and_its_tombstones(spec: TopicSpec) -> None:
    carried = set(CHANNELS[channel_name(spec)]["messages"])

    said = {"DeadLetter"} if spec.value == "the original bytes" else set(spec.value.split(" or "))
    assert {name for name in carried if not name.endswith("Tombstone")} == said


def test_there_are_no_channels_but_the_topics_and_the_one_that_a_request_names() -> None:
    assert set(CHANNELS) - {REPLY_TO} == {
        channel_name(spec, of_model=of_model) for spec in TOPICS for of_model in {False, spec.per_model}
    }


# --- headers ------------------------------------------------------------------------------------------------


def test_every_header_there_is_has_its_place() -> None:
    names = {value for name, value in vars(headers).items() if name.isupper() and isinstance(value, str)}

    told = headers_of("EmbeddingRequest") | headers_of("EmbeddingResponse") | headers_of("DeadLetter")
    assert told == names - {headers.STATUS_OK}


def test_requests_have_the_headers_in_and_responses_the_headers_out_of_the_page() -> None:
    echoed = {headers.CORRELATION_ID, headers.TRACEPARENT, headers.TRACESTATE}
    out = {row[0] for row in table("Headers out")}

    assert headers_of("EmbeddingRequest") == {row[0] for row in table("Headers in")}
    for message in ("EmbeddingResponse", "ErrorResponse", "FlatResponse"):
        assert headers_of(message) == out | echoed
        assert set(COMPONENTS["messages"][message]["headers"]["required"]) == out
    assert headers_of("ResponseTombstone") == (out | echoed) - {headers.CONTENT_TYPE}


def test_dead_letters_have_the_original_headers_and_those_of_the_page() -> None:
    own = {row[0] for row in table("Dead letters")}

    assert headers_of("DeadLetter") == headers_of("EmbeddingRequest") | own
    assert set(COMPONENTS["messages"]["DeadLetter"]["headers"]["required"]) == own - {headers.DLQ_LEFT_OUT}


def test_the_correlation_id_is_springs_header() -> None:
    (one,) = COMPONENTS["correlationIds"].values()

    assert one["location"] == "$message.header#/kafka_correlationId"


# --- operations ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("lane", Lane)
@pytest.mark.parametrize("names", [TopicNames(), OF_A_MODEL], ids=["default", "a-further-model"])
def test_workers_read_each_lane_in_its_group_and_reply_where_the_request_says(lane: Lane, names: TopicNames) -> None:
    (operation,) = (
        one
        for name, one in OPERATIONS.items()
        if name.startswith("worker.receive.")
        and _address(one).replace("{prefix}", names.prefix).replace("{slug}", names.slug) == names.requests_of(lane)
    )

    assert operation["reply"]["address"]["location"] == "$message.header#/kafka_replyTopic"
    assert operation["reply"]["channel"] == {"$ref": f"#/channels/{REPLY_TO}"}
    group = operation["bindings"]["kafka"]["groupId"]["description"].strip("`")
    assert group.replace("{prefix}", names.prefix).replace("{slug}", names.slug) == names.group(lane)


def _address(operation: dict[str, Any]) -> str:
    address: str = found_at(operation["channel"]["$ref"])["address"]
    return address


def test_a_channel_that_replies_name_by_a_header_has_no_address_of_its_own() -> None:
    replied = {one["reply"]["channel"]["$ref"] for one in OPERATIONS.values() if "reply" in one}

    assert [found_at(reference)["address"] for reference in replied] == [None]


@pytest.mark.parametrize("channel", [name for name in CHANNELS if name != REPLY_TO])
def test_whatever_is_sent_somebody_receives(channel: str) -> None:
    actions = {one["action"] for one in OPERATIONS.values() if one["channel"]["$ref"] == f"#/channels/{channel}"}

    assert "receive" in actions
    assert "send" in actions or channel == "replies"  # where nobody but a request names it


@pytest.mark.parametrize("name", OPERATIONS)
def test_an_operations_messages_are_its_channels(name: str) -> None:
    operation = OPERATIONS[name]

    for one in (operation, operation.get("reply")):
        if one is not None:
            assert messages_of(one) <= set(found_at(one["channel"]["$ref"])["messages"])


# --- payloads -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [Draft7Validator, Draft202012Validator])
@pytest.mark.parametrize("recorded", VALID, ids=lambda recorded: recorded.name)
def test_a_recorded_request_meets_its_payload(recorded: Recorded, kind: Any) -> None:
    validator("EmbeddingRequest", kind).validate(json.loads(recorded.value))


@pytest.mark.parametrize(
    "recorded", [one for one in INVALID if one.expected["schema"] == "refuses"], ids=lambda recorded: recorded.name
)
def test_a_recorded_request_at_fault_does_not(recorded: Recorded) -> None:
    assert not validator("EmbeddingRequest").is_valid(json.loads(recorded.value))


_ANSWERS = {
    **{name: "EmbeddingResponse" for name in files("responses") if name.startswith("embedding-response")},
    **{name: "FlatResponse" for name in files("responses") if name.startswith("flat-response")},
}


@pytest.mark.parametrize("name", _ANSWERS)
def test_a_recorded_response_meets_its_payload(name: str) -> None:
    validator(_ANSWERS[name]).validate(json.loads(files("responses")[name]))


@pytest.mark.parametrize("name", files("errors"))
def test_a_recorded_error_meets_its_payload(name: str) -> None:
    validator("ErrorResponse").validate(json.loads(files("errors")[name]))


@pytest.mark.parametrize("name", files("beats"))
def test_a_recorded_beat_meets_its_payload(name: str) -> None:
    validator("Beat").validate(json.loads(files("beats")[name]))


_OF_PAGE = {
    "embedding-request": "EmbeddingRequest",
    "embedding-response": "EmbeddingResponse",
    "error-response": "ErrorResponse",
    "flat-response": "FlatResponse",
    "beat": "Beat",
}


@pytest.mark.parametrize(("schema", "text"), [one for one in examples() if one[0] in _OF_PAGE])
def test_an_example_of_the_page_meets_its_payload(schema: str, text: str) -> None:
    validator(_OF_PAGE[schema]).validate(json.loads(text))


@pytest.mark.parametrize("name", [name for name, one in COMPONENTS["messages"].items() if "examples" in one])
def test_an_example_of_the_document_meets_its_payload(name: str) -> None:
    for example in COMPONENTS["messages"][name]["examples"]:
        validator(name).validate(example["payload"])
    assert ErrorCode(COMPONENTS["messages"]["ErrorResponse"]["examples"][0]["payload"]["error"]["code"])
