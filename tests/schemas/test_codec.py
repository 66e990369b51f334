"""`schemas/codec.py`: every recorded payload, then whatever else the bytes may be."""

from __future__ import annotations

import base64
import json
import math
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from schemas import codec
from schemas.beats import Beat, WorkerState
from schemas.errors import ErrorCode, RequestError, UnanswerableError
from schemas.requests import (
    MAX_ID_BYTES,
    MAX_METADATA_DEPTH,
    MAX_MODEL_CHARACTERS,
    EmbeddingBody,
    EmbeddingRequest,
    EncodingFormat,
)

from .encoded import response, unit_rows
from .recorded import INVALID, PAYLOADS, VALID, Recorded, files

# A busy machine is no failure.
any_example = settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.too_slow])

VALID_REQUEST = {"id": "a", "model": "m", "input": "text"}
FLOATS32 = st.floats(width=32, allow_nan=False, allow_infinity=False)
JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
TOKEN_IDS = st.lists(st.integers(0, 2**31), min_size=1) | st.lists(
    st.lists(st.integers(0, 2**31), min_size=1), min_size=1, max_size=5
)
JSON_OBJECTS = st.dictionaries(st.text(), JSON_VALUES, max_size=4)
KEYS = st.none() | st.binary(max_size=20) | st.text(max_size=20).map(str.encode)


def decode(value: bytes, key: bytes | None) -> EmbeddingRequest | RequestError | UnanswerableError:
    """What a message ends as; any other exception fails the test."""
    try:
        return codec.decode_request(value, key)
    except (RequestError, UnanswerableError) as error:
        return error


def decode_as_body(value: bytes) -> EmbeddingBody | RequestError:
    """What an HTTP body ends as; any other exception fails the test."""
    try:
        return codec.decode_body(value)
    except RequestError as error:
        return error


def check_outcome(value: bytes, key: bytes | None) -> None:
    """A request with a usable id, an error that can be sent, or a dead letter; the body likewise."""
    outcome = decode(value, key)
    if isinstance(outcome, EmbeddingRequest):
        assert 1 <= len(outcome.id.encode()) <= MAX_ID_BYTES
        assert outcome.inputs
        assert "" not in outcome.inputs
        orjson.dumps({"metadata": outcome.metadata})
    elif isinstance(outcome, RequestError):
        answer = orjson.loads(codec.encode_error(outcome))
        assert 1 <= len(answer["id"].encode()) <= MAX_ID_BYTES
        assert answer["error"]["code"] == "invalid_request"
        assert answer["error"]["message"]
        assert answer.get("metadata") == outcome.metadata
    else:
        assert outcome.code in (ErrorCode.NOT_JSON, ErrorCode.NO_ID)
        assert outcome.message
    body = decode_as_body(value)
    assert body.code is ErrorCode.INVALID_REQUEST if isinstance(body, RequestError) else body.inputs


def nested(levels: int) -> dict[str, Any]:
    value: dict[str, Any] = {}
    for _ in range(levels - 1):
        value = {"a": value}
    return value


# --- recorded requests ----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["valid", "invalid"])
def test_every_recorded_request_has_a_row_and_every_row_a_file(kind: str) -> None:
    rows = {recorded.name for recorded in (VALID if kind == "valid" else INVALID)}
    assert rows == set(files(f"requests/{kind}"))


def is_one_input(given: Any) -> bool:
    return isinstance(given, str) or isinstance(given[0], int)


@pytest.mark.parametrize("recorded", VALID, ids=lambda recorded: recorded.name)
def test_a_valid_payload_is_a_request_under_its_id(recorded: Recorded) -> None:
    request = codec.decode_request(recorded.value, recorded.key)
    fields = json.loads(recorded.value)
    assert request.id == recorded.expected["id"]
    assert request.model == fields["model"]
    assert request.inputs == ([fields["input"]] if is_one_input(fields["input"]) else fields["input"])
    assert request.metadata == fields.get("metadata")
    for name in ("input_type", "dimensions", "user", "modality"):
        assert getattr(request, name) == fields.get(name)
    assert request.encoding_format == (fields.get("encoding_format") or "float")
    assert request.embedding_type == (fields.get("embedding_type") or "float")
    assert request.truncate == (fields.get("truncate") or "NONE")


