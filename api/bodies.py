"""The bodies of the API that are no messages: what each endpoint answers, and the one body of every error."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from schemas.errors import ErrorBody, ErrorCode, RequestError

_VALIDATION_MESSAGE: Final = "Your request cannot be validated, it is incorrect."
"""NIM's own words for a body against the schema."""

_DETAIL_SCHEMA: Final[dict[str, Any]] = {
    "properties": {
        "loc": {
            "type": "array",
            "items": {"type": ["string", "integer"]},
            "description": "Where it is: `body`, the field, the index.",
        },
        "msg": {"type": "string", "description": "What it is."},
        "type": {"type": "string", "description": "Its kind."},
    }
}


class _Body(BaseModel):
    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)


class Error(_Body):
    """The body of every error: NVIDIA's clients read the top level, OpenAI's the object `error`."""

    object: Literal["error"] = "error"
    message: str
    """What went wrong, in NIM's words where it has its own."""
    detail: Annotated[dict[str, Any], Field(json_schema_extra=_DETAIL_SCHEMA)]
    """The first violation, for `invalid_request`; otherwise empty."""
    type: str
    """Family of the error, as in `error.type`."""
    error: ErrorBody

    @classmethod
    def of(cls, error: RequestError) -> Error:
        """The body an error becomes; `detail` is never null and `error.message` never empty."""
        invalid = error.code is ErrorCode.INVALID_REQUEST
        return cls(
            message=_VALIDATION_MESSAGE if invalid else error.message,
            detail=_detail(error) if invalid else {},
            type=error.kind.type,
            error=error.body(),
        )


def _detail(error: RequestError) -> dict[str, object]:
    location: list[str | int] = ["body"]
    if error.param is not None:
        location.append(error.param)
    if error.index is not None:
        location.append(error.index)
    return {"loc": location, "msg": error.message, "type": "value_error"}


class Model(_Body):
    """A model that is served now."""

    id: str
    """Name to ask for it by."""
    object: Literal["model"] = "model"
    created: int
    """Start of its worker, epoch seconds."""
    owned_by: str
    """First part of its name, where that has one."""
    root: str
    """Equal to `id`: by this NVIDIA's clients know a base model."""
    parent: None = None
    """Always null."""


class ModelList(_Body):
    """The models that are served now."""

    object: Literal["list"] = "list"
    data: list[Model]
    """The default model first, then by name."""


class Health(_Body):
    """How the service is; probes judge the status only."""

    object: Literal["health.response"] = "health.response"
    message: str
    """The same in words."""
    ready: bool
    """Whether it is as was asked."""


class ModelInfo(_Body):
    """A served model, in NIM's words."""

    shortName: str  # noqa: N815 - NIM's name
    """Name to ask for it by."""
    modelUrl: str  # noqa: N815 - NIM's name
    """Path of its entry among the models."""


class License(_Body):
    """The license of this software."""

    name: str
    """SPDX expression."""
    path: str
    """Where it is installed."""
    sha: str
    """SHA-256 of its text."""
    size: int
    """Bytes of its text."""
    url: str
    """Where it is published; empty when that is not known."""
    type: Literal["file"] = "file"
    content: str
    """Its text."""


class Metadata(_Body):
    """What is served, and which release serves it."""

    version: str
    """Release of this software."""
    modelInfo: list[ModelInfo]  # noqa: N815 - NIM's name
    """Every served model, the default model first."""
    assetInfo: list[str]  # noqa: N815 - NIM's name
    """Always empty."""
    licenseInfo: License  # noqa: N815 - NIM's name
    repository_override: str
    """Always empty."""
    selectedModelProfileId: str  # noqa: N815 - NIM's name
    """Revision of the default model; empty while none is served."""


class Manifest(_Body):
    """The models and their revisions."""

    manifest_file: str
    """A line of JSON for every served model."""
    repository_override: str
    """Always empty."""


class Version(_Body):
    """The release of this software and of its API, which are one."""

    release: str
    """Of the software."""
    api: str
    """Of the API: the same."""
