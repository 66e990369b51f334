"""How much the API accepts at once; beyond it callers are told at once to come back."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from schemas.errors import ErrorCode, RequestError

if TYPE_CHECKING:
    from collections.abc import Iterator


class Admission:
    """Bytes of the request bodies under way. For one event loop.

    Args:
        max_bytes: Bound; a body larger than it is admitted when it is alone.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self.used_bytes = 0

    @contextmanager
    def admit(self, size_bytes: int) -> Iterator[None]:
        """Hold room for one request.

        Raises:
            RequestError: `overloaded`; nothing was started.
        """
        if self.used_bytes and self.used_bytes + size_bytes > self._max_bytes:
            raise RequestError(ErrorCode.OVERLOADED, "too much is under way already: try again in a second")
        self.used_bytes += size_bytes
        try:
            yield
        finally:
            self.used_bytes -= size_bytes
