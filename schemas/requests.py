"""What a caller asks for: the HTTP body and the message on a request topic, one definition for both."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, Final, Literal, TypeAlias, cast

import orjson
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
)
from pydantic_core import PydanticCustomError, PydanticKnownError

MAX_INPUTS: Final = 2048
"""Inputs of one request. Source: OpenAI's limit for `POST /v1/embeddings`."""

MAX_ID_BYTES: Final = 512

MAX_MODEL_CHARACTERS: Final = 256

_WRITABLE_DEPTH: Final = 254
MAX_METADATA_DEPTH: Final = 250
"""Objects and lists inside one another; orjson reads 1024 and writes 254, the message around it included."""

TokenIds: TypeAlias = list[int]
"""One input as ids of the model's own vocabulary, for models that accept them."""

TOKEN_ARRAY_HINT: Final = (
    "this model takes no token ids: send strings "
    "(with langchain-openai: OpenAIEmbeddings(check_embedding_ctx_length=False))"
)


class InputType(StrEnum):
    """The role of an input for asymmetric models."""

    QUERY = "query"
    PASSAGE = "passage"


class Truncate(StrEnum):
    """What happens to an input longer than the model's limit."""

    NONE = "NONE"
    START = "START"
    END = "END"


class EncodingFormat(StrEnum):
    """How a vector is written in JSON: a list of numbers, or base64 of them (little-endian float32, or bytes)."""

    FLOAT = "float"
    BASE64 = "base64"


class EmbeddingType(StrEnum):
    """The type of a vector's numbers."""

    FLOAT = "float"
    INT8 = "int8"
    UINT8 = "uint8"
    BINARY = "binary"
    UBINARY = "ubinary"

    @property
    def is_ranged(self) -> bool:
        """Whether the model needs a range for each dimension."""
        return self in (EmbeddingType.INT8, EmbeddingType.UINT8)

    @property
    def is_packed(self) -> bool:
        """Whether eight dimensions are one number, a bit each."""
        return self in (EmbeddingType.BINARY, EmbeddingType.UBINARY)


def _explain_input(value: Any) -> PydanticCustomError:
    """The first thing wrong with `input`, in the caller's terms. Called only for what failed validation."""
    if value is None:
        return PydanticCustomError("input", "input is null: send a string or a list of strings")
    if not isinstance(value, list):
        return PydanticCustomError(
            "input",
            "input must be a string or a list of strings, not {kind}",
            {"kind": json_kind(value)},
        )
    for index, item in enumerate(value):
        fault = _fault_of_item(item, value[0])
        if fault is not None:
            return PydanticCustomError("input", "input[{index}] {fault}", {"index": index, "fault": fault})
    return PydanticCustomError("input", "input must be a string or a list of strings")


def _fault_of_item(item: Any, first: Any) -> str | None:
    """What is wrong with one item of a list: it holds strings only, or token ids only, or lists of them only."""
    if isinstance(item, str) and isinstance(first, str):
        return None
    tokens = item if isinstance(item, list) else [item]
    if isinstance(first, str) or not all(isinstance(token, int) and not isinstance(token, bool) for token in tokens):
        return "is a string among token ids" if isinstance(item, str) else f"must be a string, not {json_kind(item)}"
    if negative := [token for token in tokens if token < 0]:
        return f"holds {negative[0]}, which is no token id"
    return None if isinstance(item, type(first)) else f"is {json_kind(item)}, input[0] is {json_kind(first)}"


def json_kind(value: Any) -> str:
    """What a JSON value is called in a message to its sender."""
    if isinstance(value, bool):
        return "a boolean"
    kinds = {dict: "an object", list: "a list", int: "a number", float: "a number", type(None): "null"}
    return kinds.get(type(value), "a string")


def _validate_input(value: Any, handler: ValidatorFunctionWrapHandler) -> _Input:
    try:
        given: _Input = handler(value)
    except ValidationError:
        raise _explain_input(value) from None
    if given == "":
        raise PydanticCustomError("input", "input[{index}] is empty: send a text", {"index": 0})
    if isinstance(given, list):
        if not given:
            raise PydanticCustomError("input", "input is an empty list: send at least one text")
        if isinstance(given[0], int):
            return given
        if len(given) > MAX_INPUTS:
            raise PydanticCustomError(
                "input",
                "input holds {count} texts, the limit is {limit}: split the request",
                {"count": len(given), "limit": MAX_INPUTS},
            )
        if not all(given):
            index = next(index for index, item in enumerate(given) if not item)
            raise PydanticCustomError("input", "input[{index}] is empty: send a text", {"index": index})
    return given


_TokenId = Annotated[int, Field(ge=0)]
_Input: TypeAlias = str | list[str] | list[_TokenId] | list[list[_TokenId]]

_Text = Annotated[str, Field(min_length=1)]
_Tokens = Annotated[list[_TokenId], Field(min_length=1)]
_Many = Field(min_length=1, max_length=MAX_INPUTS)
_InputSchema = _Text | Annotated[list[_Text], _Many] | _Tokens | Annotated[list[_Tokens], _Many]