@pytest.mark.parametrize("recorded", VALID, ids=lambda recorded: recorded.name)
def test_a_valid_payload_is_also_a_body(recorded: Recorded) -> None:
    body = codec.decode_body(recorded.value)
    assert body.inputs == codec.decode_request(recorded.value, recorded.key).inputs


@pytest.mark.parametrize("recorded", VALID, ids=lambda recorded: recorded.name)
def test_a_valid_payload_written_again_reads_the_same(recorded: Recorded) -> None:
    request = codec.decode_request(recorded.value, recorded.key)
    assert codec.decode_request(codec.encode_request(request), None) == request


@pytest.mark.parametrize("recorded", INVALID, ids=lambda recorded: recorded.name)
def test_an_invalid_payload_ends_as_its_row_says(recorded: Recorded) -> None:
    outcome = decode(recorded.value, recorded.key)
    answered_under = recorded.expected["answered_under"]
    assert isinstance(outcome, UnanswerableError if answered_under is None else RequestError)
    assert not isinstance(outcome, EmbeddingRequest)
    assert outcome.code == recorded.expected["code"]
    if isinstance(outcome, RequestError):
        assert outcome.request_id == answered_under
        assert outcome.param == recorded.expected.get("param")
        assert outcome.index == recorded.expected.get("index")
        assert outcome.metadata == recorded.expected.get("metadata")


@pytest.mark.parametrize("recorded", INVALID, ids=lambda recorded: recorded.name)
def test_an_invalid_payload_is_refused_as_a_body_unless_only_id_or_metadata_are_at_fault(recorded: Recorded) -> None:
    only_message_fields = recorded.expected["code"] == "no_id" or recorded.expected.get("param") in ("id", "metadata")
    if only_message_fields and recorded.expected["schema"] != "not JSON":
        assert codec.decode_body(recorded.value).inputs
    else:
        with pytest.raises(RequestError) as refused:
            codec.decode_body(recorded.value)
        assert refused.value.code is ErrorCode.INVALID_REQUEST
        assert refused.value.param == recorded.expected.get("param")


@pytest.mark.parametrize("recorded", INVALID, ids=lambda recorded: recorded.name)
def test_an_error_names_its_field_or_says_what_the_bytes_are(recorded: Recorded) -> None:
    outcome = decode(recorded.value, recorded.key)
    assert not isinstance(outcome, EmbeddingRequest)
    named = recorded.expected.get("param") or ("id" if recorded.expected["code"] == "no_id" else "JSON")
    accepted = (named, "JSON", "surrogate", "must be a JSON object")
    assert any(word in outcome.message for word in accepted), outcome.message
    assert "not that" not in outcome.message


def test_an_unknown_field_is_ignored_unless_asked_otherwise() -> None:
    body = orjson.dumps(VALID_REQUEST | {"later": 1, "another": 2})
    assert codec.decode_body(body).model == VALID_REQUEST["model"]
    with pytest.raises(RequestError, match='"another" is no field of a request') as refused:
        codec.decode_body(orjson.dumps({"model": "m", "input": "a", "later": 1, "another": 2}), strict=True)
    assert (refused.value.code, refused.value.param) == (ErrorCode.INVALID_REQUEST, "another")
    every = {"model": "m", "input": "a", "user": "u", "modality": "text", "dimensions": 1}
    assert codec.decode_body(orjson.dumps(every), strict=True).user == "u"


