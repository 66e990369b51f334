"""What is published for a request: one message for each of its parts. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from schemas import headers as names
from schemas.codec import encode_request
from schemas.requests import EmbeddingBody, EmbeddingRequest, EmbeddingType, EncodingFormat
from schemas.response_sizes import least_response_bytes
from schemas.served_model import plan

from .splitting import Part, split

if TYPE_CHECKING:
    from collections.abc import Sequence

    from schemas.beats import Beat
    from schemas.headers import Header

    from .settings import ClientSettings

_REPLY_ENVELOPE_BYTES: Final = 1024
"""Of a reply, beside its vectors: id, model, usage, headers."""


@dataclass(frozen=True, slots=True)
class RequestMessage:
    """One part of a request, as any worker of its model can answer it."""

    part: Part
    key: bytes
    value: bytes
    headers: list[Header]
    """All but those that say where the reply goes."""
    embedding_type: EmbeddingType
    reply_bytes: int
    """Expected size of the reply."""


def request_messages(
    body: EmbeddingBody,
    *,
    request_id: str,
    worker: Beat,
    settings: ClientSettings,
    deadline_ms: int | None,
    headers: Sequence[Header],
) -> list[RequestMessage]:
    """The messages of a request, in the order of its inputs.

    Args:
        body: What is asked; its encoding is ours to choose.
        request_id: Names the request; its parts are `<id>/<number>` where there are several.
        worker: One that serves the model.
        settings: How large a part may be.
        deadline_ms: After this nobody waits any more, epoch milliseconds.
        headers: Further headers of each.

    Raises:
        RequestError: The model does not do what is asked.
    """
    chosen = plan(body, worker)
    vector_bytes = least_response_bytes(1, chosen.dim, EncodingFormat.BASE64, chosen.embedding_type)
    parts = split(
        body.inputs,
        max_inputs=settings.part_inputs,
        max_bytes=settings.part_bytes,
        reply_bytes_per_input=vector_bytes,
    )
    own = [] if deadline_ms is None else [(names.DEADLINE, names.encode_number(deadline_ms))]
    messages = []
    for number, part in enumerate(parts):
        part_id = request_id if len(parts) == 1 else f"{request_id}/{number}"
        message = RequestMessage(
            part=part,
            key=part_id.encode(),
            value=encode_request(_request(body, part, part_id)),
            headers=[*own, *_part_headers(part, number, len(parts)), *headers],
            embedding_type=chosen.embedding_type,
            reply_bytes=len(part.inputs) * vector_bytes + _REPLY_ENVELOPE_BYTES,
        )
        messages.append(message)
    return messages


def _request(body: EmbeddingBody, part: Part, part_id: str) -> EmbeddingRequest:
    # Validated already, as the body it came with; the copy only names the part and asks for base64.
    return EmbeddingRequest.model_construct(
        **{
            **{name: getattr(body, name) for name in EmbeddingBody.model_fields},
            "id": part_id,
            "input": part.inputs,
            "encoding_format": EncodingFormat.BASE64,
        }
    )


def _part_headers(part: Part, number: int, parts: int) -> list[Header]:
    if parts == 1:
        return []
    return [
        (names.PART, names.encode_number(number)),
        (names.PARTS, names.encode_number(parts)),
        (names.FIRST_INDEX, names.encode_number(part.first_index)),
    ]
