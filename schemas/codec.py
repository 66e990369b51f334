"""Bytes to messages and back: JSON by orjson, one validation pass by pydantic, vectors never as Python lists.

Decoding a request raises `RequestError` (somebody can be told) or `UnanswerableError` (nobody can); it raises
nothing else, whatever the bytes. Encoding refuses what is not finite: orjson would write NaN as `null`.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import orjson
from pydantic import ValidationError

from .beats import Beat
from .errors import ErrorBody, ErrorCode, RequestError, UnanswerableError
from .quantization import DTYPES
from .requests import (
    MAX_ID_BYTES,
    EmbeddingBody,
    EmbeddingRequest,
    EmbeddingType,
    EncodingFormat,
    is_writable,
    json_kind,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from pydantic_core import ErrorDetails

    from .json_types import JsonObject

_SCHEMA_REGISTRY_MAGIC: Final = 0
_SCHEMA_REGISTRY_PREFIX_BYTES: Final = 5


# --- requests -------------------------------------------------------------------------------------------


def decode_body(body: bytes, *, strict: bool = False) -> EmbeddingBody:
    """Decode an HTTP body.

    Args:
        body: As it came.
        strict: Refuse a field that is none of ours, instead of ignoring it.

    Raises:
        RequestError: `invalid_request`, naming the field at fault.
    """
    try:
        fields = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise RequestError(ErrorCode.INVALID_REQUEST, _not_json(body, error)) from None
    if not isinstance(fields, dict):
        raise RequestError(ErrorCode.INVALID_REQUEST, "the body must be a JSON object, see /docs")
    unknown = fields.keys() - EmbeddingBody.model_fields.keys() if strict else ()
    if unknown:
        name = min(unknown)
        raise RequestError(ErrorCode.INVALID_REQUEST, f"{json.dumps(name)[:80]} is no field of a request", param=name)
    try:
        return EmbeddingBody.model_validate(fields)
    except ValidationError as error:
        raise _request_error(error) from None


def decode_request(value: bytes, key: bytes | None) -> EmbeddingRequest:
    """Decode the value of a request message; a key that is UTF-8 stands in for a missing id.

    Raises:
        RequestError: Against the contract, and there is an id to answer under.
        UnanswerableError: Not a JSON object, or without any id.
    """
    try:
        fields = orjson.loads(value)
    except orjson.JSONDecodeError as error:
        raise _undecodable(value, key, error) from None
    if not isinstance(fields, dict):
        raise UnanswerableError(ErrorCode.NOT_JSON, "the message is JSON, but not an object")
    if fields.get("id") is None:
        fields["id"] = key_as_id(key)
        if fields["id"] is None:
            raise UnanswerableError(
                ErrorCode.NO_ID, "no id: set the field 'id', or a message key that is UTF-8 of 1 to 512 bytes"
            )
    try:
        return EmbeddingRequest.model_validate(fields)
    except ValidationError as error:
        raise _answerable(_request_error(error), fields, key) from None


def key_as_id(key: bytes | None) -> str | None:
    """The id a message key stands for, or None where it cannot be one."""
    if key is None or not 1 <= len(key) <= MAX_ID_BYTES:
        return None
    try:
        return key.decode("utf-8")
    except UnicodeDecodeError:
        return None


def _undecodable(value: bytes, key: bytes | None, error: orjson.JSONDecodeError) -> RequestError | UnanswerableError:
    """Find an id in what orjson refuses: a Schema Registry frame, or JSON with lone surrogates or NaN."""
    message = _not_json(value, error)
    framed = len(value) > _SCHEMA_REGISTRY_PREFIX_BYTES and value[0] == _SCHEMA_REGISTRY_MAGIC
    fields = _lenient_object(value[_SCHEMA_REGISTRY_PREFIX_BYTES:] if framed else value)
    if fields is None:
        return UnanswerableError(ErrorCode.NOT_JSON, message)
    if fields.get("id") is None and key_as_id(key) is None:
        return UnanswerableError(ErrorCode.NO_ID, message)
    return _answerable(RequestError(ErrorCode.INVALID_REQUEST, message), fields, key)


def _not_json(value: bytes, error: orjson.JSONDecodeError) -> str:
    if value[:1] == b"\x00" and len(value) > _SCHEMA_REGISTRY_PREFIX_BYTES:
        return (
            "the message starts with a Schema Registry prefix (0x00 and a schema id): "
            "publish plain JSON, with a serializer that adds no prefix"
        )
    if "not valid UTF-8" in str(error):
        return f"not valid JSON: the bytes are not UTF-8 ({error})"
    if "surrogate" in str(error):
        return f"a string holds a lone surrogate, which no UTF-8 text can: replace it before sending ({error})"
    return f"not valid JSON: {error}"


def _lenient_object(value: bytes) -> dict[str, Any] | None:
    try:
        fields = json.loads(value)
    except (ValueError, RecursionError):
        return None
    return fields if isinstance(fields, dict) else None


def _answerable(error: RequestError, fields: dict[str, Any], key: bytes | None) -> RequestError | UnanswerableError:
    """The error with the id to answer under: the request's own if it can be one, else the key."""
    request_id = _own_id(fields.get("id")) or key_as_id(key)
    if request_id is None:
        return UnanswerableError(ErrorCode.NO_ID, error.message)
    error.request_id = request_id
    metadata = fields.get("metadata")
    if isinstance(metadata, dict) and is_writable(metadata) and _is_finite(metadata):
        error.metadata = metadata
    return error