# --- what a message says about its own fault ------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("schema-registry-json.bin", "Schema Registry prefix"),
        ("schema-registry-avro.bin", "Schema Registry prefix"),
        ("latin-1.bin", "not UTF-8"),
        ("byte-order-mark.bin", "byte order mark"),
        ("lone-surrogate-in-input.bin", "lone surrogate"),
        ("lone-low-surrogate-in-input.bin", "lone surrogate"),
        ("input-token-negative.json", "-3, which is no token id"),
        ("input-token-array-empty.json", "input[1] is empty"),
        ("input-token-array-among-texts.json", "input[1] must be a string, not a list"),
        ("input-list-of-2049.json", "the limit is 2048"),
        ("input-type-document.json", "'query' or 'passage', not \"document\""),
        ("model-null.json", "not null"),
        ("id-of-513-bytes-with-key.json", "1 to 512 UTF-8 bytes"),
        ("metadata-251-levels-deep.json", "at most 250"),
    ],
)
def test_a_message_names_the_fault_and_the_next_move(name: str, words: str) -> None:
    recorded = next(recorded for recorded in INVALID if recorded.name == name)
    outcome = decode(recorded.value, recorded.key)
    assert not isinstance(outcome, EmbeddingRequest)
    assert words in outcome.message


def test_text_that_is_not_utf_8_is_not_called_a_surrogate() -> None:
    outcome = decode(b'"caf\xe9"', None)
    assert isinstance(outcome, UnanswerableError)
    assert "lone surrogate" not in outcome.message


def test_a_long_wrong_value_is_cut_in_the_message() -> None:
    outcome = decode(orjson.dumps(VALID_REQUEST | {"input_type": "x" * 10_000}), None)
    assert isinstance(outcome, RequestError)
    assert len(outcome.message) < 200


# --- whatever the bytes ---------------------------------------------------------------------------------


@any_example
@given(value=st.binary(max_size=200), key=KEYS)
def test_any_bytes_end_as_request_error_or_dead_letter(value: bytes, key: bytes | None) -> None:
    check_outcome(value, key)


@any_example
@given(fields=JSON_VALUES, key=KEYS)
def test_any_json_ends_as_request_error_or_dead_letter(fields: object, key: bytes | None) -> None:
    check_outcome(orjson.dumps(fields), key)


@any_example
@given(
    recorded=st.sampled_from([recorded for recorded in VALID + INVALID if len(recorded.value) < 2000]),
    cut=st.tuples(st.floats(0, 1), st.floats(0, 1)),
    inserted=st.binary(max_size=6) | st.sampled_from([b"\\ud800", b"NaN", b"1e999", b"[[[", b"\x00", b'"', b"\xff"]),
    key=KEYS,
)
def test_a_mutated_message_ends_as_request_error_or_dead_letter(
    recorded: Recorded, cut: tuple[float, float], inserted: bytes, key: bytes | None
) -> None:
    start, end = sorted(round(at * len(recorded.value)) for at in cut)
    check_outcome(recorded.value[:start] + inserted + recorded.value[end:], key)


@any_example
@given(
    name=st.sampled_from([*EmbeddingRequest.model_fields, "unknown"]),
    wrong=JSON_VALUES,
    also=st.dictionaries(st.sampled_from([*EmbeddingRequest.model_fields]), JSON_VALUES, max_size=2),
    key=KEYS,
)
def test_any_value_in_any_field_ends_as_request_error_or_dead_letter(
    name: str, wrong: object, also: dict[str, object], key: bytes | None
) -> None:
    check_outcome(orjson.dumps(VALID_REQUEST | also | {name: wrong}), key)


@pytest.mark.parametrize("levels", [200, 249, 250, 251, 253, 254, 255, 900, 1000, 1020, 1024, 1100, 5_000, 100_000])
@pytest.mark.parametrize("name", [*EmbeddingRequest.model_fields, "unknown"])
def test_deep_nesting_in_any_field_ends_as_request_error_or_dead_letter(levels: int, name: str) -> None:
    rest = b"".join(b'"%s":"a",' % field.encode() for field in ("id", "model", "input") if field != name)
    for opened, closed in ((b"[", b"]"), (b'{"a":', b"}")):
        check_outcome(b'{%s"%s":%s1%s}' % (rest, name.encode(), opened * levels, closed * levels), b"key")


