"""`schemas/responses.py`: the models describe exactly what the codec writes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import orjson
import pytest

from schemas import codec
from schemas.errors import ErrorCode, RequestError
from schemas.requests import EncodingFormat
from schemas.responses import EmbeddingList, EmbeddingResponse, ErrorResponse, FlatResponse

from .recorded import files

if TYPE_CHECKING:
    from pydantic import BaseModel

MODELS: dict[str, type[BaseModel]] = {
    "embedding-list": EmbeddingList,
    "embedding-response": EmbeddingResponse,
    "flat-response": FlatResponse,
}
VECTORS = np.eye(2, 4, dtype=np.float32)
METADATA: dict[str, Any] = {"tenant": "a", "n": 2**63}


def test_every_recorded_response_names_its_schema_and_every_schema_has_one() -> None:
    assert {name.split(".", 1)[0] for name in files("responses")} == set(MODELS)


@pytest.mark.parametrize("name", files("responses"))
def test_a_recorded_response_is_read_by_its_model(name: str) -> None:
    payload = files("responses")[name]
    read = MODELS[name.split(".", 1)[0]].model_validate_json(payload)
    written = read.model_dump(exclude_none=True)
    assert {field: orjson.loads(payload)[field] for field in written if field not in ("data", "usage")} == {
        field: value for field, value in written.items() if field not in ("data", "usage")
    }


@pytest.mark.parametrize("encoding", EncodingFormat)
@pytest.mark.parametrize("metadata", [None, METADATA])
def test_the_models_describe_what_the_codec_writes_field_for_field(
    encoding: EncodingFormat, metadata: dict[str, Any] | None
) -> None:
    common: dict[str, Any] = {"model": "m", "encoding": encoding}
    with_id = common | {"request_id": "a", "metadata": metadata}
    response = codec.encode_response(vectors=VECTORS, prompt_tokens=3, **with_id)
    http = codec.encode_list(vectors=VECTORS, prompt_tokens=3, **common)
    flat = codec.encode_flat(vectors=VECTORS[:1], dim=VECTORS.shape[1], **with_id)
    error = RequestError(ErrorCode.TIMEOUT, "late", param="input", index=1, request_id="a", metadata=metadata)
    written: list[tuple[type[BaseModel], bytes]] = [
        (EmbeddingResponse, response),
        (EmbeddingList, http),
        (FlatResponse, flat),
        (ErrorResponse, codec.encode_error(error)),
    ]
    for model, value in written:
        assert model.model_validate_json(value).model_dump(exclude_none=True) == orjson.loads(value)


def test_a_field_of_a_later_release_is_ignored() -> None:
    payload = files("responses")["embedding-response.base64-with-fields-of-a-later-release.json"]
    assert "timing" in orjson.loads(payload)
    assert not hasattr(EmbeddingResponse.model_validate_json(payload), "timing")


def test_a_flat_response_keeps_metadata_as_fields_of_their_own() -> None:
    read = FlatResponse.model_validate_json(files("responses")["flat-response.float.json"])
    assert read.model_extra == {"tenant": "a", "page": 3}
    assert read.dimensions == len(read.embedding) == 8


def test_a_flat_response_wins_a_clash_with_metadata() -> None:
    read = FlatResponse.model_validate_json(files("responses")["flat-response.float-metadata-lose-a-clash.json"])
    assert read.id == "doc-1"
    assert read.model_extra == {"text": "a"}