def _own_id(given: object) -> str | None:
    if isinstance(given, bool) or not isinstance(given, str | int):
        return None
    try:
        usable = 1 <= len(str(given).encode("utf-8")) <= MAX_ID_BYTES
    except UnicodeEncodeError:
        return None
    return str(given) if usable else None


def _is_finite(metadata: JsonObject) -> bool:
    """Whether every number can be written; orjson would not say."""
    try:
        json.dumps(metadata, allow_nan=False, default=str)
    except ValueError:
        return False
    return True


def _request_error(error: ValidationError) -> RequestError:
    first = error.errors(include_url=False)[0]
    param = str(first["loc"][0]) if first["loc"] else None
    index = first.get("ctx", {}).get("index")
    return RequestError(ErrorCode.INVALID_REQUEST, _explain(first, param), param=param, index=index)


def _explain(first: ErrorDetails, param: str | None) -> str:
    kind, context, given = first["type"], first.get("ctx", {}), first.get("input")
    if kind == "missing":
        return f"'{param}' is required"
    if kind in ("input", "id", "metadata"):
        return first["msg"]
    plain = isinstance(given, str | int | float)
    shown = orjson.dumps(given).decode() if plain else json_kind(given)
    shown = shown if len(shown) <= 80 else f"{shown[:77]}…"
    if kind in ("enum", "literal_error"):
        return f"'{param}' must be {context['expected']}, not {shown}"
    return f"'{param}': {first['msg'][0].lower()}{first['msg'][1:]}, not {shown}"


# --- responses ------------------------------------------------------------------------------------------


def encode_response(
    *,
    request_id: str,
    model: str,
    vectors: NDArray[Any],
    encoding: EncodingFormat,
    prompt_tokens: int,
    metadata: JsonObject | None = None,
) -> bytes:
    """Encode an `EmbeddingResponse`.

    Args:
        request_id: The request's id.
        model: Name as the request gave it.
        vectors: Shape `(inputs, numbers)`, input order, of one of `quantization.DTYPES`.
        encoding: Numbers or base64.
        prompt_tokens: Tokens of all inputs together.
        metadata: Returned untouched; left out when None.

    Raises:
        ValueError: A value is not finite.
    """
    body: dict[str, object] = {"id": request_id} | embedding_list(model, vectors, encoding, prompt_tokens)
    if metadata is not None:
        body["metadata"] = metadata
    return orjson.dumps(body, option=orjson.OPT_SERIALIZE_NUMPY)


def encode_list(*, model: str, vectors: NDArray[Any], encoding: EncodingFormat, prompt_tokens: int) -> bytes:
    """Encode an HTTP body, an `EmbeddingList`; arguments and errors as in `encode_response`."""
    return orjson.dumps(embedding_list(model, vectors, encoding, prompt_tokens), option=orjson.OPT_SERIALIZE_NUMPY)


def embedding_list(
    model: str, vectors: NDArray[Any], encoding: EncodingFormat, prompt_tokens: int
) -> dict[str, object]:
    vectors = _writable(vectors)
    shown = map(encode_base64, vectors) if encoding is EncodingFormat.BASE64 else vectors
    return {
        "object": "list",
        "data": [{"object": "embedding", "index": index, "embedding": vector} for index, vector in enumerate(shown)],
        "model": model,
        "usage": {"prompt_tokens": prompt_tokens, "total_tokens": prompt_tokens},
    }