@pytest.mark.parametrize("name", ["id", "model", "input", "dimensions", "user", "metadata", "unknown"])
@pytest.mark.parametrize("number", ["1e400", "-1e400", "9" * 400, "9" * 5000, "1." + "3" * 5000, "1e-400", "-0"])
def test_a_huge_number_in_any_field_ends_as_request_error_or_dead_letter(name: str, number: str) -> None:
    value = orjson.dumps(VALID_REQUEST | {name: "@"}).replace(b'"@"', number.encode())
    check_outcome(value, b"key")
    check_outcome(value, None)


@pytest.mark.parametrize("levels", [MAX_METADATA_DEPTH - 1, MAX_METADATA_DEPTH])
def test_metadata_at_the_depth_limit_come_back_from_every_encoder(levels: int) -> None:
    metadata = nested(levels)
    request = codec.decode_request(orjson.dumps(VALID_REQUEST | {"metadata": metadata}), None)
    assert orjson.loads(response(unit_rows(1, 4), metadata=request.metadata))["metadata"] == metadata
    error = RequestError(ErrorCode.TIMEOUT, "late", request_id="a", metadata=request.metadata)
    assert orjson.loads(codec.encode_error(error))["metadata"] == metadata


# --- ids and keys ---------------------------------------------------------------------------------------


@any_example
@given(key=st.binary(max_size=MAX_ID_BYTES + 4))
def test_a_key_is_an_id_exactly_when_it_is_utf_8_of_allowed_size(key: bytes) -> None:
    try:
        text = key.decode()
    except UnicodeDecodeError:
        text = ""
    expected = text if 1 <= len(key) <= MAX_ID_BYTES and text else None
    assert codec.key_as_id(key) == expected


def test_no_key_is_no_id() -> None:
    assert codec.key_as_id(None) is None


@any_example
@given(number=st.integers(-(2**63), 2**64 - 1))
def test_an_integer_id_is_answered_as_its_decimal_text(number: int) -> None:
    request = codec.decode_request(orjson.dumps(VALID_REQUEST | {"id": number}), None)
    assert request.id == str(number)


def test_the_own_id_counts_before_the_key() -> None:
    assert codec.decode_request(orjson.dumps(VALID_REQUEST), b"key").id == "a"


# --- metadata -------------------------------------------------------------------------------------------


@any_example
@given(metadata=JSON_OBJECTS)
def test_metadata_come_back_untouched(metadata: dict[str, Any]) -> None:
    request = codec.decode_request(orjson.dumps(VALID_REQUEST | {"metadata": metadata}), None)
    answer = orjson.loads(response(unit_rows(1, 4), metadata=request.metadata))
    assert repr(answer["metadata"]) == repr(metadata)
    error = RequestError(ErrorCode.TIMEOUT, "late", request_id="a", metadata=request.metadata)
    assert repr(orjson.loads(codec.encode_error(error))["metadata"]) == repr(metadata)


@any_example
@given(metadata=JSON_OBJECTS)
def test_metadata_of_a_refused_request_come_back_untouched(metadata: dict[str, Any]) -> None:
    outcome = decode(orjson.dumps(VALID_REQUEST | {"metadata": metadata, "input": ""}), None)
    assert isinstance(outcome, RequestError)
    assert repr(outcome.metadata) == repr(metadata)


def test_a_response_without_metadata_has_no_such_field() -> None:
    assert "metadata" not in orjson.loads(response(unit_rows(1, 4)))


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_a_request_whose_metadata_hold_a_non_finite_number_is_not_written(number: float) -> None:
    request = EmbeddingRequest(id="a", model="m", input="text", metadata={"deep": [{"score": number}]})
    with pytest.raises(ValueError, match="NaN or infinity"):
        codec.encode_request(request)


# --- requests of our own client -------------------------------------------------------------------------


