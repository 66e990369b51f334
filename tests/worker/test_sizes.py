"""`worker/sizes.py`: whether a response will fit, before there is one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from schemas import headers as names
from schemas.codec import encode_flat, encode_response
from schemas.errors import ErrorCode
from worker.destinations import Profile
from worker.sizes import Sizes

from .fakes import RESPONSES, an_item, unit_vectors

if TYPE_CHECKING:
    from worker.request import RequestInFlight

DIM = 384


def response_of(item: RequestInFlight) -> bytes:
    assert item.request is not None
    assert item.destination is not None
    given: dict[str, Any] = {
        "request_id": item.request.id,
        "model": item.request.model,
        "vectors": unit_vectors(len(item.request.inputs), item.dim),
        "encoding": item.request.encoding_format,
        "metadata": item.request.metadata,
    }
    if item.destination.profile is Profile.FLAT:
        return encode_flat(dim=item.dim, **given)
    return encode_response(prompt_tokens=item.prompt_tokens, **given)


def a_request(inputs: int = 12, **changes: Any) -> RequestInFlight:
    item = an_item(["text"] * inputs, dim=DIM, metadata={"page": 3, "title": "\u00e9\u0001"}, **changes)
    item.prompt_tokens = 4711
    return item


def sizes_where(room: int, item: RequestInFlight) -> Sizes:
    """Limits under which a response of this request has so much room."""
    around = 10**6 - Sizes(10**6, {}).room(item)
    return Sizes(room + around, {})


@pytest.mark.parametrize("profile", Profile)
def test_of_base64_a_response_that_just_fits_is_computed_and_one_byte_more_is_not(profile: Profile) -> None:
    item = a_request(1 if profile is Profile.FLAT else 12, encoding_format="base64", profile=profile)
    size = len(response_of(item))
    assert sizes_where(size, item).too_large_for_sure(item) is None
    error = sizes_where(size - 1, item).too_large_for_sure(item)
    assert error is not None
    assert (error.code, error.request_id, error.metadata) == (
        ErrorCode.RESPONSE_TOO_LARGE,
        "r1",
        {"page": 3, "title": "\u00e9\u0001"},
    )
    assert f"{size} bytes, where {size - 1} fit" in error.message
    assert RESPONSES in error.message


@pytest.mark.parametrize("profile", Profile)
def test_of_numbers_nothing_that_fits_is_refused_and_what_cannot_fit_is(profile: Profile) -> None:
    item = a_request(1 if profile is Profile.FLAT else 12, profile=profile)
    size = len(response_of(item))
    assert sizes_where(size, item).too_large_for_sure(item) is None
    assert sizes_where(size // 3, item).too_large_for_sure(item) is not None


def test_a_topic_has_its_own_limit_and_the_others_the_default() -> None:
    sizes = Sizes(100_000, {"small": 5000})
    assert (sizes.limit("small"), sizes.limit("other")) == (5000, 100_000)
    fits, does_not = (a_request(encoding_format="base64", topic=topic) for topic in ("other", "small"))
    assert sizes.too_large_for_sure(fits) is None
    assert sizes.too_large_for_sure(does_not) is not None


def test_what_the_caller_gets_back_in_key_and_headers_takes_room() -> None:
    echoed = [(names.CORRELATION_ID, b"c" * 100), (names.TRACEPARENT, b"t" * 20), (names.TRACESTATE, b"s" * 3)]
    plain, with_headers = a_request(), a_request(headers=echoed)
    sizes = Sizes(100_000, {})
    assert sizes.room(plain) - sizes.room(with_headers) == 123
    assert sizes.room(plain) - sizes.room(a_request(request_id="é" * 100)) == 198


def test_metadata_that_grow_when_they_are_written_are_not_let_through_unseen() -> None:
    item = an_item(["a"], dim=4, encoding_format="base64", metadata={"n": [1e15] * 1000})
    # The message says 1e15, the response 1000000000000000.0.
    item.message = item.message._replace(value=(item.message.value or b"").replace(b"1000000000000000.0", b"1e15"))
    size = len(response_of(item))
    assert size > 3 * len(item.message.value or b"")
    assert sizes_where(size - 1, item).too_large_for_sure(item) is not None