def encode_flat(
    *,
    request_id: str,
    model: str,
    vectors: NDArray[Any],
    dim: int,
    encoding: EncodingFormat,
    metadata: JsonObject | None = None,
) -> bytes:
    """Encode a `FlatResponse` of a request with one input; the metadata's fields beside the vector.

    Args:
        request_id: The request's id.
        model: Name as the request gave it.
        vectors: Shape `(1, numbers)`, of one of `quantization.DTYPES`.
        dim: Dimensions that the numbers stand for.
        encoding: Numbers or base64.
        metadata: Spread beside the vector; on a clash the vector's own fields win.

    Raises:
        ValueError: More than one vector, or a value is not finite.
    """
    if len(vectors) != 1:
        raise ValueError(f"the flat profile holds one vector, not {len(vectors)}")
    vectors = _writable(vectors)
    vector = encode_base64(vectors[0]) if encoding is EncodingFormat.BASE64 else vectors[0]
    own = {"id": request_id, "embedding": vector, "model": model, "dimensions": dim}
    return orjson.dumps({**(metadata or {}), **own}, option=orjson.OPT_SERIALIZE_NUMPY)


def encode_error(error: RequestError) -> bytes:
    """Encode an `ErrorResponse`.

    Raises:
        ValueError: The error carries no request id.
    """
    if error.request_id is None:
        raise ValueError("an error response needs a request id")
    body: dict[str, object] = {"id": error.request_id, "error": error.body().model_dump(exclude_none=True)}
    if error.metadata is not None:
        body["metadata"] = error.metadata
    return orjson.dumps(body)


def encode_base64(vector: NDArray[Any]) -> str:
    """Base64 of little-endian float32, as OpenAI's clients read it, or of one byte a number."""
    little_endian = vector.astype("<f4", copy=False) if vector.dtype.kind == "f" else vector
    return base64.b64encode(little_endian.tobytes()).decode("ascii")


def _writable(vectors: NDArray[Any]) -> NDArray[Any]:
    """The same vectors, finite and C-contiguous: orjson writes NaN as `null` and refuses a strided row."""
    if not np.isfinite(vectors).all():
        raise ValueError("a vector holds NaN or infinity")
    return np.ascontiguousarray(vectors)


@dataclass(frozen=True, slots=True)
class Vectors:
    """A response as its reader holds it: vectors of shape `(inputs, numbers)`, input order; floats are unit rows."""

    vectors: NDArray[Any]
    prompt_tokens: int


def decode_response(value: bytes, kind: EmbeddingType = EmbeddingType.FLOAT) -> Vectors:
    """Decode a response message whose vectors are base64.

    Args:
        value: The message's value.
        kind: The type of numbers that was asked for.

    Raises:
        RequestError: The message is an error response.
        ValueError: The message is no response.
    """
    fields = orjson.loads(value)
    if not isinstance(fields, dict):
        raise ValueError(f"not an embedding response: {json_kind(fields)}")
    if "error" in fields:
        raise RequestError.from_body(ErrorBody.model_validate(fields["error"]))
    try:
        rows = [
            np.frombuffer(base64.b64decode(entry["embedding"], validate=True), dtype=DTYPES[kind])
            for entry in fields["data"]
        ]
        return Vectors(np.stack(rows), fields["usage"]["prompt_tokens"])
    except (KeyError, TypeError) as error:
        raise ValueError(f"not an embedding response: {error!r} is missing or of another type") from error


def join_vectors(parts: Sequence[Vectors]) -> Vectors:
    """The parts of one request, in order, as one."""
    return Vectors(np.concatenate([part.vectors for part in parts]), sum(part.prompt_tokens for part in parts))


# --- request messages of our own client, and beats ------------------------------------------------------


def encode_request(request: EmbeddingRequest) -> bytes:
    """Encode the value of a request message; fields at their default are left out.

    Raises:
        ValueError: A number in the metadata is not finite.
    """
    if request.metadata is not None and not _is_finite(request.metadata):
        raise ValueError("the metadata hold NaN or infinity, which JSON cannot")
    return orjson.dumps(request.model_dump(mode="json", exclude_defaults=True))


def encode_beat(beat: Beat) -> bytes:
    """Encode the value of a message on the workers topic."""
    return orjson.dumps(beat.model_dump(mode="json"))


def decode_beat(value: bytes) -> Beat | None:
    """Decode a beat; None for what this version cannot read, which then counts as no worker."""
    try:
        return Beat.model_validate_json(value)
    except ValidationError:
        return None