@any_example
@given(
    request=st.builds(
        EmbeddingRequest,
        id=st.text(min_size=1, max_size=100),
        model=st.text(min_size=1, max_size=MAX_MODEL_CHARACTERS),
        input=st.text(min_size=1) | st.lists(st.text(min_size=1), min_size=1, max_size=5) | TOKEN_IDS,
        input_type=st.sampled_from([None, "query", "passage"]),
        encoding_format=st.sampled_from(["float", "base64"]),
        embedding_type=st.sampled_from([None, "float", "int8"]),
        truncate=st.sampled_from(["NONE", "START", "END"]),
        dimensions=st.none() | st.integers(1, 65536),
        user=st.none() | st.text(),
        modality=st.sampled_from([None, "text"]),
        metadata=st.none() | JSON_OBJECTS,
    )
)
def test_an_encoded_request_decodes_to_itself(request: EmbeddingRequest) -> None:
    assert codec.decode_request(codec.encode_request(request), None) == request


def test_fields_at_their_default_are_not_written() -> None:
    written = codec.encode_request(EmbeddingRequest(id="a", model="m", input="text"))
    assert orjson.loads(written) == VALID_REQUEST


# --- vectors --------------------------------------------------------------------------------------------


@any_example
@given(vectors=arrays(np.float32, array_shapes(min_dims=2, max_dims=2, max_side=6), elements=FLOATS32))
def test_base64_and_numbers_are_the_same_vectors_bit_for_bit(vectors: np.ndarray[Any, np.dtype[np.float32]]) -> None:
    read = codec.decode_response(response(vectors)).vectors
    entries = orjson.loads(response(vectors, EncodingFormat.FLOAT))["data"]
    numbers = np.array([entry["embedding"] for entry in entries], dtype=np.float32)
    assert read.dtype == np.float32
    assert read.tobytes() == vectors.tobytes()
    assert numbers.tobytes() == vectors.tobytes()


def test_base64_is_little_endian_float32_with_padding() -> None:
    assert codec.encode_base64(np.array([1.0], dtype=np.float32)) == "AACAPw=="
    assert base64.b64decode(codec.encode_base64(np.array([1.0], dtype=">f4"))) == b"\x00\x00\x80\x3f"


@pytest.mark.parametrize("encoding", EncodingFormat)
def test_the_entries_of_a_response_are_in_input_order(encoding: EncodingFormat) -> None:
    answer = orjson.loads(response(unit_rows(5, 4), encoding, prompt_tokens=11))
    assert [entry["index"] for entry in answer["data"]] == [0, 1, 2, 3, 4]
    assert answer["usage"] == {"prompt_tokens": 11, "total_tokens": 11}
    assert (answer["id"], answer["object"], answer["model"]) == ("a", "list", "m")


@pytest.mark.parametrize("encoding", EncodingFormat)
def test_rows_that_are_not_contiguous_are_written_as_if_they_were(encoding: EncodingFormat) -> None:
    wide = unit_rows(4, 16)
    for strided in (np.asfortranarray(wide), wide[:, ::2], wide[::-1], wide[:, :5], wide.T):
        expected = np.ascontiguousarray(strided)
        assert response(strided, encoding) == response(expected, encoding)
        flat: dict[str, Any] = {"request_id": "a", "model": "m", "encoding": encoding}
        assert codec.encode_flat(vectors=strided[:1], dim=4, **flat) == codec.encode_flat(
            vectors=expected[:1], dim=4, **flat
        )


@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("encoding", EncodingFormat)
def test_a_vector_that_is_not_finite_is_written_by_no_encoder(number: float, encoding: EncodingFormat) -> None:
    vectors = unit_rows(2, 4)
    vectors[1, 3] = number
    named: dict[str, Any] = {"model": "m", "encoding": encoding}
    with pytest.raises(ValueError, match="NaN or infinity"):
        codec.encode_response(request_id="a", vectors=vectors, prompt_tokens=1, **named)
    with pytest.raises(ValueError, match="NaN or infinity"):
        codec.encode_list(vectors=vectors, prompt_tokens=1, **named)
    with pytest.raises(ValueError, match="NaN or infinity"):
        codec.encode_flat(request_id="a", vectors=vectors[1:], dim=4, **named)


