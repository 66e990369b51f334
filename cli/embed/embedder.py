"""The seam to whatever turns texts into vectors: the client of the request topic, or a fake in tests."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from schemas.codec import Vectors
    from schemas.requests import EmbeddingBody


class Embed(Protocol):
    """One request, one answer.

    It waits for room in a bounded window itself; callers stay bounded too.
    """

    async def __call__(self, body: EmbeddingBody, request_id: str) -> Vectors:
        """Vectors of shape `(len(body.inputs), dim)`, input order.

        Raises:
            schemas.errors.RequestError: Answered with an error; `index` names the input at fault, if one is.
        """
        ...
