"""What `docs/differences-from-nim.md` says of this service, where the code can be asked."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import numpy as np
import pytest

from api.app import create_app
from api.errors import error_response
from api.settings import ApiSettings
from cli.configuration_page import settings_of
from schemas.errors import ERRORS, ErrorCode
from schemas.quantization import quantize
from schemas.requests import MAX_INPUTS, EmbeddingBody, EmbeddingType
from schemas.served_model import too_long
from tests.api.stand_in import StandInClient
from worker.settings import WorkerSettings

from .pages import DOCS, blocks, prose

if TYPE_CHECKING:
    from collections.abc import Iterator

_PAGE = DOCS / "differences-from-nim.md"
_TEXT = _PAGE.read_text()
_OVER_KAFKA_ONLY = {
    ErrorCode.WRONG_TOPIC,
    ErrorCode.KILLED_WORKER,
    ErrorCode.NOT_JSON,
    ErrorCode.NO_ID,
    ErrorCode.DESTINATION_NOT_ALLOWED,
    ErrorCode.DESTINATION_UNKNOWN,
    ErrorCode.DESTINATION_REFUSED,
    ErrorCode.KILLED_WORKER,
}


def _rows(heading: str) -> Iterator[list[str]]:
    """The rows of a section's tables, heads included."""
    for line in _TEXT.split(f"## {heading}\n")[1].split("\n## ")[0].splitlines():
        if line.startswith("| "):
            yield [cell.strip() for cell in line.strip("|").split("|")]


def _named(text: str) -> set[str]:
    return set(re.findall(r"`([^`]+)`", text))


def test_the_codes_of_each_status_and_who_is_told_when_to_come_back_are_those_of_the_table() -> None:
    told = {}
    for status, codes, retry in list(_rows("Errors"))[1:]:
        for code in _named(codes):
            told[code] = (int(status), retry == "yes")

    assert told == {
        code.value: (kind.status, kind.retry_after_seconds is not None)
        for code, kind in ERRORS.items()
        if code not in _OVER_KAFKA_ONLY
    }
    assert 422 not in {kind.status for kind in ERRORS.values()}


def test_the_shown_error_is_what_an_input_over_the_limit_is_answered() -> None:
    (shown,) = (json.loads(block.text) for block in blocks(_PAGE))

    assert shown == json.loads(error_response(too_long(513, 512, 0)).body)


def test_every_setting_of_the_page_is_one() -> None:
    settings = {
        row.name for kind in (WorkerSettings, ApiSettings) for rows in settings_of(kind).values() for row in rows
    }
    rows = list(_rows("Decided here"))[1:]

    assert {name for row in rows for name in _named(row[2])} <= settings
    assert {"max_in_flight_bytes", "max_in_flight_tokens", "model.embedding_ranges"} <= settings
    assert sum(bool(row[2]) for row in rows) == 8


def test_a_switch_of_the_page_is_off_by_default() -> None:
    model, api = WorkerSettings().model, ApiSettings()

    assert (model.clamp_dimensions, model.accept_token_ids, api.strict_fields) == (False, False, False)
    assert not any([model.asymmetric, model.dimensions, model.aliases, api.auth_file])


def test_the_fields_and_the_limit_of_a_request_are_those_of_the_page() -> None:
    same = _TEXT.split("## The same\n")[1].splitlines()[1]

    assert _named(same) - {"POST /v1/embeddings"} == set(EmbeddingBody.model_fields)
    assert f"| {MAX_INPUTS} at the most" in _TEXT


def test_the_endpoints_of_the_page_are_served() -> None:
    paths = create_app(StandInClient(), ApiSettings()).openapi()["paths"]

    named = {path.removeprefix("GET ") for path in _named(prose(_PAGE)) if re.fullmatch(r"(GET )?/v1/[\w/{}]+", path)}
    assert len(named) == 9
    assert {path.replace("{id}", "{model}") for path in named} <= set(paths)


@pytest.mark.parametrize("kind", EmbeddingType)
def test_the_numbers_of_the_example_follow_from_its_floats(kind: EmbeddingType) -> None:
    shown = {
        row[0].strip("`"): json.loads(row[1].strip("`"))
        for row in _rows("Numbers smaller than floats")
        if "[" in row[1]
    }
    floats = np.array([shown["float"]], np.float32)
    ranges = np.array([[-1] * 8, [1] * 8], np.float32)

    assert set(shown) == set(EmbeddingType)
    assert quantize(floats, kind, ranges)[0].tolist() == pytest.approx(shown[kind])