def test_the_flat_profile_holds_one_vector_and_its_own_fields_win() -> None:
    vectors = unit_rows(2, 4)
    written = codec.encode_flat(
        request_id="a",
        model="m",
        vectors=vectors[:1],
        dim=4,
        encoding=EncodingFormat.FLOAT,
        metadata={"id": "mine", "embedding": 5, "page": 3},
    )
    fields = orjson.loads(written)
    assert set(fields) == {"id", "embedding", "model", "dimensions", "page"}
    assert (fields["id"], fields["dimensions"], fields["page"]) == ("a", 4, 3)
    assert np.array(fields["embedding"], dtype=np.float32).tobytes() == vectors[0].tobytes()
    with pytest.raises(ValueError, match="one vector, not 2"):
        codec.encode_flat(request_id="a", model="m", vectors=vectors, dim=4, encoding=EncodingFormat.FLOAT)


# --- responses read -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", [name for name in files("responses") if name.startswith("embedding-response.base64")]
)
def test_a_recorded_response_decodes_to_unit_vectors(name: str) -> None:
    read = codec.decode_response(files("responses")[name])
    assert read.vectors.shape == (3 if "three" in name else 1, 8)
    assert np.linalg.norm(read.vectors, axis=1) == pytest.approx(1.0, abs=1e-6)
    assert read.prompt_tokens == 9 * len(read.vectors)


def test_recorded_numbers_and_recorded_base64_are_the_same_vectors() -> None:
    recorded = files("responses")
    entries = orjson.loads(recorded["embedding-response.float-three-inputs.json"])["data"]
    numbers = np.array([entry["embedding"] for entry in entries], dtype=np.float32)
    assert np.array_equal(
        numbers, codec.decode_response(recorded["embedding-response.base64-three-inputs.json"]).vectors
    )


@pytest.mark.parametrize("name", files("responses/invalid"))
def test_what_is_no_response_raises_value_error(name: str) -> None:
    with pytest.raises(ValueError):
        codec.decode_response(files("responses/invalid")[name])


@any_example
@given(value=st.binary(max_size=100) | JSON_VALUES.map(orjson.dumps))
def test_any_bytes_read_as_a_response_raise_nothing_but_the_two_errors(value: bytes) -> None:
    with pytest.raises((ValueError, RequestError)):
        codec.decode_response(value)


def test_a_response_of_numbers_is_refused_by_the_client_that_asked_for_base64() -> None:
    with pytest.raises(ValueError, match="not an embedding response"):
        codec.decode_response(files("responses")["embedding-response.float.json"])


def test_parts_are_joined_in_order_and_their_tokens_summed() -> None:
    whole = unit_rows(7, 4)
    parts = [codec.Vectors(whole[:3], 10), codec.Vectors(whole[3:4], 2), codec.Vectors(whole[4:], 30)]
    joined = codec.join_vectors(parts)
    assert np.array_equal(joined.vectors, whole)
    assert joined.prompt_tokens == 42


# --- errors and beats -----------------------------------------------------------------------------------


def test_an_error_without_request_id_is_not_written() -> None:
    with pytest.raises(ValueError, match="request id"):
        codec.encode_error(RequestError(ErrorCode.TIMEOUT, "late"))


def test_an_error_response_holds_only_the_fields_that_say_something() -> None:
    written = codec.encode_error(RequestError(ErrorCode.TIMEOUT, "late", request_id="a"))
    assert orjson.loads(written) == {
        "id": "a",
        "error": {"message": "late", "type": "server_error", "code": "timeout"},
    }


def test_a_beat_decodes_to_itself() -> None:
    beat = Beat(worker_id="w", model="m", state=WorkerState.READY, dim=384, dimensions=[256, 384], aliases=["x"])
    assert codec.decode_beat(codec.encode_beat(beat)) == beat


@any_example
@given(value=st.binary(max_size=100) | JSON_VALUES.map(orjson.dumps))
def test_any_bytes_read_as_a_beat_are_a_beat_or_nothing(value: bytes) -> None:
    beat = codec.decode_beat(value)
    assert beat is None or isinstance(beat, Beat)


def test_the_recorded_payloads_are_where_the_readme_says() -> None:
    assert (PAYLOADS / "README.md").is_file()
