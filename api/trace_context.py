"""Which trace headers of a caller go on to the worker: those in W3C's form, and no more bytes than it promises.

Source: https://www.w3.org/TR/trace-context/
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from schemas.headers import TRACEPARENT, TRACESTATE

if TYPE_CHECKING:
    from starlette.datastructures import Headers
    from starlette.requests import Request
    from starlette.types import Scope

    from schemas.headers import Header
    from transport.tracing import TraceHeaders

_TRACEPARENT: Final = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
_TRACESTATE: Final = re.compile(r"[\x20-\x7e]{1,512}")


def trace_headers(headers: Headers) -> list[Header]:
    """What to pass on; a `tracestate` means nothing without its `traceparent`, and may come in several lines."""
    parents = headers.getlist(TRACEPARENT)
    if len(parents) != 1 or not _TRACEPARENT.fullmatch(parents[0]):
        return []
    state = ",".join(headers.getlist(TRACESTATE))
    states = [(TRACESTATE, state.encode("ascii"))] if _TRACESTATE.fullmatch(state) else []
    return [(TRACEPARENT, parents[0].encode("ascii")), *states]


def hand_on(scope: Scope, headers: TraceHeaders) -> None:
    """A request's own span goes on to the worker in place of its caller's."""
    pairs = ((TRACEPARENT, headers.traceparent), (TRACESTATE, headers.tracestate))
    scope.setdefault("state", {})["trace"] = [(name, value) for name, value in pairs if value is not None]


def handed_on(request: Request) -> list[Header]:
    """What to pass on with a request: its own span, else its caller's."""
    own: list[Header] | None = request.scope.get("state", {}).get("trace")
    return trace_headers(request.headers) if own is None else own