def _one_of(choices: type[StrEnum], default: StrEnum | None) -> BeforeValidator:
    """Null means the default; what is no string is refused here, for the enum's own error would write it out."""
    *first, last = (f"'{choice}'" for choice in choices)
    expected = f"{', '.join(first)} or {last}"

    def text_or_default(value: Any) -> Any:
        if value is not None and not isinstance(value, str):
            raise PydanticKnownError("enum", {"expected": expected})
        return default if value is None else value

    return BeforeValidator(text_or_default, json_schema_input_type=choices | None)


_EXACT: Final = 2**53
"""From here on a double holds no longer every integer."""


def _whole_as_integer(value: Any) -> Any:
    """JSON knows one kind of number: 512.0 is the integer 512, as JSON Schema has it."""
    return int(value) if isinstance(value, float) and value.is_integer() and abs(value) < _EXACT else value


class EmbeddingBody(BaseModel):
    """The body of `POST /v1/embeddings`; unknown fields are ignored."""

    model_config = ConfigDict(strict=True, frozen=True, use_attribute_docstrings=True, title="EmbeddingBody")

    model: Annotated[str, Field(min_length=1, max_length=MAX_MODEL_CHARACTERS)]
    """Name of a served model, or that name with `-query` or `-passage`."""
    input: Annotated[_Input, WrapValidator(_validate_input, json_schema_input_type=_InputSchema)]
    """One text or up to 2048 texts, none of them empty; token ids instead of a text where the model accepts them."""
    input_type: Annotated[InputType | None, Field(strict=False), _one_of(InputType, None)] = None
    """Role of the inputs; ignored by models that know no roles."""
    encoding_format: Annotated[EncodingFormat, Field(strict=False), _one_of(EncodingFormat, EncodingFormat.FLOAT)] = (
        EncodingFormat.FLOAT
    )
    """`float`: a list of numbers; `base64`: of little-endian float32, or of bytes; standard alphabet, padded."""
    embedding_type: Annotated[EmbeddingType, Field(strict=False), _one_of(EmbeddingType, EmbeddingType.FLOAT)] = (
        EmbeddingType.FLOAT
    )
    """Type of a vector's numbers; what a model supports is its own."""
    truncate: Annotated[Truncate, Field(strict=False), _one_of(Truncate, Truncate.NONE)] = Truncate.NONE
    """An input over the model's token limit is refused (`NONE`), or loses its `START` or `END`."""
    dimensions: Annotated[int, Field(ge=1, le=65536), BeforeValidator(_whole_as_integer)] | None = None
    """Length of the vectors, on models that allow more than one."""
    user: str | None = None
    """Accepted and ignored."""
    modality: Literal["text", "image"] | None = None
    """Only `text` is served."""

    @property
    def inputs(self) -> list[str] | list[TokenIds]:
        """The texts, or the ids of each, in order; a bare one is a list of one."""
        if isinstance(self.input, str):
            return [self.input]
        return [self.input] if isinstance(self.input[0], int) else cast("list[str]", self.input)


def _id_as_text(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise PydanticCustomError("id", "id must be a string or an integer, not {kind}", {"kind": json_kind(value)})
    text = str(value)
    size = len(text.encode("utf-8", "surrogatepass"))
    if not 1 <= size <= MAX_ID_BYTES:
        raise PydanticCustomError(
            "id", "id must have 1 to {limit} UTF-8 bytes, not {size}", {"limit": MAX_ID_BYTES, "size": size}
        )
    return text


# A schema counts characters, not bytes; integers past 64 bit are no integers to most readers of JSON.
_IdSchema = (
    Annotated[str, Field(min_length=1, max_length=MAX_ID_BYTES)]
    | Annotated[int, Field(ge=-(2**63), le=2**64 - 1)]
    | None
)
RequestId = Annotated[str, BeforeValidator(_id_as_text, json_schema_input_type=_IdSchema)]
"""A string or an integer on the wire, always answered as a string; 1 to 512 UTF-8 bytes."""


def _check_metadata(metadata: dict[str, Any]) -> dict[str, Any]:
    if not is_writable(metadata):
        raise PydanticCustomError(
            "metadata",
            "metadata cannot be written as JSON: at most {limit} objects and lists inside one another",
            {"limit": MAX_METADATA_DEPTH},
        )
    return metadata


def is_writable(metadata: dict[str, Any]) -> bool:
    """Whether metadata can be sent back, which nesting beyond `MAX_METADATA_DEPTH` prevents."""
    wrapped: object = metadata
    for _ in range(_WRITABLE_DEPTH - MAX_METADATA_DEPTH):
        wrapped = [wrapped]
    try:
        orjson.dumps(wrapped)
    except orjson.JSONEncodeError:
        return False
    return True


def _id_may_be_the_key(schema: dict[str, Any]) -> None:
    schema["required"].remove("id")


class EmbeddingRequest(EmbeddingBody):
    """The value of a message on `<prefix>.requests` and `<prefix>.requests.interactive`."""

    model_config = ConfigDict(title="EmbeddingRequest", json_schema_extra=_id_may_be_the_key)

    id: RequestId
    """Names the request and keys its response; absent, a message key that is UTF-8 takes its place."""
    metadata: Annotated[dict[str, Any], AfterValidator(_check_metadata)] | None = None
    """Any object; returned untouched with the response."""
